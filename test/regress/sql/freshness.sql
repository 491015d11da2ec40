-- Freshness, routing and tokens on a server without standbys: what the functions return and raise.
-- What changes by itself (times, positions) is compared, not shown.
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';

-- The server itself is known also while the worker rests.
SELECT source, state, lag_seconds, consistency, badge, data_timestamp <= clock_timestamp() FROM eav.freshness();
SELECT node_type, state, lag_seconds, lag_bytes, measured_by, detail FROM eav.check_replication_lag();
SELECT node_id = (SELECT node_id FROM eav.freshness()), conninfo, source, lag_seconds, consistency,
       degraded, reason FROM eav.route_read();

-- Now it looks, and does nothing else.
ALTER SYSTEM SET eav.flush_interval = '60s';
ALTER SYSTEM SET eav.heartbeat_interval = '100ms';
ALTER SYSTEM SET eav.worker_enabled = on;
SELECT pg_reload_conf();
CREATE FUNCTION holds(condition text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    result boolean;
BEGIN
    EXECUTE 'SELECT ' || condition INTO result;
    RETURN result;
END
$$;
CREATE PROCEDURE wait_until(condition text) LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..3000 LOOP
        EXIT WHEN holds(condition);
        ASSERT attempt < 3000, condition || ' does not come true';
        COMMIT;
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;
CALL wait_until('(SELECT count(*) > 0 FROM eav.replication_heartbeat)');
SELECT h.node_type, h.node_id = f.node_id, h.last_heartbeat > clock_timestamp() - interval '1 min',
       h.write_sequence > 0, h.wal_lsn <= pg_current_wal_insert_lsn()
FROM eav.replication_heartbeat h, eav.freshness() f;

-- A heartbeat by hand.
-- Null while the worker writes one.
CREATE TABLE beat AS SELECT * FROM eav.heartbeat() LIMIT 0;
DO $$
BEGIN
    LOOP
        INSERT INTO beat SELECT * FROM eav.heartbeat() AS h WHERE h.node_id IS NOT NULL;
        EXIT WHEN FOUND;
        COMMIT;
    END LOOP;
END
$$;
SELECT b.node_id = f.node_id, b.write_sequence > 1, b.last_heartbeat <= clock_timestamp()
FROM beat b, eav.freshness() f;

-- Nodes and budgets: what is refused.
SELECT error_of(statement) FROM unnest(ARRAY[
    $$INSERT INTO eav.nodes (node_id, conninfo) VALUES ('x', 'host=x password=secret')$$,
    $$INSERT INTO eav.nodes (node_id, conninfo) VALUES ('x', 'postgresql://me:secret@x/db')$$,
    $$INSERT INTO eav.nodes (node_id, conninfo) VALUES ('x', 'postgresql://me:sec?ret@x/db')$$,
    $$INSERT INTO eav.nodes (node_id, conninfo) VALUES ('x', 'postgresql://x/db?p%61ssword=secret')$$,
    $$INSERT INTO eav.nodes (node_id) SELECT 'n' || i FROM generate_series(1, 33) AS i$$,
    $$UPDATE eav.freshness_budget SET retry_after = '-1 s' WHERE read_path = 'replica'$$]) AS statement;
\set VERBOSITY terse
INSERT INTO eav.nodes (node_id) VALUES ('');
INSERT INTO eav.nodes (node_id, node_type) VALUES ('x', 'primary');
UPDATE eav.freshness_budget SET target_lag = '6 s' WHERE read_path = 'replica';
UPDATE eav.freshness_budget SET target_lag = '-1 s' WHERE read_path = 'replica';
INSERT INTO eav.freshness_budget VALUES ('x', 'replica', '1 s', '2 s', 'bounded', 'panic');
\set VERBOSITY default

-- A default that is inserted anew is replaced, as by a restore; one that is edited is none any more.
INSERT INTO eav.freshness_budget VALUES ('replica', 'replica', '1 s', '4 s', 'bounded', 'primary');
UPDATE eav.freshness_budget SET target_lag = '2 min' WHERE read_path = 'olap_dashboard';
SELECT read_path, target_lag, max_lag, is_default FROM eav.freshness_budget ORDER BY read_path;

-- Stores that report.
INSERT INTO eav.nodes (node_id, node_type, conninfo) VALUES
    ('warehouse', 'olap', 'host=warehouse'), ('index', 'stream', 'host=index'),
    ('cache', 'cache', 'host=cache'), ('away', 'server', 'host=away');
CALL wait_until('(SELECT count(*) = 5 FROM eav.check_replication_lag())');
SELECT node_id, node_type, state, lag_seconds, measured_by, detail
FROM eav.check_replication_lag() WHERE measured_by IS DISTINCT FROM 'self' ORDER BY 1;
SELECT error_of(statement) FROM unnest(ARRAY[
    $$SELECT eav.report_freshness('nobody', now())$$,
    $$SELECT eav.report_freshness('away', now())$$,
    $$SELECT eav.report_freshness('warehouse', NULL)$$,
    $$SELECT eav.report_freshness(NULL, now())$$,
    $$SELECT eav.report_freshness('warehouse', '-infinity')$$]) AS statement;
SELECT split_part(error_of($$SELECT eav.report_freshness('warehouse', now() + interval '1 year')$$), E'\n', 1);
SELECT eav.report_freshness('warehouse', now() - interval '1 min'),
       eav.report_freshness('index', now() - interval '10 min');
SELECT node_id, state, lag_seconds BETWEEN 60 AND 120, measured_by FROM eav.check_replication_lag()
WHERE node_id = 'warehouse';
SELECT eav.report_freshness('warehouse', now() - interval '3 min');
SELECT node_id, state, lag_seconds BETWEEN 180 AND 240 FROM eav.check_replication_lag()
WHERE node_id = 'warehouse';
SELECT eav.report_freshness('warehouse', now() + interval '1 min');
SELECT node_id, state, lag_seconds BETWEEN 0 AND 60, sampled_at <= clock_timestamp()
FROM eav.check_replication_lag() WHERE node_id = 'warehouse';
SELECT last_heartbeat <= clock_timestamp() FROM eav.replication_heartbeat WHERE node_id = 'warehouse';

-- Routes: every read path, with a warehouse that is fresh and an index that is not.
UPDATE eav.freshness_budget SET max_lag = '1 hour' WHERE read_path = 'cache';
CALL wait_until('(SELECT r.source = ''cache'' FROM eav.report_freshness(''cache'', now()), eav.route_read(read_path => ''cache'') r)');
SELECT read_path, r.node_id IS NOT DISTINCT FROM f.node_id AS here,
       nullif(r.node_id, f.node_id) AS elsewhere, r.conninfo, r.source, r.consistency, r.degraded, r.reason
FROM eav.freshness_budget, eav.freshness() f, eav.route_read(read_path => read_path) r
ORDER BY read_path;
SELECT source, reason FROM eav.route_read('strong', read_path => 'olap_dashboard');
SELECT source, degraded, reason FROM eav.route_read('eventual', max_lag => '1 ms');
SELECT source, degraded, reason FROM eav.route_read(read_path => 'stream', max_lag => '1 hour');
SELECT source, degraded, reason FROM eav.route_read(read_path => 'olap_dashboard', after_token => eav.write_token());
SELECT eav.report_freshness('warehouse', now() - interval '1 hour');
SELECT source, node_id, consistency, degraded, reason FROM eav.route_read(read_path => 'olap_dashboard');
SELECT source, node_id, consistency, degraded, reason FROM eav.route_read(read_path => 'olap_historical');
UPDATE eav.nodes SET is_enabled = false WHERE node_id IN ('warehouse', 'away');
CALL wait_until('(SELECT source = ''primary'' FROM eav.route_read(read_path => ''olap_historical''))');
SELECT source, degraded, reason FROM eav.route_read(read_path => 'olap_historical');
SELECT source, degraded, reason FROM eav.route_read();
SELECT error_of(statement) FROM unnest(ARRAY[
    $$SELECT eav.route_read('sloppy')$$,
    $$SELECT eav.route_read(NULL)$$,
    $$SELECT eav.route_read(max_lag => '-1 s')$$,
    $$SELECT eav.route_read(read_path => 'nowhere')$$,
    $$SELECT eav.route_read(after_token => 'x')$$,
    $$SELECT eav.freshness_headers('nowhere')$$]) AS statement;

-- Headers.
SELECT key, CASE key WHEN 'X-Data-Node' THEN value = (SELECT node_id FROM eav.freshness())
                     WHEN 'X-Data-Timestamp' THEN value::timestamptz <= clock_timestamp() END,
       CASE WHEN key NOT IN ('X-Data-Node', 'X-Data-Timestamp') THEN value END
FROM jsonb_array_elements(eav.freshness_headers()) WITH ORDINALITY AS header (member, n),
     jsonb_each_text(member) ORDER BY n;
SELECT eav.freshness_headers('olap_dashboard') -> 5;

-- The breaker.
SELECT error_of(statement) FROM unnest(ARRAY[
    $$SELECT eav.report_read_failure('nobody')$$, $$SELECT eav.report_read_success('nobody')$$,
    $$SELECT eav.report_read_failure(NULL)$$]) AS statement;
SELECT count(eav.report_read_failure('index')) FROM generate_series(1, 4);
SELECT state, cause, failures FROM eav.breaker_status() WHERE node_id = 'index';
SELECT eav.report_read_success('index');
SELECT count(eav.report_read_failure('index')) FROM generate_series(1, 4);
SELECT failures FROM eav.breaker_status() WHERE node_id = 'index';
SELECT source FROM eav.route_read(read_path => 'stream', max_lag => '1 hour');
SELECT count(eav.report_read_failure('index')) FROM generate_series(1, 5);
SELECT state, cause, failures, since <= clock_timestamp() FROM eav.breaker_status() WHERE node_id = 'index';
SELECT source, degraded, reason FROM eav.route_read(read_path => 'stream', max_lag => '1 hour');

-- Tokens.
SELECT eav.wait_for_token(eav.write_token()), eav.wait_for_token(eav.write_token(), '0'),
       length(eav.write_token()) < 26;
SELECT error_of(statement) FROM unnest(ARRAY[
    $$SELECT eav.wait_for_token('')$$, $$SELECT eav.wait_for_token('1-')$$,
    $$SELECT eav.wait_for_token('1-1 ')$$, $$SELECT eav.wait_for_token('-1-1')$$,
    $$SELECT eav.wait_for_token('1-10000000000000000')$$, $$SELECT eav.wait_for_token('0-1')$$,
    $$SELECT eav.wait_for_token('1-1', '-1 s')$$, $$SELECT eav.wait_for_token(NULL)$$,
    $$SELECT eav.wait_for_token('1-1', NULL)$$]) AS statement;
SELECT eav.wait_for_token('1-FFFFFFFFFFFFFFF');
SELECT eav.wait_for_token('2-1');
BEGIN;
CREATE TABLE written ();
SELECT eav.write_token();
ROLLBACK;
BEGIN READ ONLY;
SELECT eav.write_token() <> '';
COMMIT;

-- As it was.
ALTER SYSTEM SET eav.worker_enabled = off;
ALTER SYSTEM RESET eav.flush_interval;
ALTER SYSTEM RESET eav.heartbeat_interval;
SELECT pg_reload_conf();
DROP PROCEDURE wait_until;
DROP FUNCTION holds;
DROP TABLE beat;
TRUNCATE eav.nodes;
