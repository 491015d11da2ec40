-- eav.entity_history(), value_at(), time_buckets(), value_distribution(); rollups; views that join
-- names; each with its errors. What they compute: test/pgtap/rollup_property.sql.
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SET eav.auto_register_projection = auto;
SELECT eav.register_tenant('history') AS tenant \gset
SELECT eav.register_entity(:tenant, 'h 1', NULL, 1), eav.register_attribute(:tenant, 'h_n', 'float') \g /dev/null
SELECT eav.upsert_hot_attributes(:tenant, 1, '{"h_n": 1.5, "h_s": "on"}', '2026-03-01 10:00:00Z'),
       eav.upsert_hot_attributes(:tenant, 1, '{"h_n": 2.5}', '2026-03-01 10:59:59.999999Z'),
       eav.upsert_hot_attributes(:tenant, 1, '{"h_n": "NaN"}', '2026-03-01 11:00:00Z'),
       eav.upsert_hot_attributes(:tenant, 1, '{"h_n": null}', '2026-03-01 12:30:00Z'),
       eav.upsert_hot_attributes(:tenant, 2, '{"h_n": 7, "h_s": "off"}', '2026-03-01 12:30:00Z') \g /dev/null

-- from_time is included, to_time is not.
SELECT observed_at, value, cleared, ingested_at > now() - interval '1 hour' FROM eav.entity_history(:tenant, 1, 'h_n');
SELECT observed_at, value FROM eav.entity_history(:tenant, 1, 'h_n', '2026-03-01 10:59:59.999999Z', '2026-03-01 11:00:00Z');
SELECT count(*) FROM eav.entity_history(:tenant, 1, 'h_n', '-infinity', 'infinity');
SELECT count(*) FROM eav.entity_history(:tenant, 1, 'h_n', to_time => '2026-03-01 10:00:00Z');
SELECT count(*) FROM eav.entity_history(:tenant, 3, 'h_n');
SELECT count(*) FROM eav.entity_history(:tenant, NULL, 'h_n');
SELECT count(*) FROM eav.entity_history(:tenant, 1, 'no such');
SELECT count(*) FROM eav.entity_history(NULL, 1, 'h_n');
SELECT count(*) FROM eav.entity_history(:tenant, 1, NULL);

SELECT value, observed_at FROM eav.value_at(:tenant, 1, 'h_n', '2026-03-01 10:59:59.999998Z');
SELECT value, observed_at FROM eav.value_at(:tenant, 1, 'h_n', '2026-03-01 10:59:59.999999Z');
SELECT value, observed_at FROM eav.value_at(:tenant, 1, 'h_n', '2026-03-01 12:00:00Z');
-- not yet, cleared, no time
SELECT count(*) FROM eav.value_at(:tenant, 1, 'h_n', '2026-03-01 09:00:00Z');
SELECT count(*) FROM eav.value_at(:tenant, 1, 'h_n', 'infinity');
SELECT count(*) FROM eav.value_at(:tenant, 1, 'h_n', NULL);
SELECT count(*) FROM eav.value_at(:tenant, 1, 'no such', 'infinity');

SELECT bucket, value_count, min_value, max_value, round(avg_value, 2), last_value FROM eav.time_buckets(:tenant, 'h_n', '1 hour');
SELECT bucket, value_count, last_value FROM eav.time_buckets(:tenant, 'h_n', '1 hour', '2026-03-01 10:59:00Z', '2026-03-01 12:30:00Z');
-- 2026-03-01 is a Sunday
SELECT bucket, value_count, min_value, last_value FROM eav.time_buckets(:tenant, 'h_s', '7 days');
SELECT count(*) FROM eav.time_buckets(:tenant, 'no such', '1 hour');
SELECT error_of(format('SELECT * FROM eav.time_buckets(%s, %L, %L)', :tenant, 'h_n', '1 month'));
SELECT error_of(format('SELECT * FROM eav.time_buckets(%s, %L, %L)', :tenant, 'h_n', '1 year 1 day'));
SELECT error_of(format('SELECT * FROM eav.time_buckets(%s, %L, %L)', :tenant, 'h_n', '0'));
SELECT error_of(format('SELECT * FROM eav.time_buckets(%s, %L, %L)', :tenant, 'h_n', '-1 hour'));
SELECT error_of(format('SELECT * FROM eav.time_buckets(%s, %L, NULL)', :tenant, 'h_n'));
SELECT count(*) FROM eav.time_buckets(NULL, 'h_n', '1 hour');

-- Timestamps are those of the document, in whatever session.
SELECT eav.register_attribute(:tenant, 'h_t', 'timestamp', 'hot') \g /dev/null
SELECT eav.upsert_hot_attributes(:tenant, 4, jsonb_build_object('h_t', t), '2026-03-01 10:00:00Z'::timestamptz + n * interval '1 s')
FROM unnest('{2026-01-31T12:00:00.5Z,infinity,0044-03-15 00:00:00+00 BC}'::text[]) WITH ORDINALITY AS u (t, n);
SET timezone = 'Asia/Kolkata';
SET datestyle = 'German';
SELECT value FROM eav.entity_history(:tenant, 4, 'h_t');
SET datestyle = 'ISO';
SET timezone = 'UTC';

