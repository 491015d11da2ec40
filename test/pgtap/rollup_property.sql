-- Rollups and the functions that read history, against plain SQL. Whatever comes in, through
-- whichever door, rejected, rolled back or held up, and whoever merges when: attribute_rollups and
-- rollup_pending together are what history and projection sum up to, in every snapshot.
--
-- Each seed sends random values to a tenant of its own. The second half of the seeds has the worker
-- at work beside, which merges every few milliseconds. In every third a trigger refuses some values,
-- so that batches are cut in halves. Other seeds: psql -v first_seed=1000 -v seeds=50.
\if :{?seeds}
\else
\set seeds 18
\endif
\if :{?first_seed}
\else
\set first_seed 1
\endif
SET client_min_messages = warning;
SET timezone = 'UTC';
SET eav.flush_batch_values = 100; -- the least there is: flushes of several pieces
CREATE SCHEMA property;
SET search_path = property, public;

CREATE TABLE sample (data_type text, value text);
INSERT INTO sample VALUES
    ('text', 'a'), ('text', '7'), ('text', ''), ('bool', 'true'), ('json', '{"a": 1}'), ('json', 'null'),
    ('timestamp', '2026-01-31T12:00:00Z'),
    ('int', '0'), ('int', '-1'), ('int', '5'), ('int', '9223372036854775807'),
    ('int', '9223372036854775806'), ('int', '-9223372036854775808'),
    ('float', '0.1'), ('float', '-0'), ('float', '5'), ('float', '1e300'), ('float', '-1e300'),
    ('float', '1.7976931348623157e308'), ('float', '-1.7976931348623157e308'),
    ('float', '4.9406564584124654e-324'), ('float', '0.12345678901234567'), ('float', 'NaN'),
    ('float', 'Infinity'), ('float', '-Infinity'),
    ('numeric', '1.50'), ('numeric', '-1e-30'), ('numeric', '12345678901234567890.123456789'),
    ('numeric', '9e9999'), ('numeric', '-9e9999'), ('numeric', '1e10000'), ('numeric', '-9e131071'),
    ('numeric', 'NaN'), ('numeric', 'Infinity'),
    ('number', '1'), ('number', '-3'), ('number', '2.5'), ('number', '1e3'), ('word', 'idle'),
    -- refused by their type
    ('int', 'x'), ('float', '1e999'), ('numeric', 'x'), ('bool', 'x');
CREATE TABLE attribute AS
SELECT data_type || '_' || projection AS name, data_type, projection
FROM unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) AS data_type,
     unnest('{hot,live,current,none}'::text[]) AS projection
UNION ALL VALUES ('some_number', 'number', NULL), ('some_word', 'word', NULL);

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.value_text = '7' OR new.value_int = -1 THEN
        RAISE EXCEPTION 'refused';
    END IF;
    RETURN new;
END
$$;

-- The oracle. Sums of floats depend on the order of their terms, and are left to differ by little.
CREATE VIEW expected AS
SELECT tenant_id, attribute_id, to_timestamp(floor(extract(epoch FROM observed_at) / 3600) * 3600) AS bucket,
       count(any_value) AS value_count, count(*) - count(any_value) AS cleared_count,
       count(number) AS number_count, 0 AS new_entities, min(number) AS min_value,
       max(number) AS max_value, sum(number) AS sum_value, min(observed_at) AS first_observed_at,
       max(observed_at) AS last_observed_at, max(ingested_at) AS last_ingested_at,
       bool_or(is_float) AS is_float
FROM (SELECT h.*, coalesce(value_text, value_int::text, value_float::text, value_numeric::text,
                           value_bool::text, value_time::text, value_json::text) AS any_value,
             value_float IS NOT NULL AS is_float,
             CASE WHEN abs(value_numeric) >= '1e10000' THEN NULL
                  WHEN value_float IN ('NaN', 'Infinity', '-Infinity') THEN NULL
                  ELSE coalesce(value_int, value_float::numeric, value_numeric) END AS number
      FROM eav.entity_values_ts h) AS v
