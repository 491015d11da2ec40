# TAP tests with clusters of their own: test/tap/t, with PostgreSQL::Test::Cluster. They wait more
# than they work, so TAP_JOBS of them (default: one per processor) run at the same time.

# The folder with the library of the release that a test begins with, or why there is none.
find_release() { # TEST
    local version
    version=$(sed -n 's/^# Begins with release \([0-9.]*\)\.$/\1/p' "$1")
    release='' no_release=''
    [ -z "$version" ] || release=$(infra/release.sh "$version" 2>"$OUT/release.log") || {
        [ $? -eq 77 ] || fail "release $version" "$OUT/release.log"
        no_release=$(tail -n 1 "$OUT/release.log")
    }
}

suite_tap() {
    local file work=$RUN/tap bin tests perl release no_release
    local -A name_of=() # those under way, by their process
    have_tests test/tap test/tap/t/*.pl || return
    bin=$(pg_config_says --bindir) tests=$(pgxs_test_dir) perl=$tests/perl
    if [ ! -f "$perl/PostgreSQL/Test/Cluster.pm" ]; then
        fail "PostgreSQL::Test::Cluster is not in $perl"
        return
    fi
    make_server_dir "$work"
    # For the sockets of the clusters, whose paths must be short.
    short_tmp=$(mktemp -d /tmp/eav-tap-XXXXXX)
    make_server_dir "$short_tmp"
    for file in test/tap/t/*.pl; do
        chosen "$file" || continue
        [ ${#name_of[@]} -lt "${TAP_JOBS:-$(nproc)}" ] || end_tap
        find_release "$file"
        begin_tap "$(basename "$file" .pl)"
    done
    while [ ${#name_of[@]} -gt 0 ]; do
        end_tap
    done
    check_logs "$work"/tmp_check/log/*.log
    rm -rf "$short_tmp"
}

begin_tap() { # NAME
    # TESTDIR up to version 15, the other two since 16
    launch "$OUT/tap-$1.log" as_server_user env -C test/tap PATH="$bin:$PATH" TMPDIR="$short_tmp" \
        PGPORT=65432 PG_REGRESS="$tests/regress/pg_regress" TESTDIR="$work" \
        TESTDATADIR="$work/tmp_check" TESTLOGDIR="$work/tmp_check/log" \
        EAV_RELEASE="$release" EAV_NO_RELEASE="$no_release" \
        timeout --foreground 1500 prove --verbose -I "$perl" -I "$ROOT/test/tap" "t/$1.pl"
    name_of[${children[-1]}]=$1
}

# Waits for the next that ends.
end_tap() {
    local status=0 pid child left=()
    wait -n -p pid "${!name_of[@]}" || status=$?
    count_tap "${name_of[$pid]}" "$OUT/tap-${name_of[$pid]}.log" $status
    unset "name_of[$pid]"
    for child in "${children[@]}"; do
        [ "$child" = "$pid" ] || left+=("$child")
    done
    children=(${left[@]+"${left[@]}"})
}
