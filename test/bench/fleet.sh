# 10,000 devices at 10,000 values/s: how long until a committed value is visible in the projection,
# and what the flush worker costs meanwhile. The load generator is fleet.cpp.

bench_fleet() {
    local options summary=$OUT/fleet.txt line
    start_server
    say "fleet of 10,000 devices, 10,000 values/s, ${BENCH_SECONDS:-30} s after a warm-up"
    # How late the producers were tells how busy the machine was with other things.
    printf '   %-34s %8s %8s %8s %8s %10s %8s %9s\n' '' 'p50 ms' 'p95 ms' 'p99 ms' 'max ms' \
        'flushed/s' 'worker %' 'late p99'
    # The warm-up lets every device send once: registering it is not what is measured.
    for options in 'attributes=10 warmup=12' 'attributes=10 names=1 warmup=12' 'attributes=1 warmup=3'; do
        (
            eval "$(infra/local/cluster.sh env $CLUSTER)"
            # shellcheck disable=SC2086  # the options are words
            "$OUT/fleet" $options seconds="${BENCH_SECONDS:-30}" summary="$summary" >"$OUT/fleet.log"
        ) || die "the fleet failed, or values were lost: $(cat "$OUT/fleet.log")"
        while IFS='=' read -r metric value; do
            declare "fleet_$metric=$value"
            record fleet "$options" 1 "$metric" "$value"
        done <"$summary"
        line="${options/attributes=/attributes per event: }"
        line=${line/ names=1/, by name}
        printf '   %-34s %8.1f %8.1f %8.1f %8.1f %10.0f %8.1f %9.1f\n' "${line% warmup*}" \
            "$fleet_visible_p50_ms" "$fleet_visible_p95_ms" "$fleet_visible_p99_ms" \
            "$fleet_visible_max_ms" "$fleet_flushed_per_s" \
            "${fleet_worker_cpu_percent:-nan}" "$fleet_late_p99_ms"
    done
    stop_server
}