GROUP BY 1, 2, 3
UNION ALL
SELECT p.tenant_id, v.attribute_id, '-infinity', 0, 0, 0, count(*), NULL, NULL, NULL, NULL, NULL, NULL, false
FROM eav.entity_jsonb p, eav.projection_versions(p.versions) AS v GROUP BY 1, 2;

CREATE VIEW stored AS
SELECT tenant_id, attribute_id, bucket, sum(value_count) AS value_count,
       sum(cleared_count) AS cleared_count, sum(number_count) AS number_count,
       sum(new_entities) AS new_entities, min(min_value) AS min_value, max(max_value) AS max_value,
       sum(sum_value) AS sum_value, min(first_observed_at) AS first_observed_at,
       max(last_observed_at) AS last_observed_at, max(last_ingested_at) AS last_ingested_at
FROM (SELECT tenant_id, attribute_id, bucket, value_count, cleared_count, number_count, 0 AS new_entities,
             min_value, max_value, sum_value, first_observed_at, last_observed_at, last_ingested_at
      FROM eav.attribute_rollups
      UNION ALL
      SELECT tenant_id, attribute_id, bucket, value_count, cleared_count, number_count, new_entities,
             min_value, max_value, sum_value, first_observed_at, last_observed_at, last_ingested_at
      FROM eav.attribute_rollups_daily WHERE bucket = '-infinity'
      UNION ALL
      SELECT tenant_id, attribute_id, bucket, value_count, cleared_count, number_count, new_entities,
             min_value, max_value, sum_value, first_observed_at, last_observed_at, last_ingested_at
      FROM eav.rollup_pending) AS r
GROUP BY 1, 2, 3;

-- One statement, for one snapshot.
CREATE FUNCTION differences(tenant bigint)
    RETURNS TABLE (attribute_id integer, bucket timestamptz, expected text, stored text)
    LANGUAGE sql STABLE AS $$
    SELECT attribute_id, bucket, e::text, s::text
    FROM (SELECT * FROM expected WHERE tenant_id = tenant) AS e
    FULL JOIN (SELECT * FROM stored WHERE tenant_id = tenant) AS s USING (attribute_id, bucket)
    WHERE (e.value_count, e.cleared_count, e.number_count, e.new_entities, e.min_value, e.max_value,
           e.first_observed_at, e.last_observed_at, e.last_ingested_at)
          IS DISTINCT FROM
          (s.value_count, s.cleared_count, s.number_count, s.new_entities, s.min_value, s.max_value,
           s.first_observed_at, s.last_observed_at, s.last_ingested_at)
       OR CASE WHEN e.is_float
               THEN abs(e.sum_value - s.sum_value)
                    > e.number_count * greatest(abs(e.min_value), abs(e.max_value)) * 1e-13
               ELSE e.sum_value IS DISTINCT FROM s.sum_value END
$$;
-- Days are the sums of their hours, at any time.
CREATE VIEW wrong_day AS
SELECT tenant_id, attribute_id, bucket, d.value_count AS stored, h.value_count AS expected
FROM (SELECT * FROM eav.attribute_rollups_daily WHERE bucket > '-infinity') AS d
FULL JOIN (
    SELECT tenant_id, attribute_id, date_trunc('day', bucket, 'UTC') AS bucket, sum(value_count) AS value_count,
           sum(cleared_count) AS cleared_count, sum(number_count) AS number_count, min(min_value) AS min_value,
           max(max_value) AS max_value, sum(sum_value) AS sum_value, min(first_observed_at) AS first_observed_at,
           max(last_observed_at) AS last_observed_at, max(last_ingested_at) AS last_ingested_at
    FROM eav.attribute_rollups GROUP BY 1, 2, 3) AS h USING (tenant_id, attribute_id, bucket)
