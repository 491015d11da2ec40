-- How old an answer is: nodes, what reads may lag, heartbeats, and the lag of every node.

CREATE TABLE eav.freshness_budget (
    read_path text PRIMARY KEY CHECK (octet_length(read_path) BETWEEN 1 AND 63),
    node_type text NOT NULL CHECK (node_type IN ('primary', 'replica', 'stream', 'olap', 'cache')),
    target_lag interval NOT NULL CHECK (isfinite(target_lag) AND target_lag >= interval '0'),
    max_lag interval NOT NULL CHECK (isfinite(max_lag) AND max_lag <= interval '10 years'),
    consistency text NOT NULL CHECK (consistency IN ('strong', 'bounded', 'eventual')),
    fallback text NOT NULL
        CHECK (fallback IN ('primary', 'failover', 'abort', 'partial', 'as_of', 'accept')),
    retry_after interval CHECK (retry_after > interval '0'),
    is_default boolean NOT NULL DEFAULT false,
    CONSTRAINT target_within_max CHECK (target_lag <= max_lag)
);
COMMENT ON TABLE eav.freshness_budget IS 'How far reads may lag, one row for each read path; edit as you like. Takes effect within eav.heartbeat_interval.';
COMMENT ON COLUMN eav.freshness_budget.read_path IS 'Name that eav.route_read() is asked with, and that eav.nodes refers to.';
COMMENT ON COLUMN eav.freshness_budget.node_type IS 'What answers such reads: primary, replica, stream, olap or cache.';
COMMENT ON COLUMN eav.freshness_budget.target_lag IS 'Up to here a node is ok.';
COMMENT ON COLUMN eav.freshness_budget.max_lag IS 'Up to here it is lagging, beyond it is stale.';
COMMENT ON COLUMN eav.freshness_budget.consistency IS 'What such reads are promised: strong, bounded or eventual.';
COMMENT ON COLUMN eav.freshness_budget.fallback IS 'What to do when no node is within max_lag. primary: read there; failover: only the primary will do, wait for one; abort: do not read, try again after retry_after; partial, as_of, accept: read what there is, and warn that it is not complete, show as of when it is, or nothing of the kind.';
COMMENT ON COLUMN eav.freshness_budget.retry_after IS 'With fallback abort: when to try again.';
COMMENT ON COLUMN eav.freshness_budget.is_default IS 'As installed. Rows that are not are part of dumps; a row inserted for a read path replaces its default.';

INSERT INTO eav.freshness_budget
    (read_path, node_type, target_lag, max_lag, consistency, fallback, retry_after, is_default)
VALUES ('cache', 'cache', '0', '100 ms', 'strong', 'primary', NULL, true),
       ('primary', 'primary', '0', '50 ms', 'strong', 'failover', NULL, true),
       ('replica', 'replica', '3 s', '5 s', 'bounded', 'primary', NULL, true),
       ('near_real_time', 'replica', '10 s', '30 s', 'eventual', 'abort', '1 min', true),
       ('stream', 'stream', '30 s', '2 min', 'eventual', 'partial', NULL, true),
       ('olap_dashboard', 'olap', '5 min', '15 min', 'eventual', 'as_of', NULL, true),
       ('olap_historical', 'olap', '24 h', '48 h', 'eventual', 'accept', NULL, true);

CREATE FUNCTION eav._keep_budget() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        NEW.is_default := false;
    ELSE
        DELETE FROM eav.freshness_budget b WHERE b.read_path = NEW.read_path AND b.is_default;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION eav._keep_budget() IS 'Internal: a default that is edited is none any more, and one that is inserted anew, as a restore does, is replaced.';
CREATE TRIGGER keep_budget BEFORE INSERT OR UPDATE ON eav.freshness_budget
    FOR EACH ROW EXECUTE FUNCTION eav._keep_budget();

