#!/usr/bin/env bash
# 5,000 partitions of history, an hour each: writing, reading, maintenance, a dump.
. "$(dirname "$0")/lib.sh"
partitions=$(scaled 5000)

q "SELECT eav.register_tenant('acme', 1); SELECT eav.register_attribute(1, 'n', 'int', 'live')" >/dev/null
start_clock
# In several transactions: each partition and each of its indexes takes a lock until the end.
premake=100
q "SELECT eav.configure_partitions('1 hour', $premake)"
while [ $premake -lt "$partitions" ]; do
    premake=$((premake + 400 < partitions ? premake + 400 : partitions))
    q "SELECT eav.configure_partitions('1 hour', $premake)"
done
note 'partitions' "$(q 'SELECT count(*) FROM eav._history_partitions()') in $(seconds) s"
q "INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, ingested_at, attribute_id, value_int)
   SELECT 1, 1, p.lower, p.lower, 1, 1 FROM eav._history_partitions() p WHERE p.lower IS NOT NULL ORDER BY p.lower LIMIT 500"
watch "$(worker_pid)"
start_clock
q "INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int) SELECT 1, i % 1000, 1, i FROM generate_series(1, 100000) AS i"
wait_for_history 120 100000
note '100,000 values to history' "$(seconds) s"
start_clock
q "SELECT eav.run_maintenance()" >/dev/null
note 'maintenance' "$(seconds) s"
note 'memory of the worker' "$(told) MB at most"

# Works, or says which setting is too low: each partition and each of its indexes takes a lock.
try() { # NAME SQL
    local message
    start_clock
    if message=$(q "$2" 2>&1); then
        note "$1" "$(seconds) s"
    else
        case $message in
            *'out of shared memory'*max_locks_per_transaction*) note "$1" 'refused: max_locks_per_transaction is too low' ;;
            *) wrong "$message" ;;
        esac
    fi
}
try 'entity_history of an hour' "SELECT count(*) FROM eav.entity_history(1, 1, 'n', now() - interval '1 hour', now())"
try 'a query of all partitions' "SELECT count(*) FROM eav.entity_values_ts WHERE tenant_id = 1 AND attribute_id = 1"
