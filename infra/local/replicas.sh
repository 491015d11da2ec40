#!/usr/bin/env bash
# A primary, two standbys and a PgBouncer before them, with eav_ext, below the checkout.
#
#   replicas.sh start NAME [-o guc=value ...]   new ones; old ones of that name go
#   replicas.sh stop NAME
#   replicas.sh destroy NAME                    stop them and remove their files
#   replicas.sh status NAME
#   replicas.sh env NAME                        environment of a client: eval "$(replicas.sh env NAME)"
#   replicas.sh psql NAME SERVER [ARG ...]      psql to the server itself, as its superuser
#   replicas.sh crash NAME SERVER               ends its processes at once, as a crash would
#   replicas.sh promote NAME [SERVER]           makes it the primary, and lets the others follow; the
#                                               standby that has received most unless said otherwise
#   replicas.sh rejoin NAME SERVER [-o ...]     a server that is down, as a new standby of the primary
#
# SERVER is primary, standby1 or standby2. These are names of nodes and stay what they are: after
# `promote NAME standby1` the node standby1 is the primary.
#
# Each server is a cluster NAME-SERVER of cluster.sh, which see for who may connect. Clients come
# through PgBouncer, in transaction mode: it knows each server as a database of the server's name, and
# asks for the same password.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
forget_connection_settings
cluster=$ROOT/infra/local/cluster.sh
SERVERS=(primary standby1 standby2)

