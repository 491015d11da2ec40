-- Bad input, one value at a time: each lands in eav.ingest_rejects with the reason, and its
-- neighbours arrive.
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT flushed >= 0 FROM eav.stage_flush();
TRUNCATE eav.ingest_rejects;

SELECT eav.register_tenant('bad input', 8002);
INSERT INTO eav.attributes (tenant_id, attribute_id, name, data_type, projection)
SELECT 8002, 80020 + n, 'a_' || type, type, 'live'
FROM unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) WITH ORDINALITY AS t (type, n);
-- Attributes of another tenant are unknown to this one.
SELECT eav.register_tenant('other', 8003);
INSERT INTO eav.attributes (tenant_id, attribute_id, name, data_type, projection)
VALUES (8003, 80030, 'elsewhere', 'int', 'live');

-- What is wrong, and the columns of the row that make it so.
CREATE TABLE bad (n integer GENERATED ALWAYS AS IDENTITY, what text, columns jsonb);
INSERT INTO bad (what, columns) VALUES
    ('no tenant', '{"tenant_id": null, "attribute": "a_int", "value_int": 1}'),
    ('unknown tenant', '{"tenant_id": 8999, "attribute": "a_int", "value_int": 1}'),
    ('unknown attribute_id', '{"attribute_id": 89999, "value_int": 1}'),
    ('attribute_id of another tenant', '{"attribute_id": 80030, "value_int": 1}'),
    ('attribute_id 0', '{"attribute_id": 0, "value_int": 1}'),
    ('unknown name', '{"attribute": "nobody knows", "value_int": 1}'),
    ('name of another tenant', '{"attribute": "elsewhere", "value": "1"}'),
    ('both attribute_id and attribute', '{"attribute": "a_int", "attribute_id": 80022, "value_int": 1}'),
    ('neither', '{"value_int": 1}'),
    ('both entity_id and entity', '{"entity": "both", "entity_id": 1, "attribute": "a_int", "value_int": 1}'),
    ('neither', '{"entity": null, "attribute": "a_int", "value_int": 1}'),
    ('no value', '{"attribute": "a_int"}'),
    ('two values', '{"attribute": "a_int", "value_int": 1, "value_float": 1}'),
    ('two values that agree', '{"attribute": "a_int", "value_int": 1, "value": "1"}'),
    ('all values', '{"attribute": "a_int", "value_int": 1, "value_float": 1, "value_time": "2026-01-01Z", "value_bool": true, "value_text": "1", "value_numeric": 1, "value_json": 1, "value": "1"}'),
    ('a value and cleared', '{"attribute": "a_int", "value_int": 1, "cleared": true}'),
    ('empty entity', '{"entity": "", "attribute": "a_int", "value_int": 1}'),
    ('empty attribute', '{"attribute": "", "value_int": 1}'),
    ('control character', '{"entity": "a\tb", "attribute": "a_int", "value_int": 1}'),
    ('control character', '{"attribute": "a\u007f", "value_int": 1}'),
    ('observed_at infinite', '{"attribute": "a_int", "value_int": 1, "observed_at": "infinity"}'),
    ('observed_at infinite', '{"attribute": "a_int", "value_int": 1, "observed_at": "-infinity"}'),
    ('no int', '{"attribute": "a_int", "value": "12a"}'),
    ('no int', '{"attribute": "a_int", "value": ""}'),
    ('no int', '{"attribute": "a_int", "value": "1.5"}'),
    ('int overflow', '{"attribute": "a_int", "value": "9223372036854775808"}'),
    ('int underflow', '{"attribute": "a_int", "value": "-9223372036854775809"}'),
    ('no float', '{"attribute": "a_float", "value": "1,5"}'),
    ('no float', '{"attribute": "a_float", "value": "nan(1)"}'),
    ('float overflow', '{"attribute": "a_float", "value": "1e309"}'),
    ('float underflow', '{"attribute": "a_float", "value": "-1e-400"}'),
    ('numeric too large for float', '{"attribute": "a_float", "value_numeric": 1e400}'),
    ('no numeric', '{"attribute": "a_numeric", "value": "--1"}'),
    ('no numeric', '{"attribute": "a_numeric", "value": "1e"}'),
    ('numeric overflow', '{"attribute": "a_numeric", "value": "1e131072"}'),
    ('numeric underflow', '{"attribute": "a_numeric", "value": "1e-16384"}'),
    ('no bool', '{"attribute": "a_bool", "value": "maybe"}'),
    ('no timestamp', '{"attribute": "a_timestamp", "value": "yesterdays"}'),
    ('no such day', '{"attribute": "a_timestamp", "value": "2026-02-29T00:00:00Z"}'),
    ('no such hour', '{"attribute": "a_timestamp", "value": "2026-02-28 25:00:00+00"}'),
    ('timestamp out of range', '{"attribute": "a_timestamp", "value": "294277-01-01 00:00:00+00"}'),
    ('no json', '{"attribute": "a_json", "value": "{\"a\": }"}'),
    ('no json', '{"attribute": "a_json", "value": ""}'),
    ('no character', '{"attribute": "a_json", "value": "\"\\u0000\""}'),
    ('a long text, cut in the reason', jsonb_build_object('attribute', 'a_int', 'value', repeat('ä', 1000))),
    ('255 bytes are a name, 256 are not', jsonb_build_object('attribute', repeat('n', 256), 'value_int', 1)),
    ('bytes, not characters', jsonb_build_object('entity', repeat('ä', 128), 'attribute', 'a_int', 'value_int', 1)),
    ('text above 1 MB', jsonb_build_object('attribute', 'a_text', 'value', repeat('x', 1048577))),
    ('typed text above 1 MB', jsonb_build_object('attribute', 'a_text', 'value_text', repeat('y', 1048577))),
    ('json above 1 MB', jsonb_build_object('attribute', 'a_json', 'value_json', repeat('z', 1048577)));
