# One event of eight attributes a call, by pgbench -M prepared, against the same events as INSERTs
# into staging, a transaction each: one INSERT of eight rows (insert), and eight INSERTs (inserts).
# pgbench has no texts, so the JSON is put together in SQL, which eav.ingest() has to bear. What the
# protocol itself costs is "SELECT 1" (empty). The worker flushes meanwhile, and pgbench, backends and worker share the machine: the processor time
# of each, divided by the number of events, stands beside.

CALL_SECONDS=${BENCH_CALL_SECONDS:-3}
ATTRIBUTES=8

ingest_calls() {
    local clients
    start_server autovacuum=off
    query -f $HERE/ingest/registry.sql >/dev/null
    wait_for_door
    write_calls
    say "one event of $ATTRIBUTES attributes a call, pgbench -M prepared, $CALL_SECONDS s each, $ROUNDS rounds"
    show_xids
    for clients in 1 2 4; do
        compare_calls "$clients"
    done
    measure_acks
    [ "$(query -c 'SELECT count(*) FROM eav.ingest_rejects')" -eq 0 ] || die "values were rejected"
    stop_server
}

write_calls() {
    local event
    event=$(<$HERE/ingest/event.sql)
    echo 'SELECT 1;' >"$OUT/call.empty"
    call_with_event "SELECT eav.ingest($event);" >"$OUT/call.ingest"
    call_with_event "SELECT eav.ingest($event, 'durable');" >"$OUT/call.durable"
    call_with_event "$(<$HERE/ingest/insert.sql)" >"$OUT/call.insert"
    call_with_event "$(<$HERE/ingest/inserts.sql)" >"$OUT/call.inserts"
}
call_with_event() { # STATEMENTS
    cat $HERE/ingest/event.pgbench
    echo "$1"
}

call() { # SIDE CLIENTS OPTION...
    local side=$1 clients=$2
    shift 2
    (
        eval "$(infra/local/cluster.sh env $CLUSTER)"
        "$(pg_config_says --bindir)/pgbench" -n -M prepared -c "$clients" -j 1 -D now_ms="$(date +%s000)" \
            -f "$OUT/call.$side" "$@"
    ) >"$OUT/pgbench.txt" 2>&1 || die "pgbench failed: $(cat "$OUT/pgbench.txt")"
}

# That a call needs no transaction id: what it sees itself, and the counter of the server while the
# worker is asleep. 2,000 events fit the ring.
show_xids() {
    local own
    own=$(query -c "BEGIN; SELECT eav.ingest('{\"tenant_id\": 1, \"entity_id\": 1, \"attributes\": {\"gear\": 1}}')" \
        -c "SELECT coalesce(pg_current_xact_id_if_assigned()::text, 'null')" -c COMMIT | tail -n 1)
    query -c "ALTER SYSTEM SET eav.flush_interval = '60s'" -c 'SELECT pg_reload_conf()' >/dev/null
    sleep 1
    look
    call ingest 2 -t 1000
    look
    printf '   2,000 calls, worker asleep: %d transaction ids, %d flushes; pg_current_xact_id_if_assigned() after a call: %s\n' \
        "$(happened 0)" "$(happened 1)" "$own"
    record ingest "calls asleep" 1 xids "$(happened 0)"
    query -c 'ALTER SYSTEM RESET eav.flush_interval' -c 'SELECT pg_reload_conf()' >/dev/null
}

compare_calls() { # CLIENTS
    local round side sides=(empty ingest insert inserts)
    rm -f "$OUT"/calls.*
    printf '   %-8s %-8s %10s %10s | CPU us an event: %7s %8s %7s | %9s %15s\n' clients side events/s \
        values/s pgbench backends worker 'spilled %' 'xids / flushes'
    for ((round = 1; round <= ROUNDS; round++)); do
        for side in "${sides[@]}"; do
            [ "$side" = empty ] || start_alike
            measure_calls "$side" "$1" "$round"
        done
    done
    for side in "${sides[@]}"; do
        report_calls "$side" "$1"
    done
    report_ratio insert ingest "$1"
    report_ratio inserts ingest "$1"
}

