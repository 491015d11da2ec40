# pg_regress: test/regress/sql, in the order of test/regress/schedule, against
# the top-level expected/.

suite_regress() {
    have_tests test/regress test/regress/sql/*.sql || return
    start_cluster log_statement=none || return
    run_pg_regress pg_regress "$(pgxs_test_dir)/regress/pg_regress" test/regress eav_regress
    finish_cluster
}

# Also for the isolation tests, whose program is the same but for the tests' language.
run_pg_regress() { # LABEL PROGRAM INPUT_DIR DATABASE [OPTION ...]
    local label=$1 program=$2 input=$3 db=$4 output="$RUN/$1" log="$OUT/$1.log"
    local tests=(--schedule="$3/schedule") before=$failed status=0 verdict name
    shift 4
    [ ${#names[@]} -eq 0 ] || tests=("${names[@]}")
    make_server_dir "$output" # written by the server's user
    quietly "$log" in_cluster "$program" --inputdir="$ROOT/$input" --outputdir="$output" \
        --bindir="$(pg_config_says --bindir)" --dbname="$db" "$@" "${tests[@]}" || status=$?
    while read -r verdict name; do
        if [ "$verdict" = ok ]; then pass "$name"; else fail "$name"; fi
    done < <(verdicts "$log")
    if [ $status -ne 0 ]; then
        [ "$failed" -gt "$before" ] || fail "$label" "$log"
        [ ! -s "$output/regression.diffs" ] || head -n 300 "$output/regression.diffs"
    fi
}

# "test x ... ok 5 ms" up to version 15, "ok 1 - x 5 ms" since 16.
verdicts() { # LOG
    sed -nE -e 's/^(test | {5})([^ ]+) +\.\.\. (ok|FAILED).*/\3 \2/p' \
        -e 's/^(ok) +[0-9]+ +[-+] +([^ ]+) .*/\1 \2/p' \
        -e 's/^not ok +[0-9]+ +[-+] +([^ ]+) .*/FAILED \1/p' "$1"
}
