-- Data types: how values find theirs, and how each looks in history and in the document.
\pset format unaligned
\pset tuples_only on
SET timezone = 'Asia/Kathmandu';
SET datestyle = 'ISO';
SELECT flushed >= 0 FROM eav.stage_flush();
SELECT eav.register_tenant('types', 8005);
CREATE PROCEDURE stage(entity text, attribute text, VARIADIC vals text[]) LANGUAGE sql AS $$
    INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value, cleared, observed_at)
    SELECT 8005, entity, attribute, v, v IS NULL, timestamptz '2026-01-01Z' + n * interval '1 second'
    FROM unnest(vals) WITH ORDINALITY AS t (v, n)
$$;
CREATE FUNCTION flush(OUT flushed bigint, OUT projected bigint, OUT rejected bigint) LANGUAGE sql AS
'SELECT flushed, projected, rejected FROM eav.stage_flush()';
CREATE VIEW known AS
SELECT name, coalesce(data_type, '(open)'), projection, is_inferred
FROM eav.attributes WHERE tenant_id = 8005;
CREATE VIEW history AS
SELECT external_id, attribute_name, observed_at, value,
       concat_ws(', ', 'text' || left(value_text, 0), 'int' || left(value_int::text, 0),
                 'float' || left(value_float::text, 0), 'numeric' || left(value_numeric::text, 0),
                 'bool' || left(value_bool::text, 0), 'time' || left(value_time::text, 0),
                 'json' || left(value_json::text, 0)) AS kept_in
FROM eav.entity_values WHERE tenant_id = 8005;
CREATE VIEW documents AS
SELECT external_id, hot_attrs, live_attrs
FROM eav.entity_jsonb JOIN eav.entities USING (tenant_id, entity_id) WHERE tenant_id = 8005;

-- The first text decides, whatever follows in the same batch.
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
SELECT 8005, 'first', 'i ' || n, text FROM unnest(ARRAY[
    '1', ' -1 ', '+1', '9223372036854775807', '9223372036854775808', '1.0', '.5', '5.', '1e3', '-1E-3',
    '1e400', '0x10', '1_000', 'NaN', 'inf', 'true', 'false', 'True', 't', '', ' ', '{"a": 1}', '[1]',
    ' [] ', '{broken', '"text"', 'null', '2026-01-01T00:00:00Z', 'on', '12 34', '+', '-', '.', 'e5', '1.2.3'])
    WITH ORDINALITY AS t (text, n);
SELECT flushed, rejected FROM flush();
SELECT a.name, a.data_type, a.projection, h.value
FROM eav.attributes a LEFT JOIN history h ON h.attribute_name = a.name
WHERE a.tenant_id = 8005 ORDER BY substr(a.name, 3)::integer;
SELECT payload ->> 'value', sqlstate, reason FROM eav.ingest_rejects WHERE tenant_id = 8005;

-- An inferred int widens to float when a float arrives: before it in the batch, after it, and
-- batches later. Earlier rows stay as they are.
CALL stage('widen', 'w in a batch', '1', '2.5', '3');
CALL stage('widen', 'w later', '1', '2');
CALL stage('widen', 'w declared', '1');
SELECT flushed, rejected FROM flush();
UPDATE eav.attributes SET is_inferred = false WHERE tenant_id = 8005 AND name = 'w declared';
SELECT * FROM known WHERE name LIKE 'w %' ORDER BY name;
CALL stage('widen', 'w later', '1', '2', '3.5');
CALL stage('widen', 'w declared', '1', '2', '3.5');
SELECT flushed, rejected FROM flush();
CALL stage('widen', 'w later', '1', '2', '3.5', '4', NULL, 'five', '6');
SELECT flushed, rejected FROM flush();
SELECT * FROM known WHERE name LIKE 'w %' ORDER BY name;
SELECT attribute_name, value, kept_in FROM history WHERE external_id = 'widen'
ORDER BY attribute_name, observed_at, value, kept_in;
SELECT * FROM documents WHERE external_id = 'widen';
SELECT payload ->> 'attribute', payload ->> 'value', sqlstate, reason FROM eav.ingest_rejects
WHERE tenant_id = 8005 AND payload ->> 'entity' = 'widen' ORDER BY reject_id;

