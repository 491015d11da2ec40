-- Health: one row for each thing that can go wrong, from figures that are cheap to have.
--
-- Each check is a statement of its own, run in a subtransaction, so that one that fails (a table is
-- locked, a library is broken) is unknown and the others go on. They are texts, because a statement
-- that is part of a function is parsed together with the locks it needs, outside of any such care,
-- and because the schema of pg_partman is known only when it is looked up.
--
-- What is recent, and what is much, is told by constants here and by the settings eav.health_*; a
-- check is critical at ten times its warning, unless it says otherwise.

CREATE FUNCTION eav._staging_backlog(flushed pg_snapshot, OUT "rows" bigint, OUT bytes bigint,
                                     OUT is_estimate boolean)
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_staging_backlog'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._staging_backlog(pg_snapshot) IS 'Internal: staged rows that are committed and not seen by the snapshot, and the size of staging; estimated from 48 pages of each leaf when it has more. 0 on a standby. Raises lock_not_available (55P03) when somebody holds a leaf.';
CREATE FUNCTION eav._sample_rows("table" regclass, OUT "rows" bigint, OUT bytes bigint,
                                 OUT is_estimate boolean)
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_sample_rows'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._sample_rows(regclass) IS 'Internal: rows of a table, estimated from 48 of its pages when it has more, and its size. Raises lock_not_available (55P03) when somebody holds it.';
CREATE FUNCTION eav._door_state(OUT has_parcels boolean, OUT caught_up_at timestamptz,
                                OUT spilled_at timestamptz)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_door_state'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._door_state() IS 'Internal: whether the ring holds values of this database; as of when all that was committed had been flushed; when a call last went through staging. Null when not since the server started.';
CREATE FUNCTION eav._disk_space()
    RETURNS TABLE (path text, bytes bigint, bytes_free bigint)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_disk_space'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._disk_space() IS 'Internal: size of the file systems of the data directory, of WAL and of each tablespace, and what of it others than root may still use.';

CREATE FUNCTION eav._health_status(value double precision, warning double precision,
                                   critical double precision) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value > critical THEN 'critical' WHEN value > warning THEN 'warning'
            WHEN value IS NOT NULL THEN 'ok' ELSE 'unknown' END;
COMMENT ON FUNCTION eav._health_status(double precision, double precision, double precision) IS 'Internal: critical or warning for a value above the limit, else ok; unknown for null.';

CREATE FUNCTION eav._health_setting(name text) RETURNS double precision
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
RETURN CASE eav._setting(name) ~ '[0-9](ms|s|min|h|d)$'
       WHEN true THEN extract(epoch FROM eav._setting(name)::interval)
       ELSE pg_size_bytes(eav._setting(name)) END;
COMMENT ON FUNCTION eav._health_setting(text) IS 'Internal: a setting in seconds, in bytes, or as the number it is.';

-- eav._history_partitions() looks at all of them, which takes long when there are thousands. Partitions
-- are named by their lower bound, so that the last ones by name are the newest.
CREATE FUNCTION eav._newest_partitions(most integer)
    RETURNS TABLE (lower timestamptz, upper timestamptz)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
    SET timezone = 'UTC'
AS $$
    SELECT bound[1]::timestamptz, bound[2]::timestamptz
    FROM (SELECT c.oid, c.relpartbound FROM pg_class c
          WHERE c.relname >= 'entity_values_ts_p' AND c.relname < 'entity_values_ts_q'
            AND c.relnamespace = 'eav'::regnamespace AND c.relkind = 'r'
            AND EXISTS (SELECT FROM pg_inherits i
                        WHERE i.inhrelid = c.oid AND i.inhparent = 'eav.entity_values_ts'::regclass)
          ORDER BY c.relname DESC LIMIT most) AS p
    CROSS JOIN regexp_match(pg_get_expr(p.relpartbound, p.oid), $re$FROM \('(.*)'\) TO \('(.*)'\)$re$) AS bound
$$;
COMMENT ON FUNCTION eav._newest_partitions(integer) IS 'Internal: bounds of the newest partitions of eav.entity_values_ts, but for those that others have made under names of their own.';

