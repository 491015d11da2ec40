#!/usr/bin/env bash
# No test lies around unrun: pg_regress and isolation tests are in their schedule
# and have an expected output, and every other file is where a suite looks for it.
set -euo pipefail
status=0
complain() {
    echo "$*"
    status=1
}

# in_schedule FOLDER EXTENSION EXPECTED: the files, the schedule and the expected
# outputs name the same tests.
in_schedule() {
    local folder=$1 extension=$2 expected=$3 name scheduled file
    [ -d "$(dirname "$folder")" ] || return 0
    scheduled=$(sed -n 's/^test://p' "$(dirname "$folder")/schedule" | tr -s ' ' '\n')
    for file in "$folder"/*."$extension"; do
        name=$(basename "$file" ".$extension")
        grep -qxF -- "$name" <<<"$scheduled" || complain "$file is in no schedule"
        [ -f "$expected/$name.out" ] || complain "$file has no $expected/$name.out"
    done
    for name in $scheduled; do
        [ -f "$folder/$name.$extension" ] || complain "the schedule names $name, which is not in $folder"
    done
    for file in "$expected"/*.out; do # NAME.out, or NAME_1.out for another outcome
        name=$(basename "$file" .out)
        [ -f "$folder/$name.$extension" ] || [ -f "$folder/${name%_[0-9]}.$extension" ] ||
            complain "$file belongs to no test"
    done
}
shopt -s nullglob
in_schedule test/regress/sql sql expected
in_schedule test/isolation/specs spec test/isolation/expected
in_schedule test/stop_points/specs spec test/stop_points/expected

while read -r file; do
    case $file in
        test/regress/sql/*.sql | test/pgtap/*.sql | test/isolation/specs/*.spec) ;;
        test/stop_points/specs/*.spec | test/stop_points/setup.sql) ;;
        test/tap/t/*.pl | test/unit/*.cpp | test/fuzz/*_fuzz.cpp | test/chaos/chaos.pl) ;;
        test/checks/* | test/bench/* | test/data/* | test/fuzz/corpus/*) ;; # not tests
        *) complain "$file is where no suite looks" ;;
    esac
done < <(find test -type f '(' -name '*.sql' -o -name '*.spec' -o -name '*.pl' -o -name '*.t' -o -name '*.cpp' ')')
# The patterns above hold for a file directly in its folder.
find test/pgtap test/unit test/tap/t test/regress/sql test/isolation/specs test/stop_points/specs -mindepth 2 -type f 2>/dev/null |
    grep . && complain "these are deeper than a suite looks"
exit $status
