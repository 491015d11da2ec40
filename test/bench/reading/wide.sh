# One entity with 10,000 attributes that nobody has registered, sent as events of 1,000.

reading_wide() {
    local attributes=${BENCH_WIDE:-10000}
    start_reading_server
    say "reading: one entity with $attributes attributes"
    query -v attributes="$attributes" -f $READING/wide.sql | while IFS='|' read -r what figure; do
        printf '   %-54s %s\n' "$what" "$figure"
        record reading 'wide' 1 "$what" "$figure"
    done
    ask ask_wide 'wide'
    stop_server
}
