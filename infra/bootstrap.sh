#!/usr/bin/env bash
# Installs the Debian packages that are missing, and nothing that is there.
#
#   infra/bootstrap.sh [build|demo|lint|server-test|test]
#
# `server-test` is what the suites need for which the server's version matters, `test` is all.
#
# No package is upgraded, no existing cluster is touched, none is created: the
# servers of demo, tests and bench are private ones (infra/local/cluster.sh).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# The major version of PG_CONFIG when there is one, else the distribution's.
pg_major() {
    local version
    version=$(pg_config_says --version | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p') || true
    if [ -z "$version" ] && [ -r /etc/os-release ]; then
        case $(. /etc/os-release && echo "${ID:-}-${VERSION_ID:-}") in
            debian-12) version=15 ;;
            debian-13) version=17 ;;
            debian-) version=$(apt-cache depends postgresql | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p') ;;
        esac
    fi
    echo "${version:-15}"
}

missing=() # packages
reasons=() # what each is for

# need PACKAGE WHY TEST...: the test asks for the thing, not for the package, so
# that a server or compiler from elsewhere counts too.
need() {
    local package=$1 why=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        missing+=("$package")
        reasons+=("$why")
    fi
}
# want PACKAGE WHY TEST...: the same, but only where apt can install it. What uses it does without.
want() {
    "${@:3}" >/dev/null 2>&1 || ! can_install "$1" || need "$@"
}
can_install() {
    apt-get -s install --no-install-recommends --no-upgrade --no-remove "$1" >/dev/null 2>&1
}
has_command() { command -v "$1"; }
has_file() { [ -n "$1" ] && compgen -G "$1"; }
# Debian ships pg_config and PGXS without the headers too.
has_headers() { has_file "$(pg_config_says --includedir-server)/postgres.h"; }
has_server() { has_file "$(pg_config_says --bindir)/postgres"; }
has_extension() { has_file "$(pg_config_says --sharedir)/extension/$1.control"; }
find_debootstrap() { PATH=$PATH:/usr/sbin command -v debootstrap; }
has_sanitizers() { has_file "$(clang -print-resource-dir)/lib/*/libclang_rt.fuzzer*"; }

need_build() {
    need g++ "C++20 compiler" has_command g++
    need make "build" has_command make
    need libsimdjson-dev "JSON parser" has_file /usr/include/simdjson.h
    need libboost-dev "lock-free queues" has_file /usr/include/boost/lockfree/queue.hpp
    need "postgresql-server-dev-$major" "headers of the server" has_headers
}
need_server() {
    need "postgresql-$major" "the server" has_server
    need "postgresql-$major-partman" "partitions of the history" has_extension pg_partman
}
need_lint() {
    need clang-format "layout of the sources" has_command clang-format
    need clang-tidy "static analysis" has_command clang-tidy
    need shellcheck "static analysis of shell scripts" has_command shellcheck
}
need_core_tests() {
    need clang "fuzzers" has_command clang
    need libclang-rt-dev "runtime of the fuzzers" has_sanitizers
    need libgtest-dev "unit tests" has_file /usr/include/gtest/gtest.h
}
need_chroots() {
    [ "$(id -u)" -ne 0 ] || want debootstrap "servers of other Debian releases" find_debootstrap
}
need_server_tests() {
    need "postgresql-$major-pgtap" "pgTAP tests" has_extension pgtap
    need libtap-parser-sourcehandler-pgtap-perl "runner of pgTAP tests" has_command pg_prove
    need libipc-run-perl "TAP tests with real clusters" perl -MIPC::Run -e 1
    need pgbouncer "pooler before the local replicas" find_pgbouncer
    need libpq-dev "client example in C++" has_file "$(pg_config_says --includedir)/libpq-fe.h"
    need python3-psycopg "client example in Python" find_python
    # Debian's does not go together with a nodejs from elsewhere.
    want node-pg "client example for node-postgres" find_node
}

look() {
    local group
    missing=() reasons=()
    for group in "$@"; do "need_$group"; done
}
show_missing() {
    local i
    for i in "${!missing[@]}"; do
        printf '   %-42s %s\n' "${missing[i]}" "${reasons[i]}"
    done
}

give_up() {
    warn "$1"
    warn "missing are:"
    show_missing >&2
    warn "on Debian, as root:  apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    exit 1
}

sudo=()
temporary=() # files, there as long as we run
place() { # FILE, whose content comes from standard input
    temporary+=("$1")
    "${sudo[@]}" mkdir -p "$(dirname "$1")"
    "${sudo[@]}" tee "$1" >/dev/null
}
remove_temporary() {
    [ ${#temporary[@]} -eq 0 ] || "${sudo[@]}" rm -f "${temporary[@]}"
}
trap remove_temporary EXIT

# Debian starts the service of a package that it installs, now and with every boot. Of pgbouncer we
# want the program, and nobody has asked for the service. An administrator's own policy about
# services stays: what it lets start is stopped afterwards.
is_pgbouncer_missing() { [[ " ${missing[*]} " == *" pgbouncer "* ]]; }
do_not_start_pgbouncer() {
    local policy=/usr/sbin/policy-rc.d
    [ ! -e "$policy" ] || return 0
    place "$policy" <<<$'#!/bin/sh\ncase "$*" in *pgbouncer*) exit 101 ;; esac'
    "${sudo[@]}" chmod 755 "$policy"
}
disable_pgbouncer() {
    "${sudo[@]}" update-rc.d pgbouncer disable &&
        "${sudo[@]}" invoke-rc.d --quiet pgbouncer stop ||
        warn "the service pgbouncer, which is not needed, could not be disabled"
}

install_missing() {
    command -v apt-get >/dev/null || give_up "this is not Debian: apt-get is missing"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || give_up "installing packages needs root, and there is no sudo"
        sudo=(sudo)
    fi
    # Another apt may be at work: wait for it. No questions, nothing removed.
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
    local install=("${apt[@]}" install -y --no-install-recommends --no-upgrade --no-remove)

    say "refreshing the package lists"
    "${apt[@]}" update || warn "the package lists could not be refreshed, trying with those at hand"
    look "${groups[@]}" # what can be installed is known only now

    # The first server package of a machine creates and starts a cluster "main".
    # Nobody has asked us for one.
    if ! dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' 'postgresql-*' 2>/dev/null |
        grep -E '^postgresql-[0-9]+ ii' >/dev/null; then
        "${install[@]}" postgresql-common || give_up "apt could not install postgresql-common"
        place /etc/postgresql-common/createcluster.d/eav_ext_bootstrap.conf \
            <<<'create_main_cluster = false'
    fi
    say "installing ${missing[*]}"
    ! is_pgbouncer_missing || do_not_start_pgbouncer
    "${install[@]}" "${missing[@]}" || give_up "apt could not install everything"
    ! is_pgbouncer_missing || disable_pgbouncer
}

what=${1:-build}
case $what in
    build) groups=(build) ;;
    demo) groups=(build server) ;;
    lint) groups=(build lint) ;;
    server-test) groups=(build server server_tests) ;;
    test) groups=(build server lint core_tests server_tests chroots) ;;
    *) die "usage: infra/bootstrap.sh [build|demo|lint|server-test|test]" ;;
esac
major=$(pg_major)
look "${groups[@]}"
[ ${#missing[@]} -gt 0 ] || exit 0

say "missing for '$what' (PostgreSQL $major):"
show_missing
install_missing
look "${groups[@]}"
[ ${#missing[@]} -eq 0 ] || give_up "still missing after the installation"
say "everything for '$what' is installed"
