# The chaos run, test/chaos: MINUTES=5 of it, SEED=n to repeat one.

suite_chaos() {
    local work=$RUN/chaos log=$OUT/chaos.log status=0 bin tests perl small=() server_user
    bin=$(pg_config_says --bindir) tests=$(pgxs_test_dir) perl=$tests/perl
    if [ ! -f "$perl/PostgreSQL/Test/Cluster.pm" ]; then
        fail "PostgreSQL::Test::Cluster is not in $perl"
        return
    fi
    make_server_dir "$work"
    make_server_dir "$work/place"
    # shellcheck disable=SC2034  # cleanup() stops its servers after an interrupt
    chaos_work=$work
    short_tmp=$(mktemp -d /tmp/eav-chaos-XXXXXX)
    make_server_dir "$short_tmp"
    server_user=$(stat -c %U "$work")
    # File systems of their own in a mount namespace of their own: nothing of it is left behind.
    if mount_namespace true; then
        make_server_dir "$work/disks"
        small=(mount_namespace test/chaos/with_small_disks.sh "$work/disks" "$server_user")
    fi
    as_server_user true # finds out how
    quietly "$log" ${small[@]+"${small[@]}"} "${AS_SERVER_USER[@]}" env -C test/chaos PATH="$bin:$PATH" \
        TMPDIR="$short_tmp" PGPORT=65432 PG_REGRESS="$tests/regress/pg_regress" TESTDIR="$work" \
        TESTDATADIR="$work/tmp_check" TESTLOGDIR="$work/tmp_check/log" \
        CHAOS_DIR="$work/place" CHAOS_MINUTES="${MINUTES:-5}" CHAOS_SEED="${SEED:-}" \
        CHAOS_DISKS="${small[2]:-}" CHAOS_EVENTS="${EVENTS:-}" \
        prove --verbose -I "$perl" -I "$ROOT/test/tap" -I "$ROOT/test/chaos" chaos.pl || status=$?
    count_tap chaos "$log" $status
    [ ! -e "$work/place/report.md" ] || echo "   report: $work/place/report.md"
    sed -n 's/^# seed \([0-9]*\),.*/   seed \1/p' "$log"
    rm -rf "$short_tmp"
}

# mount_namespace COMMAND...: where it may mount something that nobody else sees.
mount_namespace() {
    if [ "$(id -u)" -eq 0 ]; then
        unshare --mount "$@"
    else
        unshare --user --map-current-user --keep-caps --mount "$@"
    fi 2>/dev/null
}
