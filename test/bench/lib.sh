# Helpers of the benchmarks. Sourced by test/bench/run.sh, never run.

CLUSTER=${BENCH_CLUSTER:-benchdb}
HERE=test/bench
OUT=$RUN/bench
# shellcheck disable=SC2034  # used by the benchmarks
ROUNDS=${BENCH_ROUNDS:-3}
VALUES=${BENCH_VALUES:-1000000}
DEVICES=${BENCH_DEVICES:-20000}

# The same for both sides of every comparison. Commits do not wait for the disk, as staged values
# do not survive a crash either; no JIT, which costs the short statements more than it gains.
SETTINGS=(shared_buffers=4GB synchronous_commit=off max_wal_size=32GB checkpoint_timeout=1h
    work_mem=256MB maintenance_work_mem=1GB jit=off)

COLUMNS='tenant_id, entity_id, attribute_id, value_text, value_bool, value_int, value_float'

query() {
    infra/local/cluster.sh psql $CLUSTER -X -q -At -v ON_ERROR_STOP=1 \
        -c 'SET client_min_messages = warning' "$@"
}

# start_server [GUC=VALUE ...]: an empty database with the extension.
start_server() {
    local guc options=()
    for guc in "${SETTINGS[@]}" shared_preload_libraries=eav_ext "$@"; do options+=(-o "$guc"); done
    infra/local/cluster.sh start $CLUSTER "${options[@]}"
    query -c 'CREATE EXTENSION eav_ext CASCADE'
}
stop_server() { infra/local/cluster.sh destroy $CLUSTER; }

# make_sample SHAPE: registry, sample and the tables of the reference, all new.
make_sample() {
    query -f $HERE/sql/registry.sql >/dev/null
    query -v shape="$1" -v values="$VALUES" -v devices="$DEVICES" -f $HERE/sql/sample.sql
    query -f $HERE/sql/reference.sql
}

# The plain-SQL flushes, by name: files in sql/reference/.
reference_script() { # VARIANT: as one transaction
    local value='coalesce(to_jsonb(l.value_float), to_jsonb(l.value_int), to_jsonb(l.value_text),
        to_jsonb(l.value_bool), to_jsonb(l.value_numeric), to_jsonb(l.value_time), l.value_json)'
    local columns='tenant_id, entity_id, attribute_id, observed_at, value_bool, value_int,
        value_float, value_time, value_text, value_numeric, value_json'
    echo 'BEGIN;'
    sed -e "s/:value\b/${value//$'\n'/ }/g" -e "s/:columns\b/${columns//$'\n'/ }/g" \
        "$HERE/sql/reference/$1.sql"
    echo 'COMMIT;'
}

# timed NAME FILE: runs a script in a session of its own; prints its wall and processor time. With
# BENCH_PERF=1 the profile of the backend goes to .run/bench/NAME.perf.
timed() {
    local perf
    if [ -n "${BENCH_PERF:-}" ]; then
        perf=$(start_perf "$1" "$2")
    fi
    query -v out="$OUT" -f $HERE/sql/timer_start.sql ${perf:+-f "$perf"} -f "$2" \
        -f $HERE/sql/timer_stop.sql | tail -n 1 | tr '|' ' '
}

# A script that attaches perf to the backend that runs it; perf ends with the backend.
start_perf() { # NAME
    cat >"$OUT/perf.sql" <<SQL
\\set attached \`{ perf record -q -F 499 --call-graph dwarf,16384 -o '$OUT/$1.perf' -p \$BACKEND >/dev/null 2>&1 & } ; sleep 0.5\`
SQL
    echo "$OUT/perf.sql"
}

# Where the time went: functions by the time spent in them and in what they call.
show_perf() { # NAME
    [ -n "${BENCH_PERF:-}" ] || return 0
    say "perf, $1: with callees, then without"
    perf report -i "$OUT/$1.perf" --children --stdio -g none --percent-limit 2 2>/dev/null |
        grep -v -e '^#' -e '^$' -e '0x0000' | head -n 60
    perf report -i "$OUT/$1.perf" --no-children --stdio -g none --percent-limit 1 2>/dev/null |
        grep -v -e '^#' -e '^$' -e '0x0000' | head -n 30
}

median() { sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }
per_second() { awk -v n="$1" -v s="$2" 'BEGIN {printf "%.0f", n / s}'; }

# record BENCHMARK WHAT ROUND METRIC VALUE: one line of .run/bench/results.tsv.
record() {
    local IFS=$'\t'
    printf '%s\n' "$RUN_ID"$'\t'"$*" >>"$OUT/results.tsv"
}

# The machine, for whoever reads the figures later.
describe_machine() {
    printf '%s; %s; %s cores, %s; %s GB of memory; kernel %s; %s; commit %s; load %s\n' \
        "$(date -u '+%Y-%m-%d %H:%M UTC')" "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)" \
        "$(nproc)" "$(df --output=fstype "$RUN" | tail -n 1)" \
        "$(awk '/^MemTotal/ {printf "%.0f", $2 / 1048576}' /proc/meminfo)" "$(uname -r)" \
        "$(pg_config_says --version)" "$(git describe --always --dirty 2>/dev/null || echo unknown)" \
        "$(cut -d ' ' -f 1 /proc/loadavg)"
}
