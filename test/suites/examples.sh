# The client examples, docs/examples/LANGUAGE/read.*, against real replicas behind PgBouncer: what
# they read and from where, and that they go on when the primary crashes and a standby takes over.

suite_examples() {
    local language servers=(primary standby1 standby2) command
    # A standby that has lost its primary is read again soon, not after two minutes.
    local settings=(-o fsync=off -o eav.breaker_open_time=1s -o eav.breaker_close_time=1s)
    have_tests docs/examples docs/examples/*/read.* || return
    quietly "$OUT/replicas.log" replicas start "${settings[@]}" || {
        fail "the replicas do not start" "$OUT/replicas.log"
        return
    }
    for language in cpp python node; do
        chosen "$language" || continue
        "command_$language" || continue
        reads_from_replicas "$language"
        reads_from_the_primary "$language"
        survives_a_failover "$language" || break
    done
    quietly "$OUT/replicas-stop.log" replicas stop || fail "the replicas do not stop" "$OUT/replicas-stop.log"
    check_logs "$RUN/$CLUSTER"-{primary,standby1,standby2}/server.log
}
replicas() { infra/local/replicas.sh "$1" "$CLUSTER" "${@:2}"; }

# command_LANGUAGE sets the command that runs the example, or says why there is none.
command_cpp() {
    local line log=$OUT/examples-compile.log
    command=("$RUN/examples/read")
    mkdir -p "$RUN/examples"
    # As its first lines say, and without a warning.
    line=$(sed -n 's|^// *\(g++ .*\)|\1|p' docs/examples/cpp/read.cpp)
    line=${line//pg_config/$(printf '%q' "$PG_CONFIG")}
    line=${line/-o read/-o $(printf '%q' "${command[0]}")}
    quietly "$log" env -C docs/examples/cpp sh -c "$line -Wall -Wextra -Werror" && return
    fail "cpp does not compile" "$log"
    return 1
}
command_python() {
    local python
    python=$(find_python) || { skip python "no python3 has psycopg 3" && return 1; }
    command=("$python" -u docs/examples/python/read.py)
}
command_node() {
    local node
    node=$(find_node || { install_node_module && find_node; }) ||
        { skip node "no node has the module pg, and npm cannot install it" && return 1; }
    command=(env "NODE_PATH=$NODE_MODULES" "$node" docs/examples/node/read.js)
}

# Where the distribution's module does not go together with the node that is there.
install_node_module() {
    command -v npm >/dev/null &&
        timeout 120 npm install --prefix "$RUN/node" --no-audit --no-fund pg@8 >"$OUT/npm.log" 2>&1
}

# As a client of the replicas, whose first seed is never there.
as_client() {
    eval "$(replicas env)"
    export EAV_SEEDS="postgresql://127.0.0.1:1/nobody;$EAV_SEEDS"
    timeout --foreground 300 "$@"
}

# A standby of this machine replays a write within milliseconds, so some of the reads go there.
reads_from_replicas() { # LANGUAGE
    local log=$OUT/examples-$1-replicas.log
    if poll 60 all_are_well && quietly "$log" as_client "${command[@]}" --rounds 100 && check_rounds "$log" 100 &&
        [[ $(sources_of "$log") == *replica* ]]; then
        pass "$1: reads its writes from replicas"
    else
        fail "$1: reads its writes from replicas" "$log"
    fi
}

reads_from_the_primary() { # LANGUAGE
    local log=$OUT/examples-$1-primary.log server
    for server in "${servers[@]:1}"; do
        replicas psql "$server" -X -q -c 'SELECT pg_wal_replay_pause()' >/dev/null
    done
    if quietly "$log" as_client "${command[@]}" --rounds 5 && check_rounds "$log" 5 &&
        [ "$(sources_of "$log")" = primary ]; then
        pass "$1: reads from the primary what no replica has replayed"
    else
        fail "$1: reads from the primary what no replica has replayed" "$log"
    fi
    for server in "${servers[@]:1}"; do
        replicas psql "$server" -X -q -c 'SELECT pg_wal_replay_resume()' >/dev/null
    done
}

# The primary crashes in the middle of the rounds. The next language finds the roles as they are then.
survives_a_failover() { # LANGUAGE
    local log=$OUT/examples-$1-failover.log old=${servers[0]} new='' server others=() rounds=1000 status=0
    rm -f "$log"
    launch "$log" as_client "${command[@]}" --rounds $rounds
    poll 60 grep -qs '^round 20: ' "$log" && replicas crash "$old" && new=$(replicas promote) ||
        kill -TERM -- "-${children[-1]}"
    wait "${children[-1]}" || status=$?
    children=()
    if [ $status -eq 0 ] && check_rounds "$log" $rounds && grep -q "wrote on $old," "$log" &&
        grep -q "^round $rounds: wrote on $new," "$log"; then
        pass "$1: goes on after a failover"
    else
        fail "$1: goes on after a failover" "$log"
    fi
    [ -n "$new" ] || return 1
    check_logs "$RUN/$CLUSTER-$old/server.log"
    if ! quietly "$OUT/examples-rejoin.log" replicas rejoin "$old" "${settings[@]}"; then
        fail "$old does not rejoin" "$OUT/examples-rejoin.log"
        return 1
    fi
    for server in "${servers[@]}"; do
        [ "$server" = "$new" ] || others+=("$server")
    done
    servers=("$new" "${others[@]}") # the primary first
}

# Whether the primary measures all nodes, and none is kept from being read.
all_are_well() {
    local server
    replicas_say "${servers[0]}" "bool_and(state = 'ok') FROM eav.check_replication_lag()" || return
    for server in "${servers[@]}"; do
        replicas_say "$server" "bool_and(state = 'closed') FROM eav.breaker_status()" || return
    done
}
replicas_say() { [ "$(replicas psql "$1" -XAtc "SELECT $2")" = t ]; } # SERVER CONDITION

# poll SECONDS COMMAND...
poll() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# check_rounds LOG N: each round from 1 to N is there once, each answer comes with all headers, and
# from the node that was asked.
check_rounds() {
    awk -v rounds="$2" '
        function end_of_round() {
            if (n > 0 && (headers != 6 || node != from)) {
                print "round " n ": " headers " headers, read from " from ", answer of " node
                bad = 1
            }
        }
        /^round [0-9]+: wrote on / {
            end_of_round()
            if ($2 != ++n ":") { print "not round " n ": " $0; bad = 1 }
            from = $8; sub(/:$/, "", from); headers = 0; node = ""
        }
        /^  X-(Data-(Node|Source|Lag-Seconds|Timestamp|Freshness)|Consistency-Level): ./ { headers++ }
        /^  X-Data-Node: / { node = $2 }
        END {
            end_of_round()
            if (n != rounds) { print n " rounds of " rounds; bad = 1 }
            exit bad
        }' "$1" >"$1.checked" && return
    cat "$1.checked" >>"$1"
    return 1
}
sources_of() { sed -n 's/^  X-Data-Source: //p' "$1" | sort -u | xargs; } # LOG
