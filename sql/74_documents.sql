-- Documents of entities, over all projections.
--
-- These functions read the tables below SQL: without the rights of their caller, and without row
-- security; they check the tenant themselves, and look no name up that search_path could lead astray.

CREATE FUNCTION eav.get_entity(tenant_id bigint, entity_id bigint, attributes text[] DEFAULT NULL,
                               with_metadata boolean DEFAULT false)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000
    AS 'MODULE_PATHNAME', 'eav_get_entity';
COMMENT ON FUNCTION eav.get_entity(bigint, bigint, text[], boolean) IS
'Returns the document of an entity: an object of all attributes with a current value (projection hot, live or current), by name; an empty one when there is none, null when the entity is not registered or deleted. attributes: only these, by their present or first names; a notice tells of those that do not exist. with_metadata: returns {"entity_id", "external_id", "document", "observed_at": {name: time}, "source", "lag_seconds", "consistency"}, the last three as eav.freshness() has them; times are ISO 8601 in UTC. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null tenant_id or with_metadata, and with metadata what eav.freshness() raises.';

CREATE FUNCTION eav.get_entity(tenant_id bigint, external_id text, attributes text[] DEFAULT NULL,
                               with_metadata boolean DEFAULT false)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000
    AS 'MODULE_PATHNAME', 'eav_get_entity_by_name';
COMMENT ON FUNCTION eav.get_entity(bigint, text, text[], boolean) IS
'Returns the document of the entity with this external id, as eav.get_entity(bigint, bigint) does, and raises the same.';

CREATE FUNCTION eav.get_entities(tenant_id bigint, entity_ids bigint[],
                                 attributes text[] DEFAULT NULL,
                                 with_metadata boolean DEFAULT false)
    RETURNS TABLE (entity_id bigint, external_id text, document jsonb)
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 100
    AS 'MODULE_PATHNAME', 'eav_get_entities';
COMMENT ON FUNCTION eav.get_entities(bigint, bigint[], text[], boolean) IS
'Returns a row with the document of each of these entities that is registered and not deleted, once each, in the order asked for; none for null. The other arguments and document are those of eav.get_entity(). A literal needs a type, as there is a function for external ids, too. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null tenant_id or with_metadata, and with metadata what eav.freshness() raises.';

CREATE FUNCTION eav.get_entities(tenant_id bigint, external_ids text[],
                                 attributes text[] DEFAULT NULL,
                                 with_metadata boolean DEFAULT false)
    RETURNS TABLE (entity_id bigint, external_id text, document jsonb)
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 100
    AS 'MODULE_PATHNAME', 'eav_get_entities_by_name';
COMMENT ON FUNCTION eav.get_entities(bigint, text[], text[], boolean) IS
'Returns a row with the document of each of the entities with these external ids, as eav.get_entities(bigint, bigint[]) does, and raises the same.';
