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
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
    RETURN eav._set_projection(tenant_id, attribute, projection, true);
COMMENT ON FUNCTION eav.promote_attribute(bigint, text, text) IS
'Gives an attribute a higher projection: current, live or hot (none is the lowest). Values that arrive after the commit go there; those that are there already are moved by the worker in batches, from none out of history, while everything goes on; eav.stat_attribute_moves shows how far it is. Until it has ended eav.get_entity() and eav.find_entities() find values wherever they are. May be called again meanwhile with another goal. Returns true when there is something to move, false when the attribute has that projection. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, undefined_object (42704) for an unknown attribute, foreign_key_violation (23503) for an unknown tenant, invalid_parameter_value (22023) for an unknown or a lower projection, object_in_use (55006) while its type is being changed, null_value_not_allowed (22004).';

CREATE FUNCTION eav.demote_attribute(tenant_id bigint, attribute text,
                                     projection text DEFAULT 'current') RETURNS boolean
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
    RETURN eav._set_projection(tenant_id, attribute, projection, false);
COMMENT ON FUNCTION eav.demote_attribute(bigint, text, text) IS
'Gives an attribute a lower projection: live, current or none, which leaves its values in history only. Like eav.promote_attribute() in all else. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, undefined_object (42704) for an unknown attribute, foreign_key_violation (23503) for an unknown tenant, invalid_parameter_value (22023) for an unknown or a higher projection, object_in_use (55006) while its type is being changed, null_value_not_allowed (22004).';

CREATE FUNCTION eav.is_convertible(value jsonb, data_type text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eav_is_convertible';
COMMENT ON FUNCTION eav.is_convertible(jsonb, text) IS
'True when a value of a document can be read as one of the type (text, int, float, numeric, bool, timestamp or json): what eav.alter_attribute_type() would convert. False for an unknown type, null for null. Raises nothing.';

CREATE FUNCTION eav.alter_attribute_type(tenant_id bigint, attribute text, data_type text,
                                         on_failure text DEFAULT 'error') RETURNS boolean
    LANGUAGE plpgsql VOLATILE
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
'Changes the type of an attribute: values that arrive after the commit are read by it, and the present ones are converted by the worker in batches (eav.stat_attribute_moves). History keeps every value as it came. on_failure says what becomes of present values that cannot be read as the new type: error refuses the change (the present values are looked through first; one that arrives meanwhile stays as it is), clear takes them out of the projection, keep leaves them as they are; eav.attribute_changes tells how many. Returns false when the attribute has that type. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, cannot_coerce (42846) when no value of the old type can be of the new one, and with error for values that cannot; undefined_object (42704) for an unknown attribute, foreign_key_violation (23503) for an unknown tenant, invalid_parameter_value (22023) for an unknown type or on_failure, object_in_use (55006) while its values are being moved, null_value_not_allowed (22004).';

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
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_move_attributes'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.move_attributes(integer) IS
'Does one batch of what eav.promote_attribute(), eav.demote_attribute() and eav.alter_attribute_type() have left to do, as the worker does with each tick; for servers without a worker. max_entities: how many entities, or values of history, it goes through at most. Returns the number of moves that are still under way: call it, each time in a transaction of its own, until it returns 0. Raises invalid_parameter_value (22023) when max_entities is below 1 or null, and object_not_in_prerequisite_state (55000) when a trigger calls it within a flush, an upsert or another call.';