-- Each type into each attribute that does not take it. A json attribute takes all of them, and a
-- timestamp attribute a text that is a time, which this one is not.
INSERT INTO bad (what, columns)
SELECT format('%s for %s', v.type, a.name), jsonb_build_object('attribute', a.name) || v.columns
FROM (VALUES ('text', '{"value_text": "1"}'::jsonb), ('int', '{"value_int": 1}'),
             ('float', '{"value_float": 1}'), ('numeric', '{"value_numeric": 1}'),
             ('bool', '{"value_bool": true}'), ('timestamp', '{"value_time": "2026-01-01Z"}'),
             ('json', '{"value_json": 1}')) AS v (type, columns), eav.attributes a
WHERE a.tenant_id = 8002 AND a.name NOT IN ('a_' || v.type, 'a_json')
  AND (v.type, a.name) NOT IN (('int', 'a_float'), ('int', 'a_numeric'), ('float', 'a_numeric'),
                               ('numeric', 'a_float'))
ORDER BY a.attribute_id, v.type COLLATE "C";

-- Between two good rows each, all in one transaction. observed_at says which one it is.
CREATE PROCEDURE stage_bad() LANGUAGE plpgsql AS $$
DECLARE
    each record;
    row eav.entity_values_ingest;
BEGIN
    FOR each IN SELECT * FROM bad ORDER BY n LOOP
        row := NULL;
        row.tenant_id := 8002;
        row.entity := CASE WHEN NOT each.columns ? 'entity_id' THEN 'bad ' || each.n END;
        row.observed_at := timestamptz '2026-01-01Z' + each.n * interval '1 second';
        row.cleared := false;
        row := jsonb_populate_record(row, each.columns);
        INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
        VALUES (8002, 'good ' || each.n, 'a_int', each.n);
        INSERT INTO eav.entity_values_ingest
            (tenant_id, entity_id, entity, attribute_id, attribute, observed_at, cleared, value,
             value_text, value_int, value_float, value_numeric, value_bool, value_time, value_json)
        VALUES (row.tenant_id, row.entity_id, row.entity, row.attribute_id, row.attribute,
                row.observed_at, row.cleared, row.value, row.value_text, row.value_int,
                row.value_float, row.value_numeric, row.value_bool, row.value_time, row.value_json);
    END LOOP;
    INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
    VALUES (8002, 'good 0', 'a_int', 0);
END
$$;
CALL stage_bad();
SET eav.auto_register = off;
SELECT flushed = projected, flushed = (SELECT count(*) + 1 FROM bad),
       rejected = (SELECT count(*) FROM bad) FROM eav.stage_flush();

