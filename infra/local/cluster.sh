#!/usr/bin/env bash
# Private PostgreSQL clusters below the checkout, for demo, tests and bench.
#
#   cluster.sh start NAME [-o guc=value ...]   an empty cluster; an old one of that name goes
#   cluster.sh standby NAME PRIMARY [-o ...]   the same, as a streaming standby of another cluster
#   cluster.sh follow NAME PRIMARY             lets a standby follow another cluster from now on
#   cluster.sh promote NAME                    makes a standby a primary
#   cluster.sh restart NAME                    the same cluster again, data kept
#   cluster.sh stop NAME
#   cluster.sh crash NAME                      ends its processes at once, as a crash would
#   cluster.sh destroy NAME                    stop it and remove its files
#   cluster.sh psql NAME [ARG ...]             psql, as you
#   cluster.sh run NAME -- COMMAND [ARG ...]   a command with the cluster's environment, as the
#                                              system user the server runs as
#   cluster.sh env NAME                        that environment: eval "$(cluster.sh env NAME)"
#   cluster.sh status                          all clusters
#
# Who may connect. The unix socket lies in a directory that only the server's
# user (and root) can enter, so it asks for no password. Any local user can
# reach a port of 127.0.0.1, and a superuser of the database can run programs,
# so TCP wants a password (scram): a random one, in a file that PGPASSFILE of
# `env` names, so that psql -h 127.0.0.1 needs no typing either.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
forget_connection_settings

