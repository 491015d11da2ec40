#!/usr/bin/env bash
# Other Debian releases on this machine, each in a chroot with the PostgreSQL that it ships:
# bookworm 15 with pg_partman 4, trixie 17 with pg_partman 5, sid (unstable) the newest.
#
#   chroots.sh test [-C CHECKOUT] [RELEASE ...] [-- SUITE [NAME ...]]
#                                    the tests of a checkout (default: this one) in each release
#                                    (default: all); the suites as test/run.sh takes them, default
#                                    `server`: those for which the server's version matters
#   chroots.sh make RELEASE ...      only makes them ready, with what `server` needs
#   chroots.sh run [-C CHECKOUT] RELEASE -- COMMAND [ARG ...]
#                                    a command in the copy of the checkout, as root
#   chroots.sh remove RELEASE ...
#
# They lie in EAV_CHROOTS (default: /var/tmp/eav_ext-chroots), are made at first use and stay:
# remove one to get it anew, with newer packages. Mirror, proxy and the like are those that this
# machine's apt is configured with.
#
# What runs in a chroot has mounts, processes and a network of its own, in namespaces that end with
# it, however it ends: no mount and no server can stay behind, and no port is taken twice.
#
# Exit status 77: there can be no such chroot here; the reason is the last line.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

PATH=$PATH:/usr/sbin:/sbin
CHROOTS=${EAV_CHROOTS:-/var/tmp/eav_ext-chroots}
RELEASES=(bookworm trixie sid)
CANNOT=77
COPY=/srv/eav_ext # of the checkout, in the chroot