CREATE VIEW rejected AS
SELECT coalesce(substring(payload ->> 'entity' FROM '^bad (\d+)$')::integer,
                extract(epoch FROM (payload ->> 'observed_at')::timestamptz
                                   - timestamptz '2026-01-01Z')::integer) AS n, *
FROM eav.ingest_rejects;
SELECT what, tenant_id, sqlstate, reason FROM bad LEFT JOIN rejected USING (n) ORDER BY n;
-- The payload is the row as it was staged.
SELECT what, payload FROM bad JOIN rejected USING (n)
WHERE what IN ('all values', 'a value and cleared', 'no tenant', 'control character',
               'observed_at infinite', 'unknown name') ORDER BY n;
SELECT what, payload - 'observed_at' = jsonb_build_object('tenant_id', 8002, 'entity', 'bad ' || n) || columns
FROM bad JOIN rejected USING (n) WHERE what ~ '1 MB|long text|bytes' ORDER BY n;
-- Nobody is registered for the sake of a value that was rejected, and all neighbours have arrived.
SELECT count(*) FROM eav.entities WHERE external_id LIKE 'bad%' OR tenant_id IN (8003, 8999);
SELECT count(*) FROM eav.attributes WHERE tenant_id = 8002;
SELECT count(*) = (SELECT count(*) + 1 FROM bad), sum(v.value_int) = (SELECT sum(n) FROM bad),
       bool_and(p.live_attrs = jsonb_build_object('a_int', v.value_int))
FROM eav.entity_values v JOIN eav.entity_jsonb p USING (tenant_id, entity_id)
WHERE v.tenant_id = 8002 AND v.external_id = 'good ' || v.value_int;

-- A clock may be up to eav.max_future_skew ahead.
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value, observed_at)
SELECT 8002, 'clock', 'a_int', seconds, clock_timestamp() + seconds * interval '1 second'
FROM unnest('{290,310,3600}'::integer[]) AS seconds;
SELECT flushed, rejected FROM eav.stage_flush();
SELECT payload ->> 'value', sqlstate, reason FROM eav.ingest_rejects
WHERE payload ->> 'entity' = 'clock' ORDER BY reject_id;
SET eav.max_future_skew = 0;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value, observed_at)
VALUES (8002, 'clock', 'a_int', 60, clock_timestamp() + interval '1 minute');
SELECT flushed, rejected FROM eav.stage_flush();
RESET eav.max_future_skew;

-- Not bad: JSON has no NaN and no Infinity, so the document says it in a string. A value of
-- exactly 1 MB and a name of 255 bytes.
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
SELECT 8002, format('%s %s', type, value), 'a_' || type, value
FROM unnest('{float,numeric}'::text[]) AS type,
     unnest('{NaN,Infinity,-Infinity,inf,-INF}'::text[]) AS value;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
VALUES (8002, repeat('e', 255), 'a_text', repeat('x', 1048576));
SELECT flushed, rejected FROM eav.stage_flush();
SELECT external_id, value, live_attrs
FROM eav.entity_values JOIN eav.entity_jsonb USING (tenant_id, entity_id)
WHERE tenant_id = 8002 AND external_id ~* ' -?(nan|inf)' ORDER BY external_id COLLATE "C";
SELECT length(value_text) FROM eav.entity_values WHERE external_id = repeat('e', 255);

-- What a trigger of the user's does not like is found among its neighbours and rejected too.
CREATE FUNCTION no_666() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION SQLSTATE 'UU666' USING MESSAGE = format('%s is evil', NEW.value_int);
END
$$;
CREATE TRIGGER no_666 BEFORE INSERT ON eav.entity_values_ts
    FOR EACH ROW WHEN (NEW.value_int IN (666, 667)) EXECUTE FUNCTION no_666();
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
SELECT 8002, 'evil', 'a_int', n FROM generate_series(600, 700) AS n;
SELECT flushed, rejected FROM eav.stage_flush();
SELECT sqlstate, reason, payload ->> 'value' FROM eav.ingest_rejects
WHERE payload ->> 'entity' = 'evil' ORDER BY reject_id;
SELECT count(*), sum(value_int), max(live_attrs::text)
FROM eav.entity_values JOIN eav.entity_jsonb USING (tenant_id, entity_id)
WHERE tenant_id = 8002 AND external_id = 'evil';
DROP TRIGGER no_666 ON eav.entity_values_ts;

