#!/usr/bin/env bash
# 100,000 tenants, each with an entity and an attribute that register themselves with their first value.
. "$(dirname "$0")/lib.sh"
tenants=$(scaled 100000)

start_clock
q "SELECT count(eav.register_tenant('tenant ' || t, t)) FROM generate_series(1, $tenants) AS t" >/dev/null
note 'tenants registered' "$tenants in $(seconds) s"
before=$(own_memory "$(worker_pid)")
watch "$(worker_pid)"
for round in first second; do
    start_clock
    q "SELECT sum((eav.ingest(events)).accepted) FROM (
           SELECT string_agg(format('{\"tenant_id\": %s, \"entity\": \"device\", \"attributes\": {\"temperature\": %s.5}}', t, t), E'\n') AS events
           FROM generate_series(1, $tenants) AS t GROUP BY t / 1000) AS e" >/dev/null
    wait_for_history 600 "$([ $round = first ] && echo "$tenants" || echo $((2 * tenants)))"
    note "a value of each by eav.ingest(), $round time" "$(seconds) s"
done
note 'memory of the worker' "$before MB before, $(told) MB at most, $(own_memory "$(worker_pid)") MB afterwards"
is 'documents' "$(q 'SELECT count(*) FROM eav.entity_jsonb')" "$tenants"
q 'ANALYZE eav.entity_jsonb; ANALYZE eav.entities'
start_clock
is 'a document' "$(q "SELECT eav.get_entity($tenants, 'device') ->> 'temperature'")" "$tenants.5"
note 'a document of the last tenant' "$(seconds) s"
start_clock
is 'found' "$(q "SELECT count(*) FROM eav.find_entities($tenants, '\$.temperature > 1')")" 1
note 'a search in the last tenant' "$(seconds) s"