CREATE FUNCTION eav._health_checks() RETURNS TABLE (check_name text, query text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $checks$
VALUES
('worker', $$
    SELECT CASE WHEN w.pid IS NULL AND NOT pg_is_in_recovery() THEN 'critical'
                WHEN w.pid IS NULL OR w.is_off THEN 'warning' ELSE 'ok' END,
           (w.pid IS NOT NULL AND NOT w.is_off)::integer, 1,
           CASE WHEN w.pid IS NULL AND pg_is_in_recovery()
                THEN 'no worker runs, which would measure the lag of this standby'
                WHEN w.pid IS NULL THEN 'no worker runs: nothing is flushed but by eav.stage_flush()'
                WHEN w.is_off THEN format('process %s rests: eav.worker_enabled is off', w.pid)
                ELSE format('process %s', w.pid) END
    FROM (SELECT eav._worker_pid() AS pid, eav._setting('eav.worker_enabled') = 'off' AS is_off) AS w
$$),
('staging_backlog', $$
    SELECT eav._health_status(b."rows", l.warning, l.warning * 10), b."rows", l.warning,
           format('%s rows wait for a flush; staging takes %s on disk',
                  CASE WHEN b.is_estimate THEN 'about ' || b."rows" ELSE b."rows"::text END,
                  pg_size_pretty(b.bytes))
    FROM eav.flush_state s, eav._staging_backlog(s.snapshot) AS b,
         eav._health_setting('eav.health_staging_rows') AS l (warning)
$$),
('staging_rotation', $$
    SELECT CASE WHEN h.hidden > 0 AND eav._health_status(h.age, l.warning, l.warning * 10) = 'ok'
                THEN 'unknown' ELSE eav._health_status(h.age, l.warning, l.warning * 10) END,
           h.age, l.warning,
           CASE WHEN h.hidden > 0 THEN 'transactions of others cannot be seen'
                WHEN h.age > 0 THEN format('process %s has written for %s s what cannot be emptied before it ends',
                                           h.pid, round(h.age))
                ELSE 'no transaction keeps staging from being emptied' END
    FROM (SELECT coalesce(max(a.age), 0) AS age, (array_agg(a.pid ORDER BY a.age DESC))[1] AS pid,
                 count(*) FILTER (WHERE a.is_hidden) AS hidden
          FROM pg_locks l
          JOIN (SELECT s.pid, s.query = '<insufficient privilege>' AS is_hidden,
                       extract(epoch FROM clock_timestamp() - s.xact_start)::double precision AS age
                FROM pg_stat_activity s) AS a USING (pid)
          WHERE l.granted AND l.mode <> 'AccessShareLock' AND l.locktype = 'relation'
            AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
            AND l.relation IN ('eav.entity_values_ingest_0'::regclass, 'eav.entity_values_ingest_1'::regclass,
                               'eav.entity_values_ingest_2'::regclass)) AS h,
         eav._health_setting('eav.health_transaction_age') AS l (warning)
$$),
('flush_delay', $$
    SELECT eav._health_status(d.delay, l.warning, l.warning * 10), d.delay, l.warning,
           CASE WHEN pg_is_in_recovery() THEN 'the primary flushes'
                WHEN d.is_waiting THEN format('something waits; all has been flushed that was committed before %s', d.since)
                ELSE 'nothing waits' END
    FROM (SELECT w.is_waiting, w.since,
                 CASE WHEN w.is_waiting
                      THEN greatest(extract(epoch FROM clock_timestamp() - w.since), 0) ELSE 0 END AS delay
          FROM (SELECT NOT pg_is_in_recovery() AND (door.has_parcels OR b."rows" > 0) AS is_waiting,
                       greatest(s.snapshot_at, door.caught_up_at) AS since
                FROM eav.flush_state s, eav._staging_backlog(s.snapshot) AS b,
                     eav._door_state() AS door) AS w) AS d,
         (SELECT eav._health_setting('eav.health_flush_delay')
               + eav._health_setting('eav.flush_interval')) AS l (warning)
$$),
('flush_backlog', $$
    SELECT eav._health_status(s.backlog, 10000, 100000), s.backlog, 10000,
           format('%s values wait for open transactions of clients', s.backlog)
    FROM eav.flush_state s
$$),
('ring', $$
    SELECT CASE WHEN f.used <= 0.8 AND f.has_spilled THEN 'warning'
                ELSE eav._health_status(f.used, 0.8, 0.95) END, f.used, 0.8,
           CASE WHEN f.slabs = 0 THEN 'the server has no ring'
                ELSE format('%s of %s slabs are in use, at most %s were; %s calls went through staging%s',
                            f.slabs_in_use, f.slabs, f.slabs_high_water, coalesce(f.spilled_calls, 0),
                            CASE WHEN f.has_spilled THEN ', the last within a minute' ELSE '' END) END
    FROM (SELECT i.*, coalesce(i.slabs_in_use / nullif(i.slabs, 0)::double precision, 0) AS used,
                 i.slabs > 0 AND coalesce(door.spilled_at > clock_timestamp() - interval '1 minute', false)
                 AS has_spilled
          FROM eav.stat_ingest i, eav._door_state() AS door) AS f
$$),
('rejects', $$
    SELECT eav._health_status(r.recent, l.warning, l.warning * 10), r.recent, l.warning,
           format('%s values and events were rejected within ten minutes', r.recent)
    FROM eav._health_setting('eav.health_rejects') AS l (warning),
         LATERAL (SELECT count(*) AS recent FROM eav.ingest_rejects r
                  WHERE r.reject_id > (SELECT q.last_value FROM eav.ingest_rejects_seq q)
                                      - (l.warning * 10 + 100)::bigint
                    AND r.rejected_at > clock_timestamp() - interval '10 minutes') AS r
$$),
('ingest_gaps', $$
    SELECT CASE WHEN g.newest > clock_timestamp() - interval '1 hour' THEN 'critical'
                WHEN g.recent > 0 THEN 'warning' ELSE 'ok' END, g.recent, 0,
           CASE WHEN g.recent = 0 THEN 'no accepted value may have been lost within 24 hours'
                ELSE format('accepted values may have been lost, the last time at %s; see eav.ingest_gaps',
                            g.newest) END
    FROM (SELECT count(*) AS recent, max(g.detected_at) AS newest FROM eav.ingest_gaps g
          WHERE g.gap_id > (SELECT q.last_value FROM eav.ingest_gaps_seq q) - 1000
            AND g.detected_at > clock_timestamp() - interval '24 hours') AS g
$$),
('default_partition', $$
    SELECT eav._health_status(d."rows", 0, 1000000), d."rows", 0,
           CASE WHEN d."rows" > 0
                THEN format('%s%s values are in the default partition',
                            CASE WHEN d.is_estimate THEN 'about ' ELSE '' END, d."rows")
                ELSE 'the default partition is empty' END
    FROM (SELECT coalesce(sum(f."rows"), 0) AS "rows", bool_or(f.is_estimate) AS is_estimate
          FROM pg_partitioned_table p, eav._sample_rows(p.partdefid) AS f
          WHERE p.partrelid = 'eav.entity_values_ts'::regclass AND p.partdefid <> 0) AS d
$$),
('future_partitions', $$
    SELECT CASE WHEN p.total = 0 THEN 'ok' WHEN p.covered IS NOT TRUE THEN 'critical'
                WHEN p.ahead < l.warning THEN 'warning' ELSE 'ok' END,
           p.ahead, l.warning,
           CASE WHEN p.total = 0 THEN 'no value has arrived yet'
                WHEN p.covered IS NOT TRUE THEN 'no partition takes the values of the present'
                ELSE format('%s partitions begin in the future, of %s', p.ahead, p.total) END
    FROM (SELECT greatest(coalesce((SELECT y.premake FROM eav.partition_policy y), 4) - 1, 1)) AS l (warning),
         LATERAL (SELECT (SELECT count(*) FROM pg_inherits i
                          WHERE i.inhparent = 'eav.entity_values_ts'::regclass) AS total,
                         count(*) FILTER (WHERE h.lower > clock_timestamp()) AS ahead,
                         bool_or(h.lower <= clock_timestamp() AND h.upper > clock_timestamp()) AS covered
                  FROM eav._newest_partitions(l.warning + 8) h) AS p
$$),
('pg_partman', coalesce(
    (SELECT format($$
        SELECT CASE WHEN m.major NOT IN (4, 5) THEN 'critical'
                    WHEN m.is_forgotten OR m.creators IS NOT NULL THEN 'warning' ELSE 'ok' END, m.major, 4,
               CASE WHEN m.major NOT IN (4, 5) THEN format('pg_partman %%s is not supported: 4 and 5 are', %L)
                    WHEN m.is_forgotten THEN 'part_config of pg_partman has no row for eav.entity_values_ts'
                    WHEN m.creators IS NOT NULL
                    THEN format('in its schema, %%I, objects may be created by %%s: its functions would call them',
                                %L, m.creators)
                    ELSE 'version ' || %L END
        FROM (SELECT coalesce(split_part(%L, '.', 1)::integer, 0) AS major,
                     EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = 'eav.entity_values_ts'::regclass)
                     AND NOT EXISTS (SELECT FROM %I.part_config c
                                     WHERE c.parent_table = 'eav.entity_values_ts') AS is_forgotten,
                     (SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
                                                 COLLATE "C", ', ')
                      FROM pg_namespace n, aclexplode(n.nspacl) AS a
                      WHERE n.oid = %s AND a.privilege_type = 'CREATE' AND a.grantee NOT IN (n.nspowner, %s)
                        AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.grantee AND r.rolsuper)) AS creators) AS m
        $$, e.extversion, n.nspname, e.extversion, e.extversion, n.nspname, n.oid,
            (SELECT s.nspowner FROM pg_namespace s WHERE s.nspname = 'eav'))
     FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_partman'),
    $$SELECT 'critical', 0, 4, 'extension pg_partman does not exist'$$)),
