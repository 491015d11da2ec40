-- The batches of an erasure, one after the other; the protocol stands in 68_erasure.sql.

CREATE FUNCTION eav._settle_erasure(INOUT erasure eav.erasures)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    erasure.older := eav._still_open(erasure.older, eav._open_transactions());
    IF erasure.older <> '{}' THEN
        erasure.next_attempt_at := clock_timestamp() + interval '1 s';
    ELSIF NOT erasure.is_flushed THEN
        PERFORM eav._flush_all();
        erasure.is_flushed := true;
        erasure.leaves := ARRAY(SELECT n FROM generate_series(0, 2) AS n
                                WHERE pg_relation_size(format('eav.entity_values_ingest_%s', n)) > 0);
    ELSE
        PERFORM eav._rotate_staging();
        erasure.leaves := ARRAY(SELECT n FROM unnest(erasure.leaves) AS n
                                WHERE pg_relation_size(format('eav.entity_values_ingest_%s', n)) > 0);
        IF erasure.leaves = '{}' THEN
            erasure.phase := 'settled';
        ELSE
            erasure.next_attempt_at := clock_timestamp() + interval '0.1 s';
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION eav._settle_erasure(eav.erasures) IS 'Internal: waits for transactions that are as old as the request, flushes what they have left, and empties staging.';

CREATE FUNCTION eav._erase_batch(INOUT erasure eav.erasures, max_values integer)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- How long the first pass is put off for those who may have to be waited for in any case.
    patience CONSTANT interval := '10 s';
BEGIN
    CASE erasure.phase
        WHEN 'waiting' THEN
            IF erasure.writers IS NULL THEN
                PERFORM eav._lock_flush();
                erasure.writers := eav._open_writers();
                erasure.older := eav._open_transactions();
            END IF;
            erasure.writers := eav._still_open(erasure.writers, eav._open_writers());
            erasure.is_last_pass := erasure.writers = '{}';
            IF erasure.is_last_pass OR clock_timestamp() > erasure.requested_at + patience THEN
                erasure.phase := 'rows';
            ELSE
                erasure.next_attempt_at := clock_timestamp() + interval '0.2 s';
            END IF;
        WHEN 'writers' THEN
            erasure.writers := eav._still_open(erasure.writers, eav._open_writers());
            IF erasure.writers = '{}' THEN
                erasure.is_last_pass := true;
                erasure.partition := 0;
                erasure.step := 1;
                erasure.phase := 'rows';
            ELSE
                erasure.next_attempt_at := clock_timestamp() + interval '1 s';
            END IF;
        WHEN 'rows' THEN
            IF erasure.of_tenant THEN
                erasure := eav._erase_tenant_rows(erasure, max_values);
            ELSE
                erasure := eav._erase_entity_rows(erasure);
                erasure.phase := 'history';
            END IF;
        WHEN 'history' THEN
            erasure := eav._erase_history(erasure, max_values);
        WHEN 'rollups' THEN
            erasure := eav._erase_from_rollups(erasure, greatest(max_values / 100, 1));
        WHEN 'rest' THEN
            erasure := eav._erase_rest(erasure);
        WHEN 'rejects' THEN
            erasure := eav._erase_rejects(erasure);
        WHEN 'stats' THEN
            PERFORM eav.refresh_stats();
            erasure.entity_id := NULL;
            erasure.external_id := NULL;
            erasure.phase := 'settling';
        WHEN 'settling' THEN
            erasure := eav._settle_erasure(erasure);
    END CASE;
END
$$;
COMMENT ON FUNCTION eav._erase_batch(eav.erasures, integer) IS 'Internal: one batch of an erasure.';

CREATE FUNCTION eav.run_erasures(max_values integer DEFAULT 20000) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    erasure eav.erasures;
    id bigint;
    message text;
BEGIN
    IF max_values IS NULL OR max_values < 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'max_values must be at least 1',
            HINT = 'Leave it out to get its default.';
    ELSIF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE invalid_transaction_state
            USING MESSAGE = 'eav.run_erasures() needs the isolation level READ COMMITTED',
                DETAIL = 'What others have committed meanwhile has to be seen.';
    END IF;
    SELECT * INTO erasure FROM eav.erasures e
    WHERE e.xact IS DISTINCT FROM pg_current_xact_id_if_assigned()
      AND e.next_attempt_at <= clock_timestamp()
    ORDER BY e.updated_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        id := erasure.erasure_id;
        BEGIN
            erasure := eav._erase_batch(erasure, max_values);
            UPDATE eav.erasures e
            SET entity_id = erasure.entity_id, external_id = erasure.external_id,
                subjects = erasure.subjects, phase = erasure.phase,
                is_last_pass = erasure.is_last_pass, writers = erasure.writers,
                older = erasure.older, is_flushed = erasure.is_flushed, leaves = erasure.leaves,
                step = erasure.step, last_key = erasure.last_key, partition = erasure.partition,
                last_attribute_id = erasure.last_attribute_id,
                last_ingested_at = erasure.last_ingested_at, counts = erasure.counts,
                failures = 0, last_error = NULL, next_attempt_at = erasure.next_attempt_at,
                updated_at = clock_timestamp()
            WHERE e.erasure_id = id;
            IF erasure.phase = 'settled' THEN
                INSERT INTO eav.audit_log (actor, action, state, erasure_id, tenant_id, details)
                SELECT r.actor, r.action, 'completed', r.erasure_id, r.tenant_id,
                       jsonb_build_object('requested_at', r.logged_at, 'removed', erasure.counts)
                FROM eav.audit_log r WHERE r.erasure_id = id AND r.state = 'requested';
                DELETE FROM eav.erasures e WHERE e.erasure_id = id;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            -- Tried again later and later; one that fails keeps no other from going on.
            message := SQLERRM;
            UPDATE eav.erasures e
            SET failures = e.failures + 1, last_error = message, updated_at = clock_timestamp(),
                next_attempt_at = clock_timestamp()
                    + least(2 ^ least(e.failures, 12), 3600) * interval '1 s'
            WHERE e.erasure_id = id;
        END;
    END IF;
    RETURN (SELECT count(*) FROM eav.erasures);
END
$$;
COMMENT ON FUNCTION eav.run_erasures(integer) IS
'Does one batch of what eav.erase_entity() and eav.erase_tenant() have left to do, as the worker does with each tick; for servers without a worker. max_values: how many rows of history of the tenant it goes through at most. Returns the number of erasures that are still under way: call it, each time in a transaction of its own, until it returns 0; some of them may only be waiting for transactions of others to end. A batch that fails is noted in eav.stat_erasures and tried again later. Raises invalid_parameter_value (22023) when max_values is below 1 or null, and invalid_transaction_state (25000) in a transaction that is not READ COMMITTED.';
