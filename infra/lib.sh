# Helpers of the scripts below infra/ and test/. Sourced by them, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
RUN=$ROOT/.run # everything these scripts create; git-ignored
export PG_CONFIG=${PG_CONFIG:-pg_config}

say() { printf '== %s\n' "$*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    warn "$*"
    exit 1
}

# What pg_config says, or nothing. Debian ships a pg_config that only complains
# as long as no development package is there, so its errors are not shown.
pg_config_says() { "$PG_CONFIG" "$@" 2>/dev/null; }

# The folder of the server's test programs and of PostgreSQL::Test::Cluster.
pgxs_test_dir() { echo "$(dirname "$(dirname "$(pg_config_says --pgxs)")")/test"; }

# A connection setting in the caller's environment (PGDATABASE, PGOPTIONS,
# PGSERVICE, ...) must not lead us to a server that is not ours.
forget_connection_settings() {
    local var
    for var in "${!PG@}"; do
        case $var in PG_*) ;; *) unset "$var" ;; esac
    done
}

# initdb and postgres refuse to run as root: for root everything that concerns a
# server runs as the system user `postgres`. That user may be unable to enter
# the checkout (a clone below /root, or in a directory of mktemp -d). It then
# gets the one capability that lets it read there, or, where a container has
# taken that away from root, the next larger one; its own files it owns anyway.
AS_SERVER_USER=()
find_server_user() {
    local cap
    if [ "$(id -u)" -ne 0 ]; then
        AS_SERVER_USER=(env)
        return
    fi
    id postgres >/dev/null 2>&1 || die "the system user postgres is missing: run infra/bootstrap.sh demo"
    for cap in '' dac_read_search dac_override; do
        AS_SERVER_USER=(setpriv --reuid=postgres --regid=postgres --init-groups)
        [ -z "$cap" ] || AS_SERVER_USER+=(--inh-caps="+$cap" --ambient-caps="+$cap")
        AS_SERVER_USER+=(-- env HOME="$RUN") # not root's ~/.psqlrc
        if "${AS_SERVER_USER[@]}" cat "$ROOT/infra/lib.sh" >/dev/null 2>&1; then
            return
        fi
    done
    die "the user postgres cannot read $ROOT, and root may not lend it the capability" \
        "dac_read_search or dac_override: move the checkout to a directory that others can enter"
}
as_server_user() {
    [ ${#AS_SERVER_USER[@]} -gt 0 ] || find_server_user
    "${AS_SERVER_USER[@]}" "$@"
}

# make_server_dir DIR: an empty directory that only the server's user can enter.
make_server_dir() {
    rm -rf "$1"
    mkdir -p "$1"
    [ "$(id -u)" -ne 0 ] || chown postgres: "$1"
    chmod 700 "$1"
}

# A free port below the range the system hands out to clients. It may be taken before a server binds
# it: the caller then tries another.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# server_pid DATA: the postmaster that runs on this data directory, if any. The
# process must sit in the directory: the number in a stale file may by now
# belong to somebody else.
server_pid() {
    as_server_user sh -c '
        pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || exit 1
        [ "$(readlink "/proc/$pid/cwd")" = "$1" ] && echo "$pid"' sh "$1"
}

# stop_server DATA: stops that postmaster and no other.
stop_server() {
    local bin
    server_pid "$1" >/dev/null || return 0
    bin=$(pg_config_says --bindir)
    as_server_user "$bin/pg_ctl" stop -D "$1" -m fast -t 60 -s ||
        as_server_user "$bin/pg_ctl" stop -D "$1" -m immediate -t 30 -s
}

# PgBouncer's program, which lies where only root's PATH leads.
find_pgbouncer() { PATH=$PATH:/usr/sbin command -v pgbouncer; }

# The first Python that has psycopg 3, and the first node that has pg. Those of the distribution come
# last: another one may come first in PATH, with packages of its own.
find_python() {
    local python
    for python in python3 /usr/bin/python3; do
        ! "$python" -c 'import psycopg' 2>/dev/null || { command -v "$python" && return; }
    done
    return 1
}
find_node() {
    local node
    for node in node /usr/bin/node; do
        ! NODE_PATH=$NODE_MODULES "$node" -e 'require("pg")' 2>/dev/null ||
            { command -v "$node" && return; }
    done
    return 1
}
# Of the caller, and what the tests have installed.
NODE_MODULES=${NODE_PATH:+$NODE_PATH:}$RUN/node/node_modules