-- Clearings only: the type stays open, and the first value decides it and with it the projection.
CALL stage('open', 'o never', NULL, NULL);
CALL stage('open', 'o in a batch', NULL, 'word', NULL);
CALL stage('open', 'o later', NULL);
CALL stage('open', 'o number', NULL);
SELECT * FROM flush();
SELECT * FROM known WHERE name LIKE 'o %' ORDER BY name;
CALL stage('open', 'o later', NULL, 'word', 'and another');
CALL stage('open', 'o number', NULL, '7', '7.5');
SELECT * FROM flush();
SELECT * FROM known WHERE name LIKE 'o %' ORDER BY name;
SELECT * FROM documents WHERE external_id = 'open';

-- eav.auto_register_projection overrides the choice.
SET eav.auto_register_projection = 'none';
CALL stage('projection', 'p none', 'word');
SELECT * FROM flush();
SET eav.auto_register_projection = 'hot';
CALL stage('projection', 'p hot', '1');
SELECT * FROM flush();
SET eav.auto_register_projection = 'live';
CALL stage('projection', 'p live', 'word');
SELECT * FROM flush();
RESET eav.auto_register_projection;
SELECT * FROM known WHERE name LIKE 'p %' ORDER BY name;
SELECT * FROM documents WHERE external_id = 'projection';

-- All types in both forms: the same value in history, the same in the document.
SELECT count(eav.register_attribute(8005, 'd_' || type, type))
FROM unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) AS type;
CREATE TABLE sample (n integer GENERATED ALWAYS AS IDENTITY, type text, value text);
INSERT INTO sample (type, value) VALUES
    ('text', ''), ('text', E' tab\t and "quotes" \\ '), ('text', 'größer 😀'),
    ('int', '-9223372036854775808'), ('int', ' +7 '), ('int', '-0'),
    ('float', '0.1'), ('float', '-0'), ('float', '1e30'), ('float', '1.5e-9'),
    ('float', '9007199254740993'), ('float', '123456789012345680000'), ('float', '.5'),
    ('float', '-Infinity'), ('float', 'nan'),
    ('numeric', '1.50'), ('numeric', '-0.000'), ('numeric', '1e30'),
    ('numeric', '12345678901234567890.123456789'), ('numeric', 'NaN'),
    ('bool', 'true'), ('bool', 'OFF'), ('bool', ' y '), ('bool', '0'),
    ('timestamp', '2026-01-31T12:00:00.123456Z'), ('timestamp', '2024-02-29 23:59:59+05:45'),
    ('timestamp', '2016-12-31T23:59:60Z'), ('timestamp', '1969-12-31T23:59:59.999999-00:01'),
    ('timestamp', '2026-07-01 12:00'), ('timestamp', 'January 8, 99 BC UTC'),
    ('timestamp', 'infinity'), ('timestamp', '-infinity'),
    ('json', '{"b": 1.50, "a": [true, null, "x"]}'), ('json', '"x"'), ('json', '1e2'), ('json', 'null');
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
SELECT 8005, 'text ' || n, 'd_' || type, value FROM sample;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value_text, value_int, value_float,
                                      value_numeric, value_bool, value_time, value_json)
SELECT 8005, 'typed ' || n, 'd_' || type,
       CASE type WHEN 'text' THEN value END, CASE type WHEN 'int' THEN value END::bigint,
       CASE type WHEN 'float' THEN value END::float, CASE type WHEN 'numeric' THEN value END::numeric,
       CASE type WHEN 'bool' THEN value END::boolean,
       CASE type WHEN 'timestamp' THEN value END::timestamptz,
       CASE type WHEN 'json' THEN value END::jsonb
FROM sample;
SELECT flushed, rejected FROM flush();
SELECT s.type, h.value, d.hot_attrs || d.live_attrs,
       h.value IS NOT DISTINCT FROM t.value AND (d.hot_attrs, d.live_attrs) = (e.hot_attrs, e.live_attrs)
FROM sample s
LEFT JOIN history h ON h.external_id = 'text ' || n
LEFT JOIN documents d ON d.external_id = 'text ' || n
LEFT JOIN history t ON t.external_id = 'typed ' || n
LEFT JOIN documents e ON e.external_id = 'typed ' || n
ORDER BY n;

-- Typed values fit to the type of the attribute: ints to float and numeric, these to each other.
INSERT INTO eav.entity_values_ingest
    (tenant_id, entity, attribute, value_int, value_float, value_numeric, observed_at)