('attribute_moves', $$
    SELECT CASE WHEN m.failures >= 5 THEN 'critical' WHEN m.failing > 0 OR m.is_stalled THEN 'warning'
                ELSE 'ok' END,
           m.failing + CASE WHEN m.is_stalled THEN m.moves - m.failing ELSE 0 END, 0,
           format('%s moves of attributes are under way, %s of them fail%s', m.moves, m.failing,
                  CASE WHEN m.is_stalled THEN ', and none has got on for long' ELSE '' END)
    FROM (SELECT count(*) AS moves, count(*) FILTER (WHERE a.failures > 0) AS failing,
                 coalesce(max(a.failures), 0) AS failures,
                 coalesce(max(a.updated_at) < clock_timestamp() - make_interval(
                     secs => eav._health_setting('eav.health_transaction_age')), false) AS is_stalled
          FROM eav.attribute_moves a) AS m
$$),
('attribute_indexes', $$
    SELECT CASE WHEN i.failures >= 5 THEN 'critical' WHEN i.bad > 0 THEN 'warning' ELSE 'ok' END, i.bad, 0,
           format('of %s indexes of attributes %s cannot be built or are left invalid', i.wished, i.bad)
    FROM (SELECT count(w.attribute_id) AS wished, coalesce(max(w.failures), 0) AS failures,
                 count(*) FILTER (
                     WHERE w.failures > 0
                        OR (p.is_valid IS NOT TRUE
                            AND coalesce(w.requested_at, '-infinity') < clock_timestamp() - interval '1 minute'
                            AND NOT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                                            WHERE d.datname = current_database() AND l.granted
                                              AND l.locktype = 'advisory' AND l.objsubid = 25975))) AS bad
          FROM eav.attribute_indexes w FULL JOIN eav._attribute_indexes() p USING (attribute_id)) AS i
