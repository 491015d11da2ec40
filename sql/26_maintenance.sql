-- What an administrator sets about the partitions, and what the worker does with it.

CREATE FUNCTION eav.configure_partitions(partition_interval interval DEFAULT '1 month',
                                         premake integer DEFAULT 4,
                                         retention interval DEFAULT NULL)
    RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET intervalstyle = 'postgres'
AS $$
#variable_conflict use_column
DECLARE
    step CONSTANT interval := partition_interval;
    step_months CONSTANT integer :=
        CASE WHEN isfinite(step) THEN extract(year FROM step) * 12 + extract(month FROM step) END;
    ahead CONSTANT integer := premake;
    keep CONSTANT interval := retention;
    partman CONSTANT record := eav._partman();
    present_step text;
    part record;
    is_used boolean;
BEGIN
    IF step IS NULL OR ahead IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('%s must not be null',
                             CASE WHEN step IS NULL THEN 'partition_interval' ELSE 'premake' END),
            DETAIL = 'Only retention may be null, for values that are kept for ever.',
            HINT = 'Leave an argument out to get its default.';
    ELSIF NOT isfinite(step) OR step <= interval '0'
          OR step <> (CASE WHEN step_months > 0 THEN make_interval(months => step_months)
                      ELSE date_bin('1 hour', timestamp '2000-01-01' + step, timestamp '2000-01-01')
                           - timestamp '2000-01-01' END) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'partition_interval is not valid',
            DETAIL = format('%s is not a positive number of whole months or whole hours.', step),
            HINT = 'Use an interval such as 1 month, 7 days, 1 day or 1 hour.';
    ELSIF ahead < 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'premake is not valid',
            DETAIL = format('%s partitions ahead of time are less than one.', ahead),
            HINT = 'Use at least 1, so that values never find their partition missing.';
    ELSIF NOT isfinite(keep) OR keep < step THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'retention is not valid',
            DETAIL = format('%s is not a finite time of at least one partition_interval, %s.',
                            keep, step),
            HINT = 'Use null to keep values for ever, or a smaller partition_interval.';
    END IF;

    LOCK TABLE eav.partition_policy IN SHARE UPDATE EXCLUSIVE MODE;
    INSERT INTO eav.partition_policy (partition_interval, premake, retention)
    VALUES (step, ahead, keep)
    ON CONFLICT (only_row) DO UPDATE
    SET partition_interval = EXCLUDED.partition_interval,
        premake = EXCLUDED.premake,
        retention = EXCLUDED.retention;

    IF NOT EXISTS (SELECT FROM eav._history_partitions()) THEN
        PERFORM eav._ensure_partitions();
        RETURN;
    END IF;
    EXECUTE format('SELECT partition_interval FROM %I.part_config
                    WHERE parent_table = ''eav.entity_values_ts''', partman.schema_name)
    INTO present_step;
    IF present_step IS DISTINCT FROM step::text THEN
        -- Premade partitions of the old length go, from the last one back to the first that holds
        -- values or has begun; what remains stays as it is.
        LOCK TABLE eav.entity_values_ts IN ACCESS EXCLUSIVE MODE;
        FOR part IN
            SELECT p.partition, p.lower FROM eav._history_partitions() p
            WHERE p.lower IS NOT NULL ORDER BY p.lower DESC
        LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', part.partition) INTO is_used;
            EXIT WHEN is_used OR part.lower <= clock_timestamp();
            EXECUTE format('DROP TABLE %s', part.partition);
        END LOOP;
    END IF;
    PERFORM eav._extend_partitions(step, ahead);
    PERFORM eav._index_partition(p.partition) FROM eav._history_partitions() p;
END
$$;
COMMENT ON FUNCTION eav.configure_partitions(interval, integer, interval) IS
'Sets how eav.entity_values_ts is partitioned, at once; an argument that is left out gets its default. partition_interval: length of a partition, whole months or whole hours (days and weeks included), with boundaries in UTC. premake: partitions kept ready after the present one. retention: a partition is dropped by eav.run_maintenance() when all its values arrived longer ago than this; null keeps them for ever. Changing partition_interval keeps every partition that holds values or has begun, with its bounds, and replaces the empty ones after it; it locks the history until the transaction ends. Raises null_value_not_allowed (22004) for a null partition_interval or premake, invalid_parameter_value (22023) for an interval that is not positive or mixes months with days, premake below 1, or a retention shorter than the interval, and feature_not_supported (0A000) for a pg_partman other than 4 or 5.';

CREATE FUNCTION eav._promote_default(fallback regclass, edge timestamptz, step interval)
    RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET timezone = 'UTC'
AS $$
DECLARE
    name CONSTANT text := 'entity_values_ts_p' || to_char(edge, 'YYYYMMDD_HH24MISS');
    newest timestamptz;
BEGIN
    LOCK TABLE eav.entity_values_ts IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('SELECT max(ingested_at) FROM %s', fallback) INTO newest;
    EXECUTE format('ALTER TABLE eav.entity_values_ts DETACH PARTITION %s', fallback);
    EXECUTE format('ALTER TABLE %s RENAME TO %I', fallback, name);
    PERFORM eav._add_partition(NULL, NULL, NULL);
    -- Values from before the first partition, from a clock that was set back, stay by default.
    EXECUTE format('WITH older AS (DELETE FROM eav.%I WHERE ingested_at < $1 RETURNING *)
                    INSERT INTO eav.entity_values_ts SELECT * FROM older', name)
    USING edge;
    EXECUTE format('ALTER TABLE eav.entity_values_ts ATTACH PARTITION eav.%I
                    FOR VALUES FROM (%L) TO (%L)', name, edge,
                   eav._partition_floor(greatest(newest, clock_timestamp()), step) + step);
END
$$;
COMMENT ON FUNCTION eav._promote_default(regclass, timestamptz, interval) IS
'Internal: makes the default partition, with the values it holds, the partition that follows the last one (from edge), and attaches a new empty default. Locks the history until the transaction ends; reads the values once and moves none.';

CREATE FUNCTION eav._drop_expired(keep interval) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    expired regclass;
BEGIN
    -- A partition that lacks indexes is being restored from a dump, which will want to find it.
    FOR expired IN
        SELECT p.partition FROM eav._history_partitions() p
        WHERE p.upper <= now() - keep
          AND NOT EXISTS (SELECT FROM eav._missing_indexes(p.partition))
        ORDER BY p.lower
    LOOP
        BEGIN
            EXECUTE format('DROP TABLE %s', expired);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING USING ERRCODE = SQLSTATE,
                MESSAGE = format('could not drop expired partition %s', expired),
                DETAIL = SQLERRM,
                HINT = 'The next eav.run_maintenance() tries again.';
            -- Who keeps one partition from being dropped by a lock keeps the next one as well.
            EXIT WHEN SQLSTATE = '55P03';
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION eav._drop_expired(interval) IS
'Internal: drops the partitions of eav.entity_values_ts whose last value can have arrived no later than the given time ago. A partition that cannot be dropped is a WARNING.';

CREATE FUNCTION eav._run_maintenance(caller_search_path text) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET intervalstyle = 'postgres'
    SET timezone = 'UTC'
    SET lock_timeout = '500ms'
AS $$
DECLARE
    partman CONSTANT record := eav._partman();
    step interval;
    premake integer;
    present regclass[];
    fallback regclass;
    edge timestamptz;
    is_short boolean;
    has_overflow boolean;
    created integer := 0;
BEGIN
    EXECUTE format('SELECT c.partition_interval::interval, c.premake FROM %I.part_config c
                    WHERE c.parent_table = $1', partman.schema_name)
    INTO step, premake USING 'eav.entity_values_ts';
    LOCK TABLE eav.partition_policy IN SHARE UPDATE EXCLUSIVE MODE;
    -- The parent before its partitions, as everybody: who changes the table locks it in this order.
    LOCK TABLE ONLY eav.entity_values_ts IN ACCESS SHARE MODE;
    SELECT array_agg(p.partition) INTO present FROM eav._history_partitions() p;
    -- The dump of a server with another major version of pg_partman brings no row for us: its columns
    -- differ. As long as a partition lacks indexes a dump is being restored, and the row may yet come.
    IF step IS NULL AND present IS NOT NULL
       AND NOT EXISTS (SELECT FROM unnest(present) AS p, eav._missing_indexes(p)) THEN
        SELECT coalesce(max(p.partition_interval), interval '1 month'), coalesce(max(p.premake), 4)
        INTO step, premake FROM eav.partition_policy p;
        PERFORM eav._extend_partitions(step, premake);
    END IF;
    SELECT max(p.partition) FILTER (WHERE p.upper IS NULL), max(p.upper),
           max(p.lower) <= now() + (premake - 1) * step
    INTO fallback, edge, is_short
    FROM eav._history_partitions() p WHERE step IS NOT NULL;
    IF edge IS NULL THEN
        RETURN 0;
    END IF;

    -- Values that found no partition, because nobody ran this for too long, would keep pg_partman
    -- from ever creating theirs.
    IF fallback IS NOT NULL AND NOT EXISTS (SELECT FROM eav._missing_indexes(fallback)) THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE ingested_at >= $1)', fallback)
        INTO has_overflow USING edge;
    END IF;
    IF has_overflow THEN
        PERFORM eav._promote_default(fallback, edge, step);
        PERFORM eav._extend_partitions(step, premake);
    ELSIF is_short THEN
        -- pg_partman reports no SQLSTATE of its own; meet its locks here, where a timeout is one.
        LOCK TABLE ONLY eav.entity_values_ts IN SHARE UPDATE EXCLUSIVE MODE;
        IF fallback IS NOT NULL THEN
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', fallback);
        END IF;
        EXECUTE format('SELECT %I.run_maintenance($1)', partman.schema_name)
        USING 'eav.entity_values_ts';
    END IF;
    SELECT count(eav._index_partition(p.partition)) INTO created
    FROM eav._history_partitions() p WHERE p.lower IS NOT NULL AND p.partition <> ALL (present);
    PERFORM eav._drop_expired(p.retention) FROM eav.partition_policy p WHERE p.retention IS NOT NULL;
    PERFORM eav._expire_rollups();

    -- pg_partman before 5.4.1 sets the search_path of the session and puts back what it found,
    -- which is ours.
    PERFORM set_config('search_path', caller_search_path, false);
    RETURN created;
END
$$;
COMMENT ON FUNCTION eav._run_maintenance(text) IS
'Internal: eav.run_maintenance(); leaves the given search_path behind.';

-- The body is parsed now, once and for all: it needs no search_path, and can read the caller's.
CREATE FUNCTION eav.run_maintenance() RETURNS integer
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT eav._run_maintenance(pg_catalog.current_setting('search_path'));
END;
COMMENT ON FUNCTION eav.run_maintenance() IS
'Keeps the partitions of eav.entity_values_ts in order, and returns how many were created: lets pg_partman create those that are due, turns a default partition that holds values into a regular one, drops what is older than the retention of eav.configure_partitions(), and rollups by the hour that are older than eav.rollup_retention. The worker calls it; call it by hand where no worker runs. Waits at most 0.5 s for a lock, so that it never stalls the ingestion for longer. Does nothing before the first value has arrived. Raises lock_not_available (55P03) when a partition could not be created in that time; a partition that could not be dropped is a WARNING. The next call tries again.';
