-- Partitions of history: set up, changed, maintained by pg_partman, retired.
\pset format unaligned
\pset tuples_only on
-- Neither of these may show in what the functions do.
SET timezone = 'America/New_York';
SET datestyle = 'SQL, DMY';
SET intervalstyle = 'iso_8601';

-- Dates differ from run to run: the tests look at what must hold of the bounds. Returns what does
-- not hold, so nothing is good.
CREATE FUNCTION violations(step interval, premake integer) RETURNS SETOF text
    LANGUAGE sql SET timezone = 'UTC' AS $$
    WITH part AS (
        SELECT p.*, lag(p.upper) OVER (ORDER BY p.lower) AS previous_upper,
               row_number() OVER (ORDER BY p.lower DESC) AS from_end
        FROM eav._history_partitions() p WHERE p.lower IS NOT NULL)
    SELECT 'gap or overlap before ' || partition FROM part WHERE lower <> previous_upper
    UNION ALL
    SELECT 'nothing holds the present' WHERE NOT EXISTS
        (SELECT FROM part WHERE now() >= lower AND now() < upper)
    UNION ALL
    SELECT format('%s partitions ahead', count(*)) FROM part WHERE lower > now()
    HAVING count(*) < premake
    UNION ALL
    SELECT 'wrong length or place of ' || partition FROM part
    WHERE from_end <= premake AND (upper <> lower + step OR eav._partition_floor(lower, step) <> lower)
    UNION ALL
    SELECT 'wrong name of ' || partition FROM part
    WHERE partition::text NOT IN ('eav.entity_values_ts_p' || to_char(lower, 'YYYYMMDD'),
                                  'eav.entity_values_ts_p' || to_char(lower, 'YYYYMMDD_HH24MISS'))
    UNION ALL
    SELECT 'no index on ' || p.partition
    FROM eav._history_partitions() p, eav._missing_indexes(p.partition)
    UNION ALL
    SELECT format('%s default partitions', count(*)) FROM eav._history_partitions() p
    WHERE p.lower IS NULL HAVING count(*) <> 1
$$;
-- As if time had passed: pg_partman counts from now to the last partition, and is told to keep
-- some more ready than there are.
CREATE FUNCTION maintain_ahead(more integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    had CONSTANT integer := (SELECT count(*) FROM eav._history_partitions());
    reported integer;
BEGIN
    UPDATE part_config
    SET premake = more + ceil((SELECT extract(epoch FROM max(p.lower) - now())
                               FROM eav._history_partitions() p)
                              / extract(epoch FROM partition_interval::interval))
    WHERE parent_table = 'eav.entity_values_ts';
    reported := eav.run_maintenance();
    RETURN CASE WHEN reported = (SELECT count(*) FROM eav._history_partitions()) - had
                     AND reported > 0
           THEN 'more partitions' ELSE format('%s partitions reported', reported) END;
END
$$;

-- Before the first value there is nothing to maintain.
SELECT eav.run_maintenance();
SELECT count(*) FROM eav._history_partitions();

-- Boundaries.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT step, eav._partition_floor('2026-11-21 15:30:00+00', step)
FROM unnest('{1 hour,6 hours,1 day,7 days,1 month,3 months,6 months,1 year,10 years}'::interval[]) AS step;
SELECT eav._partition_floor('1999-12-31 23:59:59.999999+00', '1 month'),
       eav._partition_floor('2000-01-01 00:00:00+00', '3 months'),
       eav._partition_floor('2000-12-31 23:59:59+00', '7 days');
SET timezone = 'America/New_York';
SET datestyle = 'SQL, DMY';

-- Bad arguments change nothing.
SET intervalstyle = 'postgres';
SELECT error_of(format('SELECT eav.configure_partitions(%s)', arguments))
FROM unnest(ARRAY['NULL', 'premake => NULL', '$$0$$', '$$-1 day$$', '$$1 month 1 day$$',
                  '$$2 months -30 days$$', '$$30 minutes$$', '$$90 minutes$$', '$$1 hour 1 second$$',
                  'premake => 0', 'premake => -4', '$$1 day$$, 4, $$23 hours$$',
                  'retention => $$-1 year$$', 'retention => $$29 days$$']) AS arguments;
SET intervalstyle = 'iso_8601';
SELECT count(*) FROM eav._history_partitions();
SELECT count(*) FROM eav.partition_policy;

-- The first value sets partman up: monthly, four ahead.
SELECT eav._ensure_partitions();
SELECT * FROM violations('1 month', 4);
SELECT count(*) FROM eav._history_partitions();
SELECT eav._ensure_partitions();
SELECT eav.run_maintenance();
SELECT count(*) FROM eav._history_partitions();
-- pg_partman 4 calls native what is range since 5.
SELECT control, replace(partition_type, 'native', 'range') AS partition_type, partition_interval, premake,
       retention, infinite_time_partitions, automatic_maintenance
FROM part_config WHERE parent_table = 'eav.entity_values_ts';
-- Partitions belong to the user, not to the extension: pg_dump takes them along.
SELECT count(*) FROM pg_depend
WHERE objid IN (SELECT partition FROM eav._history_partitions()) AND deptype = 'e';

-- Any interval after any other, with a value in the present partition. Each time pg_partman goes
-- on where the last partition ends.
INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, attribute_id, value_text)
VALUES (1, 1, now(), 1, 'first');
SELECT step, eav.configure_partitions(step, 3), (SELECT string_agg(v, ', ') FROM violations(step, 3) AS v),
       maintain_ahead(6), (SELECT string_agg(v, ', ') FROM violations(step, 7) AS v)
