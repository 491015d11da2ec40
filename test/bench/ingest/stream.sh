# From the commit of eav.ingest() until history and projection show the values, at fixed rates and
# as fast as it goes. The load generator is fleet.cpp. At saturation the worker is slower than two
# producers: without a window values pile up, in the ring and then in staging, and the delay is the
# length of the pile; with one, the producers wait while that many values are under way, which
# shows what goes through in the long run.

STREAM_SECONDS=${BENCH_STREAM_SECONDS:-10}

ingest_stream() {
    local options seconds summary=$OUT/stream.txt metric value
    start_server
    say "eav.ingest() to visible, 10,000 devices, events of 8 attributes, $STREAM_SECONDS s after a warm-up"
    printf '   %-34s %9s %9s %9s %9s %8s %9s %8s %8s\n' '' 'sent/s' 'flushed/s' 'p50 ms' 'p99 ms' \
        'worker %' 'spilled %' 'late p99' 'drain s'
    # The first warm-up is long enough for every device to send once.
    for options in 'rate=10000 calls=1 warmup=10' 'rate=50000 calls=100 connections=2 warmup=3' \
        'rate=100000 calls=100 connections=2 warmup=3' \
        'rate=0 window=200000 calls=100 connections=2 warmup=3' \
        'rate=0 calls=100 connections=2 warmup=1'; do
        wait_for_door
        look
        seconds=$STREAM_SECONDS
        case $options in
            *window*) ;;
            rate=0*) seconds=$((STREAM_SECONDS / 2 + 1)) ;; # what piles up has to be flushed
        esac
        (
            eval "$(infra/local/cluster.sh env $CLUSTER)"
            # shellcheck disable=SC2086  # the options are words
            "$OUT/fleet" attributes=8 $options seconds="$seconds" summary="$summary" >"$OUT/stream.log"
        ) || die "the fleet failed, or values were lost: $(cat "$OUT/stream.log")"
        look
        while IFS='=' read -r metric value; do
            declare "stream_$metric=$value"
            record ingest "stream $options" 1 "$metric" "$value"
        done <"$summary"
        record ingest "stream $options" 1 spilled_percent "$(percent "$(happened 3)" "$(happened 2)")"
        options=${options% warmup*} options=${options/ connections=2/}
        printf '   %-34s %9.0f %9.0f %9.1f %9.1f %8.1f %9s %8.1f %8.1f\n' "${options/rate=0/saturation}" \
            "$stream_sent_per_s" "$stream_flushed_per_s" "$stream_visible_p50_ms" \
            "$stream_visible_p99_ms" "${stream_worker_cpu_percent:-nan}" \
            "$(percent "$(happened 3)" "$(happened 2)")" "$stream_late_p99_ms" "$stream_drain_s"
    done
    stop_server
}
