#!/usr/bin/env bash
# Stops the cluster of `make demo`. Its files stay until the next `make demo`.
set -euo pipefail
cd "$(dirname "$0")/../.."
. infra/lib.sh
[ -d "$RUN/demo" ] || die "there is no demo: make demo"
infra/local/cluster.sh stop demo
say "the demo is stopped; make demo starts a new one"
