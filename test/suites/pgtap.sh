# pgTAP: every file of test/pgtap in a database of its own.

suite_pgtap() {
    local file name log status
    have_tests test/pgtap test/pgtap/*.sql || return
    start_cluster log_statement=none || return
    for file in test/pgtap/*.sql; do
        chosen "$file" || continue
        name=$(basename "$file" .sql) log=$OUT/pgtap-$name.log status=0
        if ! quietly "$log" in_cluster psql -qX -v ON_ERROR_STOP=1 -c 'CREATE DATABASE pgtap' \
            -c '\connect pgtap' -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION eav_ext CASCADE'; then
            fail "$name: no database to test in" "$log"
        else
            quietly "$log" in_cluster pg_prove --verbose --dbname pgtap "$file" || status=$?
            count_tap "$name" "$log" $status
        fi
        quietly "$OUT/drop.log" in_cluster psql -qX -v ON_ERROR_STOP=1 \
            -c 'DROP DATABASE IF EXISTS pgtap WITH (FORCE)' ||
            fail "$name: its database cannot be dropped" "$OUT/drop.log"
    done
    finish_cluster
}