measure_calls() { # SIDE CLIENTS ROUND
    local server worker tps cpu events backends_before worker_before
    server=$(server_pid "$RUN/$CLUSTER/data") worker=$(query -c 'SELECT eav._worker_pid()')
    look
    worker_before=$(own_cpu "$worker") backends_before=$(children_cpu "$server")
    TIMEFORMAT='%U %S'
    { time call "$1" "$2" -T "$CALL_SECONDS"; } 2>"$OUT/pgbench.time"
    sleep 0.05 # the backends end after pgbench
    backends_before=$(($(children_cpu "$server") - backends_before))
    worker_before=$(($(own_cpu "$worker") - worker_before))
    look
    tps=$(sed -n 's/^tps = \([0-9.]*\) .*/\1/p' "$OUT/pgbench.txt")
    events=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$OUT/pgbench.txt")
    cpu=$(awk '{printf "%.0f", 1000 * ($1 + $2)}' "$OUT/pgbench.time")
    echo "$tps" >>"$OUT/calls.$1"
    echo "$cpu $backends_before $worker_before $(happened 3) $(happened 2) $(happened 0) $(happened 1) $events" >>"$OUT/calls.$1.cost"
    record ingest "calls $1 clients=$2" "$3" events_per_s "$tps"
    record ingest "calls $1 clients=$2" "$3" 'pgbench_ms backends_ms worker_ms spilled values xids flushes events' \
        "$(tail -n 1 "$OUT/calls.$1.cost")"
}

report_calls() { # SIDE CLIENTS
    local tps
    tps=$(median <"$OUT/calls.$1")
    awk -v side="$1" -v clients="$2" -v tps="$tps" -v n="$ATTRIBUTES" '
        {for (i = 1; i <= NF; i++) sum[i] += $i}
        END {
            is_load = side != "empty"
            printf "   %-8d %-8s %10.0f %10s | %24.1f %8.1f %7.1f | %9s %15s\n", clients, side, tps,
                is_load ? sprintf("%.0f", n * tps) : "-",
                1000 * sum[1] / sum[8], 1000 * sum[2] / sum[8], 1000 * sum[3] / sum[8],
                side == "ingest" ? sprintf("%.1f", sum[5] ? 100 * sum[4] / sum[5] : 0) : "-",
                is_load ? sum[6] " / " sum[7] : "-"
        }' "$OUT/calls.$1.cost"
}

# Round by round, from runs that followed each other; then by the processor time of the backends,
# which other work on the machine disturbs less.
report_ratio() { # THEIRS OURS CLIENTS
    local all
    all=$(paste "$OUT/calls.$2" "$OUT/calls.$1" | awk '{print $1 / $2}')
    printf '   %s / %s: %.2f times the values/s (%.2f to %.2f)' "$2" "$1" "$(median <<<"$all")" \
        "$(sort -g <<<"$all" | head -n 1)" "$(sort -g <<<"$all" | tail -n 1)"
    printf '; %.2f by the CPU of the backends\n' "$(ratio "$(backend_us "$1")" "$(backend_us "$2")")"
    record ingest "calls $2/$1 clients=$3" median ratio "$(median <<<"$all")"
}

backend_us() { awk '{ms += $2; events += $8} END {printf "%.3f", 1000 * ms / events}' "$OUT/calls.$1.cost"; }

# How long a call takes until it is accepted, and until its values are on disk.
measure_acks() {
    local side clients p50 p99 tps name
    say "latency of a call"
    printf '   %-10s %8s %10s %10s %10s %10s\n' ack clients events/s 'p50 ms' 'p99 ms' flushes/s
    for clients in 1 4 16; do
        for side in ingest durable; do
            start_alike
            rm -f "$OUT"/latency.*
            look
            call "$side" "$clients" -T "$CALL_SECONDS" --log --log-prefix="$OUT/latency"
            look
            # The third field of the log, in us.
            read -r p50 p99 < <(cut -d ' ' -f 3 "$OUT"/latency.* | sort -n |
                awk '{v[NR] = $1} END {printf "%.3f %.3f\n", v[int(NR * 0.5) + 1] / 1000, v[int(NR * 0.99) + 1] / 1000}')
            tps=$(sed -n 's/^tps = \([0-9.]*\) .*/\1/p' "$OUT/pgbench.txt")
            name=$([ "$side" = ingest ] && echo accepted || echo durable)
            printf '   %-10s %8d %10.0f %10s %10s %10.0f\n' "$name" "$clients" "$tps" "$p50" "$p99" \
                "$(per_second "$(happened 1)" "$CALL_SECONDS")"
            record ingest "ack $name clients=$clients" 1 'events_per_s p50_ms p99_ms' "$tps $p50 $p99"
        done
    done
    rm -f "$OUT"/latency.*
}
