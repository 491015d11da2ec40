-- Where to read: the router with its breakers, and tokens for reading one's own writes.
-- eav.route_read() is asked before every read and touches no table: no SECURITY DEFINER, no SET.

CREATE FUNCTION eav.route_read(OUT node_id text, OUT conninfo text, OUT source text,
                               OUT lag_seconds double precision,
                               INOUT consistency text DEFAULT 'bounded',
                               max_lag interval DEFAULT NULL, read_path text DEFAULT NULL,
                               after_token text DEFAULT NULL,
                               OUT degraded boolean, OUT reason text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_route_read';
COMMENT ON FUNCTION eav.route_read(text, interval, text, text) IS
'Says where to read, in one row. consistency: strong (the primary), bounded or eventual (a replica within max_lag; 5 s and 30 s unless eav.freshness_budget says otherwise). read_path: a row of eav.freshness_budget, which then says what answers, how far it may lag, what is promised and what to do when no node will do; strong and max_lag, when given, come before it. after_token: a token of eav.write_token(); only nodes that have replayed it. Returns node_id; conninfo from eav.nodes, null when the server that was asked has none there: stay; source: the type of the node, or none; lag_seconds: null when unknown; consistency: what the read gets; degraded: it is not what was asked for; reason: in words. node_id is null when nothing may be read now: then reason says why, and the client tries again later. Answers from shared memory of this server; a standby knows the lag of no other standby. Raises invalid_parameter_value (22023) for an unknown consistency, a malformed token or a negative max_lag, null_value_not_allowed (22004) when consistency is null, undefined_object (42704) for an unknown read_path, object_not_in_prerequisite_state (55000) for a token of an older timeline or one that lies ahead of the primary.';

CREATE FUNCTION eav.report_read_failure(node_id text) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_report_read_failure'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.report_read_failure(text) IS
'Tells the router of this server that a read from a node has failed: eav.breaker_failures of them in a row open its breaker. Raises undefined_object (42704) for an unknown node, null_value_not_allowed (22004).';
CREATE FUNCTION eav.report_read_success(node_id text) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_report_read_success'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.report_read_success(text) IS
'Tells the router of this server that a read from a node has succeeded: failures count from zero again. Raises undefined_object (42704) for an unknown node, null_value_not_allowed (22004).';

CREATE FUNCTION eav.breaker_status()
    RETURNS TABLE (node_id text, state text, cause text, failures integer, since timestamptz,
                   changes_at timestamptz)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_breaker_status'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.breaker_status() IS
'Returns a row for each node: the breaker that the router of this server keeps for it. state: closed, open or half_open (one read a second is let through). cause: none, failures or lag. failures: failed reads in a row. since: when the state was entered, null when it has always been closed. changes_at: when an open breaker half-opens at the earliest, and when a half-open one closes if the node stays well; null when it does not get better. Raises program_limit_exceeded (54000) when more databases measure their freshness than eav.ring_databases, or one without preload.';

CREATE FUNCTION eav.write_token() RETURNS text
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_write_token'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.write_token() IS
'Returns a short text that stands for all that has been committed on this primary, for eav.wait_for_token() and eav.route_read(). Ask after the commit, not within the statement that writes, from any session. Values of eav.ingest() and of staging are covered once they are flushed: with ack durable, or after eav.wait_flushed(). Raises active_sql_transaction (25001) in a transaction that has written, whose commit would not be covered, read_only_sql_transaction (25006) on a standby.';

CREATE FUNCTION eav.wait_for_token(token text, timeout interval DEFAULT '5s') RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_wait_for_token'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.wait_for_token(text, interval) IS
'Waits on a standby until it has replayed a token of eav.write_token(). True when it has: the next statement sees what was written; false when the time is over. On the primary true at once. Call it as a statement of its own, outside a transaction block: then it holds no snapshot while it waits, which would keep the standby from replaying. Raises object_not_in_prerequisite_state (55000) for a token of an older timeline (a standby has been promoted since; whether the write has survived, only the data tells), and on the primary for one that lies ahead of it; active_sql_transaction (25001) where the next statement would see no more than this one (REPEATABLE READ, SERIALIZABLE), invalid_parameter_value (22023) for a malformed token or a negative timeout, null_value_not_allowed (22004).';
