-- The worker: flushes every eav.flush_interval and maintains the partitions.

CREATE FUNCTION eav.start_worker() RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_start_worker'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.start_worker() IS
'Starts the flush worker of this database. True when a worker was asked for, false when one is running already. When called inside a transaction the worker begins its work after that transaction has ended. Raises insufficient_resources (53000) when max_worker_processes leaves no free slot.';

-- The worker holds a lock that says so; see src/worker/start.cpp.
CREATE FUNCTION eav._worker_pid() RETURNS integer
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT l.pid
    FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_database d ON d.oid = l.database
    WHERE d.datname = current_database()
      AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 25974;
END;
COMMENT ON FUNCTION eav._worker_pid() IS 'Internal: process id of the flush worker of this database, null when none is running.';

CREATE FUNCTION eav.worker_status(OUT running boolean, OUT pid integer, OUT backend_type text,
                                  OUT application_name text, OUT state text,
                                  OUT wait_event_type text, OUT wait_event text,
                                  OUT started_at timestamptz, OUT last_flush_at timestamptz,
                                  OUT flushes bigint, OUT flushed bigint, OUT projected bigint,
                                  OUT rejected bigint, OUT backlog bigint, OUT staged_bytes bigint,
                                  OUT flush_interval text)
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.pid IS NOT NULL, w.pid, a.backend_type, a.application_name, a.state,
           a.wait_event_type, a.wait_event, a.backend_start, s.snapshot_at,
           s.flushes, s.flushed, s.projected, s.rejected, s.backlog,
           (SELECT sum(pg_total_relation_size(p.relid))::bigint
            FROM pg_partition_tree('eav.entity_values_ingest') AS p WHERE p.isleaf),
           current_setting('eav.flush_interval', true)
    FROM (SELECT eav._worker_pid() AS pid) AS w
    LEFT JOIN pg_stat_activity a ON a.pid = w.pid
    LEFT JOIN eav.flush_state s ON true
$$;
COMMENT ON FUNCTION eav.worker_status() IS
'Returns one row about the flush worker of this database. running: whether it runs; pid, backend_type, application_name, state, wait_event_type, wait_event, started_at: as in pg_stat_activity, null when it does not. last_flush_at: time of the last flush that had work. flushes: number of flushes that had work; flushed, projected, rejected: values they wrote to history, to the projection and to ingest_rejects; all four since the extension was created, flushes by hand included. backlog: values waiting in flush_backlog. staged_bytes: size of staging on disk; flushed rows count until their leaf is truncated. flush_interval: the setting eav.flush_interval as this session sees it. Runs with the rights of the owner of the extension, so that EXECUTE is enough for monitoring. Raises nothing.';
