# What eav.max_hot_attributes decides: attributes up to that number go into the documents, those above
# into entity_values_current. 200 attributes register themselves, of every ten two texts and two bools,
# which change with one event in twenty, and six numbers, which change with every event.

reading_tiers() {
    local limit fleet=${BENCH_FLEET:-2000}
    say "eav.max_hot_attributes: $fleet entities with 200 attributes, medians of $ROUNDS rounds"
    printf '   %-6s %16s %16s %12s %12s %10s %14s %14s\n' limit 'whole events v/s' 'changes v/s' \
        'bytes/entity' 'row of it' 'WAL/value' 'get_entity p50' 'find 100 p50'
    for limit in ${BENCH_TIERS:-0 16 32 64 128 200}; do
        start_server eav.worker_enabled=off autovacuum=off "eav.max_hot_attributes=$limit" \
            eav.flush_batch_values=1000000
        query -f $READING/measure.sql
        query -f $READING/fleet.sql
        measure_tier "$limit" "$fleet"
        stop_server
    done
}

measure_tier() { # LIMIT FLEET
    local round whole changes bytes row wal one found
    for ((round = 0; round <= ROUNDS; round++)); do
        query -c "CALL bench.flush($2, $((2 * round)), false)" -c "CALL bench.flush($2, $((2 * round + 1)), true)" \
            -c 'VACUUM eav.entity_jsonb, eav.entity_values_current'
    done
    query -c 'DELETE FROM bench.round WHERE round < 2'
    IFS='|' read -r whole changes bytes row wal < <(query -v fleet="$2" -f $READING/fleet_figures.sql)
    query -v fleet="$2" -v calls="$CALLS" -v seconds="$LIMIT" -f $READING/ask_fleet.sql >/dev/null
    { IFS='|' read -r _ _ _ one _; IFS='|' read -r _ _ _ found _; } < <(query -f $READING/percentiles.sql)
    printf '   %-6s %16s %16s %12s %12s %10s %14s %14s\n' "$1" "$whole" "$changes" "$bytes" "$row" "$wal" "$one" "$found"
    record reading "tiers $1" 1 'whole_vps changes_vps bytes_per_entity row_bytes wal_per_value get_ms find_ms' \
        "$whole $changes $bytes $row $wal $one $found"
}
