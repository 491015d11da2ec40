-- The view eav.entity_values.
\pset format unaligned
\pset tuples_only on
SET timezone = 'Asia/Kathmandu';
SET datestyle = 'SQL, DMY';

SELECT eav.register_tenant('views') AS tenant \gset
SELECT eav.register_entity(:tenant, 'boiler', 'boiler', 1);
SELECT count(eav.register_attribute(:tenant, 'v_' || type, type))
FROM unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) AS type;
SELECT eav._ensure_partitions();
CREATE TEMP TABLE sample AS
SELECT * FROM (VALUES
    ('text', '{"value_text": " as it is "}'::jsonb),
    ('int', '{"value_int": -9223372036854775808}'),
    ('float', '{"value_float": 0.1}'),
    ('float', '{"value_float": 1e300}'),
    ('float', '{"value_float": "NaN"}'),
    ('float', '{"value_float": "-Infinity"}'),
    ('numeric', '{"value_numeric": "12345678901234567890.10"}'),
    ('numeric', '{"value_numeric": "NaN"}'),
    ('bool', '{"value_bool": true}'),
    ('bool', '{"value_bool": false}'),
    ('timestamp', '{"value_time": "2026-01-31 12:00:00.5+00"}'),
    ('timestamp', '{"value_time": "2026-07-01 00:00:00+02"}'),
    ('timestamp', '{"value_time": "infinity"}'),
    ('json', '{"value_json": {"b": [1, null], "a": "x"}}'),
    ('json', '{"value_json": null}'),
    ('json', '{"value_json": "text in json"}'),
    ('int', '{}')) AS v (type, member);
INSERT INTO eav.entity_values_ts
SELECT r.*
FROM (SELECT type, member, row_number() OVER () AS n FROM sample) AS s
JOIN eav.attributes a ON a.tenant_id = :tenant AND a.name = 'v_' || s.type
CROSS JOIN jsonb_populate_record(NULL::eav.entity_values_ts, s.member || jsonb_build_object(
    'tenant_id', :tenant, 'entity_id', 1, 'attribute_id', a.attribute_id, 'ingested_at', now(),
    'observed_at', timestamptz '2026-01-01 00:00:00+00' + s.n * interval '1 second')) AS r;
-- A json null is a value, nothing at all is none.
UPDATE eav.entity_values_ts SET value_json = 'null'
WHERE tenant_id = :tenant AND observed_at = timestamptz '2026-01-01 00:00:15+00';

SELECT attribute_name, data_type, coalesce(value, '(cleared)') FROM eav.entity_values
WHERE tenant_id = :tenant ORDER BY observed_at;
-- The same text for every session.
SET timezone = 'UTC';
SET datestyle = 'German';
SET intervalstyle = 'sql_standard';
SELECT attribute_name, value FROM eav.entity_values
WHERE tenant_id = :tenant AND data_type IN ('timestamp', 'bool') ORDER BY observed_at;
RESET timezone;
RESET datestyle;
RESET intervalstyle;
-- The text reads back as the same value.
SELECT bool_and(CASE data_type WHEN 'int' THEN value::bigint = value_int
                               WHEN 'float' THEN value::float8 = value_float
                               WHEN 'numeric' THEN value::numeric = value_numeric
                               WHEN 'bool' THEN value::boolean = value_bool
                               WHEN 'timestamp' THEN value::timestamptz = value_time
                               WHEN 'json' THEN value::jsonb = value_json
                               ELSE value = value_text END)
FROM eav.entity_values WHERE tenant_id = :tenant;

-- A value whose entity or attribute is gone still shows.
INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, attribute_id, value_int)
VALUES (:tenant, 2, now(), 1000000, 17);
SELECT entity_id, external_id, attribute_id, attribute_name, data_type, value
FROM eav.entity_values WHERE tenant_id = :tenant AND entity_id = 2;

-- Filters on names and times reach the index and the partition.
CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
        IF line LIKE '%entity_values_ts%' THEN
            RETURN NEXT regexp_replace(regexp_replace(ltrim(line, ' ->'),
                'entity_values_ts_\w*_tenant_id_attribute_id_\w*', 'index by attribute'),
                'entity_values_ts_\w+( v\w*)?', 'partition');
        END IF;
    END LOOP;
END
$$;
SELECT eav.configure_partitions('1 month', 3);
SELECT DISTINCT * FROM plan_of(format($$
    SELECT value FROM eav.entity_values
    WHERE tenant_id = %s AND attribute_name = 'v_int'
      AND ingested_at >= now() - interval '1 second'$$, :tenant)) ORDER BY 1;
SELECT count(*) FROM plan_of($$
    SELECT value FROM eav.entity_values WHERE ingested_at = '2001-01-01 00:00:00+00'$$);

-- It runs with the rights of the reader.
SELECT reloptions FROM pg_class WHERE oid = 'eav.entity_values'::regclass;
CREATE ROLE regress_reader;
GRANT USAGE ON SCHEMA eav TO regress_reader;
GRANT SELECT ON eav.entity_values TO regress_reader;
SET ROLE regress_reader;
SELECT error_of('SELECT count(*) FROM eav.entity_values');
RESET ROLE;
GRANT eav_reader TO regress_reader;
SET ROLE regress_reader;
SELECT count(*) FROM eav.entity_values;
RESET ROLE;
SELECT tenant_id AS tenant FROM eav.entity_values LIMIT 1 \gset
SELECT count(*) AS values FROM eav.entity_values WHERE tenant_id = :tenant \gset
SET ROLE regress_reader;
SELECT eav.set_tenant(:tenant);
SELECT count(*) = :values FROM eav.entity_values;
RESET eav.tenant_id;
RESET ROLE;
DROP OWNED BY regress_reader;
DROP ROLE regress_reader;
DROP FUNCTION plan_of;
