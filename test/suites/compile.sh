# The extension compiles for the other major versions whose headers are at hand.

suite_compile() {
    local config version tried=0 log
    for config in ${EAV_PG_CONFIGS:-} /usr/lib/postgresql/*/bin/pg_config; do
        version=$("$config" --version 2>/dev/null) && [ -f "$("$config" --includedir-server)/postgres.h" ] || continue
        [ "$version" != "$(pg_config_says --version)" ] || continue
        tried=$((tried + 1)) log=$OUT/compile-$tried.log
        if quietly "$log" make -s -j"$(nproc)" WERROR=1 PG_CONFIG="$config" \
            BUILD=".run/compile/${version//[^A-Za-z0-9.]/-}" objects; then
            pass "$version"
        else
            fail "$version" "$log"
        fi
    done
    [ $tried -gt 0 ] || skip "other major versions" "no headers but those of $(pg_config_says --version)"
}
