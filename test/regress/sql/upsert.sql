-- eav.upsert_hot_attributes(): values of one entity into history and projection at once.
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT flushed >= 0 FROM eav.stage_flush();

SELECT eav.register_tenant('upsert', 8004), eav.register_entity(8004, 'lamp', 'lamp', 1);
INSERT INTO eav.attributes (tenant_id, attribute_id, name, data_type, projection)
SELECT 8004, 80040 + n, 'a_' || type, type, CASE WHEN n % 2 = 0 THEN 'hot' ELSE 'live' END
FROM unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) WITH ORDINALITY AS t (type, n)
UNION ALL VALUES (8004, 80050, 'a_none', 'int', 'none');
CREATE VIEW history AS
SELECT entity_id, attribute_name AS name, data_type, value, observed_at
FROM eav.entity_values WHERE tenant_id = 8004;
CREATE FUNCTION upsert(attributes jsonb, observed_at timestamptz DEFAULT '2026-01-01Z',
                       entity_id bigint DEFAULT 1) RETURNS jsonb
LANGUAGE sql AS 'SELECT eav.upsert_hot_attributes(8004, entity_id, attributes, observed_at)';
CREATE FUNCTION stored(entity_id bigint DEFAULT 1) RETURNS TABLE (hot jsonb, live jsonb) LANGUAGE sql AS
'SELECT hot_attrs, live_attrs FROM eav.entity_jsonb p WHERE tenant_id = 8004 AND p.entity_id = stored.entity_id';

-- Every type; the whole document comes back, and is there at once.
SELECT upsert('{"a_text": "on", "a_int": -5, "a_float": 0.1, "a_numeric": 12345678901234567890.5,
                "a_bool": true, "a_timestamp": "2026-01-31 12:00:00+01", "a_json": {"k": [1, null]}}');
SELECT * FROM stored();
SELECT name, data_type, value, observed_at FROM history ORDER BY name;
-- Only what is named changes. Hot and live come back together.
SELECT upsert('{"a_int": 6}', '2026-01-02Z');
-- Null clears, in the document and as a row without a value; clearing twice does no harm.
SELECT upsert('{"a_int": null, "a_json": null, "a_numeric": null}', '2026-01-03Z');
SELECT upsert('{"a_int": null}', '2026-01-04Z');
SELECT name, value IS NULL, observed_at FROM history WHERE name = 'a_int' ORDER BY observed_at;
-- An older value goes to history only; one with the same time as the stored one wins as the later.
SELECT upsert('{"a_text": "older", "a_float": 7}', '2025-01-01Z') ->> 'a_text';
SELECT upsert('{"a_text": "same time"}') ->> 'a_text';
SELECT upsert('{"a_int": 1}', '2026-01-03Z') ? 'a_int';
SELECT value FROM history WHERE name = 'a_text' ORDER BY observed_at, value;
-- Nothing to set: the document as it is.
SELECT upsert('{}') = hot || live FROM stored();
SELECT upsert('{}', entity_id => 404);
SELECT count(*) FROM eav.entities WHERE tenant_id = 8004 AND entity_id = 404;
-- Attributes without projection go to history only; the entity becomes known all the same.
SELECT upsert('{"a_none": 1}', entity_id => 2);
SELECT count(*) FROM stored(2);
SELECT value FROM history WHERE entity_id = 2;
SELECT external_id IS NULL FROM eav.entities WHERE tenant_id = 8004 AND entity_id = 2;
-- Time: now by default.
SELECT eav.upsert_hot_attributes(8004, 3, '{"a_int": 1}');
SELECT observed_at BETWEEN now() - interval '1 minute' AND clock_timestamp() FROM history WHERE entity_id = 3;
SELECT eav.upsert_hot_attributes(8004, 3, '{"a_int": 2}', NULL);

-- Strings and numbers are read by the type of the attribute.
SELECT upsert('{"a_int": "42", "a_float": "-Infinity", "a_numeric": "NaN", "a_bool": "off",
                "a_text": 1.50}', entity_id => 4);
