#!/usr/bin/env bash
# 1,000 connections that call eav.ingest() at once, 50 times each.
. "$(dirname "$0")/lib.sh"
clients=$(scaled 1000) calls=50
q "SELECT eav.register_tenant('acme', 1); SELECT eav.register_attribute(1, 'n', 'int', 'live')" >/dev/null
script=$RUN/limits-connections.sql
cat >"$script" <<'SQL'
\set entity random(1, 100000)
SELECT pg_advisory_xact_lock_shared(7), eav.ingest(format('{"tenant_id":1,"entity_id":%s,"attributes":{"n":%s}}', :entity::int, :client_id::int));
SQL
# None begins before all of them are there: somebody has the lock that each of them wants.
coproc gate { q_script; }
gate_end=${gate[1]}
echo 'SELECT pg_advisory_lock(7);' >&"$gate_end"
wait_for 30 "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')"
watch "$(worker_pid)"
log=$RUN/limits-connections.log
as_server_user env PGHOST="$PGHOST" PGPORT="$PGPORT" PGUSER="$PGUSER" "$bin/pgbench" -n -c "$clients" -j 2 -t $calls -M prepared -f "$script" "$PGDATABASE" >"$log" 2>&1 &
load=$!
waiting="FROM pg_stat_activity WHERE application_name = 'pgbench' AND wait_event = 'advisory'"
wait_for 300 "SELECT count(*) = $clients $waiting"
note 'connections at once' "$(q "SELECT count(*) $waiting")"
exec {gate_end}>&-
sleep 1
one=$(q "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench' ORDER BY query_start DESC LIMIT 1")
note 'memory of a backend' "$(own_memory "$one") MB of its own"
wait $load || wrong "$(tail -n 5 "$log")"
sent=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$log")
grep -q 'number of failed transactions: 0' "$log" || wrong "$(grep failed "$log")"
note 'calls' "$sent, $(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$log")/s, latency $(sed -n 's/^latency average = //p' "$log")"
start_clock
wait_for_history 300 "$sent"
note 'until the last is in history' "$(seconds) s"
note 'memory of the worker' "$(told) MB at most"
is 'calls' "$sent" $((clients * calls))
is 'values in history' "$(q 'SELECT count(*) FROM eav.entity_values_ts')" "$sent"
note 'through staging, because the ring was full' "$(q 'SELECT spilled_calls FROM eav.stat_ingest') calls"
