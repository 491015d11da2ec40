-- eav.stage_flush() and the staging table: the forms of a staged row, what a batch holds, and
-- where a flush may be called.
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- The worker has been told to rest (install.sql). Once it does, every flush is one of ours.
CREATE PROCEDURE wait_for_resting_worker() LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..6000 LOOP
        EXIT WHEN current_setting('eav.worker_enabled') = 'off'
            AND (SELECT coalesce(state, 'idle') = 'idle' FROM eav.worker_status());
        ASSERT attempt < 6000, 'the worker does not rest';
        COMMIT;
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;
CALL wait_for_resting_worker();
SELECT elapsed >= interval '0' AND elapsed < interval '1 hour' FROM eav.stage_flush();

SELECT eav.register_tenant('flush', 8001), eav.register_entity(8001, 'pump', 'pump', 7);
INSERT INTO eav.attributes (tenant_id, attribute_id, name, data_type, projection)
VALUES (8001, 80001, 'pressure', 'float', 'live'), (8001, 80002, 'state', 'text', 'hot');
CREATE VIEW arrived AS
SELECT coalesce(external_id, entity_id::text) AS entity, attribute_name, value, observed_at
FROM eav.entity_values WHERE tenant_id = 8001;
CREATE VIEW documents AS
SELECT external_id, hot_attrs, live_attrs
FROM eav.entity_jsonb JOIN eav.entities USING (tenant_id, entity_id) WHERE tenant_id = 8001;
CREATE FUNCTION flush(max_values bigint DEFAULT NULL, OUT flushed bigint, OUT projected bigint,
                      OUT rejected bigint) LANGUAGE sql AS
'SELECT flushed, projected, rejected FROM eav.stage_flush(max_values)';
SELECT flushes, flushed, projected, rejected FROM eav.flush_state \gset start_

-- Nothing to do: nothing is written, not even the state.
SELECT pg_current_xact_id() \g /dev/null
SELECT * FROM flush();
SELECT flushes - :start_flushes FROM eav.flush_state;

-- Both forms of COPY.
COPY eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_float, observed_at) FROM stdin;
8001	7	80001	1.5	2026-01-01T00:00:00Z
8001	7	80001	-2	2026-01-01 00:00:01+02
\.
COPY eav.entity_values_ingest (tenant_id, entity, attribute, value, observed_at) FROM stdin (FORMAT csv);
8001,pump,state,"on, and ""well""",2026-01-01T00:00:00Z
8001,pump,pressure,NaN,2026-01-01T00:00:02Z
8001,valve,state,shut,2026-01-01T00:00:00Z
\.
SELECT * FROM flush();
SELECT * FROM arrived ORDER BY entity, attribute_name, observed_at;
SELECT * FROM documents ORDER BY external_id;
SELECT * FROM flush();

-- INSERT; observed_at and cleared have defaults, xact and slot are nobody's business.
BEGIN;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
VALUES (8001, 'valve', 'state', 'open');
SELECT xact = pg_current_xact_id(), slot BETWEEN 0 AND 2, cleared,
       observed_at BETWEEN transaction_timestamp() AND clock_timestamp(),
       num_nonnulls(attribute_id, entity_id, value_text, value_int)
FROM eav.entity_values_ingest WHERE value = 'open';
COMMIT;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute_id, observed_at, cleared)
VALUES (8001, 'valve', 80001, NULL, true);
SELECT * FROM flush();
SELECT attribute_name, value, observed_at > now() - interval '1 hour'
FROM arrived WHERE entity = 'valve' ORDER BY observed_at;
SELECT * FROM documents WHERE external_id = 'valve';
-- Cleared: gone from the document, a row without a value in history.
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, cleared)
VALUES (8001, 'valve', 'state', true);
SELECT * FROM flush();
SELECT * FROM documents WHERE external_id = 'valve';
SELECT attribute_name, value IS NULL FROM arrived WHERE entity = 'valve'
ORDER BY observed_at DESC LIMIT 1;

-- A row carries the transaction that wrote it and no other.
SELECT regexp_replace(error_of(format('INSERT INTO eav.entity_values_ingest (tenant_id, %s) VALUES (8001, %s)',
                                      name, value)), '_[0-2]"|\n.*', '', 'g')
FROM (VALUES ('xact', '''3'''), ('xact', '''999999999999999'''), ('xact', 'NULL'),
             ('slot', '3'), ('slot', 'NULL'), ('cleared', 'NULL')) AS given (name, value);

-- Whole transactions up to max_values, at least one, in the order of their ids.
CREATE PROCEDURE stage(VARIADIC sizes integer[]) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1..cardinality(sizes) LOOP
        INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
        SELECT 8001, 'transaction ' || n, 'number', i FROM generate_series(1, sizes[n]) AS i;
        COMMIT;
    END LOOP;
