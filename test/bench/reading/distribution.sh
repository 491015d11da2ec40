# eav.value_distribution() over 30 days, with two densities of history, in values an hour and attribute.

reading_distribution() {
    local density
    for density in ${BENCH_DENSITIES:-2 20}; do
        start_reading_server
        say "reading: value_distribution over 30 days, $density values an hour and attribute"
        query -v attributes="${BENCH_ROLLUP_ATTRIBUTES:-200}" -v per_hour="$density" -f $READING/rollups.sql
        query -c 'TRUNCATE bench.call' -v calls="$CALLS" -v seconds="$LIMIT" -f $READING/ask_distribution.sql >/dev/null
        show_calls "30 days, $density an hour"
        stop_server
    done
}
