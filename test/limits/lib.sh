# Helpers of the scripts in this folder, each of which drives one thing to its limit and tells what it
# cost. Sourced by them, never run. The cluster is that of the suite; each script has a database in it.
#
# A script prints lines "what: figure", and ends with status 0 when everything worked or was refused
# clearly. SCALE=0.01 makes it that much smaller, to try the script itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
. infra/lib.sh
forget_connection_settings

CLUSTER=${CLUSTER:-limits}
SCALE=${SCALE:-1}
database=limit_$(basename "$0" .sh)
eval "$(infra/local/cluster.sh env "$CLUSTER")"
export PGDATABASE=$database
bin=$(pg_config_says --bindir)

scaled() { awk "BEGIN { n = int($1 * $SCALE); print (n < 1 ? 1 : n) }"; }
note() { printf '%s: %s\n' "$1" "$2"; }
wrong() {
    printf 'WRONG: %s\n' "$*"
    exit 1
}
q() { as_server_user env PGOPTIONS="${options:-}" PGHOST="$PGHOST" PGPORT="$PGPORT" PGUSER="$PGUSER" \
    PGDATABASE="$PGDATABASE" "$bin/psql" -XAtqv ON_ERROR_STOP=1 -c "$1"; }
# The same with standard input as its script.
q_script() { as_server_user env PGHOST="$PGHOST" PGPORT="$PGPORT" PGUSER="$PGUSER" \
    PGDATABASE="$PGDATABASE" "$bin/psql" -XAtqv ON_ERROR_STOP=1 "$@"; }
is() { # NAME GOT EXPECTED
    [ "$2" = "$3" ] || wrong "$1: $2, expected $3"
}

# Memory of a process that is its own, in MB.
own_memory() { awk '/^RssAnon/ { printf "%d", $2 / 1024 }' "/proc/$1/status"; }

# watch PID: remembers the most memory that a process takes, until told().
watch() {
    : >"$RUN/limits-memory"
    (
        most=0
        while now=$(own_memory "$1" 2>/dev/null) && [ -n "$now" ]; do
            [ "$now" -le $most ] || { most=$now && echo "$most" >"$RUN/limits-memory"; }
            sleep 0.05
        done
    ) &
    watcher=$!
}
told() {
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    cat "$RUN/limits-memory"
}

began=0
start_clock() { began=$(date +%s%N); }
seconds() { awk "BEGIN { printf \"%.1f\", ($(date +%s%N) - $began) / 1e9 }"; }

# wait_for SECONDS SQL: until it says t.
wait_for() {
    local until=$((SECONDS + $1))
    until [ "$(q "$2")" = t ]; do
        [ $SECONDS -lt $until ] || wrong "gave up after $1 s waiting for: $2"
        sleep 0.2
    done
}
worker_pid() { q 'SELECT eav._worker_pid()'; }
# All values of the registered input are in history.
wait_for_history() { # SECONDS COUNT
    wait_for "$1" "SELECT flushed + rejected >= $2 FROM eav.flush_state"
    is 'rejected values' "$(q 'SELECT rejected FROM eav.flush_state')" 0
}

PGDATABASE=postgres q "DROP DATABASE IF EXISTS $database WITH (FORCE)"
PGDATABASE=postgres q "CREATE DATABASE $database"
q 'CREATE EXTENSION eav_ext CASCADE' 2>/dev/null
wait_for 30 'SELECT running FROM eav.worker_status()'
trap 'PGDATABASE=postgres q "DROP DATABASE IF EXISTS $database WITH (FORCE)" >/dev/null 2>&1' EXIT
