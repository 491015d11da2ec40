# What can be said about the sources without running them: test/checks/*.sh, each
# of which is silent and ends with 0 when all is well.

suite_checks() {
    local check name log
    have_tests test/checks test/checks/*.sh || return
    for check in test/checks/*.sh; do
        chosen "$check" || continue
        name=$(basename "$check" .sh) log=$OUT/check-$name.log
        if quietly "$log" bash "$check"; then
            pass "${name//_/ }"
        else
            fail "${name//_/ }" "$log"
        fi
    done
}
