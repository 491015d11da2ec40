-- The registry: who sends (tenants), about what (entities), and what it means (attributes).
--
-- No foreign keys: the registering functions and the flush check the tenant themselves, with the
-- latest snapshot. A foreign key would check with that of the caller's transaction, lock the
-- tenant's row for every new entity, and leave a parallel restore without an order that works.

CREATE FUNCTION eav.is_valid_name(name text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eav_is_valid_name';
COMMENT ON FUNCTION eav.is_valid_name(text) IS
'True when the text may name a tenant, an entity or an attribute: 1 to 255 bytes and no control characters. Null for null. Raises nothing.';

-- current_setting() knows settings only when the library has been loaded; this loads it.
CREATE FUNCTION eav._setting(name text) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eav_setting'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._setting(text) IS 'Internal: the value of a setting, with its unit.';

CREATE SEQUENCE eav.tenant_id_seq;
CREATE TABLE eav.tenants (
    tenant_id bigint PRIMARY KEY DEFAULT nextval('eav.tenant_id_seq'),
    name text NOT NULL UNIQUE CHECK (eav.is_valid_name(name)),
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER SEQUENCE eav.tenant_id_seq OWNED BY eav.tenants.tenant_id;
COMMENT ON TABLE eav.tenants IS 'One row per tenant. A value of a tenant that is not here is rejected.';

-- Ids that we assign start at 10^12, so that they never meet the ids of producers that number
-- their own devices from 1; a producer may send numeric ids and external ids side by side.
CREATE SEQUENCE eav.entity_id_seq START WITH 1000000000000 MINVALUE 1000000000000;
CREATE TABLE eav.entities (
    tenant_id bigint NOT NULL,
    entity_id bigint NOT NULL DEFAULT nextval('eav.entity_id_seq'),
    external_id text CHECK (eav.is_valid_name(external_id)),
    entity_type text CHECK (eav.is_valid_name(entity_type)),
    version bigint NOT NULL DEFAULT 1,
    is_deleted boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, entity_id),
    UNIQUE (tenant_id, external_id)
);
ALTER SEQUENCE eav.entity_id_seq OWNED BY eav.entities.entity_id;
COMMENT ON TABLE eav.entities IS 'One row per entity (device, account, ...). Registered by eav.register_entity() or by the first value that arrives for it.';
COMMENT ON COLUMN eav.entities.external_id IS 'The name the outside world uses, unique per tenant; null for entities known by number only.';

CREATE SEQUENCE eav.attribute_id_seq AS integer;
CREATE TABLE eav.attributes (
    attribute_id integer NOT NULL DEFAULT nextval('eav.attribute_id_seq'),
    tenant_id bigint NOT NULL,
    name text NOT NULL CHECK (eav.is_valid_name(name)),
    data_type text
        CHECK (data_type IN ('text', 'int', 'float', 'numeric', 'bool', 'timestamp', 'json')),
    projection text NOT NULL CHECK (projection IN ('hot', 'live', 'current', 'none')),
    is_inferred boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    document_name text CHECK (eav.is_valid_name(document_name)),
    moving_from text[] CHECK (moving_from <@ '{hot,live,current,none}'),
    is_pii boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, attribute_id),
    UNIQUE (tenant_id, name),
    CHECK (data_type IS NOT NULL OR is_inferred)
);
ALTER SEQUENCE eav.attribute_id_seq OWNED BY eav.attributes.attribute_id;
CREATE UNIQUE INDEX attributes_document_name_key ON eav.attributes (tenant_id, document_name)
    WHERE document_name IS NOT NULL;
-- What readers do not see as documents have it: renamed, or to be seen no more. Mostly empty.
CREATE INDEX attributes_unusual_idx ON eav.attributes (tenant_id)
    WHERE document_name IS NOT NULL OR projection = 'none' AND moving_from IS NOT NULL;
-- Those whose values rejects must not show.
CREATE INDEX attributes_pii_idx ON eav.attributes (tenant_id) WHERE is_pii;
COMMENT ON TABLE eav.attributes IS 'One row per attribute of a tenant; attribute_id comes from one sequence and is unique everywhere.';
COMMENT ON COLUMN eav.attributes.data_type IS 'text, int, float, numeric, bool, timestamp or json; null when only clearings have arrived so far: the first value decides.';
COMMENT ON COLUMN eav.attributes.projection IS 'hot: in entity_jsonb.hot_attrs, indexed, for filters. live: in live_attrs, never indexed, for readings that change with every event. current: in entity_values_current, a row for each entity, indexed by value: for the many that are rarely asked for. none: history only.';
COMMENT ON COLUMN eav.attributes.is_inferred IS 'True when the type was inferred from the first value; an inferred int widens to float when a float arrives.';
COMMENT ON COLUMN eav.attributes.document_name IS 'For a renamed attribute the name it was registered with: documents keep it under that, values that arrive under that are its own, and no other attribute can have it. Null for all others.';
COMMENT ON COLUMN eav.attributes.moving_from IS 'Projections that may still hold values of it, while they are being moved to the one it has; null when all are there.';
COMMENT ON COLUMN eav.attributes.is_pii IS 'True when its values are personal and stored encrypted; see eav.set_pii().';

CREATE FUNCTION eav._attribute_id(tenant_id bigint, name text) RETURNS integer
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(
        (SELECT a.attribute_id FROM eav.attributes a
         WHERE a.tenant_id = _attribute_id.tenant_id AND a.name = _attribute_id.name),
        (SELECT a.attribute_id FROM eav.attributes a
         WHERE a.tenant_id = _attribute_id.tenant_id AND a.document_name = _attribute_id.name));
END;
COMMENT ON FUNCTION eav._attribute_id(bigint, text) IS 'Internal: the attribute of the tenant with this name, or that was registered with it; null when there is none.';

-- Flushes cache the registry in the memory of their backend; every change of it tells them.
CREATE FUNCTION eav._registry_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'eav_registry_changed';
COMMENT ON FUNCTION eav._registry_changed() IS 'Internal: makes every backend forget what it cached of the registry.';
CREATE TRIGGER registry_changed AFTER UPDATE OR DELETE OR TRUNCATE ON eav.tenants
    FOR EACH STATEMENT EXECUTE FUNCTION eav._registry_changed();
CREATE TRIGGER registry_changed AFTER UPDATE OR DELETE OR TRUNCATE ON eav.attributes
    FOR EACH STATEMENT EXECUTE FUNCTION eav._registry_changed();
