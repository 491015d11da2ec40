# libFuzzer on everything that reads bytes from outside: test/fuzz/NAME_fuzz.cpp,
# starting from the examples in test/fuzz/corpus/NAME, FUZZ_SECONDS each.

suite_fuzz() {
    local file name batch=() log=$OUT/fuzz-build.log
    have_tests test/fuzz test/fuzz/*_fuzz.cpp || return
    if ! compgen -G "$(clang -print-resource-dir 2>/dev/null)/lib/*/libclang_rt.fuzzer*" >/dev/null; then
        skip fuzz "clang has no libFuzzer runtime here"
        return
    fi
    if ! quietly "$log" make -s -j"$(nproc)" -f test/core.mk fuzz; then
        fail "the fuzzers do not compile" "$log"
        return
    fi
    for file in test/fuzz/*_fuzz.cpp; do
        name=$(basename "$file" _fuzz.cpp)
        chosen "$name" || continue
        batch+=("$name")
        # as many at a time as there are processors
        [ ${#batch[@]} -lt "$(nproc)" ] || { fuzz_batch "${batch[@]}" && batch=(); }
    done
    [ ${#batch[@]} -eq 0 ] || fuzz_batch "${batch[@]}"
}

fuzz_batch() { # NAME...
    local name child corpus pids=()
    for name in "$@"; do
        # New inputs go to the first folder, the examples stay as they are.
        corpus=("$RUN/fuzz/$name/found")
        mkdir -p "${corpus[0]}"
        [ ! -d "test/fuzz/corpus/$name" ] || corpus+=("test/fuzz/corpus/$name")
        launch "$OUT/fuzz-$name.log" ".run/core/fuzz/${name}_fuzz" \
            -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 \
            -artifact_prefix="$RUN/fuzz/$name/" "${corpus[@]}"
        pids+=("${children[-1]}")
    done
    for name in "$@"; do
        child=${pids[0]} pids=("${pids[@]:1}")
        if wait "$child"; then
            pass "$name ($(sed -n 's/^Done \([0-9]* runs\).*/\1/p' "$OUT/fuzz-$name.log"))"
        else
            fail "$name" "$OUT/fuzz-$name.log"
        fi
    done
    children=()
}
