-- eav.replay_rejects(). What is staged and not committed no flush takes, so the tests look at it
-- before they roll back.
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';
SET datestyle = 'ISO';
TRUNCATE eav.ingest_rejects;
ALTER SEQUENCE eav.ingest_rejects_seq RESTART;
INSERT INTO eav.ingest_rejects (tenant_id, sqlstate, reason, payload) VALUES
    (1, '23503', 'unknown tenant', '{"tenant_id": 1, "entity": "a", "attribute": "temp", "value": "20.5", "observed_at": "2026-01-01T00:00:00+00:00"}'),
    (1, '22P02', 'not a number', '{"tenant_id": 1, "entity_id": 5, "attribute_id": 9, "value_int": 7}'),
    (1, '22003', 'not finite', '{"tenant_id": 1, "entity_id": 5, "attribute_id": 9, "value_float": "NaN", "value_numeric": "Infinity"}'),
    (1, '22023', 'cleared and set', '{"tenant_id": 1, "entity_id": 5, "attribute_id": 9, "cleared": true, "value_json": {"a": 1}, "value_bool": true}'),
    (NULL, 'XX000', 'misspelt', '{"tenant_id": 1, "atribute_id": 9}'),
    (NULL, 'XX000', 'not a number', '{"tenant_id": "one"}'),
    (NULL, 'XX000', 'no object', '[1, 2]'),
    (1, '54000', 'too long', '{"tenant_id": 1, "entity": "a", "attribute": "log", "value": "the beginning", "truncated": true}');

-- Bad arguments.
SELECT error_of(format('SELECT eav.replay_rejects(%s)', arguments))
FROM unnest(ARRAY['correction => NULL', $$correction => '[]'$$, $$correction => '1'$$,
                  $$correction => '{"tenant_id": 1, "xact": 5}'$$, $$correction => '{"slot": 1}'$$,
                  $$correction => '{"atribute": "x"}'$$, 'max_rejects => 0']) AS arguments;
SELECT count(*) FROM eav.ingest_rejects;

-- As they are: what makes no row stays where it is, and the rest goes.
BEGIN;
SELECT eav.replay_rejects();
SELECT tenant_id, entity_id, entity, attribute_id, attribute, value, value_int, value_float,
       value_numeric, value_json, value_bool, cleared,
       CASE WHEN observed_at > now() - interval '1 minute' THEN 'now' ELSE observed_at::text END
FROM eav.entity_values_ingest ORDER BY entity, value_int, value_float;
SELECT reject_id, reason, payload FROM eav.ingest_rejects ORDER BY 1;
-- The good ones are gone, so nothing is replayed twice.
SET LOCAL client_min_messages = error;
SELECT eav.replay_rejects();
ROLLBACK;

-- Some of them, corrected. Null takes a value away.
BEGIN;
SELECT eav.replay_rejects('{2,4,404,NULL}', '{"attribute_id": null, "attribute": "level", "value_json": null, "cleared": false}');
SELECT attribute_id, attribute, value_int, value_bool, value_json, cleared
FROM eav.entity_values_ingest ORDER BY value_int;
SELECT array_agg(reject_id ORDER BY reject_id) FROM eav.ingest_rejects;
ROLLBACK;

-- One at a time, in order.
BEGIN;
SELECT eav.replay_rejects(max_rejects => 1);
SELECT array_agg(reject_id ORDER BY reject_id) FROM eav.ingest_rejects;
SELECT eav.replay_rejects(max_rejects => 2);
SELECT array_agg(reject_id ORDER BY reject_id) FROM eav.ingest_rejects;
ROLLBACK;

-- A corrected mistake, and a text that has to be given anew.
BEGIN;
SELECT eav.replay_rejects('{6}', '{"tenant_id": 3}');
SELECT eav.replay_rejects('{8}', '{"value": "short"}');
SELECT tenant_id, value FROM eav.entity_values_ingest ORDER BY 1;
ROLLBACK;

-- A column that there is not goes away with null.
BEGIN;
SELECT eav.replay_rejects('{5}', '{"atribute_id": null, "attribute_id": 9, "cleared": true}');
SELECT tenant_id, attribute_id, cleared FROM eav.entity_values_ingest;
ROLLBACK;

-- None.
SELECT eav.replay_rejects('{}');
SELECT count(*) FROM eav.ingest_rejects;
TRUNCATE eav.ingest_rejects;
SELECT eav.replay_rejects();