WHERE (d.value_count, d.cleared_count, d.number_count, d.min_value, d.max_value, d.sum_value,
       d.first_observed_at, d.last_observed_at, d.last_ingested_at, d.new_entities)
      IS DISTINCT FROM
      (h.value_count, h.cleared_count, h.number_count, h.min_value, h.max_value, h.sum_value,
       h.first_observed_at, h.last_observed_at, h.last_ingested_at, 0);
CREATE TABLE mismatch (seed integer, step integer, found text);
CREATE TABLE compared (seed integer, step integer, merged bigint, pending bigint);

CREATE FUNCTION pick(type text) RETURNS text LANGUAGE sql AS $$
    SELECT (array_agg(value ORDER BY value COLLATE "C"))[1 + floor(random() * count(*))]
    FROM sample WHERE data_type = type
$$;

-- Values of a few hours, most of them present, some days late.
CREATE FUNCTION some_time() RETURNS timestamptz LANGUAGE sql AS $$
    SELECT date_trunc('hour', now()) - interval '1 hour' * floor(random() ^ 3 * 50)
           + interval '1 second' * floor(random() * 3) * 1799.9999995
$$;

CREATE FUNCTION stage(tenant bigint, rows integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, observed_at, cleared, value)
    SELECT tenant, 1 + floor(random() * 6), a.name, some_time(), v.value IS NULL, v.value
    FROM (SELECT a.*, n FROM generate_series(1, rows) AS n, attribute a
          WHERE random() < 0.1 ORDER BY random()) AS a,
         LATERAL (SELECT CASE WHEN n > 0 AND random() < 0.9 THEN pick(a.data_type) END AS value) AS v
$$;

CREATE FUNCTION ingest(tenant bigint) RETURNS void LANGUAGE sql AS $$
    SELECT eav.ingest(jsonb_build_object('tenant_id', tenant, 'entity_id', 1 + floor(random() * 6),
                                         'observed_at', some_time(),
                                         'attributes', jsonb_object_agg(name, pick(data_type)))::text)
    FROM attribute WHERE random() < 0.2 AND data_type <> 'json' HAVING count(*) > 0
$$;

