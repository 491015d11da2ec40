-- The projection: the latest hot and live values of each entity, one row per entity.

CREATE TABLE eav.entity_jsonb (
    tenant_id bigint NOT NULL,
    entity_id bigint NOT NULL,
    hot_attrs jsonb NOT NULL DEFAULT '{}',
    live_attrs jsonb NOT NULL DEFAULT '{}',
    versions bytea NOT NULL DEFAULT '\x',
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, entity_id)
) USING heap WITH (fillfactor = 70);
-- jsonb_path_ops serves @>, @? and @@, and is a third the size of the default.
CREATE INDEX entity_jsonb_hot_attrs_idx ON eav.entity_jsonb USING gin (hot_attrs jsonb_path_ops);
COMMENT ON TABLE eav.entity_jsonb IS 'The newest hot and live values of each entity, kept by the flush and by eav.upsert_hot_attributes().';
COMMENT ON COLUMN eav.entity_jsonb.hot_attrs IS 'Attributes with projection hot, by name; GIN-indexed for @>, @? and @@.';
COMMENT ON COLUMN eav.entity_jsonb.live_attrs IS 'Attributes with projection live, by name; not indexed, so that readings that change with every event stay HOT updates.';
COMMENT ON COLUMN eav.entity_jsonb.versions IS 'observed_at and ingested_at of each attribute, cleared ones included; read it with eav.projection_versions().';

-- By value: a B-tree on its sort key, which has one order for all types, and fits into an index
-- however long the value is. The entity last, so that those with equal keys come in its order.
CREATE FUNCTION eav.value_key(value jsonb) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eav_value_key';
COMMENT ON FUNCTION eav.value_key(jsonb) IS
'Returns the sort key of a value, at most 64 bytes whose order is that of jsonpath: null, false, true, numbers, strings by code point, arrays, objects. Equal values have equal keys; strings that begin with the same 63 bytes have the same. Null for null. Raises nothing.';

CREATE TABLE eav.entity_values_current (
    tenant_id bigint NOT NULL,
    entity_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    value jsonb NOT NULL,
    PRIMARY KEY (tenant_id, entity_id, attribute_id)
) USING heap;
CREATE INDEX entity_values_current_value_idx ON eav.entity_values_current
    (tenant_id, attribute_id, eav.value_key(value), entity_id);
COMMENT ON TABLE eav.entity_values_current IS 'The newest values of attributes with projection current, one row each, kept by the flush and by eav.upsert_hot_attributes(). Written only when a value changes; entity_jsonb.versions of the entity holds its times.';
COMMENT ON COLUMN eav.entity_values_current.value IS 'As it would be in a document.';

CREATE FUNCTION eav.projection_versions(versions bytea)
    RETURNS TABLE (attribute_id integer, observed_at timestamptz, ingested_at timestamptz)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 20
    AS 'MODULE_PATHNAME', 'eav_projection_versions';
COMMENT ON FUNCTION eav.projection_versions(bytea) IS
'Unpacks entity_jsonb.versions: one row per attribute that ever had a projected value, with the times of its newest value or clearing. Raises data_corrupted (XX001) for bytes that are no version list.';

CREATE FUNCTION eav.upsert_hot_attributes(tenant_id bigint, entity_id bigint, attributes jsonb,
                                          observed_at timestamptz DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_upsert_hot_attributes';
COMMENT ON FUNCTION eav.upsert_hot_attributes(bigint, bigint, jsonb, timestamptz) IS
'Writes attributes of one entity into history and projection in the transaction of the caller, and returns the new document (hot and live attributes together; eav.get_entity() knows those with projection current, too). attributes: an object, name to value; null clears the attribute. observed_at: default now. Older values than the stored ones go to history only. Unknown names are registered (eav.auto_register). Raises insufficient_privilege (42501) for a tenant that the caller may not act for, foreign_key_violation (23503) for an unknown tenant, undefined_object (42704) for an unknown name when eav.auto_register is off, invalid_parameter_value (22023) for a null argument or attributes that are no object, invalid_name (42602) for a bad attribute name, datetime_field_overflow (22008) for observed_at in the future, program_limit_exceeded (54000) for a value above eav.max_value_bytes, serialization_failure (40001) when the entity is deleted meanwhile, object_not_in_prerequisite_state (55000) when a trigger calls it within a flush, another call or a move of attributes, and the SQLSTATE of the conversion for a value that does not fit its type.';