CREATE TABLE eav.nodes (
    node_id text PRIMARY KEY CHECK (octet_length(node_id) BETWEEN 1 AND 63),
    node_type text NOT NULL DEFAULT 'server'
        CHECK (node_type IN ('server', 'stream', 'olap', 'cache')),
    conninfo text CHECK (octet_length(conninfo) BETWEEN 1 AND 500),
    replication_name text CHECK (octet_length(replication_name) BETWEEN 1 AND 63),
    read_path text,
    is_enabled boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE eav.nodes IS 'The nodes that reads can be routed to, 32 at most; edit as you like. Takes effect within eav.heartbeat_interval.';
COMMENT ON COLUMN eav.nodes.node_id IS 'For a server its setting eav.node_id (cluster_name, unless set).';
COMMENT ON COLUMN eav.nodes.node_type IS 'server: this server or a physical standby, primary or replica, whichever it is at the moment; stream: what reads a logical replication slot; olap, cache: what tells its freshness by eav.report_freshness().';
COMMENT ON COLUMN eav.nodes.conninfo IS 'How clients connect, handed out as it is; without passwords, which belong into a password file.';
COMMENT ON COLUMN eav.nodes.replication_name IS 'The application_name of the standby in pg_stat_replication, or the name of the slot; node_id when null.';
COMMENT ON COLUMN eav.nodes.read_path IS 'The budget that says when the node is ok, lagging or stale, and when its breaker opens; the one of its type (replica, stream, olap_dashboard, cache) when null or unknown.';
COMMENT ON COLUMN eav.nodes.is_enabled IS 'False takes the node out of routing; it is still measured.';

-- No constraint: its error would show the row, and the password with it.
CREATE FUNCTION eav._refuse_password() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.conninfo ~* 'password' OR NEW.conninfo ~ '://[^/@]*:[^/@]*@'
       OR NEW.conninfo ~ '[?&][^=&]*%' THEN
        RAISE check_violation USING MESSAGE = 'conninfo must not contain a password',
            DETAIL = 'It is shown to all who may route.',
            HINT = 'Keep passwords in the password file of the clients.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION eav._refuse_password() IS 'Internal: keeps passwords out of eav.nodes. Raises check_violation (23514).';
CREATE TRIGGER refuse_password BEFORE INSERT OR UPDATE ON eav.nodes
    FOR EACH ROW EXECUTE FUNCTION eav._refuse_password();

CREATE FUNCTION eav._limit_nodes() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (SELECT count(*) FROM eav.nodes) > 32 THEN
        RAISE program_limit_exceeded USING MESSAGE = 'too many nodes',
            DETAIL = 'eav.nodes holds 32 at most.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION eav._limit_nodes() IS 'Internal: there is room for 32 nodes in shared memory. Raises program_limit_exceeded (54000).';
CREATE TRIGGER limit_nodes AFTER INSERT ON eav.nodes
    FOR EACH STATEMENT EXECUTE FUNCTION eav._limit_nodes();

-- One row for each node, but a new version every second. The fuller a page may become before it is
-- pruned, the fewer are the moments at which pruning, replayed, meets an old snapshot on a standby.
CREATE TABLE eav.replication_heartbeat (
    node_id text PRIMARY KEY CHECK (octet_length(node_id) BETWEEN 1 AND 63),
    node_type text NOT NULL CHECK (node_type IN ('primary', 'replica', 'stream', 'olap', 'cache')),
    last_heartbeat timestamptz NOT NULL CHECK (isfinite(last_heartbeat)),
    write_sequence bigint NOT NULL,
    wal_lsn pg_lsn
);
COMMENT ON TABLE eav.replication_heartbeat IS 'Signs of life that travel with the data. The worker of the primary writes its row every eav.heartbeat_interval; a node that calls eav.report_freshness() has one, too.';
COMMENT ON COLUMN eav.replication_heartbeat.node_id IS 'Who wrote it, or whom it is about.';
COMMENT ON COLUMN eav.replication_heartbeat.node_type IS 'primary; replica: has been the primary; else the type of the node in eav.nodes.';
COMMENT ON COLUMN eav.replication_heartbeat.last_heartbeat IS 'When it was written, by the clock of the primary; for a node that reports: its data is complete up to here.';
COMMENT ON COLUMN eav.replication_heartbeat.write_sequence IS 'Grows with each heartbeat, also over a change of the primary.';
COMMENT ON COLUMN eav.replication_heartbeat.wal_lsn IS 'Where the primary was in its WAL; null for a node that reports.';

CREATE FUNCTION eav.heartbeat(OUT node_id text, OUT last_heartbeat timestamptz,
                              OUT write_sequence bigint, OUT wal_lsn pg_lsn)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_heartbeat'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.heartbeat() IS
'Writes a heartbeat of this server, the primary, in the transaction of the caller, as the worker does every eav.heartbeat_interval; with wal_level = logical also as a logical message with the prefix eav.heartbeat. The worker is asked to look at all nodes anew. Returns the row of eav.replication_heartbeat, nulls when another transaction holds it: then that one writes. Raises read_only_sql_transaction (25006) on a standby.';

CREATE FUNCTION eav._shrink_heartbeats() RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept eav.replication_heartbeat[];
BEGIN
    LOCK TABLE eav.replication_heartbeat IN ACCESS EXCLUSIVE MODE NOWAIT;
    SELECT array_agg(h) INTO kept FROM eav.replication_heartbeat h;
    TRUNCATE eav.replication_heartbeat;
    INSERT INTO eav.replication_heartbeat SELECT (unnest(kept)).*;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION eav._shrink_heartbeats() IS 'Internal: gives back what dead versions take that an old snapshot keeps from being reused. False when somebody uses the table.';

CREATE FUNCTION eav.report_freshness(node_id text, as_of timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    kind text;
    skew CONSTANT interval := eav._setting('eav.max_future_skew')::interval;
BEGIN
    IF node_id IS NULL OR as_of IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = format('%s must not be null',
            CASE WHEN node_id IS NULL THEN 'node_id' ELSE 'as_of' END);
    END IF;
    SELECT n.node_type INTO kind FROM eav.nodes n WHERE n.node_id = report_freshness.node_id;
    IF kind IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('node "%s" does not exist', node_id),
            HINT = 'Insert it into eav.nodes.';
    ELSIF kind = 'server' THEN
        RAISE wrong_object_type USING MESSAGE = format('node "%s" is a server', node_id),
            DETAIL = 'The lag of servers is measured.';
    ELSIF NOT isfinite(as_of) THEN
        RAISE datetime_field_overflow USING MESSAGE = 'as_of must be finite';
    ELSIF as_of > clock_timestamp() + skew THEN
        RAISE datetime_field_overflow USING MESSAGE = 'as_of lies in the future',
            DETAIL = format('It is %s, and eav.max_future_skew is %s.', as_of, skew);
    END IF;
    INSERT INTO eav.replication_heartbeat AS h (node_id, node_type, last_heartbeat, write_sequence)
    -- A clock that is ahead of ours must not make the node fresh for longer.
    VALUES (node_id, kind, least(as_of, clock_timestamp()), 1)
    ON CONFLICT ON CONSTRAINT replication_heartbeat_pkey DO UPDATE
    SET node_type = excluded.node_type, last_heartbeat = excluded.last_heartbeat,
        write_sequence = h.write_sequence + 1, wal_lsn = NULL;
    PERFORM eav._note_report(node_id, least(as_of, clock_timestamp()));
END
$$;
COMMENT ON FUNCTION eav.report_freshness(text, timestamptz) IS
'Tells that the data of a node (of type stream, olap or cache in eav.nodes) is complete up to as_of, or now if that lies ahead. From then on its lag grows with the clock, until the next report. Raises undefined_object (42704) for an unknown node, wrong_object_type (42809) for a server, datetime_field_overflow (22008) for a time further ahead than eav.max_future_skew or infinite, null_value_not_allowed (22004), read_only_sql_transaction (25006) on a standby.';
CREATE FUNCTION eav._note_report(node_id text, as_of timestamptz) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_note_report'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._note_report(text, timestamptz) IS 'Internal: what eav.report_freshness() says is known to the router at once.';

CREATE FUNCTION eav.check_replication_lag()
    RETURNS TABLE (node_id text, node_type text, state text, lag_seconds double precision,
                   lag_bytes bigint, measured_by text, sampled_at timestamptz, detail text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_check_replication_lag'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.check_replication_lag() IS
'Returns a row for each node that this server knows: itself, those in eav.nodes, and standbys and logical slots that are not listed there. node_type: primary, replica, stream, olap or cache, as it is now. state by the budget of the node: ok, lagging, stale, or unknown, which counts as stale. lag_seconds and lag_bytes (of WAL): null when not known. measured_by: self, heartbeat (a standby, of itself), walsender, slot, report, or null. sampled_at: when the last sign of it was seen, by the clock of this server. detail: what there is to say, such as the skew of the clocks or why nothing is known. A standby measures itself only. Reads shared memory only. Raises program_limit_exceeded (54000) when more databases measure their freshness than eav.ring_databases, or one without preload.';

CREATE FUNCTION eav.freshness(OUT node_id text, OUT source text, OUT state text,
                              OUT lag_seconds double precision, OUT data_timestamp timestamptz,
                              OUT consistency text, OUT badge text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_freshness'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.freshness() IS
'Returns one row about what this server answers now. source: primary or replica. state: ok, lagging, stale or unknown, by the budget of the node. lag_seconds: null when unknown. data_timestamp: the answers are complete up to here, by the clock of the primary; null when no heartbeat has arrived. consistency: strong on the primary, bounded while within max_lag, else eventual. badge: real-time below 1 s, near-real-time up to 10 s, delayed beyond; stale past max_lag or when unknown. Raises program_limit_exceeded (54000) when more databases measure their freshness than eav.ring_databases, or one without preload.';

CREATE FUNCTION eav.freshness_headers(read_path text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_freshness_headers'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.freshness_headers(text) IS
'Returns eav.freshness() as HTTP headers: an array of objects with one member each, as the setting response.headers of PostgREST takes it: X-Data-Node, X-Data-Source, X-Data-Lag-Seconds, X-Data-Timestamp (ISO 8601, UTC), X-Consistency-Level, X-Data-Freshness (the badge); "unknown" for what is not known. Judged by the budget of read_path, or of the node when null. Raises undefined_object (42704) for an unknown read_path.';
