# Documents, filters and pages of BENCH_ENTITIES entities, and the two usual designs beside.

reading_questions() {
    start_reading_server
    say "reading: $ENTITIES entities, $HOT hot attributes, $COLD in tier current"
    load_reading "$ENTITIES" "$HOT" "$COLD"
    ask_everything "$ENTITIES x $((HOT + COLD))"
    show_plans
    compare_designs
    show_sizes 'table, its indexes'
    stop_server
}

ask_everything() { # TITLE
    ask ask_documents "$1, documents"
    ask ask_hot "$1, two hot attributes"
    ask ask_cold "$1, cold attributes"
    ask ask_pages "$1, pages of 100"
    index_hot_attributes
    ask ask_hot "$1, with attribute indexes"
}

# The medium and the sparse ones; the worker builds them.
index_hot_attributes() {
    local began=$SECONDS
    query -c "SELECT count(eav.create_attribute_index(1, name)) FROM eav.attributes
        WHERE tenant_id = 1 AND projection = 'hot' AND right(name, 3)::integer % 5 >= 2" >/dev/null
    switch_worker on
    until [ "$(query -c "SELECT bool_and(state = 'valid') FROM eav.stat_attribute_indexes")" = t ]; do
        sleep 1
    done
    switch_worker off
    query -c 'ANALYZE eav.entity_jsonb'
    progress "$(query -c 'SELECT count(*) FROM eav.stat_attribute_indexes') indexes of hot attributes" "$began"
}
switch_worker() { # on|off
    query -c "ALTER SYSTEM SET eav.worker_enabled = $1" -c 'SELECT pg_reload_conf()' >/dev/null
}

# History with a sixth of the cold attributes at most: its size matters to the other designs only in
# what they find in the cache.
compare_designs() {
    local began=$SECONDS attributes=$((COLD < 12 ? COLD : 12))
    query -v cold="$COLD" -v attributes=$attributes -f $READING/baselines.sql
    query -f $READING/baseline_indexes.sql
    progress "history of $attributes attributes, documents, their indexes" "$began"
    query -c 'TRUNCATE bench.call'
    ask_designs 'find documents history' $attributes
    show_baseline_plans
    query -f $READING/baseline_best_indexes.sql
    ask_designs best $attributes
    [ "$(query -f $READING/differences.sql)" -eq 0 ] || die "the designs do not find the same"
    show_calls "$ENTITIES x $((HOT + COLD)), 0.1 % of all, LIMIT 100"
}
ask_designs() { # WHICH ATTRIBUTES
    query -v which="$1" -v attributes="$2" -v calls="$CALLS" -v seconds="$LIMIT" \
        -v entities="$ENTITIES" -f $READING/ask_baselines.sql >/dev/null
}

show_plans() {
    local filter
    for filter in '$.hot_000 == "idle" && $.hot_002 == "model 7"' '$.cold_000 == 7' \
        '$.cold_001 >= 7 && $.cold_001 < 8' '$.hot_002 == "model 7" && $.cold_000 == 7'; do
        echo "   plan of $filter"
        query -F ' | ' -v filter="$filter" -f $READING/plan.sql | sed 's/^/      /'
    done
}
show_baseline_plans() {
    echo '   plans of the other designs'
    query -v first="$(query -c "SELECT eav._attribute_id(1, 'cold_000')")" -f $READING/baseline_plans.sql | sed 's/^/      /'
}