SELECT upsert('{"a_bool": 1, "a_float": 1e-9, "a_json": "text"}', entity_id => 4);
SELECT upsert('{"a_json": 5}', entity_id => 4) -> 'a_json',
       upsert('{"a_json": false}', entity_id => 4) -> 'a_json';
SELECT name, value FROM history WHERE entity_id = 4 AND name <> 'a_json' ORDER BY name, value;

-- New names register themselves, with the type that JSON gives them.
SELECT upsert('{"n_text": "5", "n_int": 5, "n_float": 5.5, "n_bool": false, "n_object": {},
                "n_array": [], "n_null": null, "n_huge": 1e400}', entity_id => 5) - 'n_huge';
SELECT name, data_type, projection, is_inferred FROM eav.attributes
WHERE tenant_id = 8004 AND name LIKE 'n\_%' ORDER BY name;
SELECT hot, live - 'n_huge' FROM stored(5);
-- An int that was inferred widens; a clearing leaves the type to the first value.
SELECT upsert('{"n_int": 5.5, "n_null": true}', '2026-01-02Z', 5) - 'n_huge';
SELECT name, data_type, projection FROM eav.attributes
WHERE tenant_id = 8004 AND name IN ('n_int', 'n_null') ORDER BY name;
SELECT hot, live - 'n_huge' FROM stored(5);

-- Errors.
CREATE FUNCTION error_in(arguments text) RETURNS text LANGUAGE sql AS
$$ SELECT error_of(format('SELECT eav.upsert_hot_attributes(%s)', arguments)) $$;
SELECT error_in(arguments) FROM unnest(ARRAY[
    $$NULL, 1, '{}'$$, $$8004, NULL, '{}'$$, '8004, 1, NULL',
    $$8004, 1, '[]'$$, $$8004, 1, '"a_int"'$$, $$8004, 1, 'null'$$,
    $$8999, 1, '{"a_int": 1}'$$, $$8999, 1, '{}'$$,
    $$8004, 1, '{"a_int": 1}', 'infinity'$$, $$8004, 1, '{"a_int": 1}', '-infinity'$$,
    $$8004, 1, '{"a_int": 1}', clock_timestamp() + interval '6 minutes'$$,
    $$8004, 1, '{"": 1}'$$, $$8004, 1, '{"a\nb": 1}'$$,
    $$8004, 1, jsonb_build_object(repeat('n', 256), 1)$$]) AS arguments;
SELECT members, split_part(error_in(format('8004, 1, %L', members)), E'\n', 1) FROM unnest(ARRAY[
    '{"a_int": "x"}', '{"a_int": 1.5}', '{"a_int": 9223372036854775808}', '{"a_int": true}',
    '{"a_int": [1]}', '{"a_float": 1e400}', '{"a_bool": "maybe"}', '{"a_bool": 2}',
    '{"a_timestamp": "yesterdays"}', '{"a_timestamp": 5}', '{"a_text": {}}', '{"a_numeric": "--1"}',
    '{"n_float": "x"}']) AS members;
SELECT regexp_replace(error_in($$8004, 1, jsonb_build_object('a_text', repeat('x', 1048577))$$), 'x{9,}', 'x...');
SELECT length(upsert(jsonb_build_object('a_text', repeat('x', 1048576)), entity_id => 6) ->> 'a_text');
SET eav.auto_register = off;
SELECT error_in($$8004, 1, '{"a_int": 1, "never seen": 1}'$$);
SELECT upsert('{"a_int": 1}', entity_id => 7);
RESET eav.auto_register;
-- None of these calls has left anything, not even what was good in them.
SELECT count(*) FROM eav.attributes WHERE tenant_id = 8004 AND name = 'never seen';
SELECT count(*) FROM history WHERE entity_id = 1;