-- Partitions that ended before from_time can have nothing of it.
CREATE FUNCTION partitions_read(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN (SELECT count(DISTINCT name)
            FROM jsonb_path_query(plan::jsonb, '$.**."Relation Name"') AS relation (name));
END
$$;
SELECT partitions_read(format(question, :tenant)) < (SELECT count(*) FROM eav._history_partitions()) AS pruned,
       partitions_read(format(question, :tenant)) > 0 AS reads
FROM (VALUES ('SELECT * FROM eav.entity_history(%s, 1, ''h_n'', now() + interval ''2 months'')'),
             ('SELECT * FROM eav.time_buckets(%s, ''h_n'', ''1 day'', now() + interval ''2 months'')')) AS q (question);
-- A clock that is ahead by more than a day, when that is allowed.
SET eav.max_future_skew = '70d';
SELECT partitions_read(format('SELECT * FROM eav.entity_history(%s, 1, ''h_n'', now() + interval ''2 months'')', :tenant))
    = (SELECT count(*) FROM eav._history_partitions());
RESET eav.max_future_skew;
DROP FUNCTION partitions_read;

-- Rollups
SELECT eav.merge_rollups() > 0, eav.merge_rollups();
SELECT count(*) FROM eav.rollup_pending;
SELECT attribute_name, bucket, value_count, cleared_count, number_count, min_value, max_value, round(avg_value, 2), sum_value
FROM eav.hourly_rollups WHERE tenant_id = :tenant ORDER BY 1, 2;
SELECT attribute, data_type, value_count, cleared_count, min_value, max_value, round(avg_value, 2), first_observed_at, last_observed_at
FROM eav.value_distribution(:tenant, since => '100 years');
SELECT attribute FROM eav.value_distribution(:tenant, '{h_s,no such,h_s,"nor this"}', '100 years');
SELECT attribute FROM eav.value_distribution(:tenant, '{}', '100 years');
SELECT error_of('SELECT * FROM eav.value_distribution(NULL)');
SELECT error_of(format('SELECT * FROM eav.value_distribution(%s, since => NULL)', :tenant));
SELECT error_of(format('SELECT * FROM eav.value_distribution(%s, since => ''0'')', :tenant));
SELECT count(*) FROM eav.value_distribution(-1);
SELECT eav.rebuild_rollups() = eav.rebuild_rollups();

SELECT entity_id, external_id, attribute_name, data_type, projection, value, observed_at FROM eav.current_values
WHERE tenant_id = :tenant ORDER BY entity_id, attribute_name;
UPDATE eav.entities SET is_deleted = true WHERE tenant_id = :tenant AND entity_id = 2;
SELECT DISTINCT entity_id FROM eav.current_values WHERE tenant_id = :tenant;

-- A former name will do.
SELECT eav.register_attribute(:tenant, 'h_old', 'int', 'current') AS renamed \gset
SELECT eav.upsert_hot_attributes(:tenant, 1, '{"h_old": 5}', '2026-03-01 10:00:00Z') \g /dev/null
UPDATE eav.attributes SET document_name = name, name = 'h_new' WHERE attribute_id = :renamed;
SELECT value FROM eav.entity_history(:tenant, 1, 'h_old');
SELECT value FROM eav.entity_history(:tenant, 1, 'h_new');
SELECT eav.merge_rollups() \g /dev/null
SELECT attribute FROM eav.value_distribution(:tenant, '{h_old,h_new}', '100 years');
SELECT attribute_name, value FROM eav.current_values WHERE tenant_id = :tenant AND attribute_id = :renamed;

-- What a reader needs.
CREATE ROLE regress_reader;
GRANT USAGE ON SCHEMA eav TO regress_reader;
SET ROLE regress_reader;
SELECT error_of(format('SELECT * FROM eav.entity_history(%s, 1, ''h_n'')', :tenant));
RESET ROLE;
GRANT eav_reader TO regress_reader;
SET ROLE regress_reader;
SELECT count(*) FROM eav.entity_history(:tenant, 1, 'h_n');
SELECT error_of(format('SELECT * FROM eav.value_distribution(%s)', :tenant)) LIKE '42501 permission denied for tenant%';
SELECT eav.set_tenant(:tenant);
SELECT count(*) FROM eav.value_distribution(:tenant, since => '100 years');
SELECT (SELECT count(*) FROM eav.entity_history(:tenant, 1, 'h_n')), (SELECT count(*) FROM eav.value_at(:tenant, 1, 'h_s', now())),
       (SELECT count(*) FROM eav.time_buckets(:tenant, 'h_n', '1 day'));
SELECT error_of('SELECT eav.merge_rollups()');
RESET eav.tenant_id;
RESET ROLE;
DROP OWNED BY regress_reader;
DROP ROLE regress_reader;
