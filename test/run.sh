#!/usr/bin/env bash
# Runs the tests: all of them, or one suite, or some tests of one suite.
#
#   test/run.sh [SUITE [NAME ...]]
#   test/run.sh server         the suites for which the server's version matters
#
# FUZZ_SECONDS=60 per fuzzer. MINUTES=5 of the chaos run, SEED=n to repeat one.
# EAV_PG_CONFIGS="path ..." are further servers to compile against. Output of the
# tests is kept below .run/.
#
# A suite is a function suite_NAME in test/suites/NAME.sh; it calls pass, fail
# and skip once for every test. The last line is the count of all of them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. infra/lib.sh
forget_connection_settings

SUITES=(build checks unit regress pgtap isolation tap examples sanitizers chaos fuzz compile versions)
SLOW_SUITES=(valgrind limits) # only when asked for
SERVER_SUITES=(build regress pgtap isolation tap examples)
CLUSTER=tests # name of the private cluster the suites use, one after the other
OUT=$RUN/out

passed=0 failed=0 skipped=0 # of the suite that runs
failures=() skips=()        # what and why, of all suites
table=()                    # a line per suite

pass() {
    passed=$((passed + 1))
    printf '   ok       %s\n' "$1"
}
# A failure with the output that explains it, if there is any.
fail() { # NAME [FILE]
    failed=$((failed + 1))
    failures+=("$suite: $1")
    printf '   FAILED   %s\n' "$1"
    [ -z "${2:-}" ] || [ ! -s "$2" ] || tail -n 60 "$2" | sed 's/^/      | /'
}
skip() { # NAME REASON
    skipped=$((skipped + 1))
    skips+=("$suite: $1: $2")
    printf '   skipped  %s: %s\n' "$1" "$2"
}
# For tests that count themselves.
add_counts() { # PASSED FAILED
    passed=$((passed + $1))
    failed=$((failed + $2))
}

# launch LOG COMMAND...: in the background, as a process group of its own, so that
# an interrupt reaches us at once and cleanup() can end the whole group. Output
# goes to a log: what is shown is short.
children=()
launch() {
    local log=$1
    shift
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    set +m
    children+=($!)
}
quietly() { # LOG COMMAND...
    local status=0
    launch "$@"
    wait "${children[-1]}" || status=$?
    unset 'children[-1]'
    return $status
}

# beside NAME LOG COMMAND...: something that goes on beside the suites. Who began it waits for
# ${beside[NAME]}.
declare -A beside=()
beside() {
    local name=$1
    shift
    launch "$@"
    beside[$name]=${children[-1]}
    unset 'children[-1]'
}

# have_tests FOLDER FILE...: whether there is something to run. A folder without
# tests is a failure, a folder that is not there yet is said aloud.
have_tests() {
    local folder=$1
    shift
    if [ ! -d "$folder" ]; then
        skip "$folder" "there is no such folder"
    elif [ ! -e "${1:-}" ]; then
        fail "$folder holds no test"
    else
        return 0
    fi
    return 1
}

