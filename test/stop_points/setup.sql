-- What the specs of test/stop_points share. No worker flushes unless a spec wants it to.
ALTER SYSTEM SET eav.worker_enabled = off;
ALTER SYSTEM SET eav.flush_interval = '60s';
SELECT pg_reload_conf();

CREATE SCHEMA stops;

-- The tester keeps sessions at a point by a lock.
CREATE FUNCTION stops.hold(point text) RETURNS void LANGUAGE sql
    RETURN pg_advisory_lock(hashtext(point));
CREATE FUNCTION stops.go_on(point text) RETURNS boolean LANGUAGE sql
    RETURN pg_advisory_unlock(hashtext(point));

-- Lets all go on, and returns when they have come to rest: what takes many transactions could else be
-- overtaken by the next step. In many transactions itself, for an erasure waits for those that are open.
CREATE PROCEDURE stops.let_go() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_unlock_all();
    FOR i IN 1 .. 6000 LOOP
        COMMIT;
        PERFORM pg_sleep(0.005), pg_stat_clear_snapshot();
        IF NOT EXISTS (
            SELECT FROM pg_stat_activity a
            WHERE a.application_name LIKE 'isolation/%' AND a.pid <> pg_backend_pid()
              AND a.state = 'active'
              AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted)) THEN
            RETURN;
        END IF;
    END LOOP;
    RAISE 'somebody does not come to rest';
END
$$;

-- A session that stops in the callback of its commit waits for no lock that could be seen. To the
-- tester it is blocked all the same.
SET allow_system_table_mods = on;
ALTER FUNCTION pg_catalog.pg_isolation_test_session_is_blocked(integer, integer[])
    RENAME TO pg_isolation_test_session_waits;
CREATE FUNCTION pg_catalog.pg_isolation_test_session_is_blocked(session integer, others integer[])
    RETURNS boolean LANGUAGE sql
    RETURN pg_isolation_test_session_waits(session, others)
        OR EXISTS (SELECT FROM pg_stat_activity WHERE pid = session AND wait_event = 'Extension');
RESET allow_system_table_mods;

