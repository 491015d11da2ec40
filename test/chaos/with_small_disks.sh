#!/usr/bin/env bash
# with_small_disks.sh DIR USER COMMAND...: runs the command with a small file system at DIR/alpha and
# one at DIR/beta, which USER may write to. In a mount namespace of its own, so that they go with it.
set -euo pipefail
dir=$1 user=$2
shift 2
for name in alpha beta; do
    mkdir -p "$dir/$name"
    mount -t tmpfs -o size=16m,mode=700 eav-chaos "$dir/$name"
    mkdir "$dir/$name/space"
    [ "$(id -u)" -ne 0 ] || chown -R "$user:" "$dir/$name"
done
exec "$@"
