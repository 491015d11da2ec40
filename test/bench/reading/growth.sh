# The same questions at several numbers of entities, with fewer attributes, as the disk demands.

reading_growth() {
    local ENTITIES COLD=$GROWTH_COLD # for all that is called from here
    for ENTITIES in $GROWTH; do
        start_reading_server
        say "reading: growth, $ENTITIES entities, $HOT hot attributes, $COLD in tier current"
        load_reading "$ENTITIES" "$HOT" "$COLD"
        ask_everything "growth, $ENTITIES"
        show_sizes 'table, its indexes'
        stop_server
    done
}
