# shellcheck shell=bash
# eav.route_read() on a primary with two standbys.
#
#   loop     the server's time for a call, less that of an empty loop, in one statement
#   pgbench  one statement a call, prepared: against "SELECT 1", and against the same question in
#            hand-written SQL over pg_stat_replication and eav.nodes
#
# BENCH_ROUTE_CALLS=100000 for each loop, BENCH_CALL_SECONDS=3 for each run of pgbench.

bench_route() {
    local nodes
    trap 'infra/local/replicas.sh destroy benchrep >/dev/null 2>&1' EXIT
    infra/local/replicas.sh start benchrep -o jit=off
    for nodes in 3 32; do
        route_query -c "INSERT INTO eav.nodes (node_id, conninfo) SELECT 'n' || i, 'host=n' || i
            FROM generate_series(1, $nodes - (SELECT count(*) FROM eav.nodes)) AS i" >/dev/null
        wait_for_nodes "$nodes"
        route_loop "$nodes"
        route_pgbench "$nodes"
    done
    infra/local/replicas.sh destroy benchrep
    trap 'infra/local/cluster.sh destroy $CLUSTER >/dev/null 2>&1' EXIT
}

route_query() { infra/local/replicas.sh psql benchrep primary -X -q -At -v ON_ERROR_STOP=1 "$@"; }

wait_for_nodes() { # COUNT
    for _ in {1..100}; do
        [ "$(route_query -c 'SELECT count(*) FROM eav.check_replication_lag()')" != "$1" ] || return 0
        sleep 0.1
    done
    die "the nodes are not known after 10 s"
}

route_loop() { # NODES
    local calls=${BENCH_ROUTE_CALLS:-100000} name round figures
    say "route_read, $1 nodes, in a loop of $calls, microseconds a call"
    printf '%-12s %10s %10s\n' call median least
    for name in bounded strong read_path token; do
        figures=()
        for ((round = 1; round <= ROUNDS; round++)); do
            figures+=("$(awk -v a="$(loop_time "$calls" "$(route_call $name)")" -v n="$calls" \
                -v b="$(loop_time "$calls" i)" 'BEGIN {printf "%.2f", (a - b) * 1000 / n}')")
            record route "loop $name, $1 nodes" "$round" us_per_call "${figures[-1]}"
        done
        printf '%-12s %10s %10s\n' "$name" "$(printf '%s\n' "${figures[@]}" | median)" \
            "$(printf '%s\n' "${figures[@]}" | sort -g | head -n 1)"
    done
}

# Depends on i, so that it is evaluated for every row.
route_call() {
    case $1 in
        bounded) echo "(eav.route_read(max_lag => make_interval(secs => 5 + 0 * i))).node_id" ;;
        strong) echo "(eav.route_read(CASE WHEN i > 0 THEN 'strong' END)).node_id" ;;
        read_path) echo "(eav.route_read(read_path => CASE WHEN i > 0 THEN 'near_real_time' END)).node_id" ;;
        token) echo "(eav.route_read(after_token => CASE WHEN i > 0 THEN '1-1' END)).node_id" ;;
    esac
}

# Milliseconds in the server, without planning.
loop_time() { # CALLS EXPRESSION
    route_query -c "EXPLAIN (ANALYZE, TIMING OFF) SELECT count($2) FROM generate_series(1, $1) AS i" |
        sed -n 's/^Execution Time: \([0-9.]*\) ms$/\1/p'
}

route_pgbench() { # NODES
    local name round clients figures
    say "one statement a call, $1 nodes, microseconds by the client, median of $ROUNDS"
    printf '%-12s %10s %10s\n' statement '1 client' '4 clients'
    echo 'SELECT 1' >"$OUT/route_empty.sql"
    echo 'SELECT * FROM eav.route_read()' >"$OUT/route_read.sql"
    cat >"$OUT/route_sql.sql" <<'SQL'
SELECT n.node_id, n.conninfo FROM pg_stat_replication r JOIN eav.nodes n ON n.node_id = r.application_name WHERE r.state = 'streaming' AND coalesce(r.replay_lag, '0') <= '5 s' ORDER BY r.replay_lag NULLS FIRST LIMIT 1
SQL
    for name in empty read sql; do
        printf '%-12s' "$name"
        for clients in 1 4; do
            figures=()
            for ((round = 1; round <= ROUNDS; round++)); do
                figures+=("$(pgbench_latency "$clients" "$OUT/route_$name.sql")")
                record route "pgbench $name, $1 nodes, $clients clients" "$round" us "${figures[-1]}"
            done
            printf ' %10s' "$(printf '%s\n' "${figures[@]}" | median)"
        done
        echo
    done
}

pgbench_latency() { # CLIENTS FILE
    infra/local/cluster.sh run benchrep-primary -- pgbench -n -M prepared -c "$1" -j "$1" \
        -T "${BENCH_CALL_SECONDS:-3}" -f "$2" |
        sed -n 's/^latency average = \([0-9.]*\) ms$/\1/p' | awk '{printf "%.0f", $1 * 1000}'
}