$$),
('replication_slots', $$
    SELECT CASE WHEN s.lost > 0 OR s.kept > l.warning * 10 THEN 'critical'
                WHEN s.idle > 0 OR s.kept > l.warning THEN 'warning' ELSE 'ok' END,
           s.kept, l.warning,
           CASE WHEN s.total = 0 THEN 'there is none'
                ELSE format('%s slots: %s inactive, %s lost or about to be; slot "%s" keeps most, %s', s.total,
                            s.idle, s.lost, s.slot_name, pg_size_pretty(s.kept)) END
    FROM (SELECT count(*) AS total, coalesce(max(k.bytes), 0) AS kept,
                 (array_agg(k.slot_name ORDER BY k.bytes DESC NULLS LAST))[1] AS slot_name,
                 count(*) FILTER (WHERE NOT k.active AND NOT k.is_copy
                                    AND k.restart_lsn IS NOT NULL) AS idle,
                 count(*) FILTER (WHERE k.wal_status IN ('unreserved', 'lost')) AS lost
          FROM (SELECT r.slot_name, r.active, r.restart_lsn, r.wal_status,
                       -- Since 17 a standby may have copies of the slots of its primary, which nobody reads.
                       coalesce((to_jsonb(r) ->> 'synced')::boolean, false) AS is_copy,
                       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                       ELSE pg_current_wal_lsn() END, r.restart_lsn) AS bytes
                FROM pg_replication_slots r) AS k) AS s,
         eav._health_setting('eav.health_slot_size') AS l (warning)
