# The same questions at several numbers of entities, with fewer attributes, as the disk demands.

reading_growth() {
    local ENTITIES COLD=${BENCH_GROWTH_COLD:-20} # for all that is called from here
    local sizes='100000 500000'
    [ -z "${BENCH_FULL:-}" ] || sizes='100000 1000000 5000000'
    for ENTITIES in ${BENCH_GROWTH:-$sizes}; do
        start_reading_server
        say "reading: growth, $ENTITIES entities, $HOT hot attributes, $COLD in tier current"
        load_reading "$ENTITIES" "$HOT" "$COLD"
        ask_everything "growth, $ENTITIES"
        show_sizes 'table, its indexes'
        stop_server
    done
}
