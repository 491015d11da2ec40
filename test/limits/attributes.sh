#!/usr/bin/env bash
# 1,000,000 attributes: 100 tenants with 10,000 each, a value of each, by ids and by names.
. "$(dirname "$0")/lib.sh"
tenants=100 each=$(scaled 10000)
all=$((tenants * each))

q "SELECT eav.register_tenant('tenant ' || t, t) FROM generate_series(1, $tenants) AS t" >/dev/null
start_clock
q "INSERT INTO eav.attributes (tenant_id, name, data_type, projection)
   SELECT t, 'attribute ' || a, 'int', 'none' FROM generate_series(1, $tenants) AS t, generate_series(1, $each) AS a"
note "attributes" "$all in $(seconds) s"
q 'ANALYZE eav.attributes'

before=$(own_memory "$(worker_pid)")
watch "$(worker_pid)"
start_clock
q "INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int)
   SELECT tenant_id, 1, attribute_id, 1 FROM eav.attributes"
wait_for_history 600 $all
note 'a value of each, by ids' "$(seconds) s"
start_clock
q "INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value)
   SELECT tenant_id, 2, name, '2' FROM eav.attributes"
wait_for_history 600 $((2 * all))
note 'a value of each, by names' "$(seconds) s"
note 'memory of the worker' "$before MB before, $(told) MB at most, $(own_memory "$(worker_pid)") MB afterwards"
is 'values in history' "$(q 'SELECT count(*) FROM eav.entity_values_ts')" $((2 * all))

start_clock
ticket=$(q "SELECT ticket FROM eav.ingest('{\"tenant_id\": 7, \"entity_id\": 3, \"attributes\": {\"attribute 1\": 3}}', 'durable')")
note 'one value by eav.ingest(), durable' "$(seconds) s"
[ -n "$ticket" ] || wrong 'no ticket'
start_clock
q "SELECT eav.register_attribute(1, 'one more', 'int', 'none')" >/dev/null
note 'one more attribute' "$(seconds) s"