usage() {
    sed -n '3,/^set /{/^set /d; s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}
cannot() {
    warn "no chroot of $release here: $*"
    exit $CANNOT
}

# The mirror from which this machine installs Debian's own packages.
find_mirror() {
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian Debian main //p' | head -n 1
}
# How this machine's apt reaches it, and what it expects of it.
apt_settings() { apt-config dump | grep -E '^Acquire::(https?::|Retries|ForceIPv|Check-Valid-Until|Check-Date)' || true; }
proxy_settings() {
    local proxy
    proxy=$(apt-config shell proxy Acquire::http::Proxy)
    [ -z "$proxy" ] || (eval "$proxy" && echo "http_proxy=$proxy")
    env | grep -iE '^(https?|no)_proxy=' || true
}

# enter NETWORK COMMAND...: runs it in the chroot. Without a network of the machine (NETWORK=none)
# there is a loopback device that nobody else sees.
enter() {
    local network=$1 namespaces=(--mount --pid --ipc --uts --fork --kill-child)
    local proxies
    shift
    [ "$network" != none ] || namespaces+=(--net)
    mapfile -t proxies < <(proxy_settings)
    setpriv --pdeathsig KILL -- unshare "${namespaces[@]}" -- bash -euc '
        root=$1 network=$2
        shift 2
        mount -t proc proc "$root/proc"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        [ "$network" != none ] || chroot "$root" /sbin/ip link set lo up
        exec chroot "$root" env -i -C / "$@"' bash "$root" "$network" \
        HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        DEBIAN_FRONTEND=noninteractive "${proxies[@]}" "$@"
}

require_means() {
    local program
    [ "$(id -u)" -eq 0 ] || cannot "only root can make and enter one"
    for program in debootstrap unshare apt-get; do
        command -v $program >/dev/null || cannot "$program is not installed"
    done
    unshare --mount --pid --ipc --uts --net --fork true 2>/dev/null ||
        cannot "this system lets root make no namespaces"
}

# The folder has a name that anybody could have taken: what root executes must be root's.
open_folder() {
    mkdir -p "$CHROOTS"
    [ -O "$CHROOTS" ] && [ ! -L "$CHROOTS" ] || die "$CHROOTS belongs to somebody else"
    # One at a time: all that use a chroot install into its one server.
    exec 9>"$CHROOTS/$release.lock"
    flock -n 9 || { say "waiting for another user of the chroot of $release" && flock 9; }
}

# A chroot that was not finished is called otherwise, and is made anew.
make_base() {
    local mirror proxies log="$CHROOTS/$release.log" new="$root.new"
    mapfile -t proxies < <(proxy_settings)
    mirror=$(find_mirror)
    [ -n "$mirror" ] || cannot "apt knows no mirror of Debian: are its lists there (apt-get update)?"
    say "making a chroot of $release in $root"
    rm -rf --one-file-system "$new"
    # It mounts file systems in the chroot.
    setpriv --pdeathsig KILL -- unshare --mount -- env "${proxies[@]}" debootstrap --variant=minbase \
        --include=ca-certificates,iproute2 "$release" "$new" "$mirror" >"$log" 2>&1 </dev/null || {
        rm -rf --one-file-system "$new"
        cannot "debootstrap: $(tail -n 1 "$log")"
    }
    apt_settings >"$new/etc/apt/apt.conf.d/90machine"
    # Nothing in it is started by itself, nor survives a power cut.
    printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
    chmod 755 "$new/usr/sbin/policy-rc.d"
    echo force-unsafe-io >"$new/etc/dpkg/dpkg.cfg.d/90eav_ext"
    mv "$new" "$root"
}

# The checkout as it is, but for what was built in it; what was built in the chroot stays.
copy_checkout() {
    mkdir -p "$root$COPY"
    find "$root$COPY" -mindepth 1 -maxdepth 1 ! -name build ! -name .run ! -name eav_ext.so -exec rm -rf {} +
    tar -C "$checkout" --exclude=./.git --exclude=./.run --exclude=./build --exclude='*.so' -c . |
        tar -C "$root$COPY" --no-same-owner -x
}

# make_ready GROUP: the chroot with the packages of that group (infra/bootstrap.sh) and the checkout.
make_ready() {
    require_means
    open_folder
    [ -d "$root" ] || make_base
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    copy_checkout
    enter machine "$COPY/infra/bootstrap.sh" "$1" && enter machine apt-get clean || die "packages for $1 are missing in the chroot of $release"
}

# in_copy COMMAND...: in the chroot's copy of the checkout.
in_copy() { enter none env -C "$COPY" "$@"; }

test_release() {
    local group='test' status=0
    [ "${suites[*]}" != server ] || group=server-test
    make_ready "$group"
    say "$release: $(in_copy sh -c '"$(pg_config --bindir)/postgres" --version'), test/run.sh ${suites[*]}"
    in_copy test/run.sh "${suites[@]}" || status=$?
    # What the tests said lies where that of this machine's own tests lies.
    rm -rf "$RUN/out/$release"
    mkdir -p "$RUN/out"
    cp -r "$root$COPY/.run/out" "$RUN/out/$release"
    return $status
}

use() { # RELEASE
    [[ " ${RELEASES[*]} " == *" $1 "* ]] || die "no release '$1', there are: ${RELEASES[*]}"
    release=$1 root=$CHROOTS/$1
}

[ $# -gt 0 ] || usage
command=$1 checkout=$ROOT releases=() suites=()
shift
if [ "${1:-}" = -C ]; then
    checkout=$(cd "${2:?usage: -C CHECKOUT}" && pwd -P)
    shift 2
fi
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    releases+=("$1")
    shift
done
[ $# -eq 0 ] || suites=("${@:2}")

case $command in
    test)
        [ ${#releases[@]} -gt 0 ] || releases=("${RELEASES[@]}")
        [ ${#suites[@]} -gt 0 ] || suites=(server)
        if [ ${#releases[@]} -eq 1 ]; then
            use "${releases[0]}"
            test_release
            exit
        fi
        # A process each, with its own lock: one that fails keeps no other from running.
        worst=0
        for name in "${releases[@]}"; do
            status=0
            "$0" test -C "$checkout" "$name" -- "${suites[@]}" || status=$?
            case $status in
                0) ;;
                "$CANNOT") [ $worst -ne 0 ] || worst=$CANNOT ;;
                *) worst=1 ;;
            esac
        done
        exit $worst
        ;;
    make)
        [ ${#releases[@]} -gt 0 ] || usage
        for name in "${releases[@]}"; do
            use "$name"
            make_ready server-test
        done
        ;;
    run)
        [ ${#releases[@]} -eq 1 ] && [ ${#suites[@]} -gt 0 ] || usage
        use "${releases[0]}"
        make_ready server-test
        in_copy "${suites[@]}"
        ;;
    remove)
        [ ${#releases[@]} -gt 0 ] || usage
        for name in "${releases[@]}"; do
            use "$name"
            open_folder
            rm -rf --one-file-system "$root" "$root.new" "$CHROOTS/$release.log"
        done
        ;;
    *) usage ;;
esac
