-- Registration by hand. Every function may be called again with the same arguments by any number
-- of sessions at once: each looks first, inserts without raising a conflict, and looks again.
-- eav.register_tenant() is for those who have the rights on the table; the others check the tenant
-- of their caller and then work with the rights of the extension's owner (src/access/gate.cpp).

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
    END IF;
    PERFORM eav._check_tenant_access(tenant_id);
    IF NOT EXISTS (SELECT FROM eav.tenants t WHERE t.tenant_id = _check_tenant.tenant_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
            MESSAGE = format('tenant %s does not exist', tenant_id),
            DETAIL = 'eav.tenants has no such tenant_id.',
            HINT = 'Register the tenant with eav.register_tenant() first.';
    END IF;
END
$$;
COMMENT ON FUNCTION eav._check_tenant(bigint) IS
'Internal: returns when the tenant exists and the caller may act for it. Raises null_value_not_allowed (22004) for null, insufficient_privilege (42501), and foreign_key_violation (23503) for an unknown tenant.';

CREATE FUNCTION eav.register_tenant(name text, tenant_id bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
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
            PERFORM eav._readmit_tenant(found_id, true);
            RETURN found_id;
        END IF;
        SELECT t.name INTO found_name FROM eav.tenants t WHERE t.tenant_id = wanted_id;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
                MESSAGE = format('tenant_id %s is taken', wanted_id),
                DETAIL = format('It belongs to tenant "%s".', found_name),
                HINT = 'Leave tenant_id out to get a new id.';
        END IF;
        IF wanted_id IS NOT NULL THEN
            PERFORM eav._readmit_tenant(wanted_id, false);
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
'Registers a tenant and returns its id; returns the id of the existing tenant when the name is known. tenant_id: null takes the next free id. Raises null_value_not_allowed (22004) for a null name, invalid_name (42602) for a name that is empty, longer than 255 bytes or holds control characters, duplicate_object (42710) when the name has another id or the id another name, and object_in_use (55006) while the tenant is being erased.';

CREATE FUNCTION eav._register_entity(tenant_id bigint, external_id text, entity_type text,
                                     entity_id bigint)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_name CONSTANT text := external_id;
    wanted_type CONSTANT text := entity_type;
    wanted_id CONSTANT bigint := entity_id;
    known eav.entities;
    is_known boolean;
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
        is_known := FOUND;
        PERFORM eav._readmit_entity(wanted_tenant, wanted_id, wanted_name, is_known);
        IF NOT is_known THEN
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
COMMENT ON FUNCTION eav._register_entity(bigint, text, text, bigint) IS 'Internal: what eav.register_entity() does once its caller has been checked.';
CREATE FUNCTION eav.register_entity(tenant_id bigint, external_id text,
                                    entity_type text DEFAULT NULL, entity_id bigint DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_for_tenant';
COMMENT ON FUNCTION eav.register_entity(bigint, text, text, bigint) IS
'Registers an entity of a tenant by its external id and returns its entity_id; returns the id of the existing entity when the external id is known. entity_type: null leaves it open; a type given later is stored when none was. entity_id: null takes the next free id; the id of an entity that is known by number only gives it the external id. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null tenant_id or external_id, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for an external id or type that is empty, longer than 255 bytes or holds control characters, duplicate_object (42710) when the entity has another id or type, or the id another entity, object_in_use (55006) while the entity or its tenant is being erased, and object_not_in_prerequisite_state (55000) when the tenant has been erased and is not registered again; once the erasure of an entity is complete, values are accepted for it again.';

CREATE FUNCTION eav._claim_name(tenant_id bigint, name text, is_rename boolean) RETURNS integer
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_claim_name'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._claim_name(bigint, text, boolean) IS
'Internal: the attribute of the tenant that has this name now, or was registered with it; null when the name is free, and stays so until the transaction has ended but for others who register it as well. is_rename: also for those.';

CREATE FUNCTION eav._register_attribute(tenant_id bigint, name text, data_type text,
                                        projection text)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE
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
            LOCK TABLE eav.attributes IN ROW EXCLUSIVE MODE;
            PERFORM eav._check_not_erased(wanted_tenant);
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
COMMENT ON FUNCTION eav._register_attribute(bigint, text, text, text) IS 'Internal: what eav.register_attribute() does once its caller has been checked.';
CREATE FUNCTION eav.register_attribute(tenant_id bigint, name text, data_type text,
                                       projection text DEFAULT NULL)
    RETURNS integer
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_for_tenant';
COMMENT ON FUNCTION eav.register_attribute(bigint, text, text, text) IS
'Registers an attribute of a tenant and returns its attribute_id; returns the id of the existing attribute when the name is known (with a NOTICE when it has been renamed since), makes its type final when it was inferred, and gives it its type when it had none yet. data_type: text, int, float, numeric, bool, timestamp or json. projection: hot, live, current or none; null accepts that of an existing attribute and chooses for a new one: hot for text and bool, live for the rest, current for all when eav.max_hot_attributes of the tenant are hot or live already. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null tenant_id, name or data_type, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for a name that is empty, longer than 255 bytes or holds control characters, invalid_parameter_value (22023) for an unknown data_type or projection, duplicate_object (42710) when the attribute has another data type or projection, object_in_use (55006) while the tenant is being erased, object_not_in_prerequisite_state (55000) when it has been erased and is not registered again, and serialization_failure (40001) when the isolation level does not let it see an attribute that another session has just registered or renamed.';
