#!/usr/bin/env bash
# 1,000 connections that call eav.ingest() at once, for a minute.
. "$(dirname "$0")/lib.sh"
clients=$(scaled 1000) runtime=$(scaled 60)
q "SELECT eav.register_tenant('acme', 1); SELECT eav.register_attribute(1, 'n', 'int', 'live')" >/dev/null
script=$RUN/limits-connections.sql
cat >"$script" <<'SQL'
\set entity random(1, 100000)
SELECT eav.ingest(format('{"tenant_id":1,"entity_id":%s,"attributes":{"n":%s}}', :entity, :client_id));
SQL
watch "$(worker_pid)"
log=$RUN/limits-connections.log
as_server_user env PGHOST="$PGHOST" PGPORT="$PGPORT" PGUSER="$PGUSER" "$bin/pgbench" -n -c "$clients" -j 2 -T "$runtime" -M prepared -f "$script" "$PGDATABASE" >"$log" 2>&1 &
load=$!
sleep "$((runtime / 2 + 2))"
one=$(q "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench' LIMIT 1")
note 'connections' "$(q "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'")"
note 'memory of a backend' "$(own_memory "$one") MB of its own"
wait $load || wrong "$(tail -n 5 "$log")"
sent=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$log")
grep -q 'number of failed transactions: 0' "$log" || wrong "$(grep failed "$log")"
note 'calls' "$sent, $(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$log")/s, latency $(sed -n 's/^latency average = //p' "$log")"
start_clock
wait_for_history 300 "$sent"
note 'until the last is in history' "$(seconds) s"
note 'memory of the worker' "$(told) MB at most"
is 'values in history' "$(q 'SELECT count(*) FROM eav.entity_values_ts')" "$sent"
note 'through staging, because the ring was full' "$(q 'SELECT spilled_calls FROM eav.stat_ingest') calls"
