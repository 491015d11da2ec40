# 1,000 events of eight attributes a call over one connection, as text and as bytea, against COPY
# of the same values as text into staging: a transaction for every 1,000 events, and one for all,
# during which the worker finds nothing to do. The worker flushes in all of them; what it has left
# is flushed outside the time. Once with the ring as it is by default, and once without one: then
# every call is spilled to staging, the worst that can happen to it.

BATCH_VALUES=${BENCH_BATCH_VALUES:-2000000}

ingest_batches() {
    say "1,000 events a call, one connection, $BATCH_VALUES values a side, $ROUNDS rounds"
    start_server autovacuum=off
    wait_for_door
    compare_batches ring ingest ingest_bytea copy copy_once
    stop_server
    start_server autovacuum=off eav.ring_size=0
    compare_batches 'no ring' ingest copy copy_once
    stop_server
}

compare_batches() { # TITLE SIDE...
    local title=$1 round side seconds backend client
    shift
    rm -f "$OUT"/batches.*
    for ((round = 0; round <= ROUNDS; round++)); do
        for side in "$@"; do
            start_alike
            look
            # The first round is shorter, is not counted, and makes the documents.
            read -r seconds backend client < <(
                eval "$(infra/local/cluster.sh env $CLUSTER)"
                "$OUT/batches" side="$side" values=$((round > 0 ? BATCH_VALUES : BATCH_VALUES / 10))
            ) || die "the benchmark failed"
            look
            [ "$round" -gt 0 ] || continue
            per_second "$BATCH_VALUES" "$seconds" >>"$OUT/batches.$side"
            echo >>"$OUT/batches.$side"
            echo "$seconds $backend $client $(happened 3) $(happened 2) $(happened 4)" >>"$OUT/batches.$side.cost"
            record ingest "batches $title $side" "$round" \
                'seconds backend_s client_s spilled values flushed' "$(tail -n 1 "$OUT/batches.$side.cost")"
        done
    done
    printf '   %-14s %12s %25s | CPU ns a value: %7s %7s | %9s\n' "$title" values/s 'of the rounds' backend client 'spilled %'
    for side in "$@"; do
        report_batches "$side"
    done
    for side in "$@"; do
        case $side in ingest*)
            report_batch_ratio "$title" "$side" copy
            report_batch_ratio "$title" "$side" copy_once
            ;;
        esac
    done
    [ "$(query -c 'SELECT count(*) FROM eav.ingest_rejects')" -eq 0 ] || die "values were rejected"
}

report_batches() { # SIDE
    local rounds
    rounds=$(sort -g "$OUT/batches.$1" | sed -n '1p;$p' | paste -sd ' ' | sed 's/ / to /')
    awk -v side="$1" -v median="$(median <"$OUT/batches.$1")" -v rounds="$rounds" -v values="$((BATCH_VALUES * ROUNDS))" '
        {for (i = 1; i <= NF; i++) sum[i] += $i}
        END {
            printf "   %-14s %12.0f %25s | %23.0f %7.0f | %9s\n", side, median, rounds,
                1e9 * sum[2] / values, 1e9 * sum[3] / values,
                sum[5] ? sprintf("%.1f", 100 * sum[4] / sum[5]) : "-"
        }' "$OUT/batches.$1.cost"
}
report_batch_ratio() { # TITLE OURS THEIRS
    local all
    all=$(paste "$OUT/batches.$2" "$OUT/batches.$3" | awk '{print $1 / $2}')
    printf '   %s / %s: %.2f times the values/s, at least %.2f\n' "$2" "$3" "$(median <<<"$all")" \
        "$(sort -g <<<"$all" | head -n 1)"
    record ingest "batches $1 $2/$3" least ratio "$(sort -g <<<"$all" | head -n 1)"
}
