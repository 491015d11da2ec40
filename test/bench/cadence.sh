# 20,000 values, flush, 20,000 values, flush, ... while an old snapshot is held open, as a long
# report, a dump or a forgotten session does. COPY and flush count; both sides take turns in one
# session, so that they live through the same minutes. Two references: a staging table that is
# emptied as a whole, which is the fastest plain SQL, and a queue by id, the usual one.
#
# The longer the snapshot is held, the more rows that DELETE has left behind the reference has to
# pass. To see an hour of that in a minute, BENCH_DEAD="10 40" million values then go through its
# staging by INSERT and DELETE alone, with a few cycles after each step. Our flush truncates what
# it has taken; the same values would leave nothing there.

CYCLES=${BENCH_CYCLES:-100}
CYCLE_VALUES=20000
SLICES=50 # of the sample, used in turn
DEEP_CYCLES=5

bench_cadence() {
    local kind
    for kind in ${BENCH_CADENCE:-whole queue}; do
        say "cadence of $CYCLE_VALUES values, $CYCLES cycles, $DEVICES devices, snapshot held, reference: $kind"
        start_server eav.worker_enabled=off autovacuum_naptime=5s
        VALUES=$((CYCLE_VALUES * SLICES)) make_sample "${BENCH_SHAPE:-events}"
        cut_slices
        run_cadence "$kind"
        stop_server
    done
}

run_cadence() { # KIND
    local batch='DELETE FROM reference.staging RETURNING' begin='BEGIN;' holder
    if [ "$1" = queue ]; then
        query -f $HERE/sql/queue.sql
        batch='DELETE FROM reference.staging WHERE id IN (SELECT id FROM reference.staging ORDER BY id'
        batch+=" LIMIT $CYCLE_VALUES FOR UPDATE SKIP LOCKED) RETURNING"
        # Statistics taken while the queue is empty promise one row, and a nested loop.
        begin='BEGIN; SET LOCAL enable_nestloop = off;'
    fi
    reference_script one_statement |
        sed "s/DELETE FROM reference.staging RETURNING/$batch/; s/^BEGIN;/$begin/" >"$OUT/reference.sql"

    # All entities exist and have their size before the snapshot is taken.
    cadence_script 0 $SLICES >"$OUT/cadence.sql"
    query -f "$OUT/cadence.sql" >/dev/null
    query -c 'VACUUM ANALYZE eav.entity_jsonb, reference.projection'

    coproc HOLDER { query -f -; }
    holder=$HOLDER_PID
    echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;' >&"${HOLDER[1]}"
    read -r _ <&"${HOLDER[0]}"
    measure_cycles "$1" "$CYCLES"
    report_cadence
    dig_deeper "$1"
    report_sizes
    [ "$(query -c "SELECT count(*) FROM pg_stat_activity
        WHERE state = 'idle in transaction' AND backend_xmin IS NOT NULL")" -eq 1 ] ||
        die "the snapshot was not held to the end"
    eval "exec ${HOLDER[1]}>&-" # the end of its input ends the session
    wait "$holder" || true
    [ "$(query -f $HERE/sql/differences.sql)" -eq 0 ] || die "the two sides differ"
}

measure_cycles() { # KIND COUNT
    local cycle line
    cadence_script $SLICES "$2" >"$OUT/cadence.sql"
    query -f "$OUT/cadence.sql" >"$OUT/cadence.txt"
    while read -r cycle line; do
        record cadence "$1" "$cycle" 'eav_s plain_s eav_copy_s plain_copy_s' "$line"
    done <"$OUT/cadence.txt"
}

dig_deeper() { # KIND
    local millions gone=0
    for millions in ${BENCH_DEAD-10 40}; do
        query -c "INSERT INTO reference.staging ($COLUMNS) SELECT $COLUMNS
                  FROM bench.sample, generate_series(1, $((millions - gone)))" \
            -c 'DELETE FROM reference.staging' >/dev/null
        gone=$millions
        measure_cycles "$1 after $millions million" $DEEP_CYCLES
        awk -v values=$CYCLE_VALUES -v label="after $millions million" '
            {eav += $2; plain += $3}
            END {printf "   %-16s %12.0f %14.0f %8.1f\n", label, NR * values / eav, NR * values / plain, plain / eav}
        ' "$OUT/cadence.txt"
    done
}

cut_slices() {
    local slice
    mkdir -p "$OUT/slices"
    for ((slice = 0; slice < SLICES; slice++)); do
        query -c "\\copy (SELECT $COLUMNS FROM bench.sample WHERE seq / $CYCLE_VALUES = $slice ORDER BY seq) TO '$OUT/slices/$slice'"
    done
}

# One session; a line per cycle: its number, seconds of both sides, of these in COPY.
cadence_script() { # FIRST COUNT
    local cycle slice clock='SELECT extract(epoch FROM clock_timestamp()) AS'
    for ((cycle = $1; cycle < $1 + $2; cycle++)); do
        slice=$OUT/slices/$((cycle % SLICES))
        cat <<SQL
$clock t0 \\gset
\\copy eav.entity_values_ingest ($COLUMNS) FROM '$slice'
$clock t1 \\gset
SELECT flushed FROM eav.stage_flush() \\g /dev/null
$clock t2 \\gset
\\copy reference.staging ($COLUMNS) FROM '$slice'
$clock t3 \\gset
\\i $OUT/reference.sql
$clock t4 \\gset
SELECT $((cycle - $1 + 1)), round(:t2 - :t0, 4), round(:t4 - :t2, 4), round(:t1 - :t0, 4), round(:t3 - :t2, 4) \\g (format=unaligned tuples_only=on fieldsep=' ')
SQL
    done
}

# The curve, in ten parts, and the whole run.
report_cadence() {
    awk -v n="$CYCLES" -v values=$CYCLE_VALUES '
        function line(label, eav, plain, cycles) {
            printf "   %-16s %12.0f %14.0f %8.1f\n", label, cycles * values / eav, cycles * values / plain, plain / eav
        }
        BEGIN {
            printf "   %-16s %12s %14s %8s\n", "cycles", "eav v/s", "plain SQL v/s", "ratio"
            part = n < 10 ? 1 : int(n / 10)
        }
        {
            eav += $2; plain += $3; part_eav += $2; part_plain += $3
            if (NR % part == 0) {
                line(NR - part + 1 " to " NR, part_eav, part_plain, part)
                if (!first) { first = part_eav; first_plain = part_plain }
                last = part_eav; last_plain = part_plain
                part_eav = part_plain = 0
            }
        }
        END {
            line("all", eav, plain, NR)
            printf "   last tenth against the first: eav %.2f times, plain SQL %.2f times as long\n", last / first, last_plain / first_plain
        }' "$OUT/cadence.txt"
}

report_sizes() {
    query -c "SELECT '   size at the end: ' || string_agg(name || ' ' || pg_size_pretty(bytes), ', ')
              FROM (SELECT 'our staging' AS name, sum(pg_total_relation_size(relid)) AS bytes
                    FROM pg_partition_tree('eav.entity_values_ingest') WHERE isleaf
                    UNION ALL SELECT 'theirs', pg_total_relation_size('reference.staging')
                    UNION ALL SELECT 'our projection', pg_total_relation_size('eav.entity_jsonb')
                    UNION ALL SELECT 'theirs', pg_total_relation_size('reference.projection')) AS s"
}
