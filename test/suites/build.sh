# The extension compiles without a warning and installs.

suite_build() {
    local sudo=()
    if quietly "$OUT/build.log" make -s -j"$(nproc)" WERROR=1 all; then
        pass "make WERROR=1"
    else
        fail "make WERROR=1" "$OUT/build.log"
        return
    fi
    [ -w "$(pg_config_says --pkglibdir)" ] || sudo=(sudo -n)
    if quietly "$OUT/install.log" ${sudo[@]+"${sudo[@]}"} make -s WERROR=1 PG_CONFIG="$PG_CONFIG" install; then
        pass "make install"
    else
        fail "make install" "$OUT/install.log"
    fi
}