-- In the transaction of the caller: what it rolls back has never been.
BEGIN;
SELECT upsert('{"a_int": 1, "rolled back": 1}', '2026-02-01Z', 8);
SAVEPOINT again;
SELECT upsert('{"a_int": 2, "a_text": "x"}', '2026-02-02Z', 8);
ROLLBACK TO again;
SELECT * FROM stored(8);
ROLLBACK;
SELECT count(*) FROM stored(8);
SELECT count(*) FROM history WHERE entity_id = 8;
SELECT count(*) FROM eav.attributes WHERE tenant_id = 8004 AND name = 'rolled back';
SELECT upsert('{"rolled back": "a word now"}', entity_id => 8);
SELECT count(*) FROM eav.entities WHERE tenant_id = 8004 AND entity_id = 8;
-- Read your own writes under any isolation level, and beside what a flush brings.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT upsert('{"a_int": 1}', '2026-03-01Z', 9);
SELECT upsert('{"a_int": 2}', '2026-03-02Z', 9);
COMMIT;
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value, observed_at)
VALUES (8004, 9, 'a_int', 3, '2026-03-01 12:00:00Z'), (8004, 9, 'a_text', 'flushed', '2026-03-01Z');
SELECT flushed, projected FROM eav.stage_flush();
SELECT * FROM stored(9);
-- Many calls in one statement, for the same entity.
SELECT count(upsert(jsonb_build_object('a_int', n), timestamptz '2026-04-01Z' + n * interval '1 second', 10))
FROM generate_series(1, 1000) AS n;
SELECT * FROM stored(10);
SELECT count(*), count(DISTINCT value) FROM history WHERE entity_id = 10;
SELECT error_of('SELECT eav.projection_versions(''\x02'')');
SELECT count(*) FROM eav.projection_versions('\x');
-- A trigger cannot upsert in the middle of a flush or of another upsert, which would lose what they work
-- with.
CREATE FUNCTION derive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM eav.upsert_hot_attributes(NEW.tenant_id, NEW.entity_id, '{"derived": 1}');
    RETURN NULL;
END
$$;
CREATE TRIGGER derive AFTER INSERT ON eav.entities
    FOR EACH ROW WHEN (NEW.tenant_id = 8004) EXECUTE FUNCTION derive();
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
SELECT 8004, 'deriving', 'new ' || n, n FROM generate_series(1, 100) AS n;
SELECT error_of('SELECT eav.stage_flush()');
SELECT error_in($$8004, 11, '{"newer": 1}'$$);
CREATE OR REPLACE FUNCTION derive() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM eav.move_attributes(); RETURN NULL; END';
SELECT error_of('SELECT eav.stage_flush()');
-- It can stage values.
CREATE OR REPLACE FUNCTION derive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value)
    VALUES (NEW.tenant_id, NEW.entity_id, 'derived', 1);
    RETURN NULL;
END
$$;
SELECT upsert('{"newer": 1}', entity_id => 11);
SELECT flushed FROM eav.stage_flush();
SELECT flushed FROM eav.stage_flush();
SELECT count(*), count(*) FILTER (WHERE attribute_name = 'derived'), sum(value::integer)
FROM eav.entity_values
WHERE tenant_id = 8004 AND (external_id = 'deriving' OR entity_id = 11);
DROP TRIGGER derive ON eav.entities;
-- It may catch the error; what is being written goes on, at the first attempt.
CREATE SEQUENCE calls;
CREATE OR REPLACE FUNCTION derive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.value_int = 2 THEN
        RAISE EXCEPTION 'not this one';
    END IF;
    PERFORM nextval('public.calls');
    BEGIN
        PERFORM eav.upsert_hot_attributes(8004, 12, '{"a_int": 2}');
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    RETURN NEW;
END
$$;
CREATE TRIGGER derive BEFORE INSERT ON eav.entity_values_ts
    FOR EACH ROW WHEN (NEW.tenant_id = 8004) EXECUTE FUNCTION derive();
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value)
SELECT 8004, 12, 'a_text', repeat(md5(n::text), 5) FROM generate_series(1, 1000) AS n;
SELECT flushed FROM eav.stage_flush();
SELECT count(DISTINCT value_text), (SELECT last_value FROM calls) FROM eav.entity_values_ts
WHERE tenant_id = 8004 AND entity_id = 12;
DROP TRIGGER derive ON eav.entity_values_ts;
DROP SEQUENCE calls;
DROP VIEW history;
DROP FUNCTION upsert, stored, error_in, derive;
