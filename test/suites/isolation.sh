# Isolation tests: test/isolation/specs, in the order of test/isolation/schedule,
# and the same below test/stop_points, for a build of its own that has stop points
# (include/eav/stop_point.hpp).

. test/server_copy.sh
. test/suites/regress.sh

STOPS=$RUN/stop-points

suite_isolation() {
    check_stop_points
    run_isolation isolation test/isolation -c 'SELECT 1' || return
    build_with_stop_points && check_traces && PG_CONFIG=$copied_pg_config \
        run_isolation stop_points test/stop_points -f test/stop_points/setup.sql
}

# run_isolation LABEL FOLDER PSQL_OPTION...: the specs of the folder, in a database that the options
# prepare.
run_isolation() {
    local label=$1 folder=$2 name all=("${names[@]}") names=()
    shift 2
    have_tests "$folder" "$folder"/specs/*.spec || return
    if [ ${#all[@]} -gt 0 ]; then
        for name in "${all[@]}"; do
            [ ! -f "$folder/specs/$name.spec" ] || names+=("$name")
        done
        [ ${#names[@]} -gt 0 ] || return 0
    fi
    start_cluster log_statement=none || return
    if quietly "$OUT/$label-db.log" in_cluster psql -qX -v ON_ERROR_STOP=1 \
        -c 'CREATE DATABASE eav_isolation' -c '\connect eav_isolation' \
        -c 'CREATE EXTENSION eav_ext CASCADE' "$@"; then
        run_pg_regress "$label" "$(pgxs_test_dir)/isolation/pg_isolation_regress" "$folder" \
            eav_isolation --use-existing
    else
        fail "no database to test in" "$OUT/$label-db.log"
    fi
    finish_cluster
}

# The build with stop points, from a copy of the sources, in a copy of the server.
build_with_stop_points() {
    mkdir -p "$STOPS/source"
    rm -rf "$STOPS"/source/{src,include,sql}
    cp -a src include sql Makefile eav_ext.control eav_ext.map "$STOPS/source"
    copy_server
    if quietly "$OUT/stop-points-build.log" make -s -C "$STOPS/source" -j"$(nproc)" WERROR=1 STOP_POINTS=1 \
        DESTDIR="$server_copy" all install; then
        pass "make STOP_POINTS=1"
    else
        fail "make STOP_POINTS=1" "$OUT/stop-points-build.log"
        return 1
    fi
}

stop_points() { # FOLDER: the names, one per line
    grep -rhoE 'EAV_STOP_POINT(_IN_COMMIT)?\("[a-z_]+"\)' "$1" | cut -d'"' -f2 | sort -u
}

# Those in what the extension does in SQL are triggers of the test's database.
sql_stop_points() { grep -oE "stops\.stop\('[a-z_]+'\)" test/stop_points/setup.sql | cut -d"'" -f2; }

# Every stop point is tested, and nothing stops at one that is not there.
check_stop_points() {
    local tested log=$OUT/stop-points.log
    tested=$(grep -rhoE "(hold|stop_at)\('[a-z_]+'\)" test/stop_points | cut -d"'" -f2 | sort -u)
    if diff <({ stop_points src && sql_stop_points; } | sort) <(echo "$tested") >"$log"; then
        pass "each stop point has a test"
    else
        fail "each stop point has a test" "$log"
    fi
}

# What is shipped has nothing of them. The other library shows that they would be found.
check_traces() {
    local name log=$OUT/stop-points-traces.log
    : >"$log"
    for name in stop_at stop_points $(stop_points src); do
        ! grep -qaF "$name" "$(pg_config_says --pkglibdir)/eav_ext.so" || echo "found: $name" >>"$log"
        grep -qaF "$name" "$STOPS/source/eav_ext.so" || echo "not in the build with stop points: $name" >>"$log"
    done
    if [ -s "$log" ]; then
        fail "the extension has no trace of stop points" "$log"
    else
        pass "the extension has no trace of stop points"
    fi
}
