# eav.value_distribution() over 30 days, with two densities of history, in values an hour and attribute.

reading_distribution() {
    local density
    for density in ${BENCH_DENSITIES:-2 20}; do
        start_reading_server
        say "reading: value_distribution over 30 days, $density values an hour and attribute"
        query -v attributes="${BENCH_ROLLUP_ATTRIBUTES:-200}" -v per_hour="$density" -f $READING/rollups.sql
        ask ask_distribution "30 days, $density an hour"
        stop_server
    done
}