FROM unnest('{1 day,1 month,1 hour,7 days,1 hour,1 month,3 months,1 day,6 hours,1 day,1 year,1 month}'::interval[])
    WITH ORDINALITY AS i (step, n) ORDER BY n;
SELECT tableoid::regclass::text LIKE 'eav.entity_values_ts_p%', value_text FROM eav.entity_values_ts;
SELECT bool_and(automatic_maintenance = 'off' AND retention IS NULL), count(*) FROM part_config;
-- The same again: nothing happens.
SELECT eav.configure_partitions('1 month', 3);
SELECT array_agg(partition) AS before FROM eav._history_partitions() \gset
SELECT eav.configure_partitions('1 month', 3);
SELECT array_agg(partition) = :'before'::regclass[] FROM eav._history_partitions();
-- Fewer ahead take nothing away, more come at once.
SELECT eav.configure_partitions('1 month', 1);
SELECT array_agg(partition) = :'before'::regclass[] FROM eav._history_partitions();
SELECT eav.configure_partitions('1 month', 12);
SELECT * FROM violations('1 month', 12);

-- A premade partition that holds values stays, and those before it; later ones are replaced.
INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, ingested_at, attribute_id, value_text)
VALUES (1, 1, now(), eav._partition_floor(now(), '1 month') + interval '45 days', 1,
        'from a clock that ran ahead');
SELECT eav.configure_partitions('1 day', 2);
SELECT * FROM violations('1 day', 2);
SELECT count(*) FILTER (WHERE upper - lower > interval '27 days') AS months,
       count(*) FILTER (WHERE upper - lower = interval '1 day') AS days
FROM eav._history_partitions();
SELECT maintain_ahead(5);
SELECT * FROM violations('1 day', 2);

-- Maintenance was not run for long: pg_partman catches up.
CREATE PROCEDURE start_over(lower timestamptz, step interval) LANGUAGE plpgsql AS $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT partition FROM eav._history_partitions() LOOP
        EXECUTE format('DROP TABLE %s', part);
    END LOOP;
    DELETE FROM part_config;
    PERFORM eav.configure_partitions(step, 2);
    FOR part IN SELECT p.partition FROM eav._history_partitions() p WHERE p.upper IS NOT NULL LOOP
        EXECUTE format('DROP TABLE %s', part);
    END LOOP;
    PERFORM eav._add_partition(at, at + step, 'YYYYMMDD_HH24MISS')
    FROM eav._partition_floor(lower, step) AS at;
END
$$;
CALL start_over(now() - interval '40 hours', '1 hour');
SELECT eav.run_maintenance() > 40;
SELECT * FROM violations('1 hour', 2);

-- In the meantime values have come in, to the default partition: it becomes the partition of that
-- time, where every value is found by its time, and pg_partman is not stuck.
CALL start_over(now() - interval '40 hours', '1 hour');
INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, ingested_at, attribute_id, value_text)
VALUES (1, 1, now(), now() - interval '30 hours', 1, 'late'), (1, 1, now(), now(), 1, 'now'),
       (1, 1, now(), now() - interval '1 year', 1, 'from a clock that was wrong');
SELECT count(*) FROM eav.entity_values_ts_default;
SELECT eav.run_maintenance();
SELECT * FROM violations('1 hour', 2);
SELECT value_text FROM eav.entity_values_ts_default;
SELECT value_text FROM eav.entity_values_ts WHERE ingested_at > now() - interval '2 days' ORDER BY 1;
SELECT maintain_ahead(5);
SELECT * FROM violations('1 hour', 7);

-- Retention goes by the real end of a partition, also of one from before the interval became short.
CALL start_over(now() - interval '100 days', '1 month');
SELECT eav.run_maintenance() > 3;
INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, ingested_at, attribute_id, value_text)
VALUES (1, 1, now(), now() - interval '10 days', 1, 'ten days old'),
       (1, 1, now(), now() - interval '95 days', 1, 'ninety-five days old');
SELECT eav.configure_partitions('1 day', 3, '12 days');
SELECT retention FROM eav.partition_policy;
SELECT eav.run_maintenance();
SELECT value_text FROM eav.entity_values_ts;
SELECT count(*) FROM eav._history_partitions() WHERE upper <= now() - interval '12 days';
SELECT * FROM violations('1 day', 3);
-- What something depends on is not dropped, is said, and keeps nothing else from happening.
CALL start_over(now() - interval '5 hours', '1 hour');
SELECT eav.run_maintenance() > 5;
SELECT min(partition::text) AS oldest FROM eav._history_partitions() \gset
CREATE VIEW keeper AS SELECT FROM :oldest;
SELECT eav.configure_partitions('1 hour', 5, '1 hour');
SET client_min_messages = error;
SELECT error_of('SELECT eav.run_maintenance()');
RESET client_min_messages;
SELECT count(*) - 1 AS "kept by the view" FROM eav._history_partitions()
WHERE upper <= now() - interval '1 hour' OR partition = :'oldest'::regclass;
DROP VIEW keeper;
SELECT error_of('SELECT eav.run_maintenance()');
SELECT count(*) FROM eav._history_partitions() WHERE upper <= now() - interval '1 hour';
-- No retention: for ever.
SELECT eav.configure_partitions('1 hour', 5);
SELECT retention IS NULL FROM eav.partition_policy;

-- Nothing of the session was changed, though pg_partman changes the search_path.
SET search_path = public, eav;
SELECT maintain_ahead(5);
SHOW search_path;
SHOW timezone;
SHOW datestyle;
SHOW intervalstyle;
SHOW lock_timeout;
RESET search_path;

DROP PROCEDURE start_over;
DROP FUNCTION violations, maintain_ahead;