-- Corrected, they arrive.
SELECT eav.replay_rejects(ARRAY(SELECT reject_id FROM eav.ingest_rejects
                                WHERE payload ->> 'entity' = 'evil'));
SELECT eav.replay_rejects(ARRAY(SELECT reject_id FROM rejected WHERE n <= 30),
                          '{"tenant_id": 8002, "entity_id": null, "entity": "corrected", "observed_at": "2026-01-01",
                            "attribute_id": null, "attribute": "a_int", "value": "1", "cleared": false,
                            "value_int": null, "value_float": null, "value_time": null, "value_json": null,
                            "value_bool": null, "value_text": null, "value_numeric": null}');
SELECT flushed, rejected FROM eav.stage_flush();

-- Every row that came in is in history or in ingest_rejects.
SELECT (SELECT count(*) FROM eav.entity_values_ts WHERE tenant_id IN (8002, 8003, 8999))
       + (SELECT count(*) FROM eav.ingest_rejects)
       = 2 * (SELECT count(*) FROM bad) + 1 + 3 + 1 + 11 + 101;

-- A reject can be written whatever it is of. jsonb holds less than 256 MB, and is nested as deeply as
-- the stack of who makes it allows.
TRUNCATE eav.ingest_rejects;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value_text, value_json, value)
VALUES (8002, repeat('a', 67108864), repeat('b', 67108864), repeat('c', 67108864), '[1]',
        repeat('d', 67108864)),
       (8002, repeat('e', 65535) || 'ä', 'a_text', 'whole', NULL, NULL),
       (8002, 'large json', 'a_text', NULL, to_jsonb(repeat('f', 67108864 + 1)), 'whole');
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value_json)
SELECT 8002, format('%s deep', depth), 'a_int', (repeat('[', depth) || repeat(']', depth))::jsonb
FROM unnest('{64,65}'::integer[]) AS depth;
SELECT flushed, rejected FROM eav.stage_flush();
SELECT sqlstate, reason, (SELECT string_agg(format('%s %s', key, length(value)), ', ' ORDER BY key)
                          FROM jsonb_each_text(payload) WHERE key NOT IN ('tenant_id', 'observed_at'))
FROM eav.ingest_rejects ORDER BY reject_id;
-- So can a reason, which may be a text from a trigger of the user's.
CREATE FUNCTION at_length() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION SQLSTATE 'UU666' USING MESSAGE = repeat('ä', 5000);
END
$$;
CREATE TRIGGER at_length BEFORE INSERT ON eav.entity_values_ts
    FOR EACH ROW WHEN (NEW.value_int = 666) EXECUTE FUNCTION at_length();
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value) VALUES (8002, 'evil', 'a_int', 666);
SELECT flushed, rejected FROM eav.stage_flush();
SELECT sqlstate, length(reason) FROM eav.ingest_rejects WHERE payload ->> 'entity' = 'evil';
DROP TRIGGER at_length ON eav.entity_values_ts;
-- What is not whole is not replayed without a value.
SET client_min_messages = error;
SELECT eav.replay_rejects();
RESET client_min_messages;
SELECT eav.replay_rejects(correction => '{"entity": "corrected", "attribute": "a_json", "value": null,
                                          "value_text": null, "value_json": [1]}');
SELECT flushed, rejected FROM eav.stage_flush();


-- Nested more deeply than the stack allows: no JSON for an attribute that is, text for a new one.
TRUNCATE eav.ingest_rejects;
RESET eav.auto_register;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
SELECT 8002, 'nested', attribute, repeat('[', 100000)
FROM unnest('{a_json,a_nested}'::text[]) AS attribute;
SELECT flushed, rejected FROM eav.stage_flush();
SELECT sqlstate, reason, payload ->> 'attribute' FROM eav.ingest_rejects;
SELECT data_type, length(value) FROM eav.entity_values
WHERE tenant_id = 8002 AND attribute_name = 'a_nested';
TRUNCATE eav.ingest_rejects;
DROP VIEW rejected;
DROP FUNCTION at_length;
DROP TABLE bad;
DROP PROCEDURE stage_bad;
DROP FUNCTION no_666;
