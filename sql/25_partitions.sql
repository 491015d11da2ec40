-- Partitions of history. pg_partman knows the set (a row in its part_config) and makes new
-- partitions ahead of time; eav.run_maintenance() in 26_maintenance.sql drives it.
--
-- The first partitions appear with the first value, not with CREATE EXTENSION: tables made by the
-- extension script would be members of the extension, and pg_dump would leave them out.
--
-- The set is entered into part_config as a restored dump does it, not with create_parent(): that
-- locks out all readers, leaves the caller with another search_path, and differs between
-- pg_partman 4 and 5. All boundaries are in UTC, whatever the time zone of the session.

CREATE TABLE eav.partition_policy (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    partition_interval interval NOT NULL,
    premake integer NOT NULL,
    retention interval
);
COMMENT ON TABLE eav.partition_policy IS 'What eav.configure_partitions() was told; empty as long as the defaults hold.';
COMMENT ON COLUMN eav.partition_policy.retention IS 'Kept here and not in part_config: partman takes every partition to be one present interval long, and would drop a month of values after the interval became a day.';

CREATE FUNCTION eav._partman(OUT schema_name name, OUT partition_type text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    version text;
BEGIN
    SELECT n.nspname, e.extversion INTO schema_name, version
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_partman';
    partition_type := CASE split_part(version, '.', 1) WHEN '4' THEN 'native' WHEN '5' THEN 'range' END;
    IF partition_type IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = format('pg_partman %s is not supported', version),
            DETAIL = 'Its interface differs between major versions.',
            HINT = 'Install pg_partman 4 or 5.';
    END IF;
END
$$;
COMMENT ON FUNCTION eav._partman() IS
'Internal: the schema of pg_partman in this database, and its word for partitioning by range. Raises feature_not_supported (0A000) when its version is neither 4 nor 5.';

CREATE FUNCTION eav._history_partitions()
    RETURNS TABLE (partition regclass, lower timestamptz, upper timestamptz)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET timezone = 'UTC'
AS $$
    SELECT c.oid::regclass, bound[1]::timestamptz, bound[2]::timestamptz
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN regexp_match(pg_get_expr(c.relpartbound, c.oid),
                            $re$FROM \('(.*)'\) TO \('(.*)'\)$re$) AS bound
    WHERE i.inhparent = 'eav.entity_values_ts'::regclass
$$;
COMMENT ON FUNCTION eav._history_partitions() IS
'Internal: the partitions of eav.entity_values_ts with their bounds (lower inclusive, upper exclusive); both are null for the default partition.';

CREATE FUNCTION eav._partition_floor(at timestamptz, step interval) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    step_months CONSTANT integer := extract(year FROM step) * 12 + extract(month FROM step);
    month integer;
BEGIN
    IF step_months = 0 THEN
        RETURN date_bin(step, at, timestamptz '2001-01-01 00:00:00+00');
    END IF;
    month := extract(year FROM at) * 12 + extract(month FROM at) - 1;
    month := month - month % step_months;
    RETURN make_timestamptz(month / 12, month % 12 + 1, 1, 0, 0, 0, 'UTC');
END
$$;
COMMENT ON FUNCTION eav._partition_floor(timestamptz, interval) IS
'Internal: the last partition boundary at or before a time, in UTC. Boundaries of months and years are counted from January of year 0, those of hours, days and weeks from Monday 2001-01-01. Null for null.';

CREATE FUNCTION eav._missing_indexes(partition regclass) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*') FROM pg_index i
    WHERE i.indrelid = 'eav.entity_values_ts_template'::regclass
    EXCEPT
    SELECT substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*') FROM pg_index i
    WHERE i.indrelid = partition
$$;
COMMENT ON FUNCTION eav._missing_indexes(regclass) IS
'Internal: definitions, from USING on, of the indexes that eav.entity_values_ts_template has and the partition has not. A partition that lacks some is new, or is being restored from a dump.';

CREATE FUNCTION eav._close_partition(partition regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee text;
BEGIN
    IF NOT (SELECT c.relrowsecurity AND c.relforcerowsecurity
            FROM pg_class c WHERE c.oid = partition) THEN
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
                       partition);
    END IF;
    -- What default privileges have added; TRIGGER would run what others have written as the owner.
    FOR grantee IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class c, aclexplode(c.relacl) AS a
        WHERE c.oid = partition AND a.grantee IN (0, to_regrole('eav_admin'))
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', partition, grantee);
    END LOOP;
END
$$;
COMMENT ON FUNCTION eav._close_partition(regclass) IS
'Internal: row security without policies for a partition, and no privileges for PUBLIC and eav_admin: it is read by way of eav.entity_values_ts, and not by itself.';

CREATE FUNCTION eav._index_partition(partition regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    definition text;
BEGIN
    FOR definition IN SELECT * FROM eav._missing_indexes(partition) LOOP
        EXECUTE format('CREATE INDEX ON %s%s', partition, definition);
    END LOOP;
    PERFORM eav._close_partition(partition);
END
$$;
COMMENT ON FUNCTION eav._index_partition(regclass) IS
'Internal: gives a partition the indexes of eav.entity_values_ts_template that it lacks, and closes it to direct access.';

CREATE FUNCTION eav._add_partition(lower timestamptz, upper timestamptz, name_format text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET timezone = 'UTC'
AS $$
DECLARE
    suffix CONSTANT text := coalesce('p' || to_char(lower, name_format), 'default');
    bounds CONSTANT text := CASE WHEN lower IS NULL THEN 'DEFAULT'
                                 ELSE format('FOR VALUES FROM (%L) TO (%L)', lower, upper) END;
BEGIN
    -- Attaching, unlike CREATE TABLE ... PARTITION OF, lets flushes and readers go on.
    EXECUTE format('CREATE TABLE eav.%I (LIKE eav.entity_values_ts_template INCLUDING ALL)',
                   'entity_values_ts_' || suffix);
    PERFORM eav._close_partition(format('eav.%I', 'entity_values_ts_' || suffix)::regclass);
    EXECUTE format('ALTER TABLE eav.entity_values_ts ATTACH PARTITION eav.%I %s',
                   'entity_values_ts_' || suffix, bounds);
END
$$;
COMMENT ON FUNCTION eav._add_partition(timestamptz, timestamptz, text) IS
'Internal: creates the partition from lower to upper, named by its lower bound; the default partition when they are null.';

CREATE FUNCTION eav._extend_partitions(step interval, premake integer) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET intervalstyle = 'postgres'
    SET timezone = 'UTC'
AS $$
DECLARE
    partman CONSTANT record := eav._partman();
    edge timestamptz;
    next timestamptz;
    ahead integer;
    at_midnight boolean;
    name_format text;
BEGIN
    SELECT max(p.upper),
           count(*) FILTER (WHERE p.lower > now() AND p.upper = p.lower + step),
           coalesce(bool_and(date_trunc('day', p.upper) = p.upper), true)
    INTO edge, ahead, at_midnight
    FROM eav._history_partitions() p;
    -- pg_partman 4 sorts partitions by name, read with this format: it must tell all of them apart.
    name_format := CASE WHEN at_midnight AND extract(epoch FROM step)::bigint % 86400 = 0
                        THEN 'YYYYMMDD' ELSE 'YYYYMMDD_HH24MISS' END;
    edge := coalesce(edge, eav._partition_floor(now(), step));
    next := eav._partition_floor(edge, step);
    IF next < edge THEN
        next := next + step;
        PERFORM eav._add_partition(edge, next, name_format);
    END IF;
    WHILE ahead < premake LOOP
        PERFORM eav._add_partition(next, next + step, name_format);
        ahead := ahead + (next > now())::integer;
        next := next + step;
    END LOOP;
    EXECUTE format(
        $sql$INSERT INTO %I.part_config (parent_table, control, partition_type, partition_interval,
                                         premake, datetime_string, template_table,
                                         infinite_time_partitions, ignore_default_data,
                                         automatic_maintenance)
             VALUES ('eav.entity_values_ts', 'ingested_at', $1, $2, $3, $4,
                     'eav.entity_values_ts_template', true, true, 'off')
             ON CONFLICT (parent_table) DO UPDATE
             SET partition_interval = EXCLUDED.partition_interval,
                 premake = EXCLUDED.premake,
                 datetime_string = EXCLUDED.datetime_string$sql$,
        partman.schema_name)
    USING partman.partition_type, step::text, premake, name_format;
END
$$;
COMMENT ON FUNCTION eav._extend_partitions(interval, integer) IS
'Internal: adds partitions after the last one until premake of them begin in the future, and tells pg_partman. When the last one does not end on a boundary of step, the first added one reaches to the next boundary.';

CREATE FUNCTION eav._ensure_partitions() RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partman CONSTANT record := eav._partman();
    policy eav.partition_policy;
BEGIN
    -- pg_partition_tree() sees what has just been committed, whatever the snapshot of the caller.
    IF EXISTS (SELECT FROM pg_partition_tree('eav.entity_values_ts') WHERE isleaf) THEN
        RETURN;
    END IF;
    LOCK TABLE eav.partition_policy IN SHARE UPDATE EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM pg_partition_tree('eav.entity_values_ts') WHERE isleaf) THEN
        RETURN;
    END IF;
    SELECT * INTO policy FROM eav.partition_policy;
    -- A row that DROP EXTENSION has left behind describes partitions that are gone.
    EXECUTE format($sql$DELETE FROM %I.part_config WHERE parent_table = 'eav.entity_values_ts'$sql$,
                   partman.schema_name);
    PERFORM eav._extend_partitions(coalesce(policy.partition_interval, interval '1 month'),
                                   coalesce(policy.premake, 4));
    PERFORM eav._add_partition(NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION eav._ensure_partitions() IS
'Internal: creates the first partitions of eav.entity_values_ts and its default partition when it has none, and returns at once when it has some. Must run before the caller opens eav.entity_values_ts. Raises feature_not_supported (0A000) for a pg_partman other than 4 or 5.';
