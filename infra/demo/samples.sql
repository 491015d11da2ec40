-- Three questions to the data. Each query is shown before its result, and its time after it.
\set ON_ERROR_STOP 1
\pset footer off
\set QUIET 1
ANALYZE eav.entity_jsonb, eav.entity_values_ts;

\echo
\echo '--- 1. Several attributes filtered at once, by the GIN index of the projection'
\echo
\set ECHO queries
\timing on
SELECT tenant_id, entity_id, hot_attrs, live_attrs ->> 'speed' AS speed
FROM eav.entity_jsonb
WHERE hot_attrs @> '{"status": "fault", "charging": true, "locked": false, "gear": 3}'
  AND (live_attrs ->> 'speed')::float > 80
ORDER BY (live_attrs ->> 'speed')::float DESC
LIMIT 5;

\timing off
EXPLAIN (COSTS OFF)
SELECT * FROM eav.entity_jsonb
WHERE hot_attrs @> '{"status": "fault", "charging": true, "locked": false, "gear": 3}';

\set ECHO none
\echo
\echo '--- 2. Read your own write'
\echo '       by COPY, until the worker has projected it (one row of tenant 1, network "ci"):'
\echo
\echo 'COPY eav.entity_values_ingest (tenant_id, entity, attribute, value) FROM STDIN'
\timing on
COPY eav.entity_values_ingest (tenant_id, entity, attribute, value) FROM STDIN;
1	ci	alert	orange
1	ci	felt	41
\.
\set ECHO queries
DO $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM eav.entity_jsonb p JOIN eav.entities e USING (tenant_id, entity_id)
                      WHERE tenant_id = 1 AND external_id = 'ci' AND hot_attrs @> '{"alert": "orange"}')
    LOOP
        PERFORM pg_sleep(0.001);
    END LOOP;
END
$$;
SELECT external_id, hot_attrs ->> 'alert' AS alert, live_attrs ->> 'felt' AS felt
FROM eav.entity_jsonb JOIN eav.entities USING (tenant_id, entity_id)
WHERE tenant_id = 1 AND external_id = 'ci';

\timing off
\set ECHO none
\echo '       by upsert_hot_attributes(), in the transaction of the writer:'
\echo
\set ECHO queries
\timing on
SELECT eav.upsert_hot_attributes(tenant_id, entity_id, '{"alert": "yellow", "felt": 42}') AS document
FROM eav.entities WHERE tenant_id = 1 AND external_id = 'ci' \g /dev/null
SELECT external_id, hot_attrs ->> 'alert' AS alert, live_attrs ->> 'felt' AS felt
FROM eav.entity_jsonb JOIN eav.entities USING (tenant_id, entity_id)
WHERE tenant_id = 1 AND external_id = 'ci';

\timing off
\set ECHO none
\echo '--- 3. Distribution of the values of an attribute over 30 days, from history'
\echo
\set ECHO queries
\timing on
SELECT floor(value_float) AS magnitude, count(*), round(avg(value_float)::numeric, 2) AS average,
       repeat('#', (count(*) / 10)::int) AS histogram
FROM eav.entity_values
WHERE tenant_id = 1 AND attribute_name = 'mag' AND ingested_at > now() - interval '30 days'
GROUP BY magnitude
ORDER BY magnitude;