-- The door to the ring is open, and the worker, who has opened it, sleeps; or it is closed. After
-- ALTER SYSTEM SET eav.worker_enabled.
CREATE FUNCTION stops.wait_for_door(wanted boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_reload_conf(), pg_current_xact_id();
    FOR i IN 1 .. 6000 LOOP
        PERFORM pg_sleep(0.005), pg_stat_clear_snapshot();
        IF (SELECT is_open FROM eav.stat_ingest) = wanted
            AND (NOT wanted OR EXISTS (
                SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND state = 'idle'
                  AND backend_type = 'eav_ext flush worker'
                  AND query <> 'opening the door to the ring')) THEN
            RETURN;
        END IF;
    END LOOP;
    RAISE 'the door is not as wanted';
END
$$;

-- What clients have committed: written in their transactions, or said to be theirs by the spec.
CREATE TABLE stops.sent (entity_id bigint, attribute_id integer, n bigint);

CREATE PROCEDURE stops.reset() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stops.wait_for_door(false);
    PERFORM eav.stage_flush();
    DELETE FROM stops.sent;
    DELETE FROM eav.entity_values_ts;
    DELETE FROM eav.entity_jsonb;
    DELETE FROM eav.entity_values_current;
    DELETE FROM eav.entities;
    DELETE FROM eav.attribute_moves;
    DELETE FROM eav.ingest_rejects;
    DELETE FROM eav.attributes;
    DELETE FROM eav.attribute_rollups;
    DELETE FROM eav.attribute_rollups_daily;
    DELETE FROM eav.rollup_pending;
    DELETE FROM eav.erasures;
    DELETE FROM eav.erasure_hours;
    DELETE FROM eav.erased_subjects;
    DELETE FROM eav.audit_log;
    PERFORM eav.register_tenant('stops', 1);
    INSERT INTO eav.attributes (attribute_id, tenant_id, name, data_type, projection)
    VALUES (1, 1, 'reading', 'int', 'live'), (2, 1, 'state', 'int', 'hot');
END
$$;

-- Value n of attribute 1, observed n seconds after the beginning of time.
CREATE FUNCTION stops.stage(entity bigint, n bigint, attribute integer DEFAULT 1,
                            leaf smallint DEFAULT eav._staging_slot()) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO eav.entity_values_ingest (slot, tenant_id, entity_id, attribute_id, value_int, observed_at)
    VALUES (leaf, 1, entity, attribute, n, to_timestamp(n));
    INSERT INTO stops.sent VALUES (entity, attribute, n);
END;
CREATE FUNCTION stops.ingest(entity bigint, n bigint) RETURNS bigint
    LANGUAGE sql
    RETURN (eav.ingest(jsonb_build_object('tenant_id', 1, 'entity_id', entity, 'observed_at', n * 1000,
                                          'attributes', jsonb_build_object('reading', n)))).accepted;
CREATE FUNCTION stops.upsert(entity bigint, n bigint, attribute text DEFAULT 'reading') RETURNS jsonb
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO stops.sent SELECT entity, a.attribute_id, n FROM eav.attributes a WHERE a.name = attribute;
    SELECT eav.upsert_hot_attributes(1, entity, jsonb_build_object(attribute, n), to_timestamp(n));
END;

-- What an erasure does in SQL stops here, as C code does at its stop points.
CREATE FUNCTION stops.stop() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_ARGV[0] = ANY (string_to_array(current_setting('eav.stop_at'), ',')) THEN
        PERFORM pg_advisory_lock_shared(hashtext(TG_ARGV[0]));
        PERFORM pg_advisory_unlock_shared(hashtext(TG_ARGV[0]));
    END IF;
    RETURN NULL;
END
$$;
-- Rows are gone from history, and that their rollups have to be computed anew is about to be noted.
CREATE TRIGGER stop BEFORE INSERT ON eav.erasure_hours
    FOR EACH STATEMENT EXECUTE FUNCTION stops.stop('erase_in_history');
-- A batch is done, and how far it has come is about to be noted.
CREATE TRIGGER stop BEFORE UPDATE OF phase ON eav.erasures
    FOR EACH STATEMENT EXECUTE FUNCTION stops.stop('erase_before_progress');

-- Batches of the erasure that is under way, without the pauses between them: until it has come to a
-- phase, or to no other one in many batches.
CREATE PROCEDURE stops.erase(wanted text DEFAULT NULL, INOUT phase text DEFAULT NULL,
                             max_values integer DEFAULT 20000)
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    previous text;
    batches integer := 0;
BEGIN
    LOOP
        UPDATE eav.erasures SET next_attempt_at = '-infinity';
        PERFORM eav.run_erasures(max_values);
        COMMIT;
        -- Somebody who looks on may be one of those that are waited for.
        PERFORM pg_sleep(0.01) WHERE batches > 5;
        previous := phase;
        phase := (SELECT e.phase || coalesce(': ' || e.last_error, '') FROM eav.erasures e);
        batches := CASE WHEN phase = previous THEN batches + 1 ELSE 0 END;
        EXIT WHEN phase IS NULL OR phase = wanted OR batches > 20;
    END LOOP;
    phase := coalesce(phase, 'complete');
END
$$;

-- Of an entity that has been erased and not been registered again: the rows that are still about it, and
-- of history what the erasure says that it has removed; rollups that are not what history says.
CREATE PROCEDURE stops.erasure_verdict(erased_id bigint, INOUT erasures bigint DEFAULT NULL,
                                       INOUT completed bigint DEFAULT NULL,
                                       INOUT removed bigint DEFAULT NULL,
                                       INOUT traces text DEFAULT NULL,
                                       INOUT false_rollups bigint DEFAULT NULL)
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM eav.stage_flush();
    COMMIT;
    PERFORM eav.merge_rollups();
    DELETE FROM stops.sent s WHERE s.entity_id = erased_id;
    erasures := (SELECT count(*) FROM eav.erasures);
    SELECT count(*), sum((a.details #>> '{removed,entity_values_ts}')::bigint) INTO completed, removed
    FROM eav.audit_log a WHERE a.state = 'completed';
    traces := (
        SELECT string_agg(DISTINCT t.name, ', ') FROM (
            SELECT 'entities' FROM eav.entities WHERE entity_id = erased_id
            UNION ALL SELECT 'entity_jsonb' FROM eav.entity_jsonb WHERE entity_id = erased_id
            UNION ALL SELECT 'current' FROM eav.entity_values_current WHERE entity_id = erased_id
            UNION ALL SELECT 'keys' FROM eav.entity_keys WHERE entity_id = erased_id
            UNION ALL SELECT 'history' FROM eav.entity_values_ts WHERE entity_id = erased_id
            UNION ALL SELECT 'erasure_hours' FROM eav.erasure_hours
            UNION ALL SELECT 'backlog' FROM eav.flush_backlog WHERE entity_id = erased_id
            UNION ALL SELECT 'rejects' FROM eav.ingest_rejects
                      WHERE payload #>> '{entity_id}' = erased_id::text) AS t (name));
    WITH expected AS (
        SELECT tenant_id, attribute_id, bucket, value_count, number_count, min_value, max_value,
               sum_value, first_observed_at, last_observed_at
        FROM eav._computed_rollups() WHERE isfinite(bucket)),
    actual AS (
        SELECT tenant_id, attribute_id, bucket, value_count, number_count, min_value, max_value,
               sum_value, first_observed_at, last_observed_at FROM eav.attribute_rollups),
    days AS (
        SELECT tenant_id, attribute_id, date_trunc('day', bucket, 'UTC') AS bucket,
               sum(value_count) AS value_count, sum(number_count) AS number_count,
               min(min_value) AS min_value, max(max_value) AS max_value, sum(sum_value) AS sum_value,
               min(first_observed_at) AS first_observed_at, max(last_observed_at) AS last_observed_at
        FROM expected GROUP BY 1, 2, 3),
    actual_days AS (
        SELECT tenant_id, attribute_id, bucket, value_count::numeric, number_count::numeric,
               min_value, max_value, sum_value, first_observed_at, last_observed_at
        FROM eav.attribute_rollups_daily
        WHERE value_count + cleared_count > 0)
    SELECT count(*) INTO false_rollups
    FROM ((TABLE expected EXCEPT TABLE actual) UNION ALL (TABLE actual EXCEPT TABLE expected)
          UNION ALL (TABLE days EXCEPT TABLE actual_days)
          UNION ALL (TABLE actual_days EXCEPT TABLE days)) AS x;
END
$$;

-- The newest values by history, and where they belong.
CREATE VIEW stops.expected AS
SELECT DISTINCT ON (h.entity_id, h.attribute_id)
       h.entity_id, coalesce(a.document_name, a.name) AS name, h.attribute_id, a.projection,
       coalesce(to_jsonb(h.value_int), to_jsonb(h.value_float)) AS value
FROM eav.entity_values_ts h JOIN eav.attributes a USING (tenant_id, attribute_id)
ORDER BY h.entity_id, h.attribute_id, h.observed_at DESC, h.ingested_at DESC;

CREATE VIEW stops.stored AS
SELECT p.entity_id, v.key AS name, 'hot' AS projection, v.value
FROM eav.entity_jsonb p, jsonb_each(p.hot_attrs) AS v
UNION ALL
SELECT p.entity_id, v.key, 'live', v.value FROM eav.entity_jsonb p, jsonb_each(p.live_attrs) AS v
UNION ALL
SELECT c.entity_id, a.name, 'current', c.value
FROM eav.entity_values_current c JOIN eav.attributes a USING (tenant_id, attribute_id);

-- The oracle, after two more flushes: what was sent and is not in history; what is there that was not
-- sent, or too often; values that are not in the projection, and others that are; what has been left
-- in the ring, in the backlog and in the rejects. All but the first is to be 0.
CREATE PROCEDURE stops.verdict(INOUT sent bigint DEFAULT NULL, INOUT lost bigint DEFAULT NULL,
                               INOUT twice bigint DEFAULT NULL,
                               INOUT not_projected bigint DEFAULT NULL,
                               INOUT falsely_projected bigint DEFAULT NULL,
                               INOUT slabs bigint DEFAULT NULL, INOUT backlog bigint DEFAULT NULL,
                               INOUT rejects bigint DEFAULT NULL)
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM eav.stage_flush();
    COMMIT; -- and its slabs are released
    PERFORM eav.stage_flush();
    COMMIT;
    sent := (SELECT count(*) FROM stops.sent);
    lost := (SELECT count(*) FROM (
        SELECT s.entity_id, s.attribute_id, s.n FROM stops.sent s
        EXCEPT ALL SELECT h.entity_id, h.attribute_id, h.value_int FROM eav.entity_values_ts h) AS x);
    twice := (SELECT count(*) FROM (
        SELECT h.entity_id, h.attribute_id, h.value_int FROM eav.entity_values_ts h
        EXCEPT ALL SELECT s.entity_id, s.attribute_id, s.n FROM stops.sent s) AS x);
    not_projected := (SELECT count(*) FROM (
        SELECT entity_id, name, projection, value FROM stops.expected WHERE projection <> 'none'
        EXCEPT ALL SELECT entity_id, name, projection, value FROM stops.stored) AS x);
    falsely_projected := (SELECT count(*) FROM (
        SELECT entity_id, name, projection, value FROM stops.stored
        EXCEPT ALL SELECT entity_id, name, projection, value FROM stops.expected) AS x);
    slabs := (SELECT slabs_in_use FROM eav.stat_ingest);
    backlog := (SELECT count(*) FROM eav.flush_backlog);
    rejects := (SELECT count(*) FROM eav.ingest_rejects);
END
$$;

-- The partitions are there, so that no flush creates them.
CALL stops.reset();
SELECT FROM stops.stage(1, 1);
SELECT FROM eav.stage_flush();
