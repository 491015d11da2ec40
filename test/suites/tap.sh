# TAP tests with clusters of their own: test/tap/t, with PostgreSQL::Test::Cluster.

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
    local file name log status release no_release work=$RUN/tap bin tests perl
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
        find_release "$file"
        name=$(basename "$file" .pl) log=$OUT/tap-$name.log status=0
        # TESTDIR up to version 15, the other two since 16
        quietly "$log" as_server_user env -C test/tap PATH="$bin:$PATH" TMPDIR="$short_tmp" \
            PGPORT=65432 PG_REGRESS="$tests/regress/pg_regress" TESTDIR="$work" \
            TESTDATADIR="$work/tmp_check" TESTLOGDIR="$work/tmp_check/log" \
            EAV_RELEASE="$release" EAV_NO_RELEASE="$no_release" \
            timeout --foreground 1500 prove --verbose -I "$perl" -I "$ROOT/test/tap" "t/$name.pl" || status=$?
        count_tap "$name" "$log" $status
    done
    check_logs "$work"/tmp_check/log/*.log
    rm -rf "$short_tmp"
}
