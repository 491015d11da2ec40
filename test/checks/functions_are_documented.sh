#!/usr/bin/env bash
# Every function that users may call is in docs/reference.md.
set -euo pipefail
status=0
names=$(grep -ohiE '^ *CREATE +(OR +REPLACE +)?(FUNCTION|PROCEDURE|AGGREGATE) +eav\.[a-z][a-z0-9_]*' sql/*.sql |
    sed 's/.*eav\.//' | sort -u)
for name in $names; do
    grep -qE "(eav\.|\`)$name\b" docs/reference.md || { echo "eav.$name is not in docs/reference.md"; status=1; }
done
exit $status
