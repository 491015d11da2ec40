# Large numbers of everything, one script each (test/limits); what they cost is in docs/limits.md.

suite_limits() {
    local script name status
    have_tests test/limits test/limits/*.sh || return
    start_cluster max_connections=1100 -o shared_buffers=512MB -o max_wal_size=8GB || return
    for script in test/limits/*.sh; do
        [ "$script" != test/limits/lib.sh ] && chosen "$script" || continue
        name=$(basename "$script" .sh) status=0
        quietly "$OUT/limits-$name.log" env CLUSTER=$CLUSTER bash "$script" || status=$?
        if [ $status -eq 0 ]; then
            pass "$name"
            sed 's/^/      | /' "$OUT/limits-$name.log"
        else
            fail "$name" "$OUT/limits-$name.log"
        fi
    done
    finish_cluster
}
