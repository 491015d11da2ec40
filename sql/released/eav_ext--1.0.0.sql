\echo Use "CREATE EXTENSION eav_ext CASCADE" to load this file. \quit

-- sql/10_registry.sql

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
COMMENT ON TABLE eav.attributes IS 'One row per attribute of a tenant; attribute_id comes from one sequence and is unique everywhere.';
COMMENT ON COLUMN eav.attributes.data_type IS 'text, int, float, numeric, bool, timestamp or json; null when only clearings have arrived so far: the first value decides.';
COMMENT ON COLUMN eav.attributes.projection IS 'hot: in entity_jsonb.hot_attrs, indexed, for filters. live: in live_attrs, never indexed, for readings that change with every event. current: in entity_values_current, a row for each entity, indexed by value: for the many that are rarely asked for. none: history only.';
COMMENT ON COLUMN eav.attributes.is_inferred IS 'True when the type was inferred from the first value; an inferred int widens to float when a float arrives.';
COMMENT ON COLUMN eav.attributes.document_name IS 'For a renamed attribute the name it was registered with: documents keep it under that, values that arrive under that are its own, and no other attribute can have it. Null for all others.';
COMMENT ON COLUMN eav.attributes.moving_from IS 'Projections that may still hold values of it, while they are being moved to the one it has; null when all are there.';

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

-- sql/12_attribute_changes.sql

-- What has been changed about attributes, by whom.

CREATE SEQUENCE eav.attribute_changes_seq;
CREATE TABLE eav.attribute_changes (
    change_id bigint PRIMARY KEY DEFAULT nextval('eav.attribute_changes_seq'),
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by text NOT NULL DEFAULT session_user,
    change text NOT NULL CHECK (change IN ('projection', 'type', 'name', 'index')),
    old_value text,
    new_value text,
    details jsonb NOT NULL DEFAULT '{}'
);
ALTER SEQUENCE eav.attribute_changes_seq OWNED BY eav.attribute_changes.change_id;
CREATE INDEX ON eav.attribute_changes (tenant_id, attribute_id);
COMMENT ON TABLE eav.attribute_changes IS 'One row for each change of an attribute: its projection, type or name, or an index of it. Written by the functions that change them.';
COMMENT ON COLUMN eav.attribute_changes.changed_by IS 'The role that was logged in.';
COMMENT ON COLUMN eav.attribute_changes.details IS 'What else there is to say, such as how many values could not be converted.';

-- sql/15_register.sql

-- Registration by hand. Every function may be called again with the same arguments by any number
-- of sessions at once: each looks first, inserts without raising a conflict, and looks again.
-- They run with the rights of the extension's owner: who may execute them needs no other right.

