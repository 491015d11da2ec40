# The JSON door, eav.ingest(), in four parts; BENCH_INGEST="calls batches stream parser" chooses.
#
#   calls    one event a call by pgbench, against INSERT into staging; durable calls
#   batches  1,000 events a call over one connection, against COPY into staging
#   stream   from accepted to visible at fixed rates and as fast as it goes
#   parser   the parser alone, against jsonb input
#
# BENCH_CALL_SECONDS=3 for each run of pgbench, BENCH_BATCH_VALUES=2000000 for each side of a
# round, which is what the ring takes, BENCH_STREAM_SECONDS=10 for each rate.

for part in calls batches stream parser; do . "$HERE/ingest/$part.sh"; done

bench_ingest() {
    local part
    for part in ${BENCH_INGEST:-calls batches stream parser}; do
        declare -F "ingest_$part" >/dev/null || die "no part '$part' of the benchmark ingest"
        "ingest_$part"
    done
}

# Sets `now` to what has happened in the server so far (progress.sql), and `before` to what had
# happened at the last look.
look() {
    # shellcheck disable=SC2034  # used by the parts
    before=("${now[@]}")
    query -f $HERE/ingest/progress.sql >"$OUT/progress.txt"
    IFS='|' read -ra now <"$OUT/progress.txt"
}
# happened FIELD: between the last two looks.
happened() { echo $((now[$1] - before[$1])); }

start_alike() { query -f $HERE/ingest/start_alike.sql >/dev/null; }

# Waits until the worker has opened the door to the ring.
wait_for_door() {
    for _ in {1..100}; do
        [ "$(query -c 'SELECT is_open FROM eav.stat_ingest')" = f ] || return 0
        sleep 0.1
    done
    die "the worker has not opened the door to the ring"
}

# Processor time in ms, of a process or of those of its children that have ended.
own_cpu() { cpu_fields "$1" 11; }
children_cpu() { cpu_fields "$1" 13; }
cpu_fields() { # PID FIRST
    local stat fields
    stat=$(<"/proc/$1/stat")
    read -ra fields <<<"${stat##*) }"
    echo $(((fields[$2] + fields[$2 + 1]) * 1000 / $(getconf CLK_TCK)))
}
percent() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.1f", b ? 100 * a / b : 0}'; }
