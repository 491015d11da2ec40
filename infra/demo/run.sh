#!/usr/bin/env bash
# The whole of eav_ext in a private cluster: real telemetry, by COPY and as JSON events, a simulated
# fleet, some queries.
#
#   infra/demo/run.sh          DEMO_SECONDS=20 of the fleet, DEMO_RATE=10000 values/s
#
# Counts what goes in and what comes out, and fails when they differ.
set -euo pipefail
cd "$(dirname "$0")/../.."
. infra/lib.sh
forget_connection_settings
seconds=${DEMO_SECONDS:-20} rate=${DEMO_RATE:-10000}
cluster=infra/local/cluster.sh
values_in=0

query() { $cluster psql demo -X -q -v ON_ERROR_STOP=1 "$@"; }
number() { query -At -c "$1"; }

build_and_install() {
    local sudo=() library extensions log=$RUN/demo-build.log
    library=$(pg_config_says --pkglibdir) extensions=$(pg_config_says --sharedir)/extension
    if ! [ -w "$library" ] || ! [ -w "$extensions" ]; then
        command -v sudo >/dev/null ||
            die "cannot install into $library and $extensions: run as root, or install sudo"
        sudo=(sudo)
    fi
    mkdir -p "$RUN"
    say "building and installing eav_ext"
    {
        make -s -j "$(nproc)" PG_CONFIG="$PG_CONFIG" &&
            make -s -f test/bench/bench.mk fleet PG_CONFIG="$PG_CONFIG"
    } >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        die "the build failed, all of its output is in $log"
    }
    # Not into the log: sudo may have to ask.
    "${sudo[@]}" make -s install PG_CONFIG="$PG_CONFIG" >/dev/null || die "the installation failed"
}

# Waits until the worker has taken everything that was sent.
wait_until_flushed() {
    for _ in {1..600}; do
        [ "$(number 'SELECT flushed + rejected FROM eav.flush_state')" -lt "$values_in" ] || return 0
        sleep 0.1
    done
    query -x -c 'SELECT * FROM eav.worker_status()' >&2
    die "the worker has not taken all $values_in values within a minute, see .run/demo/server.log"
}

# copied COMMAND...: adds the number of rows that psql reports for its COPY.
copied() {
    local output
    output=$("$@")
    [[ $output =~ ^COPY\ ([0-9]+)$ ]] || die "no COPY: $output"
    values_in=$((values_in + BASH_REMATCH[1]))
}

load_earthquakes() {
    local started
    say "one week of earthquakes, through staging, tenant 1"
    query -f infra/demo/earthquakes.sql >/dev/null
    started=$EPOCHREALTIME
    copied copy_earthquakes
    printf '   COPY of %d values: %s ms\n' "$values_in" "$(milliseconds_since "$started")"
    say "the same as NDJSON, through eav.ingest(), tenant 2"
    ingest_earthquakes
    wait_until_flushed
    say "both ways lead to the same"
    query -f infra/demo/same.sql
    query -x -c 'SELECT * FROM eav.stat_ingest'
    send_broken
    query -c "SELECT e.tenant_id, e.external_id AS network, count(*) AS values_in_history,
                     count(DISTINCT v.attribute_id) AS attributes, min(v.observed_at) AS first,
                     max(v.observed_at) AS last
              FROM eav.entity_values_ts v JOIN eav.entities e USING (tenant_id, entity_id)
              GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT 6"
}
milliseconds_since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN {printf "%.0f", 1000 * (to - from)}'; }

# In calls of 500 events, the last of which waits until all is on disk.
ingest_earthquakes() {
    local files file ack receipt dir=$RUN/demo-events
    query -f infra/demo/earthquake_events.sql >/dev/null
    rm -rf "$dir"
    mkdir -p "$dir"
    query -At -c 'SELECT event FROM demo.earthquake_events' | split -l 500 - "$dir/"
    files=("$dir"/*) ack=accepted
    for file in "${files[@]}"; do
        [ "$file" != "${files[-1]}" ] || ack=durable
        receipt=$(EVENTS=$file query -At -v ack="$ack" -f infra/demo/ingest.sql)
        [[ $receipt =~ ^([0-9]+)\|([0-9]+)\|([0-9]+).*Time:\ ([0-9.]+) ]] || die "no receipt: $receipt"
        printf '   ack %-8s  %4d events accepted, %d rejected, ticket %d: %s ms\n' "$ack" "${BASH_REMATCH[@]:1}"
    done
    values_in=$((values_in + $(number "SELECT count(*) FROM demo.earthquake_events,
                                              jsonb_object_keys(event -> 'attributes')")))
}

# One value in five by COPY, and one event in two, is right.
send_broken() {
    say "what is wrong is rejected with a reason, and nothing else"
    copied $cluster psql demo -X -v ON_ERROR_STOP=1 -f infra/demo/broken.sql
    query -f infra/demo/broken_event.sql
    values_in=$((values_in + 2))
    wait_until_flushed
    query -c "SELECT sqlstate, reason, payload ->> 'attribute' AS attribute,
                     payload ->> 'value' AS value, payload ->> 'position' AS position,
                     payload #>> '{event,colour}' AS colour
              FROM eav.ingest_rejects ORDER BY reject_id"
}
copy_earthquakes() {
    query -c 'COPY (SELECT * FROM demo.earthquake_values) TO STDOUT' |
        $cluster psql demo -X -v ON_ERROR_STOP=1 -c '\copy eav.entity_values_ingest (tenant_id, entity, attribute, value, observed_at) FROM pstdin'
}

run_fleet() {
    local summary=$RUN/demo-fleet.txt sent probes
    say "10,000 devices, $rate values/s, $seconds s"
    (
        eval "$($cluster env demo)"
        "$RUN/bench/fleet" devices=10000 rate="$rate" seconds="$seconds" warmup=0 names=1 summary="$summary"
    ) || die "the fleet failed, or values were lost on the way"
    sent=$(sed -n 's/^values=//p' "$summary") probes=$(sed -n 's/^probes=//p' "$summary")
    values_in=$((values_in + sent + probes))
}

show_samples() {
    say "three questions"
    query -f infra/demo/samples.sql
    values_in=$((values_in + 4)) # two by COPY, two by upsert_hot_attributes()
}

# Everything that went in is in history or among the rejects, or waits, accounted for, for a
# transaction of somebody else.
check_counts() {
    local history rejects waiting
    history=$(number 'SELECT count(*) FROM eav.entity_values_ts')
    rejects=$(number 'SELECT count(*) FROM eav.ingest_rejects')
    waiting=$(number 'SELECT count(*) FROM eav.flush_backlog WHERE ingested_at IS NULL')
    say "values in = history + rejects + waiting"
    printf '   %d = %d + %d + %d\n' "$values_in" "$history" "$rejects" "$waiting"
    [ "$values_in" -eq $((history + rejects + waiting)) ] || die "the counts differ"
}

build_and_install
say "starting the private cluster"
$cluster start demo -o shared_preload_libraries=eav_ext -o shared_buffers=256MB -o max_wal_size=2GB
query -c "SET client_min_messages = warning" -c "CREATE EXTENSION eav_ext CASCADE"
load_earthquakes
run_fleet
show_samples
check_counts
say "the demo is running"
(
    eval "$($cluster env demo)"
    printf '   connect  psql -h %s -p %s -U postgres postgres\n' "$PGHOST" "$PGPORT"
)
echo '   stop     make demo-stop'