usage() {
    sed -n '3,/^#$/{/^#$/d; s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

bin=$(pg_config_says --bindir) || die "no $PG_CONFIG: run infra/bootstrap.sh demo"
[ -x "$bin/postgres" ] || die "no server in $bin: run infra/bootstrap.sh demo"

is_known() { [ -f "$dir/env.sh" ]; }
require_known() { is_known || die "there is no cluster '$name': cluster.sh start $name"; }

write_settings() { # PORT SOCKET_DIR GUC...
    local port=$1 sock=$2 guc value
    shift 2
    {
        echo "port = $port"
        echo "listen_addresses = '127.0.0.1'"
        echo "unix_socket_directories = '$sock'"
        echo "cluster_name = 'eav-$name'"
        echo "log_line_prefix = '%m [%p] %b %d '"
        for guc in "$@"; do # later lines win, so these override the ones above
            value=${guc#*=}
            echo "${guc%%=*} = '${value//\'/\'\'}'"
        done
    } | as_server_user sh -c 'cat >"$1/eav.conf"' sh "$data"
}

write_env() { # PORT SOCKET_DIR
    printf 'export %s=%q\n' PGHOST "$2" PGPORT "$1" PGUSER postgres PGDATABASE postgres \
        PGPASSFILE "$dir/pgpass" >"$dir/env.sh"
}

# create FILL [-o guc=value ...]: a new cluster, whose data directory the function FILL makes.
create() {
    local fill=$1 gucs=() sock="$dir/sock" port try
    shift
    while [ $# -gt 0 ]; do
        [ "$1" = -o ] && [[ ${2:-} == *=* ]] || usage
        gucs+=("$2")
        shift 2
    done
    # A cluster that comes again keeps its port: commands typed before still work.
    port=$(is_known && sed -n 's/^export PGPORT=//p' "$dir/env.sh") || port=$(free_port)
    destroy
    make_server_dir "$dir"
    # A socket's path is at most 107 bytes long.
    if [ ${#sock} -gt 90 ]; then
        sock=$(mktemp -d /tmp/eav-XXXXXX)
    fi
    make_server_dir "$sock"
    "$fill"

    for try in 1 2 3 4 5; do
        write_env "$port" "$sock"
        write_settings "$port" "$sock" ${gucs[@]+"${gucs[@]}"}
        if launch; then
            return
        fi
        grep -q 'could not bind' "$log" || break
        port=$(free_port)
    done
    tail -n 20 "$log" >&2
    die "the server of '$name' did not start (attempt $try), its log is $log"
}

fill_empty() {
    # The password goes through a file, a command line could be read by others.
    as_server_user sh -c '
        umask 077
        head -c 24 /dev/urandom | base64 >"$1/password"
        echo "127.0.0.1:*:*:postgres:$(cat "$1/password")" >"$1/pgpass"' sh "$dir"
    as_server_user "$bin/initdb" -D "$data" -U postgres --pwfile="$dir/password" \
        --auth-local=trust --auth-host=scram-sha-256 --locale=C.UTF-8 --encoding=UTF8 \
        --no-sync --no-instructions >"$dir/initdb.log" 2>&1 ||
        die "initdb failed: $(tail -n 5 "$dir/initdb.log")"
    as_server_user rm "$dir/password"
    as_server_user sh -c 'echo "include = '\''eav.conf'\''" >>"$1/postgresql.conf"' sh "$data"
}

# Its users and their passwords are those of the primary.
fill_from_primary() {
    as_server_user cp "$RUN/$primary/pgpass" "$dir/pgpass"
    (
        . "$RUN/$primary/env.sh"
        as_server_user "$bin/pg_basebackup" -D "$data" -c fast -X stream --no-sync
    ) >"$dir/basebackup.log" 2>&1 ||
        die "pg_basebackup failed: $(tail -n 5 "$dir/basebackup.log")"
    as_server_user touch "$data/standby.signal"
}

# The cluster that a standby follows, and how it connects there. The primary lists the standby under
# its cluster_name.
take_primary() { # NAME
    primary=${1:-}
    [[ $primary =~ ^[a-z][a-z0-9_-]*$ && $primary != "$name" ]] || usage
    [ -f "$RUN/$primary/env.sh" ] || die "there is no cluster '$primary' to follow"
    primary_conninfo=$(. "$RUN/$primary/env.sh" && echo "host=$PGHOST port=$PGPORT user=postgres")
}

# -l detaches the server from our output, -w waits until it accepts connections.
launch() { as_server_user "$bin/pg_ctl" start -D "$data" -l "$log" -w -t 60 -s >/dev/null 2>&1; }

stop() { stop_server "$data"; }

destroy() {
    stop
    local sock
    sock=$(is_known && . "$dir/env.sh" && echo "$PGHOST") || sock=
    case $sock in /tmp/eav-*) rm -rf "$sock" ;; esac
    rm -rf "$dir"
}

status() {
    local env
    for env in "$RUN"/*/env.sh; do
        [ -f "$env" ] || continue
        dir=${env%/env.sh}
        (
            . "$env"
            if pid=$(server_pid "$dir/data"); then
                state="running, pid $pid"
            else
                state=stopped
            fi
            printf '%-12s %s, port %s, socket %s\n' "${dir##*/}" "$state" "$PGPORT" "$PGHOST"
        )
    done
}

command=${1:-}
[ "$command" != status ] || {
    status
    exit
}
name=${2:-}
[[ $name =~ ^[a-z][a-z0-9_-]*$ ]] || usage # also what keeps rm -rf below .run
shift 2
dir=$RUN/$name data=$dir/data log=$dir/server.log
cd "$ROOT" # the caller's directory may be closed to the server's user

case $command in
    start) create fill_empty "$@" ;;
    standby)
        take_primary "$@"
        create fill_from_primary -o "primary_conninfo=$primary_conninfo" "${@:2}"
        ;;
    follow)
        require_known
        take_primary "$@"
        as_server_user sh -c 'echo "primary_conninfo = '\''$2'\''" >>"$1/eav.conf"' sh "$data" "$primary_conninfo"
        as_server_user "$bin/pg_ctl" reload -D "$data" -s
        ;;
    promote)
        require_known
        as_server_user "$bin/pg_ctl" promote -D "$data" -w -t 60 -s
        ;;
    restart)
        require_known
        stop
        launch || die "the server of '$name' did not start, its log is $log"
        ;;
    stop) stop ;;
    crash)
        require_known
        server_pid "$data" >/dev/null || die "'$name' does not run"
        as_server_user "$bin/pg_ctl" stop -D "$data" -m immediate -t 30 -s
        ;;
    destroy) destroy ;;
    env)
        require_known
        cat "$dir/env.sh"
        ;;
    psql)
        require_known
        . "$dir/env.sh"
        cd "$OLDPWD"
        exec "$bin/psql" "$@"
        ;;
    run)
        require_known
        [ "${1:-}" = -- ] && [ $# -gt 1 ] || usage
        shift
        . "$dir/env.sh"
        PATH=$bin:$PATH as_server_user "$@"
        ;;
    *) usage ;;
esac
