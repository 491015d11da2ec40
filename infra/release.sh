#!/usr/bin/env bash
# Builds the library of a released version, for the tests of upgrades: the way from there begins with
# data that it has written.
#
#   release.sh VERSION       prints the folder that holds eav_ext.so and eav_ext.control
#
# Once for each server; they stay in .run/releases. Exit status 77: it cannot be built here; the
# reason is the last line.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

CANNOT=77
case ${1:-} in
    1.0.0) commit=d2d2daab70b450851af4bf9f91ed4a7bf158ea42 ;;
    *) die "no release '${1:-}'" ;;
esac
folder=$RUN/releases/$1-$(pg_config_says --version | cut -d ' ' -f 2)
if [ ! -f "$folder/eav_ext.so" ]; then
    if ! git -C "$ROOT" cat-file -e "$commit^{commit}" 2>/dev/null; then
        warn "the commit of version $1 is not in this checkout (git fetch --unshallow gets it)"
        exit $CANNOT
    fi
    rm -rf "$folder.new"
    mkdir -p "$folder.new/source"
    git -C "$ROOT" archive "$commit" | tar -C "$folder.new/source" -x
    make -s -C "$folder.new/source" -j"$(nproc)" PG_CONFIG="$PG_CONFIG" all >"$folder.new/make.log" 2>&1 ||
        die "version $1 does not build: $(tail -n 3 "$folder.new/make.log")"
    mv "$folder.new/source/eav_ext.so" "$folder.new/source/eav_ext.control" "$folder.new"
    rm -rf "$folder.new/source" "$folder"
    mv "$folder.new" "$folder"
fi
echo "$folder"