$$),
('replica_lag', $$
    SELECT CASE WHEN n.late > 0 THEN 'critical' WHEN n.lagging > 0 THEN 'warning' ELSE 'ok' END,
           n.late + n.lagging, 0,
           CASE WHEN n.late + n.lagging = 0 THEN format('all of %s nodes are within their budget', n.total)
                ELSE format('%s of %s nodes are not within their budget, such as %s', n.late + n.lagging, n.total,
                            n.example) END
    FROM (SELECT count(*) AS total, count(*) FILTER (WHERE c.state IN ('stale', 'unknown')) AS late,
                 count(*) FILTER (WHERE c.state = 'lagging') AS lagging,
                 max(format('"%s": %s', c.node_id, concat_ws(', ', c.state, round(c.lag_seconds::numeric, 1) || ' s',
                                                             c.detail)))
                 FILTER (WHERE c.state <> 'ok') AS example
          FROM eav.check_replication_lag() AS c
          -- What others lag is known to the primary only, but for what they report.
          WHERE NOT pg_is_in_recovery() OR c.measured_by IS NOT NULL) AS n
$$),
('breakers', $$
    SELECT CASE WHEN b.open > 0 THEN 'critical' WHEN b.half_open > 0 THEN 'warning' ELSE 'ok' END,
           b.open + b.half_open, 0,
           CASE WHEN b.open + b.half_open = 0 THEN 'reads go to all nodes'
                ELSE format('reads are kept away from %s nodes, such as %s', b.open + b.half_open, b.example) END
    FROM (SELECT count(*) FILTER (WHERE s.state = 'open') AS open,
                 count(*) FILTER (WHERE s.state = 'half_open') AS half_open,
                 max(format('"%s": %s, because of %s', s.node_id, s.state, s.cause))
                 FILTER (WHERE s.state <> 'closed') AS example
          FROM eav.breaker_status() AS s) AS b
$$),
('transaction_age', $$
    SELECT CASE WHEN t.hidden > 0 AND eav._health_status(t.age, l.warning, l.warning * 10) = 'ok'
                THEN 'unknown' ELSE eav._health_status(t.age, l.warning, l.warning * 10) END,
           t.age, l.warning,
           CASE WHEN t.hidden > 0 THEN 'transactions of others cannot be seen'
                WHEN t.age > 0 THEN format('process %s is in a transaction since %s s', t.pid, round(t.age))
                ELSE 'nobody is in a transaction' END
    FROM (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0)::double precision AS age,
                 (array_agg(a.pid ORDER BY a.xact_start))[1] AS pid,
                 count(*) FILTER (WHERE a.query = '<insufficient privilege>') AS hidden
          FROM pg_stat_activity a
          WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
            AND coalesce(a.backend_type, 'client backend') = 'client backend') AS t,
         eav._health_setting('eav.health_transaction_age') AS l (warning)
