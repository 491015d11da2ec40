#!/usr/bin/env bash
# Every C++ file looks as clang-format would write it: `make format`.
set -euo pipefail
find src include test -name '*.cpp' -o -name '*.hpp' | sort | xargs -r clang-format --dry-run -Werror
