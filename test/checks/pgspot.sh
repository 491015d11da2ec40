#!/usr/bin/env bash
# pgspot finds nothing in the install script: no name that others could capture. It is a package of PyPI,
# and gets an environment of its own; where it cannot be installed the check is skipped.
set -euo pipefail
version=0.9.4
home=.run/pgspot-$version
skipped=77 # see test/suites/checks.sh

if [ ! -x "$home/bin/pgspot" ]; then
    rm -rf "$home"
    mkdir -p .run
    if ! python3 -m venv "$home" >"$home.log" 2>&1 ||
        ! "$home/bin/pip" install --quiet --disable-pip-version-check "pgspot==$version" >>"$home.log" 2>&1; then
        rm -rf "$home"
        echo "pgspot $version cannot be installed: $(tail -n 1 "$home.log")"
        exit $skipped
    fi
fi
output=$(for part in sql/[0-9][0-9]_*.sql; do cat "$part"; done |
    perl test/checks/pgspot_input.pl >"$home/input.sql" && "$home/bin/pgspot" "$home/input.sql" 2>&1) || true
[[ $output == *'Errors: 0 Warnings: 0 Unknown: 0'* && $(grep -c . <<<"$output") -eq 1 ]] || {
    echo "$output"
    exit 1
}
