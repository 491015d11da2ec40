# Copies of the server, in which a suite may do as it likes. Sourced by suites.

# copy_server: the server of PG_CONFIG, without the extension; sets `server_copy`, below which everything
# has the path that it has below /, and `copied_pg_config`. Programs find the rest of the server by where
# they are: they are copied, of the rest links do. Not below .run: where the server's user reads the
# checkout by a capability only (infra/lib.sh), access(2) says no, and initdb believes that it cannot run
# a program. cleanup() removes it.
copy_server() {
    local bin lib share
    bin=$(pg_config_says --bindir) lib=$(pg_config_says --pkglibdir) share=$(pg_config_says --sharedir)
    server_copy=$(mktemp -d /var/tmp/eav-server-XXXXXX)
    server_copies+=("$server_copy")
    copied_pg_config=$server_copy$bin/pg_config
    mkdir -p "$server_copy$bin" "$server_copy$lib" "$server_copy$share"
    chmod 755 "$server_copy"
    cp -a "$bin/." "$server_copy$bin"
    cp -rs "$lib/." "$server_copy$lib"
    cp -rs "$share/." "$server_copy$share"
    rm -f "$server_copy$lib/eav_ext.so" "$server_copy$share"/extension/eav_ext*
}

# start_with COMMAND...: servers of this copy are started by the command, with the program's path and
# arguments after it. What initdb runs is not.
start_with() {
    local bin=${copied_pg_config%/*}
    mv "$bin/postgres" "$bin/postgres.itself"
    {
        echo '#!/bin/sh'
        # shellcheck disable=SC2016 # $0 and $@ are those of the script that is written
        printf '[ "$1" = -D ] || exec "${0%%/*}/postgres.itself" "$@"\nexec %s "${0%%/*}/postgres.itself" "$@"\n' \
            "$(printf '%q ' "$@")"
    } >"$bin/postgres"
    chmod 755 "$bin/postgres"
}
