# A backlog of a million values with its projection: stage_flush() against plain SQL.
#
# Both sides get the same values in the same order and end with the same documents and the same
# number of rows, which is checked. Entities exist: the first, untimed round has created them.

bench_backlog() {
    local shape
    for shape in events scattered; do
        start_server eav.worker_enabled=off
        say "backlog of $VALUES values, $DEVICES devices, shape $shape"
        choose_reference "$shape"
        compare_backlog "$shape"
        stop_server
    done
}

load() { # TABLE ROUND: and everything settled before the time starts
    query -v target="$1" -v round="$2" -f $HERE/sql/load.sql
    query -c "ANALYZE $1" -c CHECKPOINT
}

# Sets `reference` to the fastest plain-SQL flush for this shape.
choose_reference() { # SHAPE
    local file variant wall cpu best='' round
    reference=''
    make_sample "$1"
    for file in "$HERE"/sql/reference/*.sql; do
        variant=$(basename "$file" .sql)
        reference_script "$variant" >"$OUT/$variant.sql"
        for round in 0 1 2; do
            query -c 'TRUNCATE reference.history' # so that the last one finds what the first found
            load reference.staging "$round"
            read -r wall cpu < <(BENCH_PERF='' timed "$variant" "$OUT/$variant.sql")
            query -c 'VACUUM reference.staging, reference.projection'
            [ "$round" -gt 0 ] || continue # the first creates the entities, or finds a cold cache
            printf '   %-20s %7.2f s wall %7.2f s cpu\n' "$variant" "$wall" "$cpu"
            record backlog "$1 $variant" "$round" wall_s "$wall"
            if [ -z "$best" ] || awk -v a="$cpu" -v b="$best" 'BEGIN {exit !(a < b)}'; then
                best=$cpu reference=$variant
            fi
        done
    done
    echo "   the fastest by processor time is $reference"
}

compare_backlog() { # SHAPE
    local round side wall cpu script differences
    query -f $HERE/sql/reference.sql
    echo 'SELECT * FROM eav.stage_flush();' >"$OUT/stage_flush.sql"
    rm -f "$OUT"/backlog.*
    # With BENCH_PERF one more round: perf slows down what it looks at.
    for ((round = 0; round <= ROUNDS + ${BENCH_PERF:-0}; round++)); do
        for side in eav "$reference"; do
            if [ "$side" = eav ]; then
                script=stage_flush
                load eav.entity_values_ingest "$round"
            else
                script=$reference
                load reference.staging "$round"
            fi
            read -r wall cpu < <(BENCH_PERF=$([ "$round" -le "$ROUNDS" ] || echo 1) \
                timed "backlog-$1-$script" "$OUT/$script.sql")
            # Outside the time: a queue by DELETE leaves that to vacuum.
            [ "$side" = eav ] || query -c 'VACUUM ANALYZE reference.staging'
            [ "$round" -le "$ROUNDS" ] || continue
            record backlog "$1 $side" "$round" wall_s "$wall"
            record backlog "$1 $side" "$round" cpu_s "$cpu"
            if [ "$round" -gt 0 ]; then
                echo "$wall" >>"$OUT/backlog.$script.wall"
                echo "$cpu" >>"$OUT/backlog.$script.cpu"
            else
                printf '   %-20s %7.2f s wall %7.2f s cpu   first load, creates the entities\n' \
                    "$side" "$wall" "$cpu"
            fi
        done
    done
    differences=$(query -f $HERE/sql/differences.sql)
    [ "$differences" -eq 0 ] || die "the two sides differ in $differences places"
    report_backlog "$1"
    show_perf "backlog-$1-stage_flush"
    show_perf "backlog-$1-$reference"
}

report_backlog() { # SHAPE
    local metric ours theirs
    printf '   %-6s %12s %12s %12s %12s %7s\n' '' 'eav s' 'plain SQL s' 'eav v/s' 'plain v/s' ratio
    for metric in wall cpu; do
        ours=$(median <"$OUT/backlog.stage_flush.$metric")
        theirs=$(median <"$OUT/backlog.$reference.$metric")
        printf '   %-6s %12.2f %12.2f %12s %12s %7s\n' "$metric" "$ours" "$theirs" \
            "$(per_second "$VALUES" "$ours")" "$(per_second "$VALUES" "$theirs")" \
            "$(ratio "$theirs" "$ours")"
        record backlog "$1" median "ratio_$metric" "$(ratio "$theirs" "$ours")"
    done
}
