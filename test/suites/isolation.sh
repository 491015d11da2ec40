# Isolation tests: test/isolation/specs, in the order of test/isolation/schedule.

. test/suites/regress.sh

suite_isolation() {
    have_tests test/isolation test/isolation/specs/*.spec || return
    start_cluster log_statement=none || return
    if quietly "$OUT/isolation-db.log" in_cluster psql -qX -v ON_ERROR_STOP=1 \
        -c 'CREATE DATABASE eav_isolation' -c '\connect eav_isolation' \
        -c 'CREATE EXTENSION eav_ext CASCADE'; then
        run_pg_regress isolation "$(pgxs_test_dir)/isolation/pg_isolation_regress" test/isolation \
            eav_isolation --use-existing
    else
        fail "no database to test in" "$OUT/isolation-db.log"
    fi
    finish_cluster
}