$$),
('prepared_transactions', $$
    SELECT eav._health_status(p.age, l.warning, l.warning * 10), p.age, l.warning,
           CASE WHEN p.total = 0 THEN 'there is none'
                ELSE format('%s transactions are prepared, the oldest since %s s', p.total, round(p.age)) END
    FROM (SELECT count(*) AS total,
                 coalesce(max(extract(epoch FROM clock_timestamp() - x.prepared)), 0)::double precision AS age
          FROM pg_prepared_xacts x WHERE x.database = current_database()) AS p,
         eav._health_setting('eav.health_transaction_age') AS l (warning)
$$),
('xid_age', $$
    SELECT CASE WHEN greatest(x.xids, x.multis) > 1500000000 THEN 'critical'
                ELSE eav._health_status(x.ratio, 1.2, 5) END, x.ratio, 1.2,
           format('the oldest transaction id of the database is %s old, the oldest multixact %s', x.xids, x.multis)
           -- Looks at every relation there is.
           || CASE WHEN x.ratio <= 1.2 THEN ''
              ELSE (SELECT format('; the oldest of eav are those of %s, %s and %s', c.oid::regclass,
                                  age(c.relfrozenxid), mxid_age(c.relminmxid))
                    FROM pg_class c
                    WHERE c.relnamespace = 'eav'::regnamespace AND c.relfrozenxid <> '0'::xid
                    ORDER BY age(c.relfrozenxid) DESC LIMIT 1) END
    FROM (SELECT a.xids, a.multis,
                 greatest(a.xids / current_setting('autovacuum_freeze_max_age')::double precision,
                          a.multis / current_setting('autovacuum_multixact_freeze_max_age')::double precision)
                 AS ratio
          FROM (SELECT age(d.datfrozenxid) AS xids, mxid_age(d.datminmxid) AS multis
                FROM pg_database d WHERE d.datname = current_database()) AS a) AS x
$$),
('disk_space', $$
    SELECT CASE WHEN d.free IS NULL THEN 'unknown' WHEN d.free < l.warning / 2 THEN 'critical'
                WHEN d.free < l.warning THEN 'warning' ELSE 'ok' END, d.free, l.warning,
           CASE WHEN d.free IS NULL THEN 'no file system tells'
                ELSE format('%s are free on the fullest file system, that of %s', pg_size_pretty(d.bytes_free),
                            coalesce('tablespace ' || (SELECT quote_ident(t.spcname) FROM pg_tablespace t
                                                       WHERE 'pg_tblspc/' || t.oid = d.path),
                                     CASE d.path WHEN '.' THEN 'the data directory' ELSE d.path END)) END
    FROM eav._health_setting('eav.health_disk_free') AS l (warning)
    LEFT JOIN (SELECT f.path, f.bytes_free, 100.0 * f.bytes_free / nullif(f.bytes, 0) AS free
               FROM eav._disk_space() AS f WHERE f.bytes > 0
               ORDER BY 3 LIMIT 1) AS d ON true
$$),
('row_security', $$
    SELECT CASE WHEN r.open > 0 THEN 'critical' WHEN r.bad > 0 THEN 'warning' ELSE 'ok' END, r.bad, 0,
           CASE WHEN r.bad = 0 THEN 'all tables with data of tenants have it'
                ELSE format('of %s tables with data of tenants %s have none, %s do not bind their owner, %s lack policies',
                            r.total, r.open, r.unforced, r.without_policy) END
    FROM (SELECT count(*) AS total, count(*) FILTER (WHERE NOT t.relrowsecurity) AS open,
                 count(*) FILTER (WHERE NOT t.relforcerowsecurity) AS unforced,
                 count(*) FILTER (WHERE t.policies < 2) AS without_policy,
                 count(*) FILTER (WHERE NOT (t.relrowsecurity AND t.relforcerowsecurity
                                             AND t.policies = 2)) AS bad
          FROM (SELECT c.relrowsecurity, c.relforcerowsecurity,
                       (SELECT count(*) FROM pg_policy p
                        WHERE p.polrelid = c.oid AND p.polname IN ('own_tenant', 'all_tenants')) AS policies
                FROM pg_extension e
                JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
                    AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass
                JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p')
                WHERE e.extname = 'eav_ext'
                  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                              AND a.attname = 'tenant_id' AND NOT a.attisdropped)) AS t) AS r
$$),
('version', $$
    SELECT CASE WHEN v.library <> v.present THEN 'critical' WHEN v.installed = v.present THEN 'ok'
                ELSE 'warning' END,
           (v.library = v.present AND v.installed IS NOT DISTINCT FROM v.present)::integer, 1,
           format('the extension is of version %s, its library of version %s, the files of the server of version %s',
                  v.present, v.library, coalesce(v.installed, 'unknown'))
    FROM (SELECT e.extversion AS present, a.default_version AS installed,
                 eav._library_version() AS library
          FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname
          WHERE e.extname = 'eav_ext') AS v
$$)
$checks$;
COMMENT ON FUNCTION eav._health_checks() IS 'Internal: the checks of eav.health_check(), each a query that returns one row: status, value, threshold, detail.';

-- With the rights of the owner: who watches must see counts of tables that he may not read, and the
-- age of the transactions of others. No detail holds a name or a value of a tenant.
CREATE FUNCTION eav.health_check()
    RETURNS TABLE (check_name text, status text, value double precision,
                   threshold double precision, detail text)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '10ms'
    -- Where it would hide rows from the owner, a check is to fail and not to count too few.
    SET row_security = off
    SET jit = off
    SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    query text;
BEGIN
    FOR check_name, query IN SELECT c.check_name, c.query FROM eav._health_checks() c LOOP
        BEGIN
            EXECUTE query INTO STRICT status, value, threshold, detail;
        EXCEPTION
            WHEN lock_not_available THEN
                status := 'unknown';
                value := NULL;
                threshold := NULL;
                detail := 'a lock could not be had within 10 ms';
            WHEN OTHERS THEN
                status := 'unknown';
                value := NULL;
                threshold := NULL;
                detail := SQLERRM;
        END;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION eav.health_check() IS
'Returns a row for each thing that can go wrong in this database. status: ok, warning, critical, or unknown when it could not be found out, and detail says why. value: what was found; threshold: up to where, or from where on, that is ok; in the units that docs/runbooks/health.md gives, with what to do. detail: in words, without names or values of tenants. Runs with the rights of the owner of the extension, so that EXECUTE is enough for monitoring; works on standbys, without a worker and without preload; waits at most 10 ms for any lock. Raises nothing of its own.';
