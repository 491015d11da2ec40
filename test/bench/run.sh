#!/usr/bin/env bash
# Runs the benchmarks: all of them, or those named.
#
#   test/bench/run.sh [backlog] [cadence] [fleet] [copy] [ingest] [route] [reading]
#
# BENCH_ROUNDS=3 BENCH_VALUES=1000000 BENCH_DEVICES=20000 BENCH_CYCLES=100 BENCH_SECONDS=30, and
# those of ingest and reading in ingest.sh and reading.sh; BENCH_PERF=1 also shows where the time
# goes, BENCH_CLUSTER names the private cluster. What each measures: docs/benchmarks.md.
# Every single figure is added to .run/bench/results.tsv.
set -euo pipefail
cd "$(dirname "$0")/../.."
. infra/lib.sh
forget_connection_settings
. test/bench/lib.sh
ALL=(backlog cadence fleet copy ingest route reading)
for name in "${ALL[@]}"; do . "$HERE/$name.sh"; done

[ $# -gt 0 ] || set -- "${ALL[@]}"
for name in "$@"; do
    [[ " ${ALL[*]} " == *" $name "* ]] || die "no benchmark '$name', there are: ${ALL[*]}"
done
BENCH_PERF=${BENCH_PERF:+1}
[ -z "${BENCH_PERF:-}" ] || command -v perf >/dev/null || die "BENCH_PERF needs perf (Debian: linux-perf)"
[ -f "$(pg_config_says --pkglibdir)/eav_ext.so" ] || die "eav_ext is not installed: make install"

mkdir -p "$OUT"
make -s -f $HERE/bench.mk OUT="$OUT" PG_CONFIG="$PG_CONFIG"
RUN_ID=$(date -u +%Y%m%dT%H%M%S)
trap 'infra/local/cluster.sh destroy $CLUSTER >/dev/null 2>&1' EXIT
trap 'exit 130' INT TERM

describe_machine | tee -a "$OUT/machines.txt"
printf 'settings: %s\n' "${SETTINGS[*]}"
for name in "$@"; do
    "bench_$name"
done
say "every figure is in .run/bench/results.tsv, run $RUN_ID"