CREATE FUNCTION eav._check_name(what text, name text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF name IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('%s must not be null', what),
            DETAIL = 'A name identifies the row for everybody outside the database.',
            HINT = 'Give a name of 1 to 255 bytes.';
    ELSIF NOT eav.is_valid_name(name) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_name',
            MESSAGE = format('%s is not valid', what),
            DETAIL = CASE
                WHEN name = '' THEN 'It is empty.'
                WHEN octet_length(name) > 255
                    THEN format('It has %s bytes.', octet_length(name))
                ELSE 'It contains a control character.'
            END,
            HINT = 'A name has 1 to 255 bytes and no control characters.';
    END IF;
END
$$;
COMMENT ON FUNCTION eav._check_name(text, text) IS
'Internal: returns when the text may name something. Raises null_value_not_allowed (22004) for null and invalid_name (42602) for an invalid name; "what" begins the message.';

CREATE FUNCTION eav._check_tenant(tenant_id bigint) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tenant_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'tenant_id must not be null',
            DETAIL = 'Everything that is registered belongs to a tenant.',
            HINT = 'eav.register_tenant() returns the id of a tenant.';
    ELSIF NOT EXISTS (SELECT FROM eav.tenants t WHERE t.tenant_id = _check_tenant.tenant_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
            MESSAGE = format('tenant %s does not exist', tenant_id),
            DETAIL = 'eav.tenants has no such tenant_id.',
            HINT = 'Register the tenant with eav.register_tenant() first.';
    END IF;
END
$$;
COMMENT ON FUNCTION eav._check_tenant(bigint) IS
'Internal: returns when the tenant exists. Raises null_value_not_allowed (22004) for null and foreign_key_violation (23503) for an unknown tenant.';

CREATE FUNCTION eav.register_tenant(name text, tenant_id bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_name CONSTANT text := name;
    wanted_id CONSTANT bigint := tenant_id;
    found_id bigint;
    found_name text;
BEGIN
    PERFORM eav._check_name('tenant name', wanted_name);
    LOOP
        SELECT t.tenant_id INTO found_id FROM eav.tenants t WHERE t.name = wanted_name;
        IF FOUND AND found_id <> wanted_id THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
                MESSAGE = format('tenant "%s" is registered with another id', wanted_name),
                DETAIL = format('It has tenant_id %s, not %s.', found_id, wanted_id),
                HINT = 'Leave tenant_id out to get the id of the tenant.';
        ELSIF FOUND THEN
            RETURN found_id;
        END IF;
        SELECT t.name INTO found_name FROM eav.tenants t WHERE t.tenant_id = wanted_id;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
                MESSAGE = format('tenant_id %s is taken', wanted_id),
                DETAIL = format('It belongs to tenant "%s".', found_name),
                HINT = 'Leave tenant_id out to get a new id.';
        END IF;
        -- A conflict is a tenant that another session has just registered, or an id of the
        -- sequence that somebody chose by hand: the next round tells.
        INSERT INTO eav.tenants AS t (tenant_id, name)
        VALUES (coalesce(wanted_id, nextval('eav.tenant_id_seq')), wanted_name)
        ON CONFLICT DO NOTHING
        RETURNING t.tenant_id INTO found_id;
        IF FOUND THEN
            RETURN found_id;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION eav.register_tenant(text, bigint) IS
'Registers a tenant and returns its id; returns the id of the existing tenant when the name is known. tenant_id: null takes the next free id. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null name, invalid_name (42602) for a name that is empty, longer than 255 bytes or holds control characters, and duplicate_object (42710) when the name has another id or the id another name.';

CREATE FUNCTION eav.register_entity(tenant_id bigint, external_id text,
                                    entity_type text DEFAULT NULL, entity_id bigint DEFAULT NULL)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_name CONSTANT text := external_id;
    wanted_type CONSTANT text := entity_type;
    wanted_id CONSTANT bigint := entity_id;
    known eav.entities;
    new_id bigint;
BEGIN
    PERFORM eav._check_tenant(wanted_tenant);
    PERFORM eav._check_name('external_id', wanted_name);
    IF wanted_type IS NOT NULL THEN
        PERFORM eav._check_name('entity_type', wanted_type);
    END IF;
    LOOP
        SELECT * INTO known FROM eav.entities e
        WHERE e.tenant_id = wanted_tenant AND e.external_id = wanted_name;
        IF NOT FOUND AND wanted_id IS NOT NULL THEN
            SELECT * INTO known FROM eav.entities e
            WHERE e.tenant_id = wanted_tenant AND e.entity_id = wanted_id;
        END IF;
        IF NOT FOUND THEN
            INSERT INTO eav.entities AS e (tenant_id, entity_id, external_id, entity_type)
            VALUES (wanted_tenant, coalesce(wanted_id, nextval('eav.entity_id_seq')),
                    wanted_name, wanted_type)
            ON CONFLICT DO NOTHING
            RETURNING e.entity_id INTO new_id;
            IF FOUND THEN
                RETURN new_id;
            END IF;
            CONTINUE;
        END IF;
        IF known.external_id <> wanted_name THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
                MESSAGE = format('entity_id %s of tenant %s is taken', wanted_id, wanted_tenant),
                DETAIL = format('It belongs to entity "%s".', known.external_id),
                HINT = 'Leave entity_id out to get a new id.';
        ELSIF known.entity_id <> wanted_id THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
                MESSAGE = format('entity "%s" of tenant %s is registered with another id',
                                 wanted_name, wanted_tenant),
                DETAIL = format('It has entity_id %s, not %s.', known.entity_id, wanted_id),
                HINT = 'Leave entity_id out to get the id of the entity.';
        ELSIF known.entity_type <> wanted_type THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
                MESSAGE = format('entity "%s" of tenant %s is registered with another type',
                                 wanted_name, wanted_tenant),
                DETAIL = format('It is a "%s", not a "%s".', known.entity_type, wanted_type),
                HINT = 'Update eav.entities to change the type of an entity.';
        END IF;
        -- An entity that its first value registered learns its name or type.
        IF known.external_id IS NULL OR (known.entity_type IS NULL AND wanted_type IS NOT NULL) THEN
            BEGIN
                UPDATE eav.entities e
                SET external_id = wanted_name,
                    entity_type = coalesce(e.entity_type, wanted_type),
                    version = e.version + 1
                WHERE e.tenant_id = wanted_tenant AND e.entity_id = known.entity_id
                  AND e.external_id IS NOT DISTINCT FROM known.external_id
                  AND e.entity_type IS NOT DISTINCT FROM known.entity_type;
                CONTINUE WHEN NOT FOUND;
            EXCEPTION WHEN unique_violation THEN
                CONTINUE;
            END;
        END IF;
        RETURN known.entity_id;
    END LOOP;
END
$$;
COMMENT ON FUNCTION eav.register_entity(bigint, text, text, bigint) IS
'Registers an entity of a tenant by its external id and returns its entity_id; returns the id of the existing entity when the external id is known. entity_type: null leaves it open; a type given later is stored when none was. entity_id: null takes the next free id; the id of an entity that is known by number only gives it the external id. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null tenant_id or external_id, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for an external id or type that is empty, longer than 255 bytes or holds control characters, and duplicate_object (42710) when the entity has another id or type, or the id another entity.';

CREATE FUNCTION eav._claim_name(tenant_id bigint, name text, is_rename boolean) RETURNS integer
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_claim_name'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._claim_name(bigint, text, boolean) IS
'Internal: the attribute of the tenant that has this name now, or was registered with it; null when the name is free, and stays so until the transaction has ended but for others who register it as well. is_rename: also for those.';

CREATE FUNCTION eav.register_attribute(tenant_id bigint, name text, data_type text,
                                       projection text DEFAULT NULL)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_name CONSTANT text := name;
    wanted_type CONSTANT text := data_type;
    wanted_projection CONSTANT text := projection;
    data_types CONSTANT text[] := '{text,int,float,numeric,bool,timestamp,json}';
    projections CONSTANT text[] := '{hot,live,current,none}';
    default_projection CONSTANT text := CASE
        WHEN (SELECT count(*) FROM eav.attributes a
              WHERE a.tenant_id = wanted_tenant AND a.projection IN ('hot', 'live'))
             >= eav._setting('eav.max_hot_attributes')::integer THEN 'current'
        WHEN wanted_type IN ('text', 'bool') THEN 'hot' ELSE 'live' END;
    known eav.attributes;
    new_id integer;
BEGIN
    PERFORM eav._check_tenant(wanted_tenant);
    PERFORM eav._check_name('attribute name', wanted_name);
    IF wanted_type IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'data_type must not be null',
            DETAIL = 'The type decides which column of the history holds the values.',
            HINT = 'Allowed are ' || array_to_string(data_types, ', ') || '.';
    ELSIF wanted_type <> ALL (data_types) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'data_type is not valid',
            DETAIL = format('"%s" is no data type of an attribute.', wanted_type),
            HINT = 'Allowed are ' || array_to_string(data_types, ', ') || '.';
    ELSIF wanted_projection <> ALL (projections) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'projection is not valid',
            DETAIL = format('"%s" is no projection.', wanted_projection),
            HINT = 'Allowed are ' || array_to_string(projections, ', ')
                || '; null chooses by the data type.';
    END IF;
    LOOP
        SELECT * INTO known FROM eav.attributes a
        WHERE a.tenant_id = wanted_tenant
          AND a.attribute_id = eav._attribute_id(wanted_tenant, wanted_name);
        IF NOT FOUND THEN
            IF eav._claim_name(wanted_tenant, wanted_name, false) IS NOT NULL THEN
                IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
                    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
                        MESSAGE = format('could not register attribute "%s" due to concurrent update',
                                         wanted_name),
                        HINT = 'Repeat the transaction.';
                END IF;
                CONTINUE;
            END IF;
            INSERT INTO eav.attributes AS a (tenant_id, name, data_type, projection)
            VALUES (wanted_tenant, wanted_name, wanted_type,
                    coalesce(wanted_projection, default_projection))
            ON CONFLICT DO NOTHING
            RETURNING a.attribute_id INTO new_id;
            IF FOUND THEN
                RETURN new_id;
            END IF;
            CONTINUE;
        ELSIF known.data_type <> wanted_type THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
                MESSAGE = format('attribute "%s" of tenant %s is registered with another data type',
                                 wanted_name, wanted_tenant),
                DETAIL = format('Its data type is %s, not %s.', known.data_type, wanted_type),
                HINT = 'Register the values of the other type under another name.';
        ELSIF known.projection <> wanted_projection AND known.data_type IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
                MESSAGE = format('attribute "%s" of tenant %s is registered with another projection',
                                 wanted_name, wanted_tenant),
                DETAIL = format('Its projection is %s, not %s.', known.projection, wanted_projection),
                HINT = 'Leave projection out to accept the one it has.';
        END IF;
        IF known.name <> wanted_name THEN
            RAISE NOTICE 'attribute "%" of tenant % is now called "%"',
                wanted_name, wanted_tenant, known.name
                USING DETAIL = 'It was registered with the first name, which stays its own.';
        END IF;
        EXIT WHEN NOT known.is_inferred;
        -- Who names the type decides it: an inferred int stays int from now on. An attribute
        -- without a type has only been cleared so far, and nothing of it is projected.
        UPDATE eav.attributes a
        SET is_inferred = false,
            data_type = wanted_type,
            projection = CASE WHEN a.data_type IS NOT NULL THEN a.projection
                         WHEN wanted_projection IS NOT NULL THEN wanted_projection
                         WHEN eav._has_chosen_projection(a.tenant_id, a.attribute_id) THEN a.projection
                         ELSE default_projection END
        WHERE a.tenant_id = wanted_tenant AND a.attribute_id = known.attribute_id
          AND a.is_inferred AND a.data_type IS NOT DISTINCT FROM known.data_type;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN known.attribute_id;
END
$$;
COMMENT ON FUNCTION eav.register_attribute(bigint, text, text, text) IS
'Registers an attribute of a tenant and returns its attribute_id; returns the id of the existing attribute when the name is known (with a NOTICE when it has been renamed since), makes its type final when it was inferred, and gives it its type when it had none yet. data_type: text, int, float, numeric, bool, timestamp or json. projection: hot, live, current or none; null accepts that of an existing attribute and chooses for a new one: hot for text and bool, live for the rest, current for all when eav.max_hot_attributes of the tenant are hot or live already. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null tenant_id, name or data_type, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for a name that is empty, longer than 255 bytes or holds control characters, invalid_parameter_value (22023) for an unknown data_type or projection, duplicate_object (42710) when the attribute has another data type or projection, and serialization_failure (40001) when the isolation level does not let it see an attribute that another session has just registered or renamed.';

-- sql/20_history.sql

-- History: append-only, range-partitioned on the server's time of arrival.

CREATE TABLE eav.entity_values_ts (
    tenant_id bigint NOT NULL,
    entity_id bigint NOT NULL,
    observed_at timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attribute_id integer NOT NULL,
    value_bool boolean,
    value_int bigint,
    value_float double precision,
    value_time timestamptz,
    value_text text,
    value_numeric numeric,
    value_json jsonb
) PARTITION BY RANGE (ingested_at);

-- What each partition gets, indexes above all. They stand here and not on the parent because of
-- pg_dump: the parent belongs to the extension and the partitions do not, so a restore attaches
-- the partitions to a parent that CREATE EXTENSION has made. If that parent had indexes, attaching
-- would create those of the partitions, and the CREATE INDEX of the dump would fail.
CREATE TABLE eav.entity_values_ts_template (LIKE eav.entity_values_ts INCLUDING ALL);
CREATE INDEX ON eav.entity_values_ts_template USING brin (ingested_at) WITH (autosummarize = on);
CREATE INDEX ON eav.entity_values_ts_template (tenant_id, attribute_id, ingested_at);
COMMENT ON TABLE eav.entity_values_ts_template IS 'Always empty: the model of a new partition of eav.entity_values_ts, with its indexes. An index on eav.entity_values_ts itself would make dumps fail to restore.';

COMMENT ON TABLE eav.entity_values_ts IS 'History of all values, append-only. Exactly one value column is set; a row with none set says that the attribute was cleared.';
COMMENT ON COLUMN eav.entity_values_ts.observed_at IS 'The time the device gives; decides which value is newer.';
COMMENT ON COLUMN eav.entity_values_ts.ingested_at IS 'The time of the flush that wrote the row, by the clock of the server, strictly growing from flush to flush; decides between equal observed_at.';

-- sql/25_partitions.sql

-- Partitions of history. pg_partman knows the set (a row in its part_config) and makes new
-- partitions ahead of time; eav.run_maintenance() in 26_maintenance.sql drives it.
--
-- The first partitions appear with the first value, not with CREATE EXTENSION: tables made by the
-- extension script would be members of the extension, and pg_dump would leave them out.
--
-- The set is entered into part_config as a restored dump does it, not with create_parent(): that
-- locks out all readers, leaves the caller with another search_path, and differs between
-- pg_partman 4 and 5. All boundaries are in UTC, whatever the time zone of the session.

CREATE TABLE eav.partition_policy (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    partition_interval interval NOT NULL,
    premake integer NOT NULL,
    retention interval
);
COMMENT ON TABLE eav.partition_policy IS 'What eav.configure_partitions() was told; empty as long as the defaults hold.';
COMMENT ON COLUMN eav.partition_policy.retention IS 'Kept here and not in part_config: partman takes every partition to be one present interval long, and would drop a month of values after the interval became a day.';

CREATE FUNCTION eav._partman(OUT schema_name name, OUT partition_type text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    version text;
BEGIN
    SELECT n.nspname, e.extversion INTO schema_name, version
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_partman';
    partition_type := CASE split_part(version, '.', 1) WHEN '4' THEN 'native' WHEN '5' THEN 'range' END;
    IF partition_type IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = format('pg_partman %s is not supported', version),
            DETAIL = 'Its interface differs between major versions.',
            HINT = 'Install pg_partman 4 or 5.';
    END IF;
END
$$;
COMMENT ON FUNCTION eav._partman() IS
'Internal: the schema of pg_partman in this database, and its word for partitioning by range. Raises feature_not_supported (0A000) when its version is neither 4 nor 5.';

CREATE FUNCTION eav._history_partitions()
    RETURNS TABLE (partition regclass, lower timestamptz, upper timestamptz)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET timezone = 'UTC'
AS $$
    SELECT c.oid::regclass, bound[1]::timestamptz, bound[2]::timestamptz
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN regexp_match(pg_get_expr(c.relpartbound, c.oid),
                            $re$FROM \('(.*)'\) TO \('(.*)'\)$re$) AS bound
    WHERE i.inhparent = 'eav.entity_values_ts'::regclass
$$;
COMMENT ON FUNCTION eav._history_partitions() IS
'Internal: the partitions of eav.entity_values_ts with their bounds (lower inclusive, upper exclusive); both are null for the default partition.';

CREATE FUNCTION eav._partition_floor(at timestamptz, step interval) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    step_months CONSTANT integer := extract(year FROM step) * 12 + extract(month FROM step);
    month integer;
BEGIN
    IF step_months = 0 THEN
        RETURN date_bin(step, at, timestamptz '2001-01-01 00:00:00+00');
    END IF;
    month := extract(year FROM at) * 12 + extract(month FROM at) - 1;
    month := month - month % step_months;
    RETURN make_timestamptz(month / 12, month % 12 + 1, 1, 0, 0, 0, 'UTC');
END
$$;
COMMENT ON FUNCTION eav._partition_floor(timestamptz, interval) IS
'Internal: the last partition boundary at or before a time, in UTC. Boundaries of months and years are counted from January of year 0, those of hours, days and weeks from Monday 2001-01-01. Null for null.';

CREATE FUNCTION eav._missing_indexes(partition regclass) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*') FROM pg_index i
    WHERE i.indrelid = 'eav.entity_values_ts_template'::regclass
    EXCEPT
    SELECT substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*') FROM pg_index i
    WHERE i.indrelid = partition
$$;
COMMENT ON FUNCTION eav._missing_indexes(regclass) IS
'Internal: definitions, from USING on, of the indexes that eav.entity_values_ts_template has and the partition has not. A partition that lacks some is new, or is being restored from a dump.';

CREATE FUNCTION eav._index_partition(partition regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    definition text;
BEGIN
    FOR definition IN SELECT * FROM eav._missing_indexes(partition) LOOP
        EXECUTE format('CREATE INDEX ON %s%s', partition, definition);
    END LOOP;
END
$$;
COMMENT ON FUNCTION eav._index_partition(regclass) IS
'Internal: gives a partition the indexes of eav.entity_values_ts_template that it lacks.';

CREATE FUNCTION eav._add_partition(lower timestamptz, upper timestamptz, name_format text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET timezone = 'UTC'
AS $$
DECLARE
    suffix CONSTANT text := coalesce('p' || to_char(lower, name_format), 'default');
    bounds CONSTANT text := CASE WHEN lower IS NULL THEN 'DEFAULT'
                                 ELSE format('FOR VALUES FROM (%L) TO (%L)', lower, upper) END;
BEGIN
    -- Attaching, unlike CREATE TABLE ... PARTITION OF, lets flushes and readers go on.
    EXECUTE format('CREATE TABLE eav.%I (LIKE eav.entity_values_ts_template INCLUDING ALL)',
                   'entity_values_ts_' || suffix);
    EXECUTE format('ALTER TABLE eav.entity_values_ts ATTACH PARTITION eav.%I %s',
                   'entity_values_ts_' || suffix, bounds);
END
$$;
COMMENT ON FUNCTION eav._add_partition(timestamptz, timestamptz, text) IS
'Internal: creates the partition from lower to upper, named by its lower bound; the default partition when they are null.';

CREATE FUNCTION eav._extend_partitions(step interval, premake integer) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET intervalstyle = 'postgres'
    SET timezone = 'UTC'
AS $$
DECLARE
    partman CONSTANT record := eav._partman();
    edge timestamptz;
    next timestamptz;
    ahead integer;
    at_midnight boolean;
    name_format text;
BEGIN
    SELECT max(p.upper),
           count(*) FILTER (WHERE p.lower > now() AND p.upper = p.lower + step),
           coalesce(bool_and(date_trunc('day', p.upper) = p.upper), true)
    INTO edge, ahead, at_midnight
    FROM eav._history_partitions() p;
    -- pg_partman 4 sorts partitions by name, read with this format: it must tell all of them apart.
    name_format := CASE WHEN at_midnight AND extract(epoch FROM step)::bigint % 86400 = 0
                        THEN 'YYYYMMDD' ELSE 'YYYYMMDD_HH24MISS' END;
    edge := coalesce(edge, eav._partition_floor(now(), step));
    next := eav._partition_floor(edge, step);
    IF next < edge THEN
        next := next + step;
        PERFORM eav._add_partition(edge, next, name_format);
    END IF;
    WHILE ahead < premake LOOP
        PERFORM eav._add_partition(next, next + step, name_format);
        ahead := ahead + (next > now())::integer;
        next := next + step;
    END LOOP;
    EXECUTE format(
        $sql$INSERT INTO %I.part_config (parent_table, control, partition_type, partition_interval,
                                         premake, datetime_string, template_table,
                                         infinite_time_partitions, ignore_default_data,
                                         automatic_maintenance)
             VALUES ('eav.entity_values_ts', 'ingested_at', $1, $2, $3, $4,
                     'eav.entity_values_ts_template', true, true, 'off')
             ON CONFLICT (parent_table) DO UPDATE
             SET partition_interval = EXCLUDED.partition_interval,
                 premake = EXCLUDED.premake,
                 datetime_string = EXCLUDED.datetime_string$sql$,
        partman.schema_name)
    USING partman.partition_type, step::text, premake, name_format;
END
$$;
COMMENT ON FUNCTION eav._extend_partitions(interval, integer) IS
'Internal: adds partitions after the last one until premake of them begin in the future, and tells pg_partman. When the last one does not end on a boundary of step, the first added one reaches to the next boundary.';

CREATE FUNCTION eav._ensure_partitions() RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partman CONSTANT record := eav._partman();
    policy eav.partition_policy;
BEGIN
    -- pg_partition_tree() sees what has just been committed, whatever the snapshot of the caller.
    IF EXISTS (SELECT FROM pg_partition_tree('eav.entity_values_ts') WHERE isleaf) THEN
        RETURN;
    END IF;
    LOCK TABLE eav.partition_policy IN SHARE UPDATE EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM pg_partition_tree('eav.entity_values_ts') WHERE isleaf) THEN
        RETURN;
    END IF;
    SELECT * INTO policy FROM eav.partition_policy;
    -- A row that DROP EXTENSION has left behind describes partitions that are gone.
    EXECUTE format($sql$DELETE FROM %I.part_config WHERE parent_table = 'eav.entity_values_ts'$sql$,
                   partman.schema_name);
    PERFORM eav._extend_partitions(coalesce(policy.partition_interval, interval '1 month'),
                                   coalesce(policy.premake, 4));
    PERFORM eav._add_partition(NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION eav._ensure_partitions() IS
'Internal: creates the first partitions of eav.entity_values_ts and its default partition when it has none, and returns at once when it has some. Must run before the caller opens eav.entity_values_ts. Raises feature_not_supported (0A000) for a pg_partman other than 4 or 5.';

-- sql/26_maintenance.sql

-- What an administrator sets about the partitions, and what the worker does with it.

CREATE FUNCTION eav.configure_partitions(partition_interval interval DEFAULT '1 month',
                                         premake integer DEFAULT 4,
                                         retention interval DEFAULT NULL)
    RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET intervalstyle = 'postgres'
AS $$
#variable_conflict use_column
DECLARE
    step CONSTANT interval := partition_interval;
    step_months CONSTANT integer :=
        CASE WHEN isfinite(step) THEN extract(year FROM step) * 12 + extract(month FROM step) END;
    ahead CONSTANT integer := premake;
    keep CONSTANT interval := retention;
    partman CONSTANT record := eav._partman();
    present_step text;
    part record;
    is_used boolean;
BEGIN
    IF step IS NULL OR ahead IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('%s must not be null',
                             CASE WHEN step IS NULL THEN 'partition_interval' ELSE 'premake' END),
            DETAIL = 'Only retention may be null, for values that are kept for ever.',
            HINT = 'Leave an argument out to get its default.';
    ELSIF NOT isfinite(step) OR step <= interval '0'
          OR step <> (CASE WHEN step_months > 0 THEN make_interval(months => step_months)
                      ELSE date_bin('1 hour', timestamp '2000-01-01' + step, timestamp '2000-01-01')
                           - timestamp '2000-01-01' END) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'partition_interval is not valid',
            DETAIL = format('%s is not a positive number of whole months or whole hours.', step),
            HINT = 'Use an interval such as 1 month, 7 days, 1 day or 1 hour.';
    ELSIF ahead < 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'premake is not valid',
            DETAIL = format('%s partitions ahead of time are less than one.', ahead),
            HINT = 'Use at least 1, so that values never find their partition missing.';
    ELSIF NOT isfinite(keep) OR keep < step THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'retention is not valid',
            DETAIL = format('%s is not a finite time of at least one partition_interval, %s.',
                            keep, step),
            HINT = 'Use null to keep values for ever, or a smaller partition_interval.';
    END IF;

    LOCK TABLE eav.partition_policy IN SHARE UPDATE EXCLUSIVE MODE;
    INSERT INTO eav.partition_policy (partition_interval, premake, retention)
    VALUES (step, ahead, keep)
    ON CONFLICT (only_row) DO UPDATE
    SET partition_interval = EXCLUDED.partition_interval,
        premake = EXCLUDED.premake,
        retention = EXCLUDED.retention;

    IF NOT EXISTS (SELECT FROM eav._history_partitions()) THEN
        PERFORM eav._ensure_partitions();
        RETURN;
    END IF;
    EXECUTE format('SELECT partition_interval FROM %I.part_config
                    WHERE parent_table = ''eav.entity_values_ts''', partman.schema_name)
    INTO present_step;
    IF present_step IS DISTINCT FROM step::text THEN
        -- Premade partitions of the old length go, from the last one back to the first that holds
        -- values or has begun; what remains stays as it is.
        LOCK TABLE eav.entity_values_ts IN ACCESS EXCLUSIVE MODE;
        FOR part IN
            SELECT p.partition, p.lower FROM eav._history_partitions() p
            WHERE p.lower IS NOT NULL ORDER BY p.lower DESC
        LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', part.partition) INTO is_used;
            EXIT WHEN is_used OR part.lower <= clock_timestamp();
            EXECUTE format('DROP TABLE %s', part.partition);
        END LOOP;
    END IF;
    PERFORM eav._extend_partitions(step, ahead);
    PERFORM eav._index_partition(p.partition) FROM eav._history_partitions() p;
END
$$;
COMMENT ON FUNCTION eav.configure_partitions(interval, integer, interval) IS
'Sets how eav.entity_values_ts is partitioned, at once; an argument that is left out gets its default. partition_interval: length of a partition, whole months or whole hours (days and weeks included), with boundaries in UTC. premake: partitions kept ready after the present one. retention: a partition is dropped by eav.run_maintenance() when all its values arrived longer ago than this; null keeps them for ever. Changing partition_interval keeps every partition that holds values or has begun, with its bounds, and replaces the empty ones after it; it locks the history until the transaction ends. Raises null_value_not_allowed (22004) for a null partition_interval or premake, invalid_parameter_value (22023) for an interval that is not positive or mixes months with days, premake below 1, or a retention shorter than the interval, and feature_not_supported (0A000) for a pg_partman other than 4 or 5.';

CREATE FUNCTION eav._promote_default(fallback regclass, edge timestamptz, step interval)
    RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET timezone = 'UTC'
AS $$
DECLARE
    name CONSTANT text := 'entity_values_ts_p' || to_char(edge, 'YYYYMMDD_HH24MISS');
    newest timestamptz;
BEGIN
    LOCK TABLE eav.entity_values_ts IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('SELECT max(ingested_at) FROM %s', fallback) INTO newest;
    EXECUTE format('ALTER TABLE eav.entity_values_ts DETACH PARTITION %s', fallback);
    EXECUTE format('ALTER TABLE %s RENAME TO %I', fallback, name);
    PERFORM eav._add_partition(NULL, NULL, NULL);
    -- Values from before the first partition, from a clock that was set back, stay by default.
    EXECUTE format('WITH older AS (DELETE FROM eav.%I WHERE ingested_at < $1 RETURNING *)
                    INSERT INTO eav.entity_values_ts SELECT * FROM older', name)
    USING edge;
    EXECUTE format('ALTER TABLE eav.entity_values_ts ATTACH PARTITION eav.%I
                    FOR VALUES FROM (%L) TO (%L)', name, edge,
                   eav._partition_floor(greatest(newest, clock_timestamp()), step) + step);
END
$$;
COMMENT ON FUNCTION eav._promote_default(regclass, timestamptz, interval) IS
'Internal: makes the default partition, with the values it holds, the partition that follows the last one (from edge), and attaches a new empty default. Locks the history until the transaction ends; reads the values once and moves none.';

CREATE FUNCTION eav._drop_expired(keep interval) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    expired regclass;
BEGIN
    -- A partition that lacks indexes is being restored from a dump, which will want to find it.
    FOR expired IN
        SELECT p.partition FROM eav._history_partitions() p
        WHERE p.upper <= now() - keep
          AND NOT EXISTS (SELECT FROM eav._missing_indexes(p.partition))
        ORDER BY p.lower
    LOOP
        BEGIN
            EXECUTE format('DROP TABLE %s', expired);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING USING ERRCODE = SQLSTATE,
                MESSAGE = format('could not drop expired partition %s', expired),
                DETAIL = SQLERRM,
                HINT = 'The next eav.run_maintenance() tries again.';
            -- Who keeps one partition from being dropped by a lock keeps the next one as well.
            EXIT WHEN SQLSTATE = '55P03';
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION eav._drop_expired(interval) IS
'Internal: drops the partitions of eav.entity_values_ts whose last value can have arrived no later than the given time ago. A partition that cannot be dropped is a WARNING.';

CREATE FUNCTION eav._run_maintenance(caller_search_path text) RETURNS integer
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET intervalstyle = 'postgres'
    SET timezone = 'UTC'
    SET lock_timeout = '500ms'
AS $$
DECLARE
    partman CONSTANT record := eav._partman();
    step interval;
    premake integer;
    present regclass[];
    fallback regclass;
    edge timestamptz;
    is_short boolean;
    has_overflow boolean;
    created integer := 0;
BEGIN
    EXECUTE format('SELECT c.partition_interval::interval, c.premake FROM %I.part_config c
                    WHERE c.parent_table = $1', partman.schema_name)
    INTO step, premake USING 'eav.entity_values_ts';
    IF step IS NULL THEN
        RETURN 0;
    END IF;
    LOCK TABLE eav.partition_policy IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT array_agg(p.partition), max(p.partition) FILTER (WHERE p.upper IS NULL), max(p.upper),
           max(p.lower) <= now() + (premake - 1) * step
    INTO present, fallback, edge, is_short
    FROM eav._history_partitions() p;
    IF edge IS NULL THEN
        RETURN 0;
    END IF;

    -- Values that found no partition, because nobody ran this for too long, would keep pg_partman
    -- from ever creating theirs.
    IF fallback IS NOT NULL AND NOT EXISTS (SELECT FROM eav._missing_indexes(fallback)) THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE ingested_at >= $1)', fallback)
        INTO has_overflow USING edge;
    END IF;
    IF has_overflow THEN
        PERFORM eav._promote_default(fallback, edge, step);
        PERFORM eav._extend_partitions(step, premake);
    ELSIF is_short THEN
        -- pg_partman reports no SQLSTATE of its own; meet its locks here, where a timeout is one.
        LOCK TABLE ONLY eav.entity_values_ts IN SHARE UPDATE EXCLUSIVE MODE;
        IF fallback IS NOT NULL THEN
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', fallback);
        END IF;
        EXECUTE format('SELECT %I.run_maintenance($1)', partman.schema_name)
        USING 'eav.entity_values_ts';
    END IF;
    SELECT count(eav._index_partition(p.partition)) INTO created
    FROM eav._history_partitions() p WHERE p.lower IS NOT NULL AND p.partition <> ALL (present);
    PERFORM eav._drop_expired(p.retention) FROM eav.partition_policy p WHERE p.retention IS NOT NULL;
    PERFORM eav._expire_rollups();

    -- pg_partman before 5.4.1 sets the search_path of the session and puts back what it found,
    -- which is ours.
    PERFORM set_config('search_path', caller_search_path, false);
    RETURN created;
END
$$;
COMMENT ON FUNCTION eav._run_maintenance(text) IS
'Internal: eav.run_maintenance(); leaves the given search_path behind.';

-- The body is parsed now, once and for all: it needs no search_path, and can read the caller's.
CREATE FUNCTION eav.run_maintenance() RETURNS integer
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT eav._run_maintenance(pg_catalog.current_setting('search_path'));
END;
COMMENT ON FUNCTION eav.run_maintenance() IS
'Keeps the partitions of eav.entity_values_ts in order, and returns how many were created: lets pg_partman create those that are due, turns a default partition that holds values into a regular one, drops what is older than the retention of eav.configure_partitions(), and rollups by the hour that are older than eav.rollup_retention. The worker calls it; call it by hand where no worker runs. Waits at most 0.5 s for a lock, so that it never stalls the ingestion for longer. Does nothing before the first value has arrived. Raises lock_not_available (55P03) when a partition could not be created in that time; a partition that could not be dropped is a WARNING. The next call tries again.';

-- sql/30_staging.sql

-- Staging: an exactly-once queue without DELETE. The protocol is told in src/ingest/staging.cpp.

CREATE SEQUENCE eav.staging_slot_seq AS smallint MINVALUE 0 MAXVALUE 2 START WITH 0 CYCLE;
CREATE FUNCTION eav._staging_slot() RETURNS smallint
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eav_staging_slot';
COMMENT ON FUNCTION eav._staging_slot() IS 'Internal: the staging leaf that takes new rows; fixed for the length of a statement.';

-- xact stands first, so that a flush reads it at a fixed place without deforming the row.
CREATE TABLE eav.entity_values_ingest (
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    slot smallint NOT NULL DEFAULT eav._staging_slot(),
    cleared boolean NOT NULL DEFAULT false,
    attribute_id integer,
    tenant_id bigint,
    entity_id bigint,
    observed_at timestamptz DEFAULT clock_timestamp(),
    value_int bigint,
    value_float double precision,
    value_time timestamptz,
    value_bool boolean,
    value_text text,
    value_numeric numeric,
    value_json jsonb,
    entity text,
    attribute text,
    value text,
    CONSTRAINT own_transaction CHECK (xact = pg_current_xact_id())
) PARTITION BY LIST (slot);
CREATE UNLOGGED TABLE eav.entity_values_ingest_0 PARTITION OF eav.entity_values_ingest
    FOR VALUES IN (0) USING heap WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE UNLOGGED TABLE eav.entity_values_ingest_1 PARTITION OF eav.entity_values_ingest
    FOR VALUES IN (1) USING heap WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE UNLOGGED TABLE eav.entity_values_ingest_2 PARTITION OF eav.entity_values_ingest
    FOR VALUES IN (2) USING heap WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
COMMENT ON TABLE eav.entity_values_ingest IS 'The door for COPY and INSERT. Name the tenant, the entity by entity_id or entity (external id), the attribute by attribute_id or attribute (name), and one value column or value (text, parsed by the type of the attribute); cleared = true says that the attribute has no value any more. Rows are taken by the next flush and must not be updated.';
COMMENT ON COLUMN eav.entity_values_ingest.xact IS 'The writing transaction; never give it a value yourself.';
COMMENT ON COLUMN eav.entity_values_ingest.slot IS 'The staging leaf; never give it a value yourself.';
COMMENT ON COLUMN eav.entity_values_ingest.value IS 'The value as text, parsed by the data type of the attribute.';
COMMENT ON COLUMN eav.entity_values_ingest.cleared IS 'True says that the attribute has no value from observed_at on.';
COMMENT ON COLUMN eav.entity_values_ingest.observed_at IS 'The time of the observation; the time of the INSERT or COPY when left out.';

-- sql/35_views.sql

-- History for people: names beside the ids, and one text for the value whatever its type.
--
-- The view runs with the rights of who reads it, so that row security on the tables below holds.
-- The joins keep a value whose entity or attribute is gone; a filter on a name makes them inner.

CREATE VIEW eav.entity_values WITH (security_invoker = true) AS
SELECT v.tenant_id,
       v.entity_id,
       e.external_id,
       v.attribute_id,
       a.name AS attribute_name,
       a.data_type,
       coalesce(v.value_text,
                v.value_int::text,
                v.value_float::text,
                v.value_numeric::text,
                v.value_bool::text,
                CASE WHEN isfinite(v.value_time)
                     THEN regexp_replace(to_jsonb(v.value_time AT TIME ZONE 'UTC') #>> '{}',
                                         '( BC)?$', '+00:00\1')
                     ELSE v.value_time::text END,
                v.value_json::text) AS value,
       v.value_text,
       v.value_int,
       v.value_float,
       v.value_numeric,
       v.value_bool,
       v.value_time,
       v.value_json,
       v.observed_at,
       v.ingested_at
FROM eav.entity_values_ts v
LEFT JOIN eav.entities e ON e.tenant_id = v.tenant_id AND e.entity_id = v.entity_id
LEFT JOIN eav.attributes a ON a.tenant_id = v.tenant_id AND a.attribute_id = v.attribute_id;

COMMENT ON VIEW eav.entity_values IS 'History with names: one row per row of eav.entity_values_ts. Runs with the rights of the reader, who needs SELECT on entity_values_ts, entities and attributes. Filter on tenant_id and attribute_name, or on ingested_at, to use the indexes.';
COMMENT ON COLUMN eav.entity_values.external_id IS 'Null for an entity that is known by number only or no longer registered.';
COMMENT ON COLUMN eav.entity_values.attribute_name IS 'Null for an attribute that is no longer registered; data_type as well.';
COMMENT ON COLUMN eav.entity_values.value IS 'The value as text, the same in every session: bool is true or false, a timestamp ISO 8601 in UTC (2026-01-31T12:00:00.5+00:00) as in the projection, json compact as jsonb prints it, a float the shortest text that reads back the same number (with extra_float_digits at its default). Null where the attribute was cleared.';

-- sql/40_projection.sql

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
    LANGUAGE c VOLATILE SECURITY DEFINER AS 'MODULE_PATHNAME', 'eav_upsert_hot_attributes'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.upsert_hot_attributes(bigint, bigint, jsonb, timestamptz) IS
'Writes attributes of one entity into history and projection in the transaction of the caller, and returns the new document (hot and live attributes together; eav.get_entity() knows those with projection current, too). attributes: an object, name to value; null clears the attribute. observed_at: default now. Older values than the stored ones go to history only. Unknown names are registered (eav.auto_register). Raises foreign_key_violation (23503) for an unknown tenant, undefined_object (42704) for an unknown name when eav.auto_register is off, invalid_parameter_value (22023) for a null argument or attributes that are no object, invalid_name (42602) for a bad attribute name, datetime_field_overflow (22008) for observed_at in the future, program_limit_exceeded (54000) for a value above eav.max_value_bytes, serialization_failure (40001) when the entity is deleted meanwhile, and the SQLSTATE of the conversion for a value that does not fit its type.';

-- sql/43_attribute_reads.sql

-- How often attributes are asked for. Counted in shared memory (src/stats/reads.cpp), written down
-- by the worker once a minute.

CREATE TABLE eav.attribute_reads (
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    filters bigint NOT NULL DEFAULT 0,
    reads bigint NOT NULL DEFAULT 0,
    last_read_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, attribute_id)
) WITH (fillfactor = 70);
-- What is counted is known by its number alone.
CREATE INDEX attribute_reads_attribute_idx ON eav.attribute_reads (attribute_id);
COMMENT ON TABLE eav.attribute_reads IS 'How often each attribute has been asked for through the functions of the extension, up to the last minute; what eav.recommend_attributes() goes by. Delete rows to count anew.';
COMMENT ON COLUMN eav.attribute_reads.filters IS 'Queries that filtered by it.';
COMMENT ON COLUMN eav.attribute_reads.reads IS 'Queries that returned its values by name.';
COMMENT ON COLUMN eav.attribute_reads.last_read_at IS 'When counts were last added, about a minute after the query.';

CREATE FUNCTION eav._read_counts(take boolean)
    RETURNS TABLE (attribute_id integer, filters bigint, reads bigint)
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_read_counts'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._read_counts(boolean) IS
'Internal: the counts of this database that are in shared memory; an attribute may come twice. take: and empties them.';

CREATE FUNCTION eav._dropped_read_counts() RETURNS bigint
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_dropped_read_counts'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._dropped_read_counts() IS
'Internal: how many counts, of all databases, found no room in shared memory since the server started.';

CREATE FUNCTION eav._count_reads(attribute_id integer, filters bigint, reads bigint) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_count_reads'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._count_reads(integer, bigint, bigint) IS
'Internal: counts so many queries that filter by the attribute, and so many that return it, as the functions that run them do. For tests.';

CREATE FUNCTION eav._drain_read_counts() RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids integer[];
    new_filters bigint[];
    new_reads bigint[];
    updated bigint;
    inserted bigint := 0;
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN 0;
    END IF;
    -- What could fail comes before anything is taken; and one takes at a time.
    LOCK TABLE eav.attribute_reads IN SHARE ROW EXCLUSIVE MODE;
    SELECT array_agg(c.attribute_id), array_agg(c.filters), array_agg(c.reads)
    INTO ids, new_filters, new_reads
    FROM (SELECT r.attribute_id, sum(r.filters)::bigint AS filters, sum(r.reads)::bigint AS reads
          FROM eav._read_counts(true) r GROUP BY r.attribute_id) AS c;
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE eav.attribute_reads r
    SET filters = r.filters + c.filters, reads = r.reads + c.reads, last_read_at = clock_timestamp()
    FROM unnest(ids, new_filters, new_reads) AS c (attribute_id, filters, reads)
    WHERE r.attribute_id = c.attribute_id;
    GET DIAGNOSTICS updated = ROW_COUNT;
    -- Looks at all attributes, so only for those that are asked for the first time.
    IF updated < cardinality(ids) THEN
        INSERT INTO eav.attribute_reads (tenant_id, attribute_id, filters, reads, last_read_at)
        SELECT a.tenant_id, a.attribute_id, c.filters, c.reads, clock_timestamp()
        FROM unnest(ids, new_filters, new_reads) AS c (attribute_id, filters, reads)
        JOIN eav.attributes a USING (attribute_id)
        WHERE NOT EXISTS (SELECT FROM eav.attribute_reads r WHERE r.attribute_id = c.attribute_id)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
    END IF;
    RETURN updated + inserted;
END
$$;
COMMENT ON FUNCTION eav._drain_read_counts() IS
'Internal: moves the counts of this database from shared memory to attribute_reads and returns the number of attributes. The worker does so once a minute. On a standby 0.';

-- sql/44_attribute_indexes.sql

-- Indexes of single attributes by value. A wish is a row here; a process of its own
-- (src/worker/index_builder.cpp) makes the indexes what the wishes say.

CREATE TABLE eav.attribute_indexes (
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    requested_by text NOT NULL DEFAULT session_user,
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (tenant_id, attribute_id)
);
COMMENT ON TABLE eav.attribute_indexes IS 'Indexes that eav.create_attribute_index() was asked for; eav.stat_attribute_indexes shows how they are. An index is built when there is none, also after a restore from a dump, which has only this table.';
COMMENT ON COLUMN eav.attribute_indexes.requested_by IS 'The role that was logged in.';
COMMENT ON COLUMN eav.attribute_indexes.failures IS 'Attempts to build it that failed, one after the other.';
COMMENT ON COLUMN eav.attribute_indexes.last_error IS 'Why the last attempt failed; null after one that did not.';
COMMENT ON COLUMN eav.attribute_indexes.next_attempt_at IS 'Not tried before this time: 10 seconds after a failure, and twice as long after each further one, up to an hour.';

CREATE FUNCTION eav._attribute_index_name(attribute_id integer) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 'attribute_' || attribute_id || '_idx';
COMMENT ON FUNCTION eav._attribute_index_name(integer) IS 'Internal: what the index of an attribute is called.';

CREATE FUNCTION eav._attribute_index_statement(tenant_id bigint, attribute_id integer,
                                               document_name text)
    RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('CREATE INDEX CONCURRENTLY %I ON eav.entity_jsonb '
                  '(eav.value_key(hot_attrs -> %L::text), entity_id) '
                  'WHERE tenant_id = %L::bigint AND hot_attrs ? %L::text',
                  eav._attribute_index_name(attribute_id), document_name, tenant_id, document_name)
$$;
COMMENT ON FUNCTION eav._attribute_index_statement(bigint, integer, text) IS
'Internal: the statement that builds the index of an attribute, by the name that it has in documents.';

CREATE FUNCTION eav._attribute_indexes()
    RETURNS TABLE (index_id oid, index_name name, attribute_id integer, is_valid boolean)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid, c.relname, n.number::integer, i.indisvalid
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    CROSS JOIN LATERAL (SELECT substring(c.relname FROM '^attribute_([0-9]{1,10})_idx$')::bigint) AS n (number)
    WHERE i.indrelid = 'eav.entity_jsonb'::regclass AND n.number < 2147483648
$$;
COMMENT ON FUNCTION eav._attribute_indexes() IS 'Internal: the indexes of attributes that there are.';

CREATE FUNCTION eav._index_work()
    RETURNS TABLE (tenant_id bigint, attribute_id integer, is_drop boolean, statement text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH wished AS (
        SELECT w.tenant_id, w.attribute_id, coalesce(a.document_name, a.name) AS document_name,
               w.next_attempt_at <= clock_timestamp() AS is_due, w.requested_at
        FROM eav.attribute_indexes w
        JOIN eav.attributes a USING (tenant_id, attribute_id)
        WHERE a.projection = 'hot'
    )
    SELECT w.tenant_id, coalesce(w.attribute_id, p.attribute_id), p.index_id IS NOT NULL,
           CASE WHEN p.index_id IS NULL
                THEN eav._attribute_index_statement(w.tenant_id, w.attribute_id, w.document_name)
                ELSE format('DROP INDEX CONCURRENTLY eav.%I', p.index_name) END
    FROM wished w
    FULL JOIN eav._attribute_indexes() p USING (attribute_id)
    WHERE w.attribute_id IS NULL OR (w.is_due AND p.is_valid IS NOT TRUE)
    ORDER BY p.index_id IS NULL, w.requested_at, 2
$$;
COMMENT ON FUNCTION eav._index_work() IS
'Internal: what is to be done now so that the indexes are as wished: what nobody wants (any more), or a build left behind, is dropped first, then what is missing is built. An invalid index counts as left behind; so this is right only as long as nobody builds.';

CREATE FUNCTION eav._start_index_builder() RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_start_index_builder'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._start_index_builder() IS
'Internal: starts the process that builds indexes; it begins after the transaction has ended. False when no background worker slot is free.';

CREATE FUNCTION eav._call_index_builder() RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT eav._start_index_builder() THEN
        RAISE WARNING USING
            MESSAGE = 'the process that builds indexes could not be started: no background worker slot is free',
            HINT = 'The flush worker will try again. Raise max_worker_processes if this lasts.';
    END IF;
END
$$;
COMMENT ON FUNCTION eav._call_index_builder() IS
'Internal: the same, with a WARNING when it was not started.';

CREATE FUNCTION eav._check_attribute(tenant_id bigint, attribute text) RETURNS eav.attributes
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_name CONSTANT text := attribute;
    found_row eav.attributes;
BEGIN
    PERFORM eav._check_tenant(wanted_tenant);
    PERFORM eav._check_name('attribute name', wanted_name);
    SELECT a.* INTO found_row FROM eav.attributes a
    WHERE a.tenant_id = wanted_tenant
      AND a.attribute_id = eav._attribute_id(wanted_tenant, wanted_name);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('attribute "%s" of tenant %s does not exist', wanted_name, wanted_tenant),
            HINT = 'See eav.attributes.';
    END IF;
    RETURN found_row;
END
$$;
COMMENT ON FUNCTION eav._check_attribute(bigint, text) IS
'Internal: the attribute with this name, or that was registered with it. Raises null_value_not_allowed (22004) for null, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for what is no name, undefined_object (42704) for an unknown one.';

CREATE FUNCTION eav.create_attribute_index(tenant_id bigint, attribute text) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known CONSTANT eav.attributes := eav._check_attribute(tenant_id, attribute);
    new_name CONSTANT text := eav._attribute_index_name(known.attribute_id);
    is_new boolean;
BEGIN
    IF known.projection = 'current' THEN
        RAISE NOTICE 'attribute "%" needs no index of its own', known.name
            USING DETAIL = 'Its projection is current, which is indexed by value for all attributes.';
        RETURN 'entity_values_current_value_idx';
    ELSIF known.projection <> 'hot' THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('attribute "%s" cannot have an index', known.name),
            DETAIL = CASE known.projection
                WHEN 'live' THEN 'Its projection is live: an index would make every new value of every live attribute as expensive as one of a hot attribute.'
                ELSE 'Its projection is none: it has no current values.' END,
            HINT = 'Make it hot with eav.promote_attribute() first.';
    END IF;
    -- All tenants share the table, and each of its writers opens and locks all of its indexes.
    IF (SELECT count(*) FROM eav.attribute_indexes w
        WHERE (w.tenant_id, w.attribute_id) <> (known.tenant_id, known.attribute_id))
       >= eav._setting('eav.max_attribute_indexes')::integer THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = format('attribute "%s" cannot have an index: there are eav.max_attribute_indexes of them',
                             known.name),
            DETAIL = 'Every flush and every upsert of every tenant pays for each of them.',
            HINT = 'Drop one that is used less, or demote the attribute to projection current, which is indexed for all.';
    END IF;
    -- Asked for again: tried at once.
    INSERT INTO eav.attribute_indexes AS w (tenant_id, attribute_id)
    VALUES (known.tenant_id, known.attribute_id)
    ON CONFLICT (tenant_id, attribute_id) DO UPDATE SET failures = 0, next_attempt_at = '-infinity'
    RETURNING w.xmax = '0'::xid INTO is_new;
    IF is_new THEN
        INSERT INTO eav.attribute_changes (tenant_id, attribute_id, change, new_value)
        VALUES (known.tenant_id, known.attribute_id, 'index', new_name);
    END IF;
    IF EXISTS (SELECT FROM eav._index_work()) THEN
        PERFORM eav._call_index_builder();
    END IF;
    RETURN new_name;
END
$$;
COMMENT ON FUNCTION eav.create_attribute_index(bigint, text) IS
'Asks for an index on the values of a hot attribute, for comparisons and for order, and returns its name. A background process builds it without blocking anybody, after the transaction has committed; eav.stat_attribute_indexes shows how far it is. Asked for again, an attempt that failed is repeated at once. For an attribute with projection current, whose values are indexed anyway, a NOTICE and the name of that index. A WARNING when the process could not be started: the flush worker starts it later. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises program_limit_exceeded (54000) when there are eav.max_attribute_indexes of them already, null_value_not_allowed (22004) for a null argument, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for what is no name, undefined_object (42704) for an unknown attribute, and object_not_in_prerequisite_state (55000) for one with projection live or none.';

CREATE FUNCTION eav._forget_attribute_index(tenant_id bigint, attribute_id integer) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_id CONSTANT integer := attribute_id;
BEGIN
    DELETE FROM eav.attribute_indexes w
    WHERE w.tenant_id = wanted_tenant AND w.attribute_id = wanted_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO eav.attribute_changes (tenant_id, attribute_id, change, old_value)
    VALUES (wanted_tenant, wanted_id, 'index', eav._attribute_index_name(wanted_id));
    IF EXISTS (SELECT FROM eav._index_work()) THEN
        PERFORM eav._call_index_builder();
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION eav._forget_attribute_index(bigint, integer) IS
'Internal: takes back the wish for an index of an attribute; true when there was one. The index is dropped in the background after the transaction has committed.';

CREATE FUNCTION eav.drop_attribute_index(tenant_id bigint, attribute text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known CONSTANT eav.attributes := eav._check_attribute(tenant_id, attribute);
BEGIN
    RETURN eav._forget_attribute_index(known.tenant_id, known.attribute_id);
END
$$;
COMMENT ON FUNCTION eav.drop_attribute_index(bigint, text) IS
'Takes back what eav.create_attribute_index() was asked for and returns true, or false when it was not. A background process drops the index without blocking anybody, after the transaction has committed. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null argument, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for what is no name, and undefined_object (42704) for an unknown attribute.';

-- Without functions of ours, so that SELECT is enough.
CREATE VIEW eav.stat_attribute_indexes AS
SELECT w.tenant_id, coalesce(w.attribute_id, i.attribute_id) AS attribute_id, a.name AS attribute,
       coalesce(i.index_name, 'attribute_' || w.attribute_id || '_idx') AS index_name,
       CASE WHEN w.attribute_id IS NULL OR a.projection IS DISTINCT FROM 'hot' THEN 'unwanted'
            WHEN i.is_valid THEN 'valid'
            WHEN p.index_relid IS NOT NULL THEN 'building'
            WHEN i.index_id IS NOT NULL THEN 'invalid'
            ELSE 'pending' END AS state,
       p.phase, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total,
       pg_catalog.pg_relation_size(i.index_id) AS bytes,
       w.requested_at, w.requested_by, w.failures, w.last_error, w.next_attempt_at
FROM eav.attribute_indexes w
FULL JOIN (SELECT c.oid AS index_id, c.relname::text AS index_name, x.indisvalid AS is_valid,
                  substring(c.relname FROM '^attribute_([0-9]{1,10})_idx$')::bigint AS attribute_id
           FROM pg_catalog.pg_index x
           JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
           WHERE x.indrelid = 'eav.entity_jsonb'::pg_catalog.regclass
             AND c.relname ~ '^attribute_[0-9]{1,10}_idx$') AS i
    ON i.attribute_id = w.attribute_id
LEFT JOIN eav.attributes a ON a.tenant_id = w.tenant_id AND a.attribute_id = w.attribute_id
LEFT JOIN pg_catalog.pg_stat_progress_create_index p
    ON p.index_relid = i.index_id AND p.datname = pg_catalog.current_database();
COMMENT ON VIEW eav.stat_attribute_indexes IS 'The indexes of attributes: those wished for and those that there are.';
COMMENT ON COLUMN eav.stat_attribute_indexes.state IS 'pending: will be built. building: now. valid: done. invalid: an attempt was broken off; will be dropped and built again. unwanted: nobody asks for it (any more), or the attribute is no longer hot; will be dropped if it is there.';
COMMENT ON COLUMN eav.stat_attribute_indexes.phase IS 'Of the build, with the four columns after it, as in pg_stat_progress_create_index; null when none is under way, and for those who are not allowed to see it (pg_read_all_stats).';
COMMENT ON COLUMN eav.stat_attribute_indexes.bytes IS 'Its size on disk.';

-- sql/45_rollups.sql

-- Rollups: history summed up by the hour and by the day.
--
-- What arrives is summed up per batch in the transaction that writes it to history, into
-- rollup_pending, which has no index and is only ever appended to; the worker merges that into the
-- rollups. See src/rollup/merge.cpp.

CREATE TABLE eav.rollup_pending (
    tenant_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    value_count bigint NOT NULL,
    cleared_count bigint NOT NULL,
    number_count bigint NOT NULL,
    new_entities bigint NOT NULL,
    first_observed_at timestamptz,
    last_observed_at timestamptz,
    last_ingested_at timestamptz,
    attribute_id integer NOT NULL,
    min_value numeric,
    max_value numeric,
    sum_value numeric
) USING heap;
COMMENT ON TABLE eav.rollup_pending IS 'What is still to be added to eav.attribute_rollups: one row per batch, attribute and hour, or some more. Emptied by eav.merge_rollups().';

CREATE TABLE eav.attribute_rollups (
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    bucket timestamptz NOT NULL,
    value_count bigint NOT NULL,
    cleared_count bigint NOT NULL,
    number_count bigint NOT NULL,
    min_value numeric,
    max_value numeric,
    sum_value numeric,
    first_observed_at timestamptz NOT NULL,
    last_observed_at timestamptz NOT NULL,
    last_ingested_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, attribute_id, bucket)
) USING heap WITH (fillfactor = 70);
-- For the hours that expire.
CREATE INDEX attribute_rollups_bucket_idx ON eav.attribute_rollups USING brin (bucket)
    WITH (autosummarize = on);
COMMENT ON TABLE eav.attribute_rollups IS 'History summed up: one row per attribute and hour of observed_at with values. At most eav.rollup_interval behind. Read it through eav.hourly_rollups or eav.value_distribution().';
COMMENT ON COLUMN eav.attribute_rollups.bucket IS 'Begin of the hour, in UTC.';
COMMENT ON COLUMN eav.attribute_rollups.value_count IS 'Values, without clearings.';
COMMENT ON COLUMN eav.attribute_rollups.cleared_count IS 'How often the attribute was cleared.';
COMMENT ON COLUMN eav.attribute_rollups.number_count IS 'Values that min_value, max_value and sum_value are of: int, float and numeric, without NaN, Infinity and what has more than 10,000 digits before the point. A float counts with 15 digits.';

CREATE TABLE eav.attribute_rollups_daily (
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    bucket timestamptz NOT NULL,
    value_count bigint NOT NULL,
    cleared_count bigint NOT NULL,
    number_count bigint NOT NULL,
    new_entities bigint NOT NULL,
    min_value numeric,
    max_value numeric,
    sum_value numeric,
    first_observed_at timestamptz,
    last_observed_at timestamptz,
    last_ingested_at timestamptz,
    PRIMARY KEY (tenant_id, attribute_id, bucket)
) USING heap WITH (fillfactor = 70);
COMMENT ON TABLE eav.attribute_rollups_daily IS 'The hours of eav.attribute_rollups summed up by the day, those included that have expired.';
COMMENT ON COLUMN eav.attribute_rollups_daily.bucket IS 'Begin of the day, in UTC; -infinity in the row of an attribute that counts its entities.';
COMMENT ON COLUMN eav.attribute_rollups_daily.new_entities IS 'Entities that have the attribute in their projection, or had; 0 but in the row with bucket -infinity.';

-- Names its argument once, or the planner would not put its body in its place.
CREATE FUNCTION eav._is_summed(number numeric) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT abs(number) < '1e10000'::numeric;
END;
COMMENT ON FUNCTION eav._is_summed(numeric) IS 'Internal: whether min, max, sum and avg of rollups take the number into account: not NaN and Infinity, and not numbers so large that a sum might be none.';

CREATE FUNCTION eav.merge_rollups() RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER AS 'MODULE_PATHNAME', 'eav_merge_rollups'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.merge_rollups() IS
'Adds what has been written to history since the last time to eav.attribute_rollups and eav.attribute_rollups_daily, and returns how many rows of eav.rollup_pending that were. The worker does so every eav.rollup_interval; call it to see the newest values at once, or where no worker runs. Merges take turns: a second caller waits for the first, until the end of its transaction. Raises nothing of its own.';

CREATE FUNCTION eav._expire_rollups() RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_expire_rollups'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._expire_rollups() IS
'Internal: deletes hours of eav.attribute_rollups that are older than eav.rollup_retention, whose days remain, and returns how many; a million at most. Does nothing while another transaction merges.';

CREATE FUNCTION eav.rebuild_rollups() RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER AS 'MODULE_PATHNAME', 'eav_rebuild_rollups'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.rebuild_rollups() IS
'Computes eav.attribute_rollups and eav.attribute_rollups_daily anew from the whole history and projection, and returns from how many hours, and rows that count entities. For a history that was written otherwise than by eav_ext. What had been summed up of values that are no longer in history is gone then. Ingestion goes on meanwhile, merges wait until the transaction ends. Raises nothing of its own.';

CREATE FUNCTION eav._computed_rollups() RETURNS SETOF eav.attribute_rollups_daily
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.tenant_id, v.attribute_id, date_trunc('hour', v.observed_at, 'UTC'),
           count(*) FILTER (WHERE v.is_set), count(*) FILTER (WHERE NOT v.is_set),
           count(v.number), 0::bigint, min(v.number), max(v.number), sum(v.number),
           min(v.observed_at), max(v.observed_at), max(v.ingested_at)
    FROM (SELECT n.*, CASE WHEN eav._is_summed(n.any_number) THEN n.any_number END AS number
          FROM (SELECT h.tenant_id, h.attribute_id, h.observed_at, h.ingested_at,
                       coalesce(h.value_int::numeric, h.value_float::numeric, h.value_numeric)
                           AS any_number,
                       num_nonnulls(h.value_bool, h.value_int, h.value_float, h.value_time,
                                    h.value_text, h.value_numeric, h.value_json) > 0 AS is_set
                FROM eav.entity_values_ts h
                WHERE isfinite(h.observed_at)) AS n
          OFFSET 0) AS v -- so that each number is computed once
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT p.tenant_id, v.attribute_id, '-infinity', 0, 0, 0, count(*), NULL, NULL, NULL, NULL,
           NULL, NULL
    FROM eav.entity_jsonb p CROSS JOIN LATERAL eav.projection_versions(p.versions) AS v
    GROUP BY 1, 2;
END;
COMMENT ON FUNCTION eav._computed_rollups() IS 'Internal: what rollups have to hold, from history and projection: all hours, and the rows of days that count entities.';

CREATE VIEW eav.hourly_rollups WITH (security_invoker = true) AS
SELECT r.tenant_id,
       r.attribute_id,
       a.name AS attribute_name,
       a.data_type,
       r.bucket,
       r.value_count,
       r.cleared_count,
       r.number_count,
       r.min_value,
       r.max_value,
       r.sum_value / nullif(r.number_count, 0) AS avg_value,
       r.sum_value,
       r.first_observed_at,
       r.last_observed_at,
       r.last_ingested_at
FROM eav.attribute_rollups r
LEFT JOIN eav.attributes a ON a.tenant_id = r.tenant_id AND a.attribute_id = r.attribute_id;
COMMENT ON VIEW eav.hourly_rollups IS 'History by the hour, with names: one row per attribute and hour of observed_at with values, at most eav.rollup_interval behind. Runs with the rights of the reader, who needs SELECT on attribute_rollups and attributes. Filter on tenant_id, attribute and bucket to use the index.';
COMMENT ON COLUMN eav.hourly_rollups.bucket IS 'Begin of the hour, in UTC.';
COMMENT ON COLUMN eav.hourly_rollups.number_count IS 'Values that min_value, max_value, avg_value and sum_value are of; see eav.attribute_rollups.';

CREATE FUNCTION eav.value_distribution(tenant_id bigint, attributes text[] DEFAULT NULL,
                                       since interval DEFAULT '30 days')
    RETURNS TABLE (attribute text, data_type text, value_count bigint, cleared_count bigint,
                   min_value numeric, max_value numeric, avg_value numeric,
                   first_observed_at timestamptz, last_observed_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT bigint := tenant_id;
    retention CONSTANT interval := nullif(eav._setting('eav.rollup_retention')::interval, '0');
    first_bucket CONSTANT timestamptz := date_trunc(
        'hour', now() - least(since, interval '6000 years'), 'UTC');
    -- Before it there are hours, from it on days.
    first_day CONSTANT timestamptz := date_trunc(
        'day', CASE WHEN first_bucket < now() - retention THEN first_bucket
                    ELSE first_bucket + interval '23:59:59.999999' END, 'UTC');
    unknown CONSTANT text[] := ARRAY(
        SELECT DISTINCT n.name FROM unnest(attributes) AS n (name)
        WHERE eav._attribute_id(tenant, n.name) IS NULL ORDER BY n.name);
    wanted CONSTANT integer[] := ARRAY(
        SELECT DISTINCT eav._attribute_id(tenant, n.name) FROM unnest(attributes) AS n (name));
BEGIN
    IF tenant IS NULL OR since IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('%s must not be null',
                             CASE WHEN tenant IS NULL THEN 'tenant_id' ELSE 'since' END),
            DETAIL = 'Only attributes may be null, for all of them.',
            HINT = 'Leave since out to get the last 30 days.';
    ELSIF since <= interval '0' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'since must be positive',
            DETAIL = format('It is %s.', since),
            HINT = 'It tells how far back from now the values go.';
    ELSIF cardinality(unknown) > 0 THEN
        RAISE NOTICE USING
            MESSAGE = format('tenant %s has no attribute %s', tenant,
                             (SELECT string_agg(format('"%s"', name), ', ') FROM unnest(unknown) AS name)),
            DETAIL = 'There is no row for it.';
    END IF;
    -- Attribute by attribute: the older hours of others are not looked at.
    RETURN QUERY
    SELECT a.name, a.data_type, s.value_count::bigint, s.cleared_count::bigint, s.min_value,
           s.max_value, s.sum_value / nullif(s.number_count, 0), s.first_observed_at,
           s.last_observed_at
    FROM eav.attributes a
    CROSS JOIN LATERAL (
        SELECT sum(r.value_count) AS value_count, sum(r.cleared_count) AS cleared_count,
               sum(r.number_count) AS number_count, min(r.min_value) AS min_value,
               max(r.max_value) AS max_value, sum(r.sum_value) AS sum_value,
               min(r.first_observed_at) AS first_observed_at,
               max(r.last_observed_at) AS last_observed_at
        FROM (SELECT h.value_count, h.cleared_count, h.number_count, h.min_value, h.max_value,
                     h.sum_value, h.first_observed_at, h.last_observed_at
              FROM eav.attribute_rollups h
              WHERE h.tenant_id = tenant AND h.attribute_id = a.attribute_id
                AND h.bucket >= first_bucket AND h.bucket < first_day
              UNION ALL
              SELECT d.value_count, d.cleared_count, d.number_count, d.min_value, d.max_value,
                     d.sum_value, d.first_observed_at, d.last_observed_at
              FROM eav.attribute_rollups_daily d
              WHERE d.tenant_id = tenant AND d.attribute_id = a.attribute_id
                AND d.bucket >= first_day) AS r) AS s
    WHERE a.tenant_id = tenant AND (attributes IS NULL OR a.attribute_id = ANY (wanted))
      AND s.first_observed_at IS NOT NULL
    ORDER BY a.name COLLATE "C";
END
$$;
COMMENT ON FUNCTION eav.value_distribution(bigint, text[], interval) IS
'Returns one row per attribute with values or clearings since a time, in the order of their names: how many (clearings apart), and least, greatest and mean of the numbers among them. attributes: names, old ones included; null for all. since: how far back from now observed_at may lie, in whole hours: the hour in which that was counts in full, or the day, where hours have expired (eav.rollup_retention). Read from the rollups, so that it costs the same however many values there are, and what arrived within the last eav.rollup_interval may be missing. min_value, max_value, avg_value: of int, float and numeric, without NaN and Infinity; null without any. An unknown name is a NOTICE and no row. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null tenant_id or since, and invalid_parameter_value (22023) for a since that is not positive.';

-- sql/46_history.sql

-- Questions to history. The functions that ask it are plain SQL, for the planner to put their
-- bodies into the query that calls them: it then sees which partitions can be left out.
--
-- Partitions are by ingested_at. What was observed at a time has arrived no earlier than that, by
-- the clock of the server, but for eav.max_future_skew; of that at least a day is assumed, in case
-- the setting was larger once. How late it may have arrived nobody knows.

CREATE FUNCTION eav._attribute_to_read(tenant_id bigint, attribute text) RETURNS integer
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attribute_id CONSTANT integer := eav._attribute_id(tenant_id, attribute);
BEGIN
    IF attribute_id IS NULL AND tenant_id IS NOT NULL AND attribute IS NOT NULL THEN
        RAISE NOTICE USING MESSAGE = format('tenant %s has no attribute "%s"', tenant_id, attribute),
            DETAIL = 'There is no row for it.';
    END IF;
    RETURN attribute_id;
END
$$;
COMMENT ON FUNCTION eav._attribute_to_read(bigint, text) IS 'Internal: the attribute with this name, or that had it; null with a NOTICE when there is none, null for null.';

CREATE FUNCTION eav._document_value(value_text text, value_int bigint, value_float double precision,
                                    value_numeric numeric, value_bool boolean,
                                    value_time timestamptz, value_json jsonb)
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(to_jsonb(value_text), to_jsonb(value_int), to_jsonb(value_float),
                    to_jsonb(value_numeric), to_jsonb(value_bool),
                    to_jsonb(CASE WHEN isfinite(value_time)
                                  THEN regexp_replace(
                                           to_jsonb(value_time AT TIME ZONE 'UTC') #>> '{}',
                                           '( BC)?$', '+00:00\1')
                                  ELSE value_time::text END),
                    value_json);
END;
COMMENT ON FUNCTION eav._document_value(text, bigint, double precision, numeric, boolean, timestamptz, jsonb) IS 'Internal: the columns of a row of history as its value would be in a document, whatever the settings of the session; null for a clearing.';

CREATE FUNCTION eav._bucket_width(width interval) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF width IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'width must not be null',
            DETAIL = 'It is the length of a bucket.',
            HINT = 'Use an interval such as 1 hour or 1 day.';
    ELSIF width <= interval '0' OR extract(year FROM width) <> 0 OR extract(month FROM width) <> 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'width is not valid',
            DETAIL = format('%s is not positive, or has months, which differ in length.', width),
            HINT = 'Use an interval such as 5 minutes, 1 hour, 1 day or 7 days.';
    END IF;
    RETURN width;
END
$$;
COMMENT ON FUNCTION eav._bucket_width(interval) IS 'Internal: the width, when eav.time_buckets() can use it; an error otherwise.';

CREATE FUNCTION eav.entity_history(tenant_id bigint, entity_id bigint, attribute text,
                                   from_time timestamptz DEFAULT NULL,
                                   to_time timestamptz DEFAULT NULL)
    RETURNS TABLE (observed_at timestamptz, ingested_at timestamptz, value jsonb, cleared boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT h.observed_at, h.ingested_at,
           eav._document_value(h.value_text, h.value_int, h.value_float, h.value_numeric,
                               h.value_bool, h.value_time, h.value_json),
           num_nonnulls(h.value_bool, h.value_int, h.value_float, h.value_time, h.value_text,
                        h.value_numeric, h.value_json) = 0
    FROM eav.entity_values_ts h
    WHERE h.tenant_id = entity_history.tenant_id
      AND h.entity_id = entity_history.entity_id
      AND h.attribute_id = (SELECT eav._attribute_to_read(entity_history.tenant_id,
                                                          entity_history.attribute))
      AND h.ingested_at >= coalesce(
              from_time - greatest(interval '1 day',
                                   current_setting('eav.max_future_skew', true)::interval),
              '-infinity')
      AND h.observed_at >= coalesce(from_time, '-infinity')
      AND h.observed_at < coalesce(to_time, 'infinity')
    ORDER BY h.observed_at, h.ingested_at;
END;
COMMENT ON FUNCTION eav.entity_history(bigint, bigint, text, timestamptz, timestamptz) IS
'Returns all values that an attribute of an entity ever had, the oldest first, by observed_at and then ingested_at. from_time, to_time: of observed_at, the first included and the last not; null for no limit. value: as in a document; null where the attribute was cleared. Give from_time to leave older partitions unread. An unknown attribute is a NOTICE and no row; null for one of the first three is no row. Runs with the rights of the caller, who needs SELECT on eav.entity_values_ts and EXECUTE on eav._attribute_to_read() and eav._document_value(). Raises nothing of its own.';

CREATE FUNCTION eav.value_at(tenant_id bigint, entity_id bigint, attribute text, as_of timestamptz)
    RETURNS TABLE (value jsonb, observed_at timestamptz, ingested_at timestamptz)
    LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT v.value, v.observed_at, v.ingested_at
    FROM (SELECT eav._document_value(h.value_text, h.value_int, h.value_float, h.value_numeric,
                                     h.value_bool, h.value_time, h.value_json) AS value,
                 h.observed_at, h.ingested_at
          FROM eav.entity_values_ts h
          WHERE h.tenant_id = value_at.tenant_id
            AND h.entity_id = value_at.entity_id
            AND h.attribute_id = (SELECT eav._attribute_to_read(value_at.tenant_id,
                                                                value_at.attribute))
            AND h.observed_at <= as_of
          ORDER BY h.observed_at DESC, h.ingested_at DESC
          LIMIT 1) AS v
    WHERE v.value IS NOT NULL;
END;
COMMENT ON FUNCTION eav.value_at(bigint, bigint, text, timestamptz) IS
'Returns the value that an attribute of an entity had at a time, as far as it is known today: the newest with observed_at up to as_of, values that arrived later included. No row when it had none yet or was cleared, and for a null argument; an unknown attribute is a NOTICE. value: as in a document. Runs with the rights of the caller, who needs SELECT on eav.entity_values_ts and EXECUTE on eav._attribute_to_read() and eav._document_value(). Raises nothing of its own.';

CREATE FUNCTION eav._newest_add(state internal, value jsonb, observed_at timestamptz,
                                ingested_at timestamptz)
    RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eav_newest_add'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._newest_add(internal, jsonb, timestamptz, timestamptz) IS 'Internal: transition of eav._newest().';
CREATE FUNCTION eav._newest_value(state internal) RETURNS jsonb
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eav_newest_value'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._newest_value(internal) IS 'Internal: result of eav._newest().';
CREATE AGGREGATE eav._newest(value jsonb, observed_at timestamptz, ingested_at timestamptz) (
    SFUNC = eav._newest_add, STYPE = internal, SSPACE = 64, FINALFUNC = eav._newest_value,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE eav._newest(jsonb, timestamptz, timestamptz) IS 'Internal: the value with the greatest observed_at, among equals the greatest ingested_at.';

CREATE FUNCTION eav.time_buckets(tenant_id bigint, attribute text, width interval,
                                 from_time timestamptz DEFAULT NULL,
                                 to_time timestamptz DEFAULT NULL)
    RETURNS TABLE (bucket timestamptz, value_count bigint, min_value numeric, max_value numeric,
                   avg_value numeric, last_value jsonb)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.bucket, count(*), min(v.number), max(v.number), avg(v.number),
           eav._newest(v.value, v.observed_at, v.ingested_at)
    FROM (SELECT n.*, CASE WHEN eav._is_summed(n.any_number) THEN n.any_number END AS number
          FROM (SELECT date_bin(eav._bucket_width(width), h.observed_at,
                                '0001-01-01 00:00:00+00'::timestamptz) AS bucket,
                       eav._document_value(h.value_text, h.value_int, h.value_float, h.value_numeric,
                                           h.value_bool, h.value_time, h.value_json)
                           AS value,
                       coalesce(h.value_int::numeric, h.value_float::numeric, h.value_numeric)
                           AS any_number,
                       h.observed_at, h.ingested_at
                FROM eav.entity_values_ts h
                WHERE h.tenant_id = time_buckets.tenant_id
                  AND h.attribute_id = (SELECT eav._attribute_to_read(time_buckets.tenant_id,
                                                                      time_buckets.attribute))
                  AND h.ingested_at >= coalesce(
                          from_time - greatest(
                              interval '1 day',
                              current_setting('eav.max_future_skew', true)::interval),
                          '-infinity')
                  AND h.observed_at >= coalesce(from_time, '-infinity')
                  AND h.observed_at < coalesce(to_time, 'infinity')
                  AND num_nonnulls(h.value_bool, h.value_int, h.value_float, h.value_time,
                                   h.value_text, h.value_numeric, h.value_json) > 0) AS n
          OFFSET 0) AS v -- so that each number is computed once
    GROUP BY v.bucket
    ORDER BY v.bucket;
END;
COMMENT ON FUNCTION eav.time_buckets(bigint, text, interval, timestamptz, timestamptz) IS
'Returns the values of an attribute, of all entities of a tenant, summed up by buckets of observed_at, the oldest first; buckets without values are left out. width: length of a bucket, any that is positive and has no months. Buckets begin at whole multiples of it, in UTC, weeks on Monday. from_time, to_time: of observed_at, the first included and the last not; null for no limit. Give from_time to leave older partitions unread. value_count: values, without clearings. min_value, max_value, avg_value: of int, float and numeric, without NaN and Infinity; null without any. last_value: the newest, as in a document; of several equally new ones any. Read from history, so that it is never behind the flush. An unknown attribute is a NOTICE and no row; a null tenant_id or attribute is no row. Runs with the rights of the caller, who needs SELECT on eav.entity_values_ts and EXECUTE on eav._attribute_to_read(), eav._document_value(), eav._bucket_width(), eav._is_summed(), and eav._newest(). Raises null_value_not_allowed (22004) for a null width, and invalid_parameter_value (22023) for a width that is not positive or has months.';

-- sql/46_rename_attribute.sql

-- Renaming an attribute: the registry alone changes. Documents keep the name that it was registered
-- with, and so do producers, as long as they like.

CREATE FUNCTION eav.rename_attribute(tenant_id bigint, attribute text, new_name text) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_name CONSTANT text := new_name;
    known eav.attributes;
    holder integer;
BEGIN
    PERFORM eav._check_tenant(wanted_tenant);
    PERFORM eav._check_name('attribute name', attribute);
    PERFORM eav._check_name('new_name', wanted_name);
    holder := eav._claim_name(wanted_tenant, wanted_name, true);
    known := eav._check_attribute(wanted_tenant, attribute);
    IF holder <> known.attribute_id THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = format('attribute name "%s" of tenant %s is taken', wanted_name, wanted_tenant),
            DETAIL = (SELECT CASE WHEN a.name = wanted_name THEN 'It is the name of another attribute.'
                             ELSE format('Attribute "%s" was registered with it.', a.name) END
                      FROM eav.attributes a
                      WHERE a.tenant_id = wanted_tenant AND a.attribute_id = holder),
            HINT = 'Choose another name.';
    ELSIF known.name = wanted_name THEN
        RETURN;
    END IF;
    UPDATE eav.attributes a
    SET name = wanted_name,
        document_name = nullif(coalesce(a.document_name, a.name), wanted_name)
    WHERE a.tenant_id = wanted_tenant AND a.attribute_id = known.attribute_id;
    INSERT INTO eav.attribute_changes (tenant_id, attribute_id, change, old_value, new_value)
    VALUES (wanted_tenant, known.attribute_id, 'name', known.name, wanted_name);
END
$$;
COMMENT ON FUNCTION eav.rename_attribute(bigint, text, text) IS
'Gives an attribute another name and returns nothing; takes the same time whatever there is of it. History and documents stay as they are, and all functions show them under the new name. The name that it was registered with stays its own: in hot_attrs and live_attrs, for values that arrive under it, and where an attribute is named to a function. Any name it had in between is free again. Recorded in eav.attribute_changes; nothing happens when it has that name already. Until the transaction has ended, new attributes of the tenant cannot be registered. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null argument, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for what is no name, undefined_object (42704) for an unknown attribute, and duplicate_object (42710) when the new name is that of another attribute, or one that another was registered with.';

-- sql/47_current_values.sql

-- The projection for people: names beside the ids, all tiers in one list.

CREATE VIEW eav.current_values WITH (security_invoker = true) AS
SELECT v.tenant_id,
       v.entity_id,
       v.external_id,
       v.attribute_id,
       v.attribute_name,
       v.data_type,
       v.projection,
       v.value,
       v.observed_at,
       v.ingested_at
FROM (SELECT p.tenant_id, p.entity_id, e.external_id, t.attribute_id, a.name AS attribute_name,
             a.data_type, a.projection,
             coalesce(p.hot_attrs -> coalesce(a.document_name, a.name),
                      p.live_attrs -> coalesce(a.document_name, a.name),
                      c.value) AS value,
             t.observed_at, t.ingested_at
      FROM eav.entity_jsonb p
      CROSS JOIN LATERAL eav.projection_versions(p.versions) AS t
      JOIN eav.entities e ON e.tenant_id = p.tenant_id AND e.entity_id = p.entity_id
      JOIN eav.attributes a ON a.tenant_id = p.tenant_id AND a.attribute_id = t.attribute_id
      LEFT JOIN eav.entity_values_current c
          ON c.tenant_id = p.tenant_id AND c.entity_id = p.entity_id
          AND c.attribute_id = t.attribute_id
      WHERE NOT e.is_deleted) AS v
WHERE v.value IS NOT NULL;
COMMENT ON VIEW eav.current_values IS 'The present values, with names: one row per entity and attribute with a value, whatever its projection, none excepted; deleted entities are left out. Runs with the rights of the reader, who needs SELECT on entity_jsonb, entity_values_current, entities and attributes, and EXECUTE on projection_versions(). Filter on tenant_id and entity_id to use the indexes; for filters on values there is eav.find_entities().';
COMMENT ON COLUMN eav.current_values.value IS 'As in a document.';
COMMENT ON COLUMN eav.current_values.observed_at IS 'Of the newest value, even when it was equal to the one before.';

-- sql/47_recommend.sql

-- Which projection suits an attribute, by how it is used.

-- The rules, one attribute at a time; reason says which it was. What counts as often, seldom or
-- large is here and nowhere else.
CREATE FUNCTION eav._recommended_projection(projection text, data_type text, filters bigint,
                                            reads bigint, tenant_queries bigint,
                                            sampled bigint, change_rate double precision,
                                            distinct_values bigint, avg_bytes double precision,
                                            OUT recommended text, OUT reason text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT split_part(rule, ': ', 1), split_part(rule, ': ', 2)
    FROM (SELECT filters >= 10 AND filters >= tenant_queries / 200 AS is_filtered_often,
                 reads >= 10 AND reads >= tenant_queries / 200 AS is_read_often,
                 -- Without two values of one entity the type decides, as it does at registration.
                 coalesce(change_rate, CASE WHEN data_type IN ('text', 'bool') THEN 0 ELSE 1 END)
                     AS changes,
                 avg_bytes > 2000 AS is_large,
                 data_type IN ('int', 'float', 'numeric', 'timestamp') AS has_ranges) AS f
    CROSS JOIN LATERAL (SELECT CASE
        WHEN coalesce(sampled, 0) = 0
            THEN projection || ': no values have arrived'
        WHEN tenant_queries < 100
            THEN projection || ': too few queries of this tenant have been counted'
        WHEN is_large AND filters + reads > 0
            THEN 'current: asked for, and too large for documents'
        WHEN is_large
            THEN 'none: large, and never asked for'
        WHEN is_filtered_often AND changes > 0.2
            THEN 'current: filtered by often, and changes often; the index of current spares the documents'
        WHEN is_filtered_often AND distinct_values < 5
            THEN 'live: filtered by often, but by too few different values for an index'
        WHEN is_filtered_often AND has_ranges
            THEN 'hot: filtered by often, selective, and changes seldom; eav.create_attribute_index() serves ranges and order'
        WHEN is_filtered_often
            THEN 'hot: filtered by often, selective, and changes seldom'
        WHEN is_read_often
            THEN 'live: read often, and seldom filtered by'
        WHEN filters + reads > 0
            THEN 'current: seldom asked for'
        WHEN changes >= 0.9
            THEN 'none: changes with each event, and never asked for'
        WHEN projection = 'none'
            THEN 'none: never asked for'
        ELSE 'current: never asked for, and cheap to keep'
    END) AS r (rule)
$$;
COMMENT ON FUNCTION eav._recommended_projection(text, text, bigint, bigint, bigint, bigint, double precision, bigint, double precision) IS
'Internal: the rules of eav.recommend_attributes(), without the limit of eav.max_hot_attributes. tenant_queries: filters and reads of all attributes of the tenant.';

-- The newest values of an attribute, at most so many: by an index, so the cost does not grow with
-- history. Values above 2 kB are told apart by their size only, which needs no look into them.
CREATE FUNCTION eav._sample_attribute(tenant_id bigint, attribute_id integer, most bigint,
                                      OUT sampled bigint, OUT values_per_day double precision,
                                      OUT change_rate double precision,
                                      OUT distinct_values bigint, OUT avg_bytes double precision)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_attribute CONSTANT integer := attribute_id;
BEGIN
    SELECT count(*),
           count(*) * 86400 / greatest(extract(epoch FROM clock_timestamp() - min(c.ingested_at)), 1),
           avg((c.key IS DISTINCT FROM c.before)::integer) FILTER (WHERE NOT c.is_first),
           count(DISTINCT c.key), avg(c.bytes)
    INTO sampled, values_per_day, change_rate, distinct_values, avg_bytes
    FROM (SELECT s.*, lag(s.key) OVER per_entity AS before,
                 row_number() OVER per_entity = 1 AS is_first
          FROM (SELECT v.entity_id, v.observed_at, v.ingested_at, b.bytes,
                       CASE WHEN b.bytes > 2000 THEN b.bytes::text
                       ELSE coalesce(v.value_text, v.value_int::text, v.value_float::text,
                                     v.value_bool::text, v.value_time::text, v.value_numeric::text,
                                     v.value_json::text) END AS key
                FROM eav.entity_values_ts v
                CROSS JOIN LATERAL (SELECT coalesce(
                    pg_column_size(v.value_text), pg_column_size(v.value_int),
                    pg_column_size(v.value_float), pg_column_size(v.value_bool),
                    pg_column_size(v.value_time), pg_column_size(v.value_numeric),
                    pg_column_size(v.value_json), 0)) AS b (bytes)
                WHERE v.tenant_id = wanted_tenant AND v.attribute_id = wanted_attribute
                ORDER BY v.ingested_at DESC
                LIMIT most) AS s
          WINDOW per_entity AS (PARTITION BY s.entity_id ORDER BY s.observed_at, s.ingested_at)) AS c;
END
$$;
COMMENT ON FUNCTION eav._sample_attribute(bigint, integer, bigint) IS
'Internal: what the newest values of an attribute look like; see eav.recommend_attributes(). sampled: how many were looked at.';

CREATE FUNCTION eav.recommend_attributes(tenant_id bigint)
    RETURNS TABLE (attribute text, projection text, recommended text, reason text, filters bigint,
                   reads bigint, values_per_day double precision, change_rate double precision,
                   distinct_values bigint, avg_bytes double precision)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    budget CONSTANT integer := eav._setting('eav.max_hot_attributes')::integer;
    attribute_count bigint;
    sample_size bigint;
BEGIN
    PERFORM eav._check_tenant(wanted_tenant);
    SELECT count(*) INTO attribute_count FROM eav.attributes a WHERE a.tenant_id = wanted_tenant;
    sample_size := least(greatest(500000 / greatest(attribute_count, 1), 20), 200);
    RETURN QUERY
    WITH counted AS (
        SELECT c.attribute_id, sum(c.filters)::bigint AS filters, sum(c.reads)::bigint AS reads
        FROM (SELECT r.attribute_id, r.filters, r.reads FROM eav.attribute_reads r
              UNION ALL
              SELECT r.attribute_id, r.filters, r.reads FROM eav._read_counts(false) r) AS c
        GROUP BY c.attribute_id
    ), used AS (
        SELECT a.attribute_id, a.name, a.projection, a.data_type, coalesce(c.filters, 0) AS filters,
               coalesce(c.reads, 0) AS reads,
               sum(coalesce(c.filters + c.reads, 0)) OVER ()::bigint AS tenant_queries
        FROM eav.attributes a
        LEFT JOIN counted c USING (attribute_id)
        WHERE a.tenant_id = wanted_tenant
    ), proposed AS MATERIALIZED (
        SELECT u.*, s.*, p.*,
               p.recommended IN ('hot', 'live') AS is_in_document
        FROM used u
        CROSS JOIN LATERAL eav._sample_attribute(wanted_tenant, u.attribute_id, sample_size) AS s
        CROSS JOIN LATERAL eav._recommended_projection(
            u.projection, u.data_type, u.filters, u.reads, u.tenant_queries, s.sampled,
            s.change_rate, s.distinct_values, s.avg_bytes) AS p
    ), ranked AS (
        SELECT p.*, p.is_in_document AND p.sampled > 0 AND p.filters + p.reads > 0
                    AND count(*) FILTER (WHERE p.is_in_document) OVER (
                        ORDER BY p.is_in_document DESC, p.filters + p.reads > 0, p.filters DESC,
                                 p.reads DESC, p.projection = p.recommended DESC, p.name
                        ROWS UNBOUNDED PRECEDING) > budget AS is_beyond
        FROM proposed p
    )
    SELECT r.name, r.projection, CASE WHEN r.is_beyond THEN 'current' ELSE r.recommended END,
           CASE WHEN r.is_beyond THEN 'would be ' || r.recommended
                || ', but eav.max_hot_attributes are asked for more often' ELSE r.reason END,
           r.filters, r.reads, r.values_per_day, r.change_rate, r.distinct_values, r.avg_bytes
    FROM ranked r
    ORDER BY r.filters + r.reads DESC, r.name;
END
$$;
COMMENT ON FUNCTION eav.recommend_attributes(bigint) IS
'Proposes a projection for each attribute of a tenant, by how it has been used, and returns one row each, those asked for most first. recommended: hot, live, current or none; reason: why. filters, reads: queries through the functions of the extension that filtered by it, or returned it by name, since they are counted (eav.attribute_reads). The other figures are from its newest values, at most 200, and fewer (20 at least) when there are more than 2500 attributes: values_per_day, as many as that sample would make in a day; change_rate, the share of values that differ from the one before of the same entity, null when no entity comes twice; distinct_values of the sample; avg_bytes of a value. Keeps what is as it is until 100 filters and reads of the tenant have been counted. Recommends at most eav.max_hot_attributes as hot and live together. Changes nothing. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null tenant_id and foreign_key_violation (23503) for an unknown tenant.';

-- sql/50_flush.sql

-- The flush: what it remembers between batches, and the function that runs one.

CREATE TABLE eav.flush_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    snapshot pg_snapshot NOT NULL,
    snapshot_at timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL,
    epoch bigint NOT NULL DEFAULT 1,
    flushes bigint NOT NULL DEFAULT 0,
    flushed bigint NOT NULL DEFAULT 0,
    projected bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    backlog bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
COMMENT ON TABLE eav.flush_state IS 'One row: where the queue of staged rows stands. Written in the transaction of each flush that had work.';
COMMENT ON COLUMN eav.flush_state.snapshot IS 'All staged rows whose transaction this snapshot sees have been flushed; no other row has.';
COMMENT ON COLUMN eav.flush_state.snapshot_at IS 'When the snapshot was about to be taken: all that was committed by then has been flushed.';
COMMENT ON COLUMN eav.flush_state.ingested_at IS 'The highest ingested_at given out; the next flush starts above it.';
COMMENT ON COLUMN eav.flush_state.epoch IS 'Grows by one with every crash that may have emptied staging; see eav.ingest_gaps.';
COMMENT ON COLUMN eav.flush_state.backlog IS 'Rows in eav.flush_backlog.';
-- Nothing has been flushed: 3 is the first xid that a transaction can have.
INSERT INTO eav.flush_state (snapshot, snapshot_at, ingested_at)
VALUES ('3:3:', clock_timestamp(), clock_timestamp());

-- Emptied by crash recovery and on promotion together with the staging leaves: that is how a
-- flush learns that staged rows may be missing.
CREATE UNLOGGED TABLE eav.staging_epoch (
    epoch bigint NOT NULL,
    ring bigint
);
INSERT INTO eav.staging_epoch (epoch) VALUES (1);
COMMENT ON TABLE eav.staging_epoch IS 'Holds one row as long as staging has not been emptied by a crash.';
COMMENT ON COLUMN eav.staging_epoch.ring IS 'The ring in shared memory that may hold accepted values; null while the door to it is closed and it is empty.';

CREATE SEQUENCE eav.ingest_gaps_seq;
CREATE TABLE eav.ingest_gaps (
    gap_id bigint PRIMARY KEY DEFAULT nextval('eav.ingest_gaps_seq'),
    epoch bigint NOT NULL,
    gap_start timestamptz NOT NULL,
    gap_end timestamptz NOT NULL,
    detected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL
);
ALTER SEQUENCE eav.ingest_gaps_seq OWNED BY eav.ingest_gaps.gap_id;
COMMENT ON TABLE eav.ingest_gaps IS 'One row per crash or promotion, and per stop of the server that left values in shared memory: values that were accepted (committed) from gap_start to gap_end and had not been flushed may be lost; send them again.';

-- What a flush could not apply because an open transaction of a client is in the way. Logged.
CREATE SEQUENCE eav.flush_backlog_seq;
CREATE TABLE eav.flush_backlog (
    backlog_id bigint PRIMARY KEY DEFAULT nextval('eav.flush_backlog_seq'),
    ingested_at timestamptz,
    cleared boolean NOT NULL DEFAULT false,
    attribute_id integer,
    tenant_id bigint,
    entity_id bigint,
    observed_at timestamptz,
    value_int bigint,
    value_float double precision,
    value_time timestamptz,
    value_bool boolean,
    value_text text,
    value_numeric numeric,
    value_json jsonb,
    entity text,
    attribute text,
    value text
);
ALTER SEQUENCE eav.flush_backlog_seq OWNED BY eav.flush_backlog.backlog_id;
COMMENT ON TABLE eav.flush_backlog IS 'Values that wait for an open transaction of a client: with ingested_at they are in history and wait for the projection row; without, they wait for the registration of their entity or attribute. Applied by a later flush.';

CREATE SEQUENCE eav.ingest_rejects_seq;
CREATE TABLE eav.ingest_rejects (
    reject_id bigint PRIMARY KEY DEFAULT nextval('eav.ingest_rejects_seq'),
    tenant_id bigint,
    rejected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sqlstate text NOT NULL,
    reason text NOT NULL,
    payload jsonb NOT NULL
);
ALTER SEQUENCE eav.ingest_rejects_seq OWNED BY eav.ingest_rejects.reject_id;
COMMENT ON TABLE eav.ingest_rejects IS 'Values and events that could not be accepted, one row each, with the reason. Correct payload and feed it back with eav.replay_rejects().';
COMMENT ON COLUMN eav.ingest_rejects.payload IS 'The staged row: the columns of eav.entity_values_ingest that were set. For an event that eav.ingest() rejected: event, as it came, and position, its number in the payload from 1.';

CREATE FUNCTION eav.stage_flush(max_values bigint DEFAULT NULL,
                                OUT flushed bigint, OUT projected bigint, OUT rejected bigint,
                                OUT elapsed interval)
    LANGUAGE c VOLATILE SECURITY DEFINER AS 'MODULE_PATHNAME', 'eav_stage_flush'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.stage_flush(bigint) IS
'Moves committed values, from staging and from eav.ingest(), into history and projection and returns one row. max_values: stop before the transaction that would exceed it (whole transactions are taken in the order of their arrival, at least one); null takes everything. flushed: values written to history. projected: values that became the newest of their attribute in entity_jsonb. rejected: rows written to ingest_rejects. elapsed: wall time. Flushes take turns: a second caller waits for the first, until the end of its transaction. Rows of the calling transaction itself are left for a later flush. Raises invalid_parameter_value (22023) when max_values is below 1, and object_not_in_prerequisite_state (55000) inside another flush.';

-- sql/55_ingest.sql

-- The JSON door: events parsed by the backend of the producer, handed over through shared memory.
-- eav.ingest() is called tens of thousands of times a second and touches no table in most calls. It
-- takes the rights of the owner and a search_path of its own where it does (include/eav/pg/owner.hpp).

CREATE TYPE eav.ingest_receipt AS (accepted integer, rejected integer, ticket bigint);
COMMENT ON TYPE eav.ingest_receipt IS 'What eav.ingest() returns: how many events were accepted and rejected, and the ticket for eav.wait_flushed().';

CREATE FUNCTION eav.ingest(payload text, ack text DEFAULT 'accepted') RETURNS eav.ingest_receipt
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_ingest';
CREATE FUNCTION eav.ingest(payload bytea, ack text DEFAULT 'accepted') RETURNS eav.ingest_receipt
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_ingest';
CREATE FUNCTION eav.ingest(payload jsonb, ack text DEFAULT 'accepted') RETURNS eav.ingest_receipt
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_ingest_jsonb';
COMMENT ON FUNCTION eav.ingest(text, text) IS
'Accepts events: payload is one JSON event, an array of events, or events one after the other (NDJSON). An event is an object with tenant_id (may be left out when eav.tenant_id is set), entity_id or entity (external id), observed_at (RFC 3339 or epoch milliseconds; the present when left out) and attributes, an object of names and values; null clears. Returns accepted and rejected, numbers of events, and ticket, null when there was no event. A rejected event goes to eav.ingest_rejects with its position and reason, the others are not affected; what the registry refuses is rejected value by value when they are flushed. The values are flushed after the transaction has committed; nothing is kept when it rolls back. ack: accepted returns at once; durable makes the commit wait until the flush is on disk, at most eav.durable_timeout, after which a WARNING tells that it is not yet. Needs no transaction id and works in a read-only transaction. Raises invalid_text_representation (22P02) with the byte offset for malformed JSON, statement_too_complex (54001) for nesting deeper than 64, program_limit_exceeded (54000) for a payload above eav.max_payload_bytes, null_value_not_allowed (22004), invalid_parameter_value (22023) for another ack, read_only_sql_transaction (25006) on a standby, feature_not_supported (0A000) for a database that is not in UTF8; PREPARE TRANSACTION after it raises feature_not_supported (0A000).';
COMMENT ON FUNCTION eav.ingest(bytea, text) IS 'The same for a payload of bytes, which must be UTF-8. Returns and raises the same.';
COMMENT ON FUNCTION eav.ingest(jsonb, text) IS 'The same for a payload of type jsonb. Returns and raises the same, but that it cannot be malformed.';

CREATE FUNCTION eav.wait_flushed(ticket bigint, timeout interval DEFAULT '5s') RETURNS boolean
    LANGUAGE c VOLATILE STRICT SECURITY DEFINER AS 'MODULE_PATHNAME', 'eav_wait_flushed'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.wait_flushed(bigint, interval) IS
'Waits until the values of a ticket of eav.ingest() are in history, on disk; the worker flushes at once. True when they are, false when the time is over; null for null. Nothing tells the ticket of a transaction that was rolled back from one whose values are flushed: it is true. Raises object_not_in_prerequisite_state (55000) for a ticket of the present transaction, and for one from before a loss of accepted values (see eav.ingest_gaps), invalid_parameter_value (22023) for a number that is no ticket or a negative timeout, read_only_sql_transaction (25006) on a standby.';

CREATE FUNCTION eav._ingest_counters(OUT calls bigint, OUT events bigint, OUT "values" bigint,
                                     OUT bytes bigint, OUT rejected bigint, OUT rejects jsonb,
                                     OUT spilled_calls bigint, OUT spilled_values bigint,
                                     OUT waits bigint, OUT timeouts bigint, OUT is_open boolean,
                                     OUT slabs integer, OUT slabs_in_use integer,
                                     OUT slabs_high_water integer)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_ingest_counters'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._ingest_counters() IS 'Internal: the counters in shared memory behind eav.stat_ingest.';
CREATE VIEW eav.stat_ingest AS SELECT * FROM eav._ingest_counters();
COMMENT ON VIEW eav.stat_ingest IS 'One row: what eav.ingest() has done in this database since the server started, counted at commit, read without locks.';
COMMENT ON COLUMN eav.stat_ingest.calls IS 'Calls of eav.ingest() whose transaction committed.';
COMMENT ON COLUMN eav.stat_ingest.events IS 'Accepted events.';
COMMENT ON COLUMN eav.stat_ingest."values" IS 'Values of accepted events.';
COMMENT ON COLUMN eav.stat_ingest.bytes IS 'Bytes of payloads.';
COMMENT ON COLUMN eav.stat_ingest.rejected IS 'Rejected events.';
COMMENT ON COLUMN eav.stat_ingest.rejects IS 'Rejected events by reason: unknown_key, missing_key, duplicate_key, wrong_type, out_of_range, invalid_name, too_large, wrong_tenant.';
COMMENT ON COLUMN eav.stat_ingest.spilled_calls IS 'Calls whose values went through staging instead of the ring.';
COMMENT ON COLUMN eav.stat_ingest.spilled_values IS 'Values of such calls.';
COMMENT ON COLUMN eav.stat_ingest.waits IS 'Waits for durability: commits with ack durable, and calls of eav.wait_flushed().';
COMMENT ON COLUMN eav.stat_ingest.timeouts IS 'Waits that ended before the values were durable.';
COMMENT ON COLUMN eav.stat_ingest.is_open IS 'Whether the ring takes values of this database; if not, all calls go through staging.';
COMMENT ON COLUMN eav.stat_ingest.slabs IS 'Slabs of 2 kB in the ring of the server; 0 when there is none. This and the next two are of all databases.';
COMMENT ON COLUMN eav.stat_ingest.slabs_in_use IS 'Slabs that hold values now.';
COMMENT ON COLUMN eav.stat_ingest.slabs_high_water IS 'The most that ever did.';

-- sql/60_rejects.sql

-- Rejected values and events, corrected and fed back.

CREATE FUNCTION eav._replay_event(event jsonb, correction jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    corrected jsonb;
BEGIN
    IF jsonb_typeof(event) <> 'object' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the rejected event is no object';
    END IF;
    SELECT coalesce(jsonb_object_agg(member.key, member.value), '{}') INTO corrected
    FROM jsonb_each(event || correction) AS member WHERE member.value <> 'null';
    IF (eav.ingest(corrected)).rejected > 0 THEN
        RAISE invalid_parameter_value
            USING MESSAGE = 'the event would be rejected again';
    END IF;
END
$$;
COMMENT ON FUNCTION eav._replay_event(jsonb, jsonb) IS 'Internal: passes a rejected event, with the members of correction merged in and nulls taken out, to eav.ingest(). Raises invalid_parameter_value (22023) when that rejects it.';

CREATE FUNCTION eav.replay_rejects(reject_ids bigint[] DEFAULT NULL, correction jsonb DEFAULT '{}',
                                   max_rejects bigint DEFAULT NULL)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    allowed CONSTANT text[] := ARRAY(
        SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = 'eav.entity_values_ingest'::regclass AND a.attnum > 0
          AND NOT a.attisdropped AND a.attname NOT IN ('xact', 'slot')
        ORDER BY a.attnum) || 'attributes'::text;
    lost CONSTANT text := 'truncated';
    unknown text;
    reject record;
    staged eav.entity_values_ingest;
    replayed bigint := 0;
    failed bigint := 0;
    first_failure text;
BEGIN
    IF correction IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'correction must not be null',
            DETAIL = 'It is merged into each rejected row.',
            HINT = 'Use {} to replay rows as they are.';
    ELSIF jsonb_typeof(correction) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'correction is not valid',
            DETAIL = format('It is a JSON %s, not an object.', jsonb_typeof(correction)),
            HINT = 'Use an object such as {"attribute_id": 7}.';
    ELSIF max_rejects < 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'max_rejects is not valid',
            DETAIL = format('%s rows are less than one.', max_rejects),
            HINT = 'Use null to replay all of them.';
    END IF;
    -- Null takes a key away, whatever it is called.
    SELECT min(key) INTO unknown FROM jsonb_each(correction)
    WHERE key <> ALL (allowed) AND value <> 'null';
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'correction is not valid',
            DETAIL = format('"%s" is no column of a staged row and no key of an event.', unknown),
            HINT = 'Allowed are ' || array_to_string(allowed, ', ') || '.';
    END IF;

    -- A row that another replay holds is left to it.
    FOR reject IN
        SELECT r.reject_id, r.payload FROM eav.ingest_rejects r
        WHERE reject_ids IS NULL OR r.reject_id = ANY (reject_ids)
        ORDER BY r.reject_id
        LIMIT max_rejects
        FOR UPDATE SKIP LOCKED
    LOOP
        BEGIN
            IF reject.payload ? 'event' THEN
                PERFORM eav._replay_event(reject.payload -> 'event', correction);
                DELETE FROM eav.ingest_rejects r WHERE r.reject_id = reject.reject_id;
                replayed := replayed + 1;
                CONTINUE;
            END IF;
            SELECT min(key) INTO unknown FROM jsonb_each(reject.payload || correction)
            WHERE key <> ALL (array_remove(allowed, 'attributes') || lost) AND value <> 'null';
            IF unknown IS NOT NULL THEN
                RAISE invalid_parameter_value
                    USING MESSAGE = format('"%s" is no column of a staged row', unknown);
            ELSIF reject.payload ? lost AND NOT correction ?| ARRAY['value', 'value_text'] THEN
                RAISE invalid_parameter_value
                    USING MESSAGE = 'its text was too long to be kept whole, and the correction'
                                    ' has no value or value_text';
            END IF;
            -- What the row leaves out gets the default of its column, as in an INSERT.
            staged := NULL;
            staged.observed_at := clock_timestamp();
            staged.cleared := false;
            staged := jsonb_populate_record(staged, (reject.payload - lost) || correction);
        EXCEPTION WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
            failed := failed + 1;
            first_failure := coalesce(first_failure,
                                      format('reject_id %s: %s', reject.reject_id, SQLERRM));
            CONTINUE;
        END;
        INSERT INTO eav.entity_values_ingest
            (cleared, attribute_id, tenant_id, entity_id, observed_at, value_int, value_float,
             value_time, value_bool, value_text, value_numeric, value_json, entity, attribute, value)
        VALUES
            (staged.cleared, staged.attribute_id, staged.tenant_id, staged.entity_id,
             staged.observed_at, staged.value_int, staged.value_float, staged.value_time,
             staged.value_bool, staged.value_text, staged.value_numeric, staged.value_json,
             staged.entity, staged.attribute, staged.value);
        DELETE FROM eav.ingest_rejects r WHERE r.reject_id = reject.reject_id;
        replayed := replayed + 1;
    END LOOP;
    IF failed > 0 THEN
        RAISE WARNING USING ERRCODE = '01000',
            MESSAGE = format('%s rejected rows could not be replayed', failed),
            DETAIL = 'The first is ' || first_failure || '.',
            HINT = 'They are still in eav.ingest_rejects; replay them with a correction.';
    END IF;
    RETURN replayed;
END
$$;
COMMENT ON FUNCTION eav.replay_rejects(bigint[], jsonb, bigint) IS
'Puts rejected rows back into staging, and rejected events through eav.ingest(), where the next flush takes them, removes them from eav.ingest_rejects, and returns how many. reject_ids: which rows; null means all. correction: an object that is merged into each payload; its keys are columns of eav.entity_values_ingest without xact and slot, or for an event those of an event, and null removes a value, or any other key. max_rejects: at most so many rows, lowest reject_id first; null means all. A row whose payload fits no staged row, and an event that would be rejected again, stays, and one WARNING counts such rows. Rows that a concurrent call is replaying are skipped. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null correction, and invalid_parameter_value (22023) for a correction that is no object or has unknown keys, or max_rejects below 1.';

-- sql/65_attribute_moves.sql

-- Attributes that change where their values are kept, or their type: at once for what arrives from
-- then on, and in batches for what is there. The protocol stands in src/attributes/move.cpp.

CREATE TABLE eav.attribute_moves (
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    change text NOT NULL CHECK (change IN ('projection', 'type')),
    old_value text,
    new_value text NOT NULL,
    clears_failed boolean NOT NULL DEFAULT false,
    phase text NOT NULL DEFAULT 'waiting' CHECK (phase IN ('waiting', 'history', 'entities')),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_by text NOT NULL DEFAULT session_user,
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    history_position timestamptz NOT NULL DEFAULT '-infinity',
    history_done bigint NOT NULL DEFAULT 0,
    last_entity_id bigint,
    entities_done bigint NOT NULL DEFAULT 0,
    entities_total bigint,
    entities_locked bigint NOT NULL DEFAULT 0,
    passes integer NOT NULL DEFAULT 1,
    values_moved bigint NOT NULL DEFAULT 0,
    values_failed bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, attribute_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE eav.attribute_moves IS 'One row per attribute whose values are being moved or converted: how far it has come. Written with each batch; see eav.stat_attribute_moves. Not dumped: a move must not begin in a database that is still being restored.';
-- The worker looks into the table after this, and not before.
CREATE TRIGGER registry_changed AFTER INSERT ON eav.attribute_moves
    FOR EACH STATEMENT EXECUTE FUNCTION eav._registry_changed();

CREATE FUNCTION eav._is_moving(tenant_id bigint, attribute_id integer) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM eav.attribute_moves m
                   WHERE m.tenant_id = _is_moving.tenant_id
                     AND m.attribute_id = _is_moving.attribute_id);
END;
COMMENT ON FUNCTION eav._is_moving(bigint, integer) IS 'Internal: true when values of the attribute are being moved or converted.';

-- An attribute that has only been cleared so far gets its projection with its first value, by the type
-- of that, unless somebody has said where it belongs.
CREATE FUNCTION eav._has_chosen_projection(tenant_id bigint, attribute_id integer) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT eav._is_moving(tenant_id, attribute_id)
        OR EXISTS (SELECT FROM eav.attribute_changes c
                   WHERE c.tenant_id = _has_chosen_projection.tenant_id
                     AND c.attribute_id = _has_chosen_projection.attribute_id
                     AND c.change = 'projection');
END;
COMMENT ON FUNCTION eav._has_chosen_projection(bigint, integer) IS 'Internal: true when somebody has changed the projection of the attribute.';

CREATE VIEW eav.stat_attribute_moves WITH (security_invoker = true) AS
SELECT m.tenant_id, m.attribute_id, a.name AS attribute, m.change, m.old_value, m.new_value,
       m.phase, m.started_at, m.started_by, m.updated_at, m.history_done, m.history_position,
       m.passes, m.entities_done, m.entities_total, m.entities_locked, m.values_moved,
       m.values_failed, m.failures, m.last_error, m.next_attempt_at
FROM eav.attribute_moves m
LEFT JOIN eav.attributes a ON a.tenant_id = m.tenant_id AND a.attribute_id = m.attribute_id;
COMMENT ON VIEW eav.stat_attribute_moves IS 'One row per attribute whose values are being moved (change projection) or converted (change type). phase: waiting, for transactions that began before the change and have written values; history, when the newest values are fetched from history (history_done rows, up to history_position); entities, when the entities are gone through (entities_done of about entities_total in this pass, the passes-th; entities_locked of them were held by clients, and there will be another pass for them). A batch that fails is tried again at next_attempt_at, later and later; last_error says why. A row goes when its move has ended; eav.attribute_changes then has one.';

CREATE FUNCTION eav._lock_attribute(tenant_id bigint, attribute text) RETURNS eav.attributes
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    known eav.attributes := eav._check_attribute(tenant_id, attribute);
BEGIN
    SELECT * INTO STRICT known FROM eav.attributes a
    WHERE a.tenant_id = known.tenant_id AND a.attribute_id = known.attribute_id
    FOR NO KEY UPDATE;
    RETURN known;
END
$$;
COMMENT ON FUNCTION eav._lock_attribute(bigint, text) IS 'Internal: the row of an attribute by its present or its first name, locked until the end of the transaction. Raises what eav._check_attribute() does.';

CREATE FUNCTION eav._set_projection(tenant_id bigint, attribute text, projection text,
                                    upwards boolean) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    ranks CONSTANT text[] := '{none,current,live,hot}';
    known CONSTANT eav.attributes := eav._lock_attribute(tenant_id, attribute);
BEGIN
    IF projection IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'projection must not be null';
    ELSIF projection <> ALL (ranks) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'projection is not valid',
            DETAIL = format('"%s" is no projection.', projection),
            HINT = 'Allowed are hot, live, current and none.';
    ELSIF known.projection = projection
          AND (known.moving_from IS NULL OR eav._is_moving(known.tenant_id, known.attribute_id)) THEN
        RETURN false;
    ELSIF known.projection <> projection AND (array_position(ranks, projection) > array_position(ranks, known.projection)) <> upwards
    THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s is %s than the projection that attribute "%s" has',
                             projection, CASE WHEN upwards THEN 'lower' ELSE 'higher' END,
                             known.name),
            DETAIL = format('It has %s; the order is none, current, live, hot.', known.projection),
            HINT = format('Use eav.%s_attribute().', CASE WHEN upwards THEN 'demote' ELSE 'promote' END);
    END IF;
    UPDATE eav.attributes a
    SET projection = _set_projection.projection,
        moving_from = CASE WHEN known.projection = _set_projection.projection THEN known.moving_from
                      ELSE array_remove(coalesce(known.moving_from, '{}') || known.projection,
                                        _set_projection.projection) END
    WHERE a.tenant_id = known.tenant_id AND a.attribute_id = known.attribute_id;
    INSERT INTO eav.attribute_moves AS m (tenant_id, attribute_id, change, old_value, new_value)
    VALUES (known.tenant_id, known.attribute_id, 'projection', known.projection, projection)
    ON CONFLICT ON CONSTRAINT attribute_moves_pkey DO UPDATE
    SET new_value = EXCLUDED.new_value, phase = DEFAULT, xact = DEFAULT, updated_at = DEFAULT,
        history_position = DEFAULT, history_done = DEFAULT, last_entity_id = DEFAULT,
        entities_done = DEFAULT, entities_locked = DEFAULT, passes = DEFAULT,
        failures = DEFAULT, last_error = DEFAULT, next_attempt_at = DEFAULT
    WHERE m.change = 'projection';
    IF NOT FOUND THEN
        RAISE object_in_use USING
            MESSAGE = format('the type of attribute "%s" is being changed', known.name),
            HINT = 'eav.stat_attribute_moves says how far it has come.';
    END IF;
    IF projection <> 'hot' THEN
        PERFORM eav._forget_attribute_index(known.tenant_id, known.attribute_id);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION eav._set_projection(bigint, text, text, boolean) IS 'Internal: what eav.promote_attribute() and eav.demote_attribute() have in common.';

CREATE FUNCTION eav.promote_attribute(tenant_id bigint, attribute text,
                                      projection text DEFAULT 'hot') RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    RETURN eav._set_projection(tenant_id, attribute, projection, true);
COMMENT ON FUNCTION eav.promote_attribute(bigint, text, text) IS
'Gives an attribute a higher projection: current, live or hot (none is the lowest). Values that arrive after the commit go there; those that are there already are moved by the worker in batches, from none out of history, while everything goes on; eav.stat_attribute_moves shows how far it is. Until it has ended eav.get_entity() and eav.find_entities() find values wherever they are. May be called again meanwhile with another goal. Returns true when there is something to move, false when the attribute has that projection. Raises undefined_object (42704) for an unknown attribute, foreign_key_violation (23503) for an unknown tenant, invalid_parameter_value (22023) for an unknown or a lower projection, object_in_use (55006) while its type is being changed, null_value_not_allowed (22004).';

CREATE FUNCTION eav.demote_attribute(tenant_id bigint, attribute text,
                                     projection text DEFAULT 'current') RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    RETURN eav._set_projection(tenant_id, attribute, projection, false);
COMMENT ON FUNCTION eav.demote_attribute(bigint, text, text) IS
'Gives an attribute a lower projection: live, current or none, which leaves its values in history only. Like eav.promote_attribute() in all else. Raises undefined_object (42704) for an unknown attribute, foreign_key_violation (23503) for an unknown tenant, invalid_parameter_value (22023) for an unknown or a higher projection, object_in_use (55006) while its type is being changed, null_value_not_allowed (22004).';

CREATE FUNCTION eav.is_convertible(value jsonb, data_type text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eav_is_convertible';
COMMENT ON FUNCTION eav.is_convertible(jsonb, text) IS
'True when a value of a document can be read as one of the type (text, int, float, numeric, bool, timestamp or json): what eav.alter_attribute_type() would convert. False for an unknown type, null for null. Raises nothing.';

CREATE FUNCTION eav.alter_attribute_type(tenant_id bigint, attribute text, data_type text,
                                         on_failure text DEFAULT 'error') RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    data_types CONSTANT text[] := '{text,int,float,numeric,bool,timestamp,json}';
    numbers CONSTANT text[] := '{int,float,numeric}';
    known CONSTANT eav.attributes := eav._lock_attribute(tenant_id, attribute);
    document_name CONSTANT text := coalesce(known.document_name, known.name);
    failing bigint;
    example text;
BEGIN
    IF data_type IS NULL OR on_failure IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = format('%s must not be null',
            CASE WHEN data_type IS NULL THEN 'data_type' ELSE 'on_failure' END);
    ELSIF data_type <> ALL (data_types) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'data_type is not valid',
            DETAIL = format('"%s" is no data type of an attribute.', data_type),
            HINT = 'Allowed are ' || array_to_string(data_types, ', ') || '.';
    ELSIF on_failure NOT IN ('error', 'clear', 'keep') THEN
        RAISE invalid_parameter_value USING MESSAGE = 'on_failure is not valid',
            DETAIL = format('It is "%s".', on_failure),
            HINT = 'Allowed are error, clear and keep.';
    ELSIF eav._is_moving(known.tenant_id, known.attribute_id) THEN
        RAISE object_in_use USING
            MESSAGE = format('values of attribute "%s" are being moved', known.name),
            HINT = 'eav.stat_attribute_moves says how far it has come.';
    ELSIF known.moving_from <> ARRAY[known.projection] THEN
        RAISE object_in_use USING
            MESSAGE = format('values of attribute "%s" were being moved when the database was dumped',
                             known.name),
            HINT = format('Begin anew with eav.promote_attribute() or eav.demote_attribute() to %s.',
                          known.projection);
    ELSIF known.data_type = data_type AND NOT known.is_inferred AND known.moving_from IS NULL THEN
        RETURN false;
    ELSIF known.data_type NOT IN ('text', 'json') AND data_type NOT IN ('text', 'json')
          AND known.data_type <> data_type
          AND NOT (known.data_type = ANY (numbers)
                   AND (data_type = ANY (numbers) OR data_type = 'bool')) THEN
        RAISE cannot_coerce USING
            MESSAGE = format('no value of type %s can be one of type %s',
                             known.data_type, data_type),
            DETAIL = format('Attribute "%s" has type %s.', known.name, known.data_type),
            HINT = 'Register the values of the other type under another name.';
    END IF;
    IF on_failure = 'error' THEN
        SELECT count(*), min(v.value #>> '{}') INTO failing, example
        FROM (SELECT c.value FROM eav.entity_values_current c
              WHERE known.projection = 'current' AND c.tenant_id = known.tenant_id
                AND c.attribute_id = known.attribute_id
              UNION ALL
              SELECT coalesce(p.hot_attrs -> document_name, p.live_attrs -> document_name)
              FROM eav.entity_jsonb p
              WHERE known.projection IN ('hot', 'live') AND p.tenant_id = known.tenant_id
                AND (p.hot_attrs ? document_name OR p.live_attrs ? document_name)) AS v
        WHERE NOT eav.is_convertible(v.value, data_type);
        IF failing > 0 THEN
            RAISE cannot_coerce USING
                MESSAGE = format('%s values of attribute "%s" cannot be of type %s',
                                 failing, known.name, data_type),
                DETAIL = format('One of them is "%s".', left(example, 100)),
                HINT = 'Use on_failure "clear" to take them out of the projection, or "keep" to leave them as they are.';
        END IF;
    END IF;
    UPDATE eav.attributes a
    SET data_type = alter_attribute_type.data_type, is_inferred = false,
        -- Where values of the old type are.
        moving_from = ARRAY[known.projection]
    WHERE a.tenant_id = known.tenant_id AND a.attribute_id = known.attribute_id;
    INSERT INTO eav.attribute_moves (tenant_id, attribute_id, change, old_value, new_value,
                                     clears_failed)
    VALUES (known.tenant_id, known.attribute_id, 'type', known.data_type, data_type,
            on_failure = 'clear');
    RETURN true;
END
$$;
COMMENT ON FUNCTION eav.alter_attribute_type(bigint, text, text, text) IS
'Changes the type of an attribute: values that arrive after the commit are read by it, and the present ones are converted by the worker in batches (eav.stat_attribute_moves). History keeps every value as it came. on_failure says what becomes of present values that cannot be read as the new type: error refuses the change (the present values are looked through first; one that arrives meanwhile stays as it is), clear takes them out of the projection, keep leaves them as they are; eav.attribute_changes tells how many. Returns false when the attribute has that type. Raises cannot_coerce (42846) when no value of the old type can be of the new one, and with error for values that cannot; undefined_object (42704) for an unknown attribute, foreign_key_violation (23503) for an unknown tenant, invalid_parameter_value (22023) for an unknown type or on_failure, object_in_use (55006) while its values are being moved, null_value_not_allowed (22004).';

CREATE FUNCTION eav._estimate_entities(tenant_id bigint, attribute_id integer) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM eav.entity_jsonb p WHERE p.tenant_id = %s',
                   tenant_id) INTO plan;
    UPDATE eav.attribute_moves m SET entities_total = (plan #>> '{0,Plan,Plan Rows}')::bigint
    WHERE m.tenant_id = _estimate_entities.tenant_id
      AND m.attribute_id = _estimate_entities.attribute_id;
END
$$;
COMMENT ON FUNCTION eav._estimate_entities(bigint, integer) IS 'Internal: notes how many entities a move has to go through, as the planner estimates it.';

CREATE FUNCTION eav.move_attributes(max_entities integer DEFAULT 1000) RETURNS integer
    LANGUAGE c VOLATILE SECURITY DEFINER AS 'MODULE_PATHNAME', 'eav_move_attributes'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.move_attributes(integer) IS
'Does one batch of what eav.promote_attribute(), eav.demote_attribute() and eav.alter_attribute_type() have left to do, as the worker does with each tick; for servers without a worker. max_entities: how many entities, or values of history, it goes through at most. Returns the number of moves that are still under way: call it, each time in a transaction of its own, until it returns 0. Raises invalid_parameter_value (22023) when max_entities is below 1 or null.';

-- sql/70_stats.sql

-- Statistics per attribute.

-- From the rollups, so that it costs the same however many values there are.
CREATE MATERIALIZED VIEW eav.mv_entity_attribute_stats AS
SELECT s.tenant_id,
       s.attribute_id,
       a.name AS attribute_name,
       a.data_type,
       s.value_count::bigint AS value_count,
       s.cleared_count::bigint AS cleared_count,
       CASE WHEN a.projection <> 'none' THEN s.entity_count::bigint END AS entity_count,
       s.min_value,
       s.max_value,
       s.sum_value / nullif(s.number_count, 0) AS avg_value,
       s.first_observed_at,
       s.last_observed_at,
       s.last_ingested_at
FROM (SELECT r.tenant_id,
             r.attribute_id,
             sum(r.value_count) AS value_count,
             sum(r.cleared_count) AS cleared_count,
             sum(r.number_count) AS number_count,
             sum(r.new_entities) AS entity_count,
             min(r.min_value) AS min_value,
             max(r.max_value) AS max_value,
             sum(r.sum_value) AS sum_value,
             min(r.first_observed_at) AS first_observed_at,
             max(r.last_observed_at) AS last_observed_at,
             max(r.last_ingested_at) AS last_ingested_at
      FROM eav.attribute_rollups_daily r
      GROUP BY r.tenant_id, r.attribute_id
      HAVING sum(r.value_count + r.cleared_count) > 0) AS s
LEFT JOIN eav.attributes a ON a.tenant_id = s.tenant_id AND a.attribute_id = s.attribute_id;
CREATE UNIQUE INDEX mv_entity_attribute_stats_key
    ON eav.mv_entity_attribute_stats (tenant_id, attribute_id);

COMMENT ON MATERIALIZED VIEW eav.mv_entity_attribute_stats IS 'One row per attribute that ever had a value, as of the last eav.refresh_stats(); empty until the first, also after a restore.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.value_count IS 'Values that were written to history, without clearings; those in partitions that have been dropped since still count.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.cleared_count IS 'How often the attribute was cleared.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.entity_count IS 'Entities in whose projection the attribute ever had a value or a clearing; null for an attribute with projection none.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.min_value IS 'Smallest value of a numeric attribute (int, float, numeric), without NaN, Infinity and what has more than 10,000 digits before the point; null for other types. max_value and avg_value likewise. A float counts with 15 digits.';

CREATE FUNCTION eav.refresh_stats(concurrently boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF "concurrently" IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'concurrently must not be null',
            DETAIL = 'It says whether readers may go on meanwhile.',
            HINT = 'Use true or false.';
    END IF;
    PERFORM eav.merge_rollups();
    IF "concurrently" THEN
        REFRESH MATERIALIZED VIEW CONCURRENTLY eav.mv_entity_attribute_stats;
    ELSE
        REFRESH MATERIALIZED VIEW eav.mv_entity_attribute_stats;
    END IF;
END
$$;
COMMENT ON FUNCTION eav.refresh_stats(boolean) IS
'Merges the rollups (eav.merge_rollups()) and recomputes eav.mv_entity_attribute_stats from them; returns nothing. concurrently: true lets readers go on, false is faster and locks them out. Refreshes take turns. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for null.';

-- sql/74_documents.sql

-- Documents of entities, over all projections.

CREATE FUNCTION eav.get_entity(tenant_id bigint, entity_id bigint, attributes text[] DEFAULT NULL,
                               with_metadata boolean DEFAULT false)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER COST 1000
    AS 'MODULE_PATHNAME', 'eav_get_entity'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.get_entity(bigint, bigint, text[], boolean) IS
'Returns the document of an entity: an object of all attributes with a current value (projection hot, live or current), by name; an empty one when there is none, null when the entity is not registered or deleted. attributes: only these, by their present or first names; a notice tells of those that do not exist. with_metadata: returns {"entity_id", "external_id", "document", "observed_at": {name: time}, "source", "lag_seconds", "consistency"}, the last three as eav.freshness() has them; times are ISO 8601 in UTC. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null tenant_id or with_metadata, and with metadata what eav.freshness() raises.';

CREATE FUNCTION eav.get_entity(tenant_id bigint, external_id text, attributes text[] DEFAULT NULL,
                               with_metadata boolean DEFAULT false)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER COST 1000
    AS 'MODULE_PATHNAME', 'eav_get_entity_by_name'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.get_entity(bigint, text, text[], boolean) IS
'Returns the document of the entity with this external id, as eav.get_entity(bigint, bigint) does, and raises the same.';

CREATE FUNCTION eav.get_entities(tenant_id bigint, entity_ids bigint[],
                                 attributes text[] DEFAULT NULL,
                                 with_metadata boolean DEFAULT false)
    RETURNS TABLE (entity_id bigint, external_id text, document jsonb)
    LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER COST 10000 ROWS 100
    AS 'MODULE_PATHNAME', 'eav_get_entities'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.get_entities(bigint, bigint[], text[], boolean) IS
'Returns a row with the document of each of these entities that is registered and not deleted, once each, in the order asked for; none for null. The other arguments and document are those of eav.get_entity(). A literal needs a type, as there is a function for external ids, too. Raises null_value_not_allowed (22004) for a null tenant_id or with_metadata, and with metadata what eav.freshness() raises.';

CREATE FUNCTION eav.get_entities(tenant_id bigint, external_ids text[],
                                 attributes text[] DEFAULT NULL,
                                 with_metadata boolean DEFAULT false)
    RETURNS TABLE (entity_id bigint, external_id text, document jsonb)
    LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER COST 10000 ROWS 100
    AS 'MODULE_PATHNAME', 'eav_get_entities_by_name'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.get_entities(bigint, text[], text[], boolean) IS
'Returns a row with the document of each of the entities with these external ids, as eav.get_entities(bigint, bigint[]) does, and raises the same.';

-- sql/75_find.sql

-- Entities by what their documents say.

CREATE FUNCTION eav.find_entities(tenant_id bigint, filter jsonpath, order_by text DEFAULT NULL,
                                  limit_rows integer DEFAULT 100, after text DEFAULT NULL,
                                  attributes text[] DEFAULT NULL)
    RETURNS TABLE (entity_id bigint, external_id text, document jsonb, cursor text)
    LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER COST 10000 ROWS 100
    AS 'MODULE_PATHNAME', 'eav_find_entities'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.find_entities(bigint, jsonpath, text, integer, text, text[]) IS
'Returns the entities of a tenant for whose document (that of eav.get_entity()) jsonb_path_match(document, filter) is true; all of them for a null filter. order_by: name of an attribute, optionally followed by asc or desc: by eav.value_key() of its value and entity_id, entities without a value last; null: by entity_id. limit_rows: most rows. after: the cursor of the last row of the page before. attributes: what document is to have, as in eav.get_entity(). A condition on an attribute that does not exist (also a former name), or has projection none, is met by no entity, and a notice tells so. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null tenant_id, invalid_parameter_value (22023) for a filter that is no predicate or has variables, for limit_rows below 1 and for a cursor that is none or of another query, program_limit_exceeded (54000) when no index answers the query and the tenant has more entities than eav.max_scan_entities.';

CREATE FUNCTION eav.explain_find(tenant_id bigint, filter jsonpath, order_by text DEFAULT NULL)
    RETURNS TABLE (step integer, node text, attribute text, projection text, access text,
                   index_name text, estimated_rows bigint, detail text)
    LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER COST 10000 ROWS 10
    AS 'MODULE_PATHNAME', 'eav_explain_find'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.explain_find(bigint, jsonpath, text) IS
'Returns what eav.find_entities() would do with the filter and order, without looking for entities. The first row says where candidates come from, with access index, order (an index in the order asked for), walk (all entities of the tenant) or none. Then a row for each condition, indented below all of and any of, with its access: index and index range (a B-tree), gin (the index of all hot attributes), or recheck. estimated_rows: candidates, counted up to 2,000 at one key and 20,000 in a range (up to 100,000 entities for a walk); null when that would cost too much. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for a null tenant_id and invalid_parameter_value (22023) for a filter that is no predicate or has variables; not that too many entities would have to be looked at, which it tells instead.';

-- sql/80_worker.sql

-- The worker: flushes every eav.flush_interval and maintains the partitions.

CREATE FUNCTION eav.start_worker() RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_start_worker'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.start_worker() IS
'Starts the flush worker of this database. True when a worker was asked for, false when one is running already. When called inside a transaction the worker begins its work after that transaction has ended. Raises insufficient_resources (53000) when max_worker_processes leaves no free slot.';

-- The worker holds a lock that says so; see src/worker/start.cpp.
CREATE FUNCTION eav._worker_pid() RETURNS integer
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT l.pid
    FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_database d ON d.oid = l.database
    WHERE d.datname = current_database()
      AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 25974;
END;
COMMENT ON FUNCTION eav._worker_pid() IS 'Internal: process id of the flush worker of this database, null when none is running.';

CREATE FUNCTION eav.worker_status(OUT running boolean, OUT pid integer, OUT backend_type text,
                                  OUT application_name text, OUT state text,
                                  OUT wait_event_type text, OUT wait_event text,
                                  OUT started_at timestamptz, OUT last_flush_at timestamptz,
                                  OUT flushes bigint, OUT flushed bigint, OUT projected bigint,
                                  OUT rejected bigint, OUT backlog bigint, OUT staged_bytes bigint,
                                  OUT flush_interval text)
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.pid IS NOT NULL, w.pid, a.backend_type, a.application_name, a.state,
           a.wait_event_type, a.wait_event, a.backend_start, s.snapshot_at,
           s.flushes, s.flushed, s.projected, s.rejected, s.backlog,
           (SELECT sum(pg_total_relation_size(p.relid))::bigint
            FROM pg_partition_tree('eav.entity_values_ingest') AS p WHERE p.isleaf),
           current_setting('eav.flush_interval', true)
    FROM (SELECT eav._worker_pid() AS pid) AS w
    LEFT JOIN pg_stat_activity a ON a.pid = w.pid
    LEFT JOIN eav.flush_state s ON true
$$;
COMMENT ON FUNCTION eav.worker_status() IS
'Returns one row about the flush worker of this database. running: whether it runs; pid, backend_type, application_name, state, wait_event_type, wait_event, started_at: as in pg_stat_activity, null when it does not. last_flush_at: time of the last flush that had work. flushes: number of flushes that had work; flushed, projected, rejected: values they wrote to history, to the projection and to ingest_rejects; all four since the extension was created, flushes by hand included. backlog: values waiting in flush_backlog. staged_bytes: size of staging on disk; flushed rows count until their leaf is truncated. flush_interval: the setting eav.flush_interval as this session sees it. Runs with the rights of the owner of the extension, so that EXECUTE is enough for monitoring. Raises nothing.';

-- sql/85_freshness.sql

-- How old an answer is: nodes, what reads may lag, heartbeats, and the lag of every node.

CREATE TABLE eav.freshness_budget (
    read_path text PRIMARY KEY CHECK (octet_length(read_path) BETWEEN 1 AND 63),
    node_type text NOT NULL CHECK (node_type IN ('primary', 'replica', 'stream', 'olap', 'cache')),
    target_lag interval NOT NULL CHECK (isfinite(target_lag) AND target_lag >= interval '0'),
    max_lag interval NOT NULL CHECK (isfinite(max_lag) AND max_lag <= interval '10 years'),
    consistency text NOT NULL CHECK (consistency IN ('strong', 'bounded', 'eventual')),
    fallback text NOT NULL
        CHECK (fallback IN ('primary', 'failover', 'abort', 'partial', 'as_of', 'accept')),
    retry_after interval CHECK (retry_after > interval '0'),
    is_default boolean NOT NULL DEFAULT false,
    CONSTRAINT target_within_max CHECK (target_lag <= max_lag)
);
COMMENT ON TABLE eav.freshness_budget IS 'How far reads may lag, one row for each read path; edit as you like. Takes effect within eav.heartbeat_interval.';
COMMENT ON COLUMN eav.freshness_budget.read_path IS 'Name that eav.route_read() is asked with, and that eav.nodes refers to.';
COMMENT ON COLUMN eav.freshness_budget.node_type IS 'What answers such reads: primary, replica, stream, olap or cache.';
COMMENT ON COLUMN eav.freshness_budget.target_lag IS 'Up to here a node is ok.';
COMMENT ON COLUMN eav.freshness_budget.max_lag IS 'Up to here it is lagging, beyond it is stale.';
COMMENT ON COLUMN eav.freshness_budget.consistency IS 'What such reads are promised: strong, bounded or eventual.';
COMMENT ON COLUMN eav.freshness_budget.fallback IS 'What to do when no node is within max_lag. primary: read there; failover: only the primary will do, wait for one; abort: do not read, try again after retry_after; partial, as_of, accept: read what there is, and warn that it is not complete, show as of when it is, or nothing of the kind.';
COMMENT ON COLUMN eav.freshness_budget.retry_after IS 'With fallback abort: when to try again.';
COMMENT ON COLUMN eav.freshness_budget.is_default IS 'As installed. Rows that are not are part of dumps; a row inserted for a read path replaces its default.';

INSERT INTO eav.freshness_budget
    (read_path, node_type, target_lag, max_lag, consistency, fallback, retry_after, is_default)
VALUES ('cache', 'cache', '0', '100 ms', 'strong', 'primary', NULL, true),
       ('primary', 'primary', '0', '50 ms', 'strong', 'failover', NULL, true),
       ('replica', 'replica', '3 s', '5 s', 'bounded', 'primary', NULL, true),
       ('near_real_time', 'replica', '10 s', '30 s', 'eventual', 'abort', '1 min', true),
       ('stream', 'stream', '30 s', '2 min', 'eventual', 'partial', NULL, true),
       ('olap_dashboard', 'olap', '5 min', '15 min', 'eventual', 'as_of', NULL, true),
       ('olap_historical', 'olap', '24 h', '48 h', 'eventual', 'accept', NULL, true);

CREATE FUNCTION eav._keep_budget() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        NEW.is_default := false;
    ELSE
        DELETE FROM eav.freshness_budget b WHERE b.read_path = NEW.read_path AND b.is_default;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION eav._keep_budget() IS 'Internal: a default that is edited is none any more, and one that is inserted anew, as a restore does, is replaced.';
CREATE TRIGGER keep_budget BEFORE INSERT OR UPDATE ON eav.freshness_budget
    FOR EACH ROW EXECUTE FUNCTION eav._keep_budget();

CREATE TABLE eav.nodes (
    node_id text PRIMARY KEY CHECK (octet_length(node_id) BETWEEN 1 AND 63),
    node_type text NOT NULL DEFAULT 'server'
        CHECK (node_type IN ('server', 'stream', 'olap', 'cache')),
    conninfo text CHECK (octet_length(conninfo) BETWEEN 1 AND 500),
    replication_name text CHECK (octet_length(replication_name) BETWEEN 1 AND 63),
    read_path text,
    is_enabled boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE eav.nodes IS 'The nodes that reads can be routed to, 32 at most; edit as you like. Takes effect within eav.heartbeat_interval.';
COMMENT ON COLUMN eav.nodes.node_id IS 'For a server its setting eav.node_id (cluster_name, unless set).';
COMMENT ON COLUMN eav.nodes.node_type IS 'server: this server or a physical standby, primary or replica, whichever it is at the moment; stream: what reads a logical replication slot; olap, cache: what tells its freshness by eav.report_freshness().';
COMMENT ON COLUMN eav.nodes.conninfo IS 'How clients connect, handed out as it is; without passwords, which belong into a password file.';
COMMENT ON COLUMN eav.nodes.replication_name IS 'The application_name of the standby in pg_stat_replication, or the name of the slot; node_id when null.';
COMMENT ON COLUMN eav.nodes.read_path IS 'The budget that says when the node is ok, lagging or stale, and when its breaker opens; the one of its type (replica, stream, olap_dashboard, cache) when null or unknown.';
COMMENT ON COLUMN eav.nodes.is_enabled IS 'False takes the node out of routing; it is still measured.';

-- No constraint: its error would show the row, and the password with it.
CREATE FUNCTION eav._refuse_password() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.conninfo ~* 'password' OR NEW.conninfo ~ '://[^/@]*:[^/@]*@'
       OR NEW.conninfo ~ '[?&][^=&]*%' THEN
        RAISE check_violation USING MESSAGE = 'conninfo must not contain a password',
            DETAIL = 'It is shown to all who may route.',
            HINT = 'Keep passwords in the password file of the clients.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION eav._refuse_password() IS 'Internal: keeps passwords out of eav.nodes. Raises check_violation (23514).';
CREATE TRIGGER refuse_password BEFORE INSERT OR UPDATE ON eav.nodes
    FOR EACH ROW EXECUTE FUNCTION eav._refuse_password();

CREATE FUNCTION eav._limit_nodes() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (SELECT count(*) FROM eav.nodes) > 32 THEN
        RAISE program_limit_exceeded USING MESSAGE = 'too many nodes',
            DETAIL = 'eav.nodes holds 32 at most.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION eav._limit_nodes() IS 'Internal: there is room for 32 nodes in shared memory. Raises program_limit_exceeded (54000).';
CREATE TRIGGER limit_nodes AFTER INSERT ON eav.nodes
    FOR EACH STATEMENT EXECUTE FUNCTION eav._limit_nodes();

-- One row for each node, but a new version every second. The fuller a page may become before it is
-- pruned, the fewer are the moments at which pruning, replayed, meets an old snapshot on a standby.
CREATE TABLE eav.replication_heartbeat (
    node_id text PRIMARY KEY CHECK (octet_length(node_id) BETWEEN 1 AND 63),
    node_type text NOT NULL CHECK (node_type IN ('primary', 'replica', 'stream', 'olap', 'cache')),
    last_heartbeat timestamptz NOT NULL CHECK (isfinite(last_heartbeat)),
    write_sequence bigint NOT NULL,
    wal_lsn pg_lsn
);
COMMENT ON TABLE eav.replication_heartbeat IS 'Signs of life that travel with the data. The worker of the primary writes its row every eav.heartbeat_interval; a node that calls eav.report_freshness() has one, too.';
COMMENT ON COLUMN eav.replication_heartbeat.node_id IS 'Who wrote it, or whom it is about.';
COMMENT ON COLUMN eav.replication_heartbeat.node_type IS 'primary; replica: has been the primary; else the type of the node in eav.nodes.';
COMMENT ON COLUMN eav.replication_heartbeat.last_heartbeat IS 'When it was written, by the clock of the primary; for a node that reports: its data is complete up to here.';
COMMENT ON COLUMN eav.replication_heartbeat.write_sequence IS 'Grows with each heartbeat, also over a change of the primary.';
COMMENT ON COLUMN eav.replication_heartbeat.wal_lsn IS 'Where the primary was in its WAL; null for a node that reports.';

CREATE FUNCTION eav.heartbeat(OUT node_id text, OUT last_heartbeat timestamptz,
                              OUT write_sequence bigint, OUT wal_lsn pg_lsn)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_heartbeat'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.heartbeat() IS
'Writes a heartbeat of this server, the primary, in the transaction of the caller, as the worker does every eav.heartbeat_interval; with wal_level = logical also as a logical message with the prefix eav.heartbeat. The worker is asked to look at all nodes anew. Returns the row of eav.replication_heartbeat, nulls when another transaction holds it: then that one writes. Raises read_only_sql_transaction (25006) on a standby.';

CREATE FUNCTION eav._shrink_heartbeats() RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept eav.replication_heartbeat[];
BEGIN
    LOCK TABLE eav.replication_heartbeat IN ACCESS EXCLUSIVE MODE NOWAIT;
    SELECT array_agg(h) INTO kept FROM eav.replication_heartbeat h;
    TRUNCATE eav.replication_heartbeat;
    INSERT INTO eav.replication_heartbeat SELECT (unnest(kept)).*;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION eav._shrink_heartbeats() IS 'Internal: gives back what dead versions take that an old snapshot keeps from being reused. False when somebody uses the table.';

CREATE FUNCTION eav.report_freshness(node_id text, as_of timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    kind text;
    skew CONSTANT interval := eav._setting('eav.max_future_skew')::interval;
BEGIN
    IF node_id IS NULL OR as_of IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = format('%s must not be null',
            CASE WHEN node_id IS NULL THEN 'node_id' ELSE 'as_of' END);
    END IF;
    SELECT n.node_type INTO kind FROM eav.nodes n WHERE n.node_id = report_freshness.node_id;
    IF kind IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('node "%s" does not exist', node_id),
            HINT = 'Insert it into eav.nodes.';
    ELSIF kind = 'server' THEN
        RAISE wrong_object_type USING MESSAGE = format('node "%s" is a server', node_id),
            DETAIL = 'The lag of servers is measured.';
    ELSIF NOT isfinite(as_of) THEN
        RAISE datetime_field_overflow USING MESSAGE = 'as_of must be finite';
    ELSIF as_of > clock_timestamp() + skew THEN
        RAISE datetime_field_overflow USING MESSAGE = 'as_of lies in the future',
            DETAIL = format('It is %s, and eav.max_future_skew is %s.', as_of, skew);
    END IF;
    INSERT INTO eav.replication_heartbeat AS h (node_id, node_type, last_heartbeat, write_sequence)
    -- A clock that is ahead of ours must not make the node fresh for longer.
    VALUES (node_id, kind, least(as_of, clock_timestamp()), 1)
    ON CONFLICT ON CONSTRAINT replication_heartbeat_pkey DO UPDATE
    SET node_type = excluded.node_type, last_heartbeat = excluded.last_heartbeat,
        write_sequence = h.write_sequence + 1, wal_lsn = NULL;
    PERFORM eav._note_report(node_id, least(as_of, clock_timestamp()));
END
$$;
COMMENT ON FUNCTION eav.report_freshness(text, timestamptz) IS
'Tells that the data of a node (of type stream, olap or cache in eav.nodes) is complete up to as_of, or now if that lies ahead. From then on its lag grows with the clock, until the next report. Raises undefined_object (42704) for an unknown node, wrong_object_type (42809) for a server, datetime_field_overflow (22008) for a time further ahead than eav.max_future_skew or infinite, null_value_not_allowed (22004), read_only_sql_transaction (25006) on a standby.';
CREATE FUNCTION eav._note_report(node_id text, as_of timestamptz) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_note_report'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._note_report(text, timestamptz) IS 'Internal: what eav.report_freshness() says is known to the router at once.';

CREATE FUNCTION eav.check_replication_lag()
    RETURNS TABLE (node_id text, node_type text, state text, lag_seconds double precision,
                   lag_bytes bigint, measured_by text, sampled_at timestamptz, detail text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_check_replication_lag'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.check_replication_lag() IS
'Returns a row for each node that this server knows: itself, those in eav.nodes, and standbys and logical slots that are not listed there. node_type: primary, replica, stream, olap or cache, as it is now. state by the budget of the node: ok, lagging, stale, or unknown, which counts as stale. lag_seconds and lag_bytes (of WAL): null when not known. measured_by: self, heartbeat (a standby, of itself), walsender, slot, report, or null. sampled_at: when the last sign of it was seen, by the clock of this server. detail: what there is to say, such as the skew of the clocks or why nothing is known. A standby measures itself only. Reads shared memory only. Raises program_limit_exceeded (54000) when more databases measure their freshness than eav.ring_databases, or one without preload.';

CREATE FUNCTION eav.freshness(OUT node_id text, OUT source text, OUT state text,
                              OUT lag_seconds double precision, OUT data_timestamp timestamptz,
                              OUT consistency text, OUT badge text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_freshness'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.freshness() IS
'Returns one row about what this server answers now. source: primary or replica. state: ok, lagging, stale or unknown, by the budget of the node. lag_seconds: null when unknown. data_timestamp: the answers are complete up to here, by the clock of the primary; null when no heartbeat has arrived. consistency: strong on the primary, bounded while within max_lag, else eventual. badge: real-time below 1 s, near-real-time up to 10 s, delayed beyond; stale past max_lag or when unknown. Raises program_limit_exceeded (54000) when more databases measure their freshness than eav.ring_databases, or one without preload.';

CREATE FUNCTION eav.freshness_headers(read_path text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_freshness_headers'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.freshness_headers(text) IS
'Returns eav.freshness() as HTTP headers: an array of objects with one member each, as the setting response.headers of PostgREST takes it: X-Data-Node, X-Data-Source, X-Data-Lag-Seconds, X-Data-Timestamp (ISO 8601, UTC), X-Consistency-Level, X-Data-Freshness (the badge); "unknown" for what is not known. Judged by the budget of read_path, or of the node when null. Raises undefined_object (42704) for an unknown read_path.';

-- sql/86_routing.sql

-- Where to read: the router with its breakers, and tokens for reading one's own writes.
-- eav.route_read() is asked before every read and touches no table: no SECURITY DEFINER, no SET.

CREATE FUNCTION eav.route_read(OUT node_id text, OUT conninfo text, OUT source text,
                               OUT lag_seconds double precision,
                               INOUT consistency text DEFAULT 'bounded',
                               max_lag interval DEFAULT NULL, read_path text DEFAULT NULL,
                               after_token text DEFAULT NULL,
                               OUT degraded boolean, OUT reason text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_route_read';
COMMENT ON FUNCTION eav.route_read(text, interval, text, text) IS
'Says where to read, in one row. consistency: strong (the primary), bounded or eventual (a replica within max_lag; 5 s and 30 s unless eav.freshness_budget says otherwise). read_path: a row of eav.freshness_budget, which then says what answers, how far it may lag, what is promised and what to do when no node will do; strong and max_lag, when given, come before it. after_token: a token of eav.write_token(); only nodes that have replayed it. Returns node_id; conninfo from eav.nodes, null when the server that was asked has none there: stay; source: the type of the node, or none; lag_seconds: null when unknown; consistency: what the read gets; degraded: it is not what was asked for; reason: in words. node_id is null when nothing may be read now: then reason says why, and the client tries again later. Answers from shared memory of this server; a standby knows the lag of no other standby. Raises invalid_parameter_value (22023) for an unknown consistency, a malformed token or a negative max_lag, null_value_not_allowed (22004) when consistency is null, undefined_object (42704) for an unknown read_path, object_not_in_prerequisite_state (55000) for a token of an older timeline or one that lies ahead of the primary.';

CREATE FUNCTION eav.report_read_failure(node_id text) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_report_read_failure'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.report_read_failure(text) IS
'Tells the router of this server that a read from a node has failed: eav.breaker_failures of them in a row open its breaker. Raises undefined_object (42704) for an unknown node, null_value_not_allowed (22004).';
CREATE FUNCTION eav.report_read_success(node_id text) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_report_read_success'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.report_read_success(text) IS
'Tells the router of this server that a read from a node has succeeded: failures count from zero again. Raises undefined_object (42704) for an unknown node, null_value_not_allowed (22004).';

CREATE FUNCTION eav.breaker_status()
    RETURNS TABLE (node_id text, state text, cause text, failures integer, since timestamptz,
                   changes_at timestamptz)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_breaker_status'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.breaker_status() IS
'Returns a row for each node: the breaker that the router of this server keeps for it. state: closed, open or half_open (one read a second is let through). cause: none, failures or lag. failures: failed reads in a row. since: when the state was entered, null when it has always been closed. changes_at: when an open breaker half-opens at the earliest, and when a half-open one closes if the node stays well; null when it does not get better. Raises program_limit_exceeded (54000) when more databases measure their freshness than eav.ring_databases, or one without preload.';

CREATE FUNCTION eav.write_token() RETURNS text
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_write_token'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.write_token() IS
'Returns a short text that stands for all that has been committed on this primary, for eav.wait_for_token() and eav.route_read(). Ask after the commit, not within the statement that writes, from any session. Values of eav.ingest() and of staging are covered once they are flushed: with ack durable, or after eav.wait_flushed(). Raises active_sql_transaction (25001) in a transaction that has written, whose commit would not be covered, read_only_sql_transaction (25006) on a standby.';

CREATE FUNCTION eav.wait_for_token(token text, timeout interval DEFAULT '5s') RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_wait_for_token'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.wait_for_token(text, interval) IS
'Waits on a standby until it has replayed a token of eav.write_token(). True when it has: the next statement sees what was written; false when the time is over. On the primary true at once. Call it as a statement of its own, outside a transaction block: then it holds no snapshot while it waits, which would keep the standby from replaying. Raises object_not_in_prerequisite_state (55000) for a token of an older timeline (a standby has been promoted since; whether the write has survived, only the data tells), and on the primary for one that lies ahead of it; active_sql_transaction (25001) where the next statement would see no more than this one (REPEATABLE READ, SERIALIZABLE), invalid_parameter_value (22023) for a malformed token or a negative timeout, null_value_not_allowed (22004).';

-- sql/95_dump.sql

-- What pg_dump takes along: the rows that users made. CREATE EXTENSION leaves these tables
-- empty, so that a restore meets no row of its own.
--
-- Left out: attribute_moves, which would begin while the tables they move values of are still being
-- restored; flush_state and the staging tables, whose transaction ids mean nothing in another
-- cluster; and history, whose partitions are no members of the extension and are dumped as tables.

SELECT pg_catalog.pg_extension_config_dump('eav.tenants', '');
SELECT pg_catalog.pg_extension_config_dump('eav.tenant_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.entities', '');
SELECT pg_catalog.pg_extension_config_dump('eav.entity_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attributes', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_changes', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_changes_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_reads', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_indexes', '');
SELECT pg_catalog.pg_extension_config_dump('eav.entity_jsonb', '');
SELECT pg_catalog.pg_extension_config_dump('eav.entity_values_current', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_rollups', '');
SELECT pg_catalog.pg_extension_config_dump('eav.attribute_rollups_daily', '');
SELECT pg_catalog.pg_extension_config_dump('eav.partition_policy', '');
SELECT pg_catalog.pg_extension_config_dump('eav.flush_backlog', '');
SELECT pg_catalog.pg_extension_config_dump('eav.flush_backlog_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.ingest_gaps', '');
SELECT pg_catalog.pg_extension_config_dump('eav.ingest_gaps_seq', '');
SELECT pg_catalog.pg_extension_config_dump('eav.ingest_rejects', '');
SELECT pg_catalog.pg_extension_config_dump('eav.ingest_rejects_seq', '');
-- A row that is as installed comes with the extension; one that was changed replaces it. What the
-- heartbeats say is of this cluster only.
SELECT pg_catalog.pg_extension_config_dump('eav.freshness_budget', 'WHERE NOT is_default');
SELECT pg_catalog.pg_extension_config_dump('eav.nodes', '');

-- sql/97_start.sql

-- The worker begins when this transaction has ended. Without a free process slot the extension
-- works as well, driven by calls of eav.stage_flush().
DO $$
BEGIN
    PERFORM eav.start_worker();
EXCEPTION WHEN insufficient_resources THEN
    RAISE WARNING 'the flush worker was not started: %', SQLERRM
        USING HINT = 'Raise max_worker_processes and call eav.start_worker().';
END;
$$;

-- sql/99_privileges.sql

-- PUBLIC gets nothing: not the EXECUTE that functions and the USAGE that types have by default, and
-- not what default privileges of the database may have added. Only members of the extension are touched, since the
-- schema may hold objects of others.

DO $$
DECLARE
    member record;
BEGIN
    FOR member IN
        SELECT CASE o.type WHEN 'function' THEN 'ROUTINE' WHEN 'aggregate' THEN 'ROUTINE'
               WHEN 'sequence' THEN 'SEQUENCE'
               WHEN 'type' THEN 'TYPE' ELSE 'TABLE' END AS kind,
               o.identity
        FROM pg_catalog.pg_extension e
        JOIN pg_catalog.pg_depend d
            ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
            AND d.refobjid = e.oid AND d.deptype = 'e'
        CROSS JOIN pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS o
        WHERE e.extname = 'eav_ext'
          AND d.classid IN ('pg_catalog.pg_proc'::pg_catalog.regclass,
                            'pg_catalog.pg_type'::pg_catalog.regclass,
                            'pg_catalog.pg_class'::pg_catalog.regclass)
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM PUBLIC', member.kind, member.identity);
    END LOOP;
END
$$;
