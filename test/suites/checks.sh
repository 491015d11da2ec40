# What can be said about the sources without running them: test/checks/*.sh, each
# of which is silent and ends with 0 when all is well,
# or with 77 and a reason when it cannot be made.

suite_checks() {
    local check name log status
    have_tests test/checks test/checks/*.sh || return
    for check in test/checks/*.sh; do
        chosen "$check" || continue
        name=$(basename "$check" .sh) log=$OUT/check-$name.log
        status=0
        quietly "$log" bash "$check" || status=$?
        case $status in
            0) pass "${name//_/ }" ;;
            77) skip "${name//_/ }" "$(tail -n 1 "$log")" ;;
            *) fail "${name//_/ }" "$log" ;;
        esac
    done
}