END
$$;
CREATE VIEW counts AS
SELECT string_agg(entity || ': ' || count, ', ' ORDER BY entity)
FROM (SELECT entity, count(*) FROM arrived WHERE attribute_name = 'number' GROUP BY 1) AS each;
CALL stage(3, 5, 2, 400);
SELECT flushed FROM flush(1);
SELECT * FROM counts;
SELECT flushed FROM flush(6);
SELECT * FROM counts;
SELECT flushed FROM flush(402);
SELECT flushed FROM flush(402);
SELECT * FROM counts;
CALL stage(3, 5, 2);
SELECT flushed FROM flush(8);
SELECT flushed FROM flush(9223372036854775807);
SELECT flushed FROM flush(9223372036854775807);
-- A transaction that was rolled back counts for nothing.
BEGIN;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
SELECT 8001, 'transaction 0', 'number', i FROM generate_series(1, 1000) AS i;
ROLLBACK;
CALL stage(1, 1);
SELECT flushed FROM flush(1);
SELECT flushed FROM flush(1);
SELECT flushed FROM flush(1);
SELECT error_of(format('SELECT eav.stage_flush(%s)', max_values))
FROM unnest('{0,-1,-9223372036854775808}'::bigint[]) AS max_values;

-- Pieces of about eav.flush_batch_values: one transaction, one result. The newest value of each
-- piece was the newest for a while.
SET eav.flush_batch_values = 100;
CALL stage(1234);
SELECT flushed, projected BETWEEN 2 AND 13, rejected FROM flush();
RESET eav.flush_batch_values;

-- So is it with pieces of eav.flush_memory: some thousands of such values fit into the least there is.
SHOW eav.flush_memory;
SET eav.flush_memory = '4MB';
CALL stage(20000);
SELECT flushed, projected BETWEEN 2 AND 10, rejected FROM flush();
RESET eav.flush_memory;
SELECT left(error_of(format('SET eav.flush_memory = %L', value)), 5) FROM unnest('{4095kB,-1,much}'::text[]) AS value;

-- The rows of the calling transaction and of its savepoints are left for a later flush.
BEGIN;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
VALUES (8001, 'own', 'number', 1);
SELECT flushed FROM flush();
SAVEPOINT kept;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
VALUES (8001, 'own', 'number', 2);
RELEASE kept;
SAVEPOINT dropped;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
VALUES (8001, 'own', 'number', 3);
ROLLBACK TO dropped;
SELECT flushed FROM flush();
COMMIT;
SELECT flushed FROM flush();
SELECT value FROM arrived WHERE entity = 'own' ORDER BY value;

-- A flush that is rolled back has not been: the next takes the same rows.
SELECT flushes, flushed FROM eav.flush_state \gset before_
CALL stage(4);
BEGIN;
SELECT flushed FROM flush();
ROLLBACK;
BEGIN;
SAVEPOINT before_flush;
SELECT flushed FROM flush();
ROLLBACK TO before_flush;
SELECT flushed FROM flush();
SELECT flushed FROM flush();
COMMIT;
-- The state counts the flushes that had work.
SELECT flushes - :before_flushes, flushed - :before_flushed, backlog, epoch,
       snapshot_at <= clock_timestamp(), ingested_at <= clock_timestamp() FROM eav.flush_state;
SELECT count(*) FROM eav.flush_backlog;

-- Any isolation level will do.
CALL stage(2);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT flushed FROM flush();
SELECT flushed FROM flush();
COMMIT;
CALL stage(3);
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT flushed FROM flush();
COMMIT;
-- Not where nothing may be written, nor below another flush.
CALL stage(1);
BEGIN READ ONLY;
SELECT error_of('SELECT eav.stage_flush()');
COMMIT;
CREATE FUNCTION flush_again() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM eav.stage_flush(); RETURN NULL; END';
CREATE TRIGGER again AFTER INSERT ON eav.entity_values_ts
    FOR EACH STATEMENT EXECUTE FUNCTION flush_again();
SELECT error_of('SELECT eav.stage_flush()');
DROP TRIGGER again ON eav.entity_values_ts;
SELECT * FROM flush();

-- The counters are the sums of what the flushes returned, which is what is in history.
SELECT flushed - :start_flushed = (SELECT count(*) FROM arrived), flushed - :start_flushed,
       rejected - :start_rejected, projected > :start_projected FROM eav.flush_state;

DROP PROCEDURE wait_for_resting_worker, stage;
DROP VIEW counts, arrived, documents;
DROP FUNCTION flush, flush_again;
