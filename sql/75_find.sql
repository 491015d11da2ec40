-- Entities by what their documents say.

CREATE FUNCTION eav.find_entities(tenant_id bigint, filter jsonpath, order_by text DEFAULT NULL,
                                  limit_rows integer DEFAULT 100, after text DEFAULT NULL,
                                  attributes text[] DEFAULT NULL)
    RETURNS TABLE (entity_id bigint, external_id text, document jsonb, cursor text)
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 100
    AS 'MODULE_PATHNAME', 'eav_find_entities';
COMMENT ON FUNCTION eav.find_entities(bigint, jsonpath, text, integer, text, text[]) IS
'Returns the entities of a tenant for whose document (that of eav.get_entity()) jsonb_path_match(document, filter) is true; all of them for a null filter. order_by: name of an attribute, optionally followed by asc or desc: by eav.value_key() of its value and entity_id, entities without a value last; null: by entity_id. limit_rows: most rows. after: the cursor of the last row of the page before. attributes: what document is to have, as in eav.get_entity(). A condition on an attribute that does not exist (also a former name), or has projection none, is met by no entity, and a notice tells so. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null tenant_id, invalid_parameter_value (22023) for a filter that is no predicate or has variables, for limit_rows below 1 and for a cursor that is none or of another query, program_limit_exceeded (54000) when no index answers the query and the tenant has more entities than eav.max_scan_entities.';

CREATE FUNCTION eav.explain_find(tenant_id bigint, filter jsonpath, order_by text DEFAULT NULL)
    RETURNS TABLE (step integer, node text, attribute text, projection text, access text,
                   index_name text, estimated_rows bigint, detail text)
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 10
    AS 'MODULE_PATHNAME', 'eav_explain_find';
COMMENT ON FUNCTION eav.explain_find(bigint, jsonpath, text) IS
'Returns what eav.find_entities() would do with the filter and order, without looking for entities. The first row says where candidates come from, with access index, order (an index in the order asked for), walk (all entities of the tenant) or none. Then a row for each condition, indented below all of and any of, with its access: index and index range (a B-tree), gin (the index of all hot attributes), or recheck. estimated_rows: candidates, counted up to 2,000 at one key and 20,000 in a range (up to 100,000 entities for a walk); null when that would cost too much. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null tenant_id and invalid_parameter_value (22023) for a filter that is no predicate or has variables; not that too many entities would have to be looked at, which it tells instead.';