usage() {
    sed -n '3,/^#$/{/^#$/d; s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

is_known() { [ -f "$pooler/client.sh" ]; }
require_known() { is_known || die "there are no replicas '$name': replicas.sh start $name"; }
take_server() { # SERVER
    server=${1:-}
    [[ " ${SERVERS[*]} " == *" $server "* ]] || usage
    require_known
}
is_running() { server_pid "$RUN/$name-$1/data" >/dev/null; } # SERVER
ask() { # SERVER SQL
    "$cluster" psql "$name-$1" -X -q -At -v ON_ERROR_STOP=1 -c "SET client_min_messages = warning" -c "$2"
}

# The server that runs and is not in recovery.
find_primary() {
    local server
    for server in "${SERVERS[@]}"; do
        if is_running "$server" && [ "$(ask "$server" 'SELECT pg_is_in_recovery()')" = f ]; then
            echo "$server"
            return
        fi
    done
    die "none of the servers is a primary"
}

# wait_until WHAT COMMAND...: at most half a minute.
wait_until() {
    local what=$1
    shift
    for _ in {1..300}; do
        ! "$@" || return 0
        sleep 0.1
    done
    die "$what: not within 30 s"
}
says_true() { [ "$(ask "$1" "SELECT $2")" = t ]; } # SERVER CONDITION

start() {
    local server port
    port=$(is_known && sed -n 's/^export PGPORT=//p' "$pooler/client.sh") || port=$(free_port)
    destroy
    "$cluster" start "$name-primary" "${settings[@]}" "$@" -o cluster_name=primary
    for server in standby1 standby2; do
        "$cluster" standby "$name-$server" "$name-primary" "${settings[@]}" "$@" -o "cluster_name=$server"
    done
    ask primary 'CREATE EXTENSION eav_ext CASCADE'
    start_pooler "$port"
    register_nodes
    for server in "${SERVERS[@]}"; do
        wait_until "$server knows how fresh it is and where the primary is" says_true "$server" \
            "f.state = 'ok' AND r.node_id = 'primary' FROM eav.freshness() f, eav.route_read('strong') r"
    done
}
settings=(-o shared_preload_libraries=eav_ext -o wal_keep_size=256MB)

# A node's conninfo is a URI, for not every driver reads "host=... port=...". User and password are
# the client's business.
register_nodes() {
    local server values=
    for server in "${SERVERS[@]}"; do
        values+="${values:+, }('$server', '$(uri_of "$server")')"
    done
    ask primary "INSERT INTO eav.nodes (node_id, conninfo) VALUES $values
                 ON CONFLICT (node_id) DO UPDATE SET conninfo = EXCLUDED.conninfo"
    ask primary 'SELECT FROM eav.heartbeat()'
}
uri_of() { (. "$pooler/client.sh" && echo "postgresql://$PGHOST:$PGPORT/$1"); } # SERVER

start_pooler() { # PORT
    local port=$1 try pgbouncer
    pgbouncer=$(find_pgbouncer) || die "there is no pgbouncer: run infra/bootstrap.sh test"
    make_server_dir "$pooler"
    ask primary "SELECT format('\"%s\" \"%s\"', rolname, rolpassword) FROM pg_authid
                 WHERE rolpassword IS NOT NULL" | as_server_user sh -c 'cat >"$1/users"' sh "$pooler"
    for try in 1 2 3 4 5; do
        write_pooler_settings "$port"
        client_env "$port" >"$pooler/client.sh"
        as_server_user sh -c ': >"$1/pgbouncer.log"' sh "$pooler"
        if as_server_user "$pgbouncer" -q -d "$pooler/pgbouncer.ini" && pooler_is_up; then
            return
        fi
        stop_pooler
        port=$(free_port)
    done
    tail -n 20 "$pooler/pgbouncer.log" >&2
    die "PgBouncer did not start (attempt $try), its log is $pooler/pgbouncer.log"
}
write_pooler_settings() { # PORT
    pooler_settings "$1" | as_server_user sh -c 'cat >"$1/pgbouncer.ini"' sh "$pooler"
}
# Times are short, so that a server that is down is an error at once and not a wait.
pooler_settings() { # PORT
    local server
    echo '[databases]'
    for server in "${SERVERS[@]}"; do
        (
            . "$RUN/$name-$server/env.sh"
            echo "$server = host=$PGHOST port=$PGPORT dbname=$PGDATABASE"
        )
    done
    cat <<INI
[pgbouncer]
pool_mode = transaction
listen_addr = 127.0.0.1
listen_port = $1
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $pooler/users
admin_users = postgres
logfile = $pooler/pgbouncer.log
pidfile = $pooler/pgbouncer.pid
server_login_retry = 1
server_connect_timeout = 2
query_wait_timeout = 3
INI
}
client_env() { # PORT
    local server seeds=
    for server in "${SERVERS[@]}"; do
        seeds+="${seeds:+;}postgresql://127.0.0.1:$1/$server"
    done
    printf 'export %s=%q\n' PGHOST 127.0.0.1 PGPORT "$1" PGUSER postgres PGDATABASE primary \
        PGPASSFILE "$RUN/$name-primary/pgpass" EAV_SEEDS "$seeds"
}
# PgBouncer goes into the background before it binds its port, which somebody else may have.
pooler_is_up() {
    for _ in {1..100}; do
        ! grep -q FATAL "$pooler/pgbouncer.log" || return 1
        ! grep -q 'process up' "$pooler/pgbouncer.log" || return 0
        sleep 0.1
    done
    return 1
}

# pooler_pid: of our PgBouncer, if it runs. As with a server, a stale file proves nothing: the
# process must have been started with our configuration.
pooler_pid() {
    as_server_user sh -c '
        pid=$(cat "$1/pgbouncer.pid" 2>/dev/null) &&
            tr "\0" "\n" <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$1/pgbouncer.ini" && echo "$pid"' sh "$pooler"
}
stop_pooler() {
    local pid
    pid=$(pooler_pid) || return 0
    as_server_user kill -TERM "$pid" # at once, without waiting for clients
    wait_until "PgBouncer stops" pooler_is_gone
}
pooler_is_gone() { ! pooler_pid >/dev/null; }

stop() {
    local server
    stop_pooler
    for server in "${SERVERS[@]}"; do # the primary first: its last records reach the standbys
        "$cluster" stop "$name-$server"
    done
}

destroy() {
    local server
    stop_pooler
    for server in "${SERVERS[@]}"; do
        "$cluster" destroy "$name-$server"
    done
    rm -rf "$pooler"
}

status() {
    local server state pid
    require_known
    for server in "${SERVERS[@]}"; do
        state=stopped
        if pid=$(server_pid "$RUN/$name-$server/data"); then
            state=$(ask "$server" "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END")
            state+=", pid $pid"
        fi
        printf '%-10s %-24s %s\n' "$server" "$state" "$(uri_of "$server")"
    done
    state=stopped
    ! pid=$(pooler_pid) || state="running, pid $pid"
    printf '%-10s %s\n' PgBouncer "$state"
}

# One that has received more than the promoted one cannot follow it, so this is the one to promote.
most_advanced() {
    local server received best='' most=0
    for server in "${SERVERS[@]}"; do
        is_running "$server" || continue
        wait_until "$server hears no primary" says_true "$server" 'NOT EXISTS (SELECT FROM pg_stat_wal_receiver)'
        received=$(ask "$server" "SELECT pg_last_wal_receive_lsn() - '0/0'")
        if [ "${received:-0}" -gt "$most" ]; then
            best=$server most=$received
        fi
    done
    [ -n "$best" ] || die "there is no standby to promote"
    echo "$best"
}

promote() { # SERVER
    local other
    "$cluster" promote "$name-$1"
    for other in "${SERVERS[@]}"; do
        if [ "$other" != "$1" ] && is_running "$other" && says_true "$other" 'pg_is_in_recovery()'; then
            "$cluster" follow "$name-$other" "$name-$1"
        fi
    done
}

rejoin() { # SERVER [-o guc=value ...]
    local primary
    ! is_running "$1" || die "'$1' runs"
    primary=$(find_primary)
    "$cluster" standby "$name-$1" "$name-$primary" "${settings[@]}" "${@:2}" -o "cluster_name=$1"
    # Its port is a new one when somebody has taken the old one.
    write_pooler_settings "$(. "$pooler/client.sh" && echo "$PGPORT")"
    as_server_user kill -HUP "$(pooler_pid)"
    wait_until "$1 is known to the primary" says_true "$primary" \
        "EXISTS (SELECT FROM eav.check_replication_lag() WHERE node_id = '$1' AND state = 'ok')"
}

command=${1:-} name=${2:-}
[[ $name =~ ^[a-z][a-z0-9_-]*$ ]] || usage # also what keeps rm -rf below .run
shift 2
pooler=$RUN/$name-pgbouncer

case $command in
    start) start "$@" ;;
    stop) stop ;;
    destroy) destroy ;;
    status) status ;;
    env)
        require_known
        cat "$pooler/client.sh"
        ;;
    psql)
        take_server "$@"
        exec "$cluster" psql "$name-$server" "${@:2}"
        ;;
    crash)
        take_server "$@"
        "$cluster" crash "$name-$server"
        ;;
    promote)
        if [ $# -gt 0 ]; then
            take_server "$@"
        else
            require_known
            server=$(most_advanced)
        fi
        promote "$server"
        echo "$server"
        ;;
    rejoin)
        take_server "$@"
        rejoin "$server" "${@:2}"
        ;;
    *) usage ;;
esac
