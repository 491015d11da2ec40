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

CREATE FUNCTION eav.delete_rejects(reject_ids bigint[]) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_delete_rejects'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.delete_rejects(bigint[]) IS
'Deletes rows of eav.ingest_rejects, and returns how many: of the tenant that the caller acts for, or of all for one who acts for all. Raises null_value_not_allowed (22004) for null, and insufficient_privilege (42501) for one who acts for no tenant.';

CREATE FUNCTION eav.replay_rejects(reject_ids bigint[] DEFAULT NULL, correction jsonb DEFAULT '{}',
                                   max_rejects bigint DEFAULT NULL)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    allowed CONSTANT text[] := ARRAY(
        SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = 'eav.entity_values_ingest'::regclass AND a.attnum > 0
          AND NOT a.attisdropped AND a.attname NOT IN ('xact', 'slot', 'writer_tenant')
        ORDER BY a.attnum) || 'attributes'::text;
    lost CONSTANT text := 'truncated';
    own_tenant CONSTANT bigint := eav.current_tenant();
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
        WHERE (reject_ids IS NULL OR r.reject_id = ANY (reject_ids))
          AND coalesce(r.tenant_id = own_tenant, own_tenant IS NULL)
        ORDER BY r.reject_id
        LIMIT max_rejects
        FOR UPDATE SKIP LOCKED
    LOOP
        BEGIN
            IF reject.payload ? 'event' THEN
                PERFORM eav._replay_event(reject.payload -> 'event', correction);
                PERFORM eav.delete_rejects(ARRAY[reject.reject_id]);
                replayed := replayed + 1;
                CONTINUE;
            END IF;
            SELECT min(key) INTO unknown FROM jsonb_each(reject.payload || correction)
            WHERE key <> ALL (array_remove(allowed, 'attributes') || lost) AND value <> 'null';
            IF unknown IS NOT NULL THEN
                RAISE invalid_parameter_value
                    USING MESSAGE = format('"%s" is no column of a staged row', unknown);
            ELSIF reject.payload ? lost AND NOT correction ?| ARRAY['value', 'value_text', 'value_json'] THEN
                RAISE invalid_parameter_value
                    USING MESSAGE = 'it was too large to be kept whole, and the correction'
                                    ' has no value, value_text or value_json';
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
        PERFORM eav.delete_rejects(ARRAY[reject.reject_id]);
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
'Puts rejected rows back into staging, and rejected events through eav.ingest(), where the next flush takes them, removes them from eav.ingest_rejects, and returns how many. reject_ids: which rows; null means all. correction: an object that is merged into each payload; its keys are columns of eav.entity_values_ingest without xact and slot, or for an event those of an event, and null removes a value, or any other key. max_rejects: at most so many rows, lowest reject_id first; null means all. A row whose payload fits no staged row, and an event that would be rejected again, stays, and one WARNING counts such rows. Rows that a concurrent call is replaying are skipped, and rows of other tenants than the one that the caller acts for. Raises null_value_not_allowed (22004) for a null correction, and invalid_parameter_value (22023) for a correction that is no object or has unknown keys, or max_rejects below 1.';