SELECT 8005, 'fitted', 'd_' || type, i, f, n, timestamptz '2026-01-01Z' + place * interval '1 second'
FROM unnest('{float,numeric}'::text[]) AS type,
     (VALUES (1, 9007199254740993, NULL::float, NULL::numeric), (2, NULL, 0.1, NULL),
             (3, NULL, 'NaN', NULL), (4, NULL, 'Infinity', NULL), (5, NULL, 1e22, NULL),
             (6, NULL, NULL, 0.10), (7, NULL, NULL, 'NaN'), (8, NULL, NULL, '-Infinity')
     ) AS v (place, i, f, n);
SELECT flushed, rejected FROM flush();
SELECT attribute_name, value, kept_in FROM history WHERE external_id = 'fitted'
ORDER BY attribute_name, observed_at;

-- A typed text is the time that it says, in each form that an untyped one may have.
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
SELECT 8005, 'untyped time ' || n, 'd_timestamp', value FROM sample WHERE type = 'timestamp';
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value_text)
SELECT 8005, 'time in text ' || n, 'd_timestamp', value FROM sample WHERE type = 'timestamp';
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value_text)
SELECT 8005, 'no time', 'd_timestamp', value
FROM unnest(ARRAY['', '12', '2026-02-29T00:00:00Z', 'true', '294277-01-01 00:00:00+00']) AS value;
SELECT flushed, rejected FROM flush();
SELECT h.value, h.kept_in, d.hot_attrs || d.live_attrs,
       (h.value, h.kept_in, d.live_attrs) = (u.value, u.kept_in, e.live_attrs)
FROM sample s
LEFT JOIN history h ON h.external_id = 'time in text ' || n
LEFT JOIN documents d ON d.external_id = 'time in text ' || n
LEFT JOIN history u ON u.external_id = 'untyped time ' || n
LEFT JOIN documents e ON e.external_id = 'untyped time ' || n
WHERE s.type = 'timestamp' ORDER BY n;
SELECT payload, sqlstate, reason
FROM (SELECT reject_id, payload - 'observed_at' - 'tenant_id' AS payload, sqlstate, reason
      FROM eav.ingest_rejects WHERE payload ->> 'entity' = 'no time') AS r ORDER BY reject_id;

-- A json attribute takes every typed value, as the JSON scalar that the document shows for a value
-- of that type. An untyped text has to be JSON.
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value_text, value_int, value_float,
                                      value_numeric, value_bool, value_time, value_json)
SELECT 8005, 'json of ' || n, 'd_json',
       CASE type WHEN 'text' THEN value END, CASE type WHEN 'int' THEN value END::bigint,
       CASE type WHEN 'float' THEN value END::float, CASE type WHEN 'numeric' THEN value END::numeric,
       CASE type WHEN 'bool' THEN value END::boolean,
       CASE type WHEN 'timestamp' THEN value END::timestamptz,
       CASE type WHEN 'json' THEN value END::jsonb
FROM sample;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
VALUES (8005, 'no json', 'd_json', 'word');
SELECT flushed, rejected FROM flush();
SELECT s.type, h.value, h.kept_in, d.live_attrs -> 'd_json',
       d.live_attrs -> 'd_json' = (t.hot_attrs || t.live_attrs) -> ('d_' || s.type)
FROM sample s
LEFT JOIN history h ON h.external_id = 'json of ' || n
LEFT JOIN documents d ON d.external_id = 'json of ' || n
LEFT JOIN documents t ON t.external_id = 'typed ' || n
ORDER BY n;
SELECT payload ->> 'value', sqlstate, reason FROM eav.ingest_rejects
WHERE payload ->> 'entity' = 'no json';

-- A new attribute takes the type of a typed value.
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value_text, value_int, value_float,
                                      value_numeric, value_bool, value_time, value_json)
SELECT 8005, 'new', 't ' || type, CASE type WHEN 'text' THEN '5' END, CASE type WHEN 'int' THEN 5 END,
       CASE type WHEN 'float' THEN 5 END, CASE type WHEN 'numeric' THEN 5 END,
       CASE type WHEN 'bool' THEN true END,
       CASE type WHEN 'timestamp' THEN timestamptz '2026-01-01Z' END,
       CASE type WHEN 'json' THEN jsonb '5' END
FROM unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) AS type;
SELECT * FROM flush();
SELECT * FROM known WHERE name LIKE 't %' ORDER BY name;
SELECT * FROM documents WHERE external_id = 'new';
DELETE FROM eav.ingest_rejects WHERE tenant_id = 8005;
DROP VIEW known, history, documents;
DROP PROCEDURE stage;
DROP FUNCTION flush;
DROP TABLE sample;
