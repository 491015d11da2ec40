# GoogleTest on src/core: as released, and under the address and undefined
# behaviour sanitizers; what processes share also under the thread sanitizer.

suite_unit() {
    local variant
    local -x TSAN_OPTIONS=suppressions=$PWD/test/unit/tsan.supp
    have_tests test/unit test/unit/*.cpp || return
    for variant in unit unit-san tsan; do
        if quietly "$OUT/$variant-build.log" make -s -j"$(nproc)" -f test/core.mk $variant; then
            run_unit $variant
        else
            fail "$variant does not compile" "$OUT/$variant-build.log"
        fi
    done
}

run_unit() { # VARIANT
    local log=$OUT/$1.log ok bad filter=() status=0
    # names on the command line are test suites of GoogleTest
    [ ${#names[@]} -eq 0 ] || filter=(--gtest_filter="$(IFS=: && echo "${names[*]/%/.*}")")
    quietly "$log" ".run/core/$1/all" ${filter[@]+"${filter[@]}"} || status=$?
    ok=$(grep -c '^\[       OK \]' "$log")
    bad=$(grep -c '^\[  FAILED  \] .* ms)$' "$log")
    # under the thread sanitizer there are only the stress tests
    [ "$1" != tsan ] || [ ${#names[@]} -eq 0 ] || [ $status -ne 0 ] || [ "$ok" -gt 0 ] || return 0
    if [ $status -eq 0 ] && [ "$ok" -gt 0 ]; then
        add_counts "$ok" 0
        printf '   ok       %s (%d)\n' "$1" "$ok"
    else
        add_counts "$ok" $((bad > 0 ? bad - 1 : 0)) # a crash has no failed test, and is one
        fail "$1" "$log"
    fi
}
