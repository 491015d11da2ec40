#!/usr/bin/env bash
# A value of 1 MB by each door, into each projection; one that is larger is refused.
. "$(dirname "$0")/lib.sh"
bytes=$(q "SELECT pg_size_bytes(eav._setting('eav.max_value_bytes'))")
note 'eav.max_value_bytes' "$bytes"
q "SELECT eav.register_tenant('acme', 1); SELECT eav.register_attribute(1, p, 'text', p) FROM unnest('{hot,live,current,none}'::text[]) AS p" >/dev/null
size=$((bytes < 1048576 ? bytes : 1048576))
watch "$(worker_pid)"
for projection in hot live current none; do
    start_clock
    q "SELECT eav.ingest(format('{\"tenant_id\": 1, \"entity_id\": 1, \"attributes\": {\"$projection\": \"%s\"}}', repeat('x', $size)), 'durable')" >/dev/null
    q "INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value) VALUES (1, 2, '$projection', repeat('y', $size))"
    q "SELECT octet_length(eav.upsert_hot_attributes(1, 3, jsonb_build_object('$projection', repeat('z', $size)))::text)" >/dev/null
    note "$size bytes by three doors, $projection" "$(seconds) s"
done
wait_for_history 60 8
note 'memory of the worker' "$(told) MB at most"
is 'values in history' "$(q "SELECT count(*) FROM eav.entity_values_ts WHERE octet_length(value_text) = $size")" 12
is 'values in documents' "$(q "SELECT count(*) FROM generate_series(1, 3) AS e, jsonb_each_text(eav.get_entity(1, e)) AS v WHERE octet_length(v.value) = $size")" 9
# One byte more: rejected, the neighbour is not.
q "INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value) VALUES (1, 9, 'hot', repeat('y', $bytes + 1)), (1, 9, 'live', 'fine')"
wait_for 60 'SELECT rejected = 1 FROM eav.flush_state'
is 'reason' "$(q 'SELECT sqlstate FROM eav.ingest_rejects')" 54000
is 'neighbour' "$(q "SELECT eav.get_entity(1, 9) ->> 'live'")" fine
is 'refused' "$(q "SELECT rejected FROM eav.ingest(format('{\"tenant_id\": 1, \"entity_id\": 1, \"attributes\": {\"hot\": \"%s\"}}', repeat('x', $bytes + 1)))")" 1