# chosen FILE: whether it is among the tests named on the command line, if any.
chosen() {
    local name base
    [ ${#names[@]} -gt 0 ] || return 0
    base=$(basename "$1")
    for name in "${names[@]}"; do
        [ "$base" = "$name" ] || [ "${base%.*}" = "$name" ] && return 0
    done
    return 1
}

start_cluster() {
    local log=$OUT/cluster.log
    quietly "$log" infra/local/cluster.sh start $CLUSTER -o shared_preload_libraries=eav_ext \
        -o fsync=off -o wal_level=logical -o max_worker_processes=32 \
        -o max_prepared_transactions=10 -o "$@" && return
    fail "the server does not start" "$log"
    return 1
}
# The limit is for a test that hangs, far above what any needs.
in_cluster() { infra/local/cluster.sh run $CLUSTER -- timeout --foreground 1500 "$@"; }

# A crash or a leak that no test noticed is in the server's log.
CRASH='PANIC|TRAP:|terminated by signal (4|6|7|8|11)|AddressSanitizer|runtime error:|stack smashing'
CRASH+='|WARNING.*(leak|refcount)'
check_logs() { # LOG...
    if grep -nHE "$CRASH" -- "$@" >"$OUT/crashes" 2>/dev/null; then
        fail "the server's log tells of a crash or a leak" "$OUT/crashes"
    fi
}
finish_cluster() {
    infra/local/cluster.sh stop $CLUSTER || fail "the server does not stop"
    cp "$RUN/$CLUSTER/server.log" "$OUT/$suite-server.log"
    check_logs "$OUT/$suite-server.log"
}

# Lines of TAP that are counted are those of whole tests, not of subtests.
count_tap() { # NAME LOG STATUS
    local ok bad line
    ok=$(grep -E '^ok ' "$2" | grep -vciE '# (skip|todo)')
    bad=$(grep -E '^not ok ' "$2" | grep -vciE '# todo')
    while read -r line; do
        skip "$1" "$line"
    done < <(sed -nE 's/^(ok|1\.\.0) .*# skip(ped)?:? *//Ip' "$2")
    if [ "$3" -eq 0 ] && [ "$bad" -eq 0 ]; then
        add_counts "$ok" 0
        [ "$ok" -eq 0 ] || printf '   ok       %s (%d)\n' "$1" "$ok"
    else
        # A script that dies half-way has no failed test, and has failed.
        add_counts "$ok" $((bad > 0 ? bad - 1 : 0))
        fail "$1" "$2"
    fi
}

cleanup() {
    trap - EXIT INT TERM
    local file child
    for child in ${children[@]+"${children[@]}"} "${beside[@]}"; do
        kill -TERM -- "-$child" 2>/dev/null && wait "$child" 2>/dev/null
    done
    infra/local/cluster.sh destroy $CLUSTER >/dev/null 2>&1
    infra/local/replicas.sh destroy $CLUSTER >/dev/null 2>&1
    # Servers of TAP tests, when the tests were not let to stop them.
    for file in "$RUN"/tap/tmp_check/*/pgdata/postmaster.pid \
        "${chaos_work:-/nonexistent}"/tmp_check/*/pgdata/postmaster.pid; do
        [ ! -e "$file" ] || stop_server "$(dirname "$file")"
    done
    rm -rf ${short_tmp:+"$short_tmp"} ${server_copies[@]+"${server_copies[@]}"}
}

run_suite() {
    passed=0 failed=0 skipped=0
    local began=$SECONDS
    say "$suite"
    . "test/suites/$suite.sh"
    "suite_$suite"
    if [ ${#names[@]} -gt 0 ] && [ $((passed + failed + skipped)) -eq 0 ]; then
        fail "there is no test ${names[*]}"
    fi
    table+=("$(printf '%-10s %7d %7d %8d %6ds' "$suite" $passed $failed $skipped $((SECONDS - began)))")
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
    total_skipped=$((total_skipped + skipped))
}

names=() packages=test
server_copies=() # test/server_copy.sh
chosen_suites=("${SUITES[@]}")
if [ "$*" = server ]; then
    chosen_suites=("${SERVER_SUITES[@]}")
elif [ $# -gt 0 ]; then
    [[ " ${SUITES[*]} ${SLOW_SUITES[*]} " == *" $1 "* ]] ||
        die "no suite '$1', there are: ${SUITES[*]} ${SLOW_SUITES[*]}"
    chosen_suites=("$1")
    names=("${@:2}")
    # What is tested is what the sources say now.
    [[ " ${SERVER_SUITES[*]} ${SLOW_SUITES[*]} chaos " != *" $1 "* ]] || [ "$1" = build ] || chosen_suites=(build "$1")
fi
# Who tests another server needs neither the tools for the sources nor those for src/core.
[[ " ${SERVER_SUITES[*]} " != *" ${chosen_suites[-1]} "* ]] || packages=server-test

infra/bootstrap.sh $packages || exit 1
mkdir -p "$OUT"
trap cleanup EXIT
trap 'cleanup; exit 130' INT TERM

total_passed=0 total_failed=0 total_skipped=0
for suite in "${chosen_suites[@]}"; do
    run_suite
    # Without a build the rest would test an older one, or nothing.
    if [ "$suite" = build ] && [ $failed -gt 0 ]; then
        warn "the build failed: the other suites are not run"
        break
    fi
    [ "$suite" != build ] || [ "${chosen_suites[-1]}" != versions ] || {
        . test/suites/versions.sh
        begin_versions
    }
done

printf '\n%-10s %7s %7s %8s %7s\n' suite passed failed skipped time
printf '%s\n' "${table[@]}"
[ ${#skips[@]} -eq 0 ] || printf '%s\n' '' 'skipped:' "${skips[@]/#/   }"
[ ${#failures[@]} -eq 0 ] || printf '%s\n' '' 'failed:' "${failures[@]/#/   }"
printf '\n%d passed, %d failed, %d skipped\n' $total_passed $total_failed $total_skipped
[ $total_failed -eq 0 ] && [ $total_passed -gt 0 ]
