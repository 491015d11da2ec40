# Reading: documents, filters, pages, distributions, and what tiers cost; in five parts.
# BENCH_READING="questions growth wide tiers distribution" chooses.
#
#   questions     BENCH_ENTITIES=100000 entities with BENCH_HOT=20 hot and BENCH_COLD=180 attributes
#                 in tier current: documents, filters, pages; filters of cold attributes beside the
#                 same question asked of plain EAV history and of one JSONB document per entity
#   growth        the same without those two, BENCH_GROWTH="100000 500000" entities with
#                 BENCH_GROWTH_COLD=20 in tier current
#   wide          one entity with BENCH_WIDE=10000 attributes
#   tiers         what eav.max_hot_attributes decides: flushes and sizes of a fleet of
#                 BENCH_FLEET=2000 entities with 200 attributes that register themselves
#   distribution  eav.value_distribution() over 30 days, from rollups of BENCH_ROLLUP_ATTRIBUTES=200, with
#                 BENCH_DENSITIES="2 20" values an hour and attribute
#
# BENCH_FULL=1 is 1,000,000 entities in questions, and growth to 5,000,000: hours, and 60 GB of disk.
# BENCH_CALLS=300 for each question, BENCH_LIMIT=20 seconds at most for each.
# Tables are filled by SQL set by set and not through the flush, so that loading takes minutes.

ENTITIES=${BENCH_ENTITIES:-${BENCH_FULL:+1000000}}
ENTITIES=${ENTITIES:-100000}
HOT=${BENCH_HOT:-20} COLD=${BENCH_COLD:-180}
CALLS=${BENCH_CALLS:-300} LIMIT=${BENCH_LIMIT:-20}
READING=$HERE/sql/reading

for part in questions growth wide tiers distribution; do . "$HERE/reading/$part.sh"; done

bench_reading() {
    local part
    for part in ${BENCH_READING:-questions growth wide tiers distribution}; do
        declare -F "reading_$part" >/dev/null || die "no part '$part' of the benchmark reading"
        "reading_$part"
    done
}

# Tables of this size are filled without WAL, which only the level minimal allows.
start_reading_server() {
    start_server eav.worker_enabled=off wal_level=minimal max_wal_senders=0 max_wal_size=4GB \
        autovacuum=off maintenance_work_mem=2GB "$@"
    query -f $READING/measure.sql
}

# load_reading ENTITIES HOT COLD: entities, their documents and cold values, of two tenants.
load_reading() {
    local began=$SECONDS
    query -v entities="$1" -v hot="$2" -v cold="$3" -f $READING/registry.sql
    query -v hot="$2" -v cold="$3" -f $READING/documents.sql
    progress "documents of $1 entities, and $(($1 / 10)) of another tenant" "$began"
    query -v hot="$2" -v cold="$3" -f $READING/current.sql
    progress "$(query -c 'SELECT count(*) FROM eav.entity_values_current') cold values" "$began"
    query -f $READING/current_indexes.sql
    query -c 'VACUUM ANALYZE eav.entities' -c 'VACUUM ANALYZE eav.entity_jsonb' \
        -c 'VACUUM ANALYZE eav.entity_values_current' -c 'ANALYZE eav.attributes' -c CHECKPOINT
    progress 'indexes, vacuum' "$began"
}
progress() { printf '   %5d s  %s\n' $((SECONDS - $2)) "$1"; }

# ask FILE TITLE: runs the questions of a script and shows what has been measured.
ask() {
    query -c 'TRUNCATE bench.call' -v calls="$CALLS" -v seconds="$LIMIT" -v entities="$ENTITIES" \
        -v hot="$HOT" -v cold="$COLD" -f "$READING/$1.sql" >/dev/null
    show_calls "$2"
}

show_calls() { # TITLE
    local question calls rows p50 p95 p99
    printf '   %-54s %6s %7s %9s %9s %9s  ms\n' "$1" calls rows p50 p95 p99
    while IFS='|' read -r question calls rows p50 p95 p99; do
        printf '   %-54s %6s %7s %9s %9s %9s\n' "$question" "$calls" "$rows" "$p50" "$p95" "$p99"
        record reading "$1 $question" 1 'p50_ms p95_ms p99_ms rows' "$p50 $p95 $p99 $rows"
    done < <(query -f $READING/percentiles.sql)
}

show_sizes() { # TITLE
    local relation bytes size tuples
    printf '   %-54s %10s %14s %16s\n' "$1" size rows 'bytes an entity'
    while IFS='|' read -r relation bytes size tuples; do
        printf '   %-54s %10s %14s %16s\n' "$relation" "$size" "$tuples" $((bytes / (ENTITIES + ENTITIES / 10)))
        record reading "$1 $relation" 1 bytes "$bytes"
    done < <(query -f $READING/sizes.sql)
}
