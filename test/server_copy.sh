# A copy of the server below .run, in which a suite may do as it likes. Sourced by suites.

# copy_server DIR PG_CONFIG: programs, libraries and extensions of that server. It finds its files
# from where its programs lie; what is only for compiling stays where it is.
copy_server() {
    local dir=$1 path of
    rm -rf "$dir"
    for of in --bindir --pkglibdir --sharedir; do
        path=$("$2" $of)
        mkdir -p "$dir$path"
        cp -r "$path/." "$dir$path"
    done
    for of in --includedir --libdir; do
        path=$("$2" $of)
        [ -e "$dir$path" ] || { mkdir -p "$(dirname "$dir$path")" && ln -s "$path" "$dir$path"; }
    done
}

# start_with PG_CONFIG COMMAND...: a server of this copy is started by the command, with the
# program's path and arguments after it. What initdb runs is not.
start_with() {
    local bin
    bin=$("$1" --bindir)
    shift
    mv "$bin/postgres" "$bin/postgres.itself"
    {
        echo '#!/bin/sh'
        # shellcheck disable=SC2016 # $0 and $@ are those of the script that is written
        printf '[ "$1" = -D ] || exec "${0%%/*}/postgres.itself" "$@"\nexec %s "${0%%/*}/postgres.itself" "$@"\n' \
            "$(printf '%q ' "$@")"
    } >"$bin/postgres"
    chmod 755 "$bin/postgres"
}
