#!/usr/bin/env bash
# clang-tidy finds nothing. A file that passed is not looked at again until it, a
# header of ours or the configuration changes.
set -euo pipefail
cache=.run/tidy
mkdir -p "$cache"
flags=$(make -s --no-print-directory print-LINT_FLAGS)
shared=$({ echo "$flags" && clang-tidy --version && find include -type f -print0 | sort -z | xargs -0r cat .clang-tidy; } | sha256sum)

tidy() { # FILE
    local key
    key=$cache/$({ echo "$shared" && echo "$1" && cat "$1"; } | sha256sum | cut -d ' ' -f 1)
    [ ! -e "$key" ] || return 0
    # shellcheck disable=SC2086  # the flags are words
    clang-tidy --quiet "$1" -- $flags 2>&1 | sed '/warnings\? generated\.$/d' || return 1
    touch "$key"
}
export -f tidy
export cache flags shared
find src -name '*.cpp' | sort | xargs -r -P "$(nproc)" -n 1 bash -c 'set -o pipefail; tidy "$1"' tidy