CREATE FUNCTION upsert(tenant bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM eav.upsert_hot_attributes(tenant, 1 + floor(random() * 6)::bigint,
                                      jsonb_object_agg(name, pick(data_type)), some_time())
    FROM attribute WHERE random() < 0.2 AND data_type NOT IN ('json', 'number') HAVING count(*) > 0;
EXCEPTION WHEN raise_exception OR data_exception THEN
    -- one of the values was refused, and with it all
END
$$;

CREATE FUNCTION rolled_back(tenant bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stage(tenant, 2), upsert(tenant);
    IF random() < 0.5 THEN
        PERFORM eav.stage_flush();
    END IF;
    IF random() < 0.5 THEN
        PERFORM eav.merge_rollups();
    END IF;
    RAISE SQLSTATE 'ZZ000';
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
END
$$;

CREATE PROCEDURE compare(seed integer, tenant bigint, step integer) LANGUAGE sql AS $$
    INSERT INTO mismatch SELECT seed, step, d::text FROM differences(tenant) AS d;
    INSERT INTO mismatch SELECT seed, step, d::text FROM wrong_day AS d WHERE d.tenant_id = tenant;
    INSERT INTO compared SELECT seed, step, (SELECT count(*) FROM eav.attribute_rollups WHERE tenant_id = tenant),
                                (SELECT count(*) FROM eav.rollup_pending WHERE tenant_id = tenant);
$$;

CREATE PROCEDURE run(seed integer) LANGUAGE plpgsql AS $$
DECLARE
    tenant bigint := eav.register_tenant('seed ' || seed);
BEGIN
    PERFORM setseed(seed / 100000.0);
    PERFORM eav.register_attribute(tenant, name, data_type, projection)
    FROM attribute WHERE projection IS NOT NULL;
    COMMIT;
    FOR step IN 1..40 LOOP
        IF random() < 0.6 THEN PERFORM stage(tenant, 1 + floor(random() * 20)::integer); END IF;
        IF random() < 0.3 THEN PERFORM ingest(tenant); END IF;
        IF random() < 0.3 THEN PERFORM upsert(tenant); END IF;
        IF random() < 0.1 THEN PERFORM rolled_back(tenant); END IF;
        IF random() < 0.2 THEN PERFORM pg_sleep(0.03); END IF; -- the worker meets what is locked
        IF random() < 0.6 THEN COMMIT; END IF;
        IF random() < 0.3 THEN PERFORM eav.stage_flush(); END IF;
        IF random() < 0.3 THEN PERFORM eav.merge_rollups(); END IF;
        IF random() < 0.1 THEN PERFORM eav.rebuild_rollups(); END IF;
        CALL compare(seed, tenant, step);
    END LOOP;
    COMMIT;
    LOOP
        PERFORM eav.stage_flush();
        COMMIT;
        EXIT WHEN NOT EXISTS (SELECT FROM eav.flush_backlog);
    END LOOP;
    PERFORM eav.merge_rollups();
    CALL compare(seed, tenant, NULL);
    COMMIT;
END
$$;

SELECT no_plan();
SELECT :first_seed + :seeds - 1 AS last_seed, :first_seed + :seeds / 2 AS with_worker \gset
SELECT eav._ensure_partitions() \g /dev/null
ALTER SYSTEM SET eav.worker_enabled = off;
ALTER SYSTEM SET eav.rollup_interval = '10ms';
SELECT pg_reload_conf() \g /dev/null
SELECT format(CASE WHEN seed % 3 = 0 THEN
           'CREATE TRIGGER refuse BEFORE INSERT ON eav.entity_values_ts FOR EACH ROW EXECUTE FUNCTION refuse()'
           ELSE 'SELECT' END), format('CALL run(%s)', seed),
       CASE WHEN seed % 3 = 0 THEN
           'BEGIN; LOCK TABLE eav.entity_values_ts; DROP TRIGGER refuse ON eav.entity_values_ts; COMMIT'
           ELSE 'SELECT' END
FROM generate_series(:first_seed, :with_worker - 1) AS seed \gexec
ALTER SYSTEM RESET eav.worker_enabled;
SELECT pg_reload_conf() \g /dev/null
SELECT format(CASE WHEN seed % 3 = 0 THEN
           'CREATE TRIGGER refuse BEFORE INSERT ON eav.entity_values_ts FOR EACH ROW EXECUTE FUNCTION refuse()'
           ELSE 'SELECT' END), format('CALL run(%s)', seed),
       CASE WHEN seed % 3 = 0 THEN
           'BEGIN; LOCK TABLE eav.entity_values_ts; DROP TRIGGER refuse ON eav.entity_values_ts; COMMIT'
           ELSE 'SELECT' END
FROM generate_series(:with_worker, :last_seed) AS seed \gexec
ALTER SYSTEM RESET eav.rollup_interval;
SELECT pg_reload_conf() \g /dev/null

SELECT is_empty(format('SELECT * FROM mismatch WHERE seed = %s', seed),
                format('seed %s: rollups are what history sums up to, after every step', seed))
FROM generate_series(:first_seed, :last_seed) AS seed;
SELECT is_empty('SELECT * FROM eav.rollup_pending', 'all is merged in the end');
SELECT isnt_empty('SELECT * FROM compared WHERE pending > 0 AND merged > 0',
                  'it was looked at between notes and merges');
SELECT isnt_empty('SELECT * FROM eav.ingest_rejects WHERE sqlstate = ''P0001''', 'batches were cut in halves');
SELECT isnt_empty('SELECT * FROM eav.ingest_rejects WHERE sqlstate <> ''P0001''', 'values were rejected');
SELECT isnt_empty('SELECT * FROM expected WHERE is_float AND abs(sum_value) > 1.7e308',
                  'sums were larger than any float');
SELECT lives_ok('SELECT eav.refresh_stats()', 'the statistics can be computed');
SELECT set_eq('SELECT tenant_id, attribute_id, value_count, cleared_count, min_value, max_value, first_observed_at, last_ingested_at
               FROM eav.mv_entity_attribute_stats',
              'SELECT tenant_id, attribute_id, sum(value_count)::bigint AS value_count,
                      sum(cleared_count)::bigint AS cleared_count, min(min_value), max(max_value) AS max_value,
                      min(first_observed_at) AS first_observed_at, max(last_ingested_at) AS last_ingested_at
               FROM expected GROUP BY 1, 2 HAVING sum(value_count + cleared_count) > 0',
              'the statistics are those of history');
SELECT set_eq('SELECT tenant_id, attribute_id, entity_count FROM eav.mv_entity_attribute_stats WHERE entity_count IS NOT NULL',
              'SELECT p.tenant_id, v.attribute_id, count(*) FROM eav.entity_jsonb p, eav.projection_versions(p.versions) v GROUP BY 1, 2',
              'entities are counted by the projection');

-- Questions to history: each asked at random, of tenants, entities and attributes that are there.
CREATE VIEW history AS
SELECT h.tenant_id, h.entity_id, a.name, h.observed_at, h.ingested_at,
       coalesce(to_jsonb(h.value_text), to_jsonb(h.value_int), to_jsonb(h.value_float),
                to_jsonb(h.value_numeric), to_jsonb(h.value_bool), to_jsonb(h.value_time),
                h.value_json) AS value,
       CASE WHEN abs(value_numeric) >= '1e10000' THEN NULL
            WHEN value_float IN ('NaN', 'Infinity', '-Infinity') THEN NULL
            ELSE coalesce(value_int, value_float::numeric, value_numeric) END AS number
FROM eav.entity_values_ts h JOIN eav.attributes a USING (tenant_id, attribute_id);
CREATE TABLE question AS
SELECT row_number() OVER () AS question, t.tenant_id, 1 + n % 6 AS entity, a.name, lo, lo + span AS hi, width
FROM (SELECT setseed(0.5)) AS s, eav.tenants t, generate_series(1, 12) AS n,
     LATERAL (SELECT name FROM attribute WHERE n > 0 AND t.tenant_id > 0 ORDER BY random() LIMIT 1) AS a,
     LATERAL (SELECT CASE WHEN random() < 0.8 THEN some_time() + (n % 3 - 1) * interval '0.000001s' END AS lo,
                     CASE WHEN random() < 0.8 THEN interval '1 hour' * floor(random() * 30) END AS span,
                     (ARRAY['1 hour', '7 minutes', '1 day', '7 days', '0.25 seconds', '1000 days', '90 min 1 us'])[1 + floor(random() * 7)]::interval AS width
              WHERE n > 0 AND t.tenant_id > 0) AS r;
ANALYZE question;

SELECT is_empty($$
    SELECT q.question, f.*, o.* FROM question q
    CROSS JOIN LATERAL (
        SELECT array_agg((observed_at, ingested_at, value, cleared)) AS got
        FROM eav.entity_history(q.tenant_id, q.entity, q.name, q.lo, q.hi)) AS f
    CROSS JOIN LATERAL (
        SELECT array_agg((observed_at, ingested_at, value, value IS NULL) ORDER BY observed_at, ingested_at) AS wanted
        FROM history h WHERE h.tenant_id = q.tenant_id AND h.entity_id = q.entity AND h.name = q.name
            AND (q.lo IS NULL OR observed_at >= q.lo) AND (q.hi IS NULL OR observed_at < q.hi)) AS o
    WHERE f.got::text IS DISTINCT FROM o.wanted::text$$, 'entity_history()');
SELECT is_empty($$
    SELECT q.question, f.*, o.* FROM question q
    LEFT JOIN LATERAL eav.value_at(q.tenant_id, q.entity, q.name, q.lo) AS f ON true
    LEFT JOIN LATERAL (
        SELECT observed_at, ingested_at, value FROM history h
        WHERE h.tenant_id = q.tenant_id AND h.entity_id = q.entity AND h.name = q.name AND observed_at <= q.lo
        ORDER BY observed_at DESC, ingested_at DESC LIMIT 1) AS o ON o.value IS NOT NULL
    WHERE (f.observed_at, f.ingested_at, f.value) IS DISTINCT FROM (o.observed_at, o.ingested_at, o.value)$$, 'value_at()');
SELECT is_empty($$
    SELECT q.question, f.*, o.* FROM question q
    CROSS JOIN LATERAL (
        SELECT array_agg((bucket, value_count, min_value, max_value, avg_value) ORDER BY bucket) AS got,
               array_agg(last_value ORDER BY bucket) AS got_last
        FROM eav.time_buckets(q.tenant_id, q.name, q.width, q.lo, q.hi) AS b) AS f
    CROSS JOIN LATERAL (
        SELECT array_agg((bucket, count, min, max, avg) ORDER BY bucket) AS wanted,
               array_agg(newest ORDER BY bucket) AS wanted_last FROM (
            SELECT to_timestamp(floor((extract(epoch FROM observed_at) - 4 * 86400) / extract(epoch FROM q.width))
                                * extract(epoch FROM q.width) + 4 * 86400) AS bucket,
                   count(*), min(number), max(number), avg(number),
                   -- those of several entities may be equally new
                   array_to_json(array_agg(value) FILTER (WHERE is_newest))::jsonb AS newest
            FROM (SELECT h.*, rank() OVER (PARTITION BY tenant_id, name, floor((extract(epoch FROM observed_at) - 4 * 86400) / extract(epoch FROM q.width))
                                           ORDER BY observed_at DESC, ingested_at DESC) = 1 AS is_newest
                  FROM history h WHERE value IS NOT NULL AND h.tenant_id = q.tenant_id AND h.name = q.name
                      AND (q.lo IS NULL OR observed_at >= q.lo) AND (q.hi IS NULL OR observed_at < q.hi)) AS h
            WHERE h.tenant_id = q.tenant_id AND h.name = q.name AND value IS NOT NULL
                AND (q.lo IS NULL OR observed_at >= q.lo) AND (q.hi IS NULL OR observed_at < q.hi)
            GROUP BY 1) AS b) AS o
    WHERE (f.got::text IS DISTINCT FROM o.wanted::text
           OR EXISTS (SELECT FROM unnest(got_last, wanted_last) AS u (got, wanted) WHERE NOT wanted @> jsonb_build_array(got)))
      AND q.width IN ('1 hour', '1 day', '7 days')$$,
    'time_buckets() of hours, days and weeks');
SELECT is_empty($$
    SELECT q.question, f.*, o.* FROM question q
    CROSS JOIN LATERAL (
        SELECT sum(value_count) AS count, min(min_value) AS min, max(max_value) AS max, count(DISTINCT bucket) = count(*) AS distinct,
               bool_and(date_bin(q.width, bucket, '0001-01-01Z') = bucket) AS multiples
        FROM eav.time_buckets(q.tenant_id, q.name, q.width, q.lo, q.hi) AS b) AS f
    CROSS JOIN LATERAL (
        SELECT nullif(count(*), 0) AS count, min(number) AS min, max(number) AS max
        FROM history h
        WHERE h.tenant_id = q.tenant_id AND h.name = q.name AND value IS NOT NULL
            AND (q.lo IS NULL OR observed_at >= q.lo) AND (q.hi IS NULL OR observed_at < q.hi)) AS o
    WHERE (f.count, f.min, f.max) IS DISTINCT FROM (o.count, o.min, o.max) OR NOT f.multiples OR NOT f.distinct$$,
    'time_buckets() of any width');
SELECT cmp_ok((SELECT count(*) FROM question q, eav.time_buckets(tenant_id, name, width, lo, hi)), '>', 200::bigint,
              'there were buckets');
SELECT is_empty($$
    SELECT d.*, e.* FROM eav.tenants t
    CROSS JOIN (VALUES (interval '1 hour'), ('25 hours'), ('30 days')) AS s (since)
    CROSS JOIN LATERAL (
        SELECT array_agg((attribute, value_count, cleared_count, min_value, max_value, first_observed_at, last_observed_at)) AS got
        FROM eav.value_distribution(t.tenant_id, NULL, s.since)) AS d
    CROSS JOIN LATERAL (
        SELECT array_agg((name, count, cleared, min, max, first, last) ORDER BY name COLLATE "C") AS wanted
        FROM (SELECT name, count(value) AS count, count(*) - count(value) AS cleared, min(number), max(number),
                     min(observed_at) AS first, max(observed_at) AS last
              FROM history h WHERE h.tenant_id = t.tenant_id AND observed_at >= date_trunc('hour', now() - s.since)
              GROUP BY 1) AS o) AS e
    WHERE d.got::text IS DISTINCT FROM e.wanted::text$$, 'value_distribution()');
SELECT is_empty($$
    SELECT * FROM (
        SELECT tenant_id, entity_id, attribute_name, value FROM eav.current_values) AS v
    FULL JOIN (
        SELECT tenant_id, entity_id, name AS attribute_name, value AS wanted
        FROM (SELECT DISTINCT ON (h.tenant_id, h.entity_id, h.name) h.*
              FROM history h JOIN eav.attributes a USING (tenant_id, name) WHERE a.projection <> 'none'
              ORDER BY h.tenant_id, h.entity_id, h.name, observed_at DESC, ingested_at DESC) AS n
        WHERE value IS NOT NULL) AS o USING (tenant_id, entity_id, attribute_name)
    WHERE v.value IS DISTINCT FROM o.wanted$$, 'current_values');
SELECT is_empty($$
    SELECT tenant_id, attribute_id, bucket FROM eav.hourly_rollups h
    FULL JOIN (SELECT * FROM expected WHERE bucket > '-infinity') AS e USING (tenant_id, attribute_id, bucket)
    WHERE (h.value_count, h.min_value) IS DISTINCT FROM (e.value_count, e.min_value)$$, 'hourly_rollups');

-- Hours that are too old go, their days stay.
CREATE TABLE before AS SELECT * FROM eav.mv_entity_attribute_stats;
ALTER SYSTEM SET eav.rollup_retention = '10h';
SELECT pg_reload_conf() \g /dev/null
SELECT pg_sleep(0.2) \g /dev/null
SELECT cmp_ok(eav._expire_rollups(), '>', 0::bigint, 'hours expire');
SELECT lives_ok('SELECT eav.refresh_stats()', 'the statistics are computed again');
SELECT is_empty('SELECT * FROM eav.hourly_rollups WHERE bucket < now() - interval ''12 hours''', 'they are gone');
SELECT set_eq('SELECT * FROM eav.mv_entity_attribute_stats', 'SELECT * FROM before', 'but not from the statistics');
SELECT set_eq('SELECT t.name, d.attribute, d.value_count, d.min_value
               FROM eav.tenants t, eav.value_distribution(t.tenant_id, NULL, ''30 hours'') AS d',
              'SELECT t.name, h.name AS attribute, count(value), min(number) FROM history h JOIN eav.tenants t USING (tenant_id)
               WHERE observed_at >= date_trunc(''day'', now() - interval ''30 hours'') GROUP BY 1, 2',
              'where hours are gone, a distribution begins with a whole day');
SELECT is(eav._expire_rollups(), 0::bigint, 'once');
ALTER SYSTEM RESET eav.rollup_retention;
SELECT pg_reload_conf() \g /dev/null
SELECT * FROM finish();
