#!/usr/bin/env bash
# src/core and include/eav/core know nothing of the server. Each file compiles on
# its own without the server's include path, and nothing it reads, however far
# down, is a header of PostgreSQL that happens to lie on a default path.
set -euo pipefail
status=0
files=$(find src/core include/eav/core -name '*.cpp' -o -name '*.hpp' 2>/dev/null | sort)
[ -n "$files" ] || { echo "there is no file in src/core"; exit 1; }
flags='-std=c++20 -Iinclude -DEAV_CORE_ONLY'
for file in $files; do
    # Read by way of -include: a header given as the main file draws a warning.
    # shellcheck disable=SC2086  # the flags are words
    if ! deps=$(g++ $flags -M -include "$file" -x c++ /dev/null &&
        g++ $flags -fsyntax-only -include "$file" -x c++ /dev/null); then
        echo "$file does not compile without the server"
        status=1
    fi
    leaked=$(tr -s ' \\' '\n' <<<"$deps" | grep -E '/postgresql/|/(postgres|postgres_ext|pg_config|libpq-fe)\.h$|eav/pg/') || continue
    echo "$file reads $(tr '\n' ' ' <<<"$leaked")"
    status=1
done
exit $status
