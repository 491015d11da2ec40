#!/usr/bin/env bash
# Shell scripts parse, and shellcheck has nothing to say about them.
set -euo pipefail
status=0
scripts=$({ find infra test -name '*.sh' && find .ci -type f; } | sort)
for script in $scripts; do
    bash -n "$script" || status=1
done
if command -v shellcheck >/dev/null; then
    # Not followed are files that are sourced, nor variables that come from those that source.
    # shellcheck disable=SC2086  # no blanks in the names of our scripts
    shellcheck --shell=bash --severity=warning --exclude=SC1090,SC1091,SC2154 $scripts || status=1
fi
exit $status
