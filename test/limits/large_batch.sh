#!/usr/bin/env bash
# 1,000,000 values in one transaction: by COPY, and by one call of eav.ingest().
. "$(dirname "$0")/lib.sh"
values=$(scaled 1000000)
q "SELECT eav.register_tenant('acme', 1); SELECT eav.register_attribute(1, 'n', 'int', 'live')" >/dev/null
q "INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int) VALUES (1, 1, 1, 0)"
wait_for_history 60 1

for door in staging ingest; do
    before=$(own_memory "$(worker_pid)")
    watch "$(worker_pid)"
    start_clock
    if [ $door = staging ]; then
        awk "BEGIN { for (i = 1; i <= $values; ++i) print 1 \"\t\" 1 + i % 10000 \"\t1\t\" i }" |
            q_script -c '\copy eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int) FROM STDIN'
        note "COPY of $values values" "$(seconds) s"
    else
        # Ten attributes an event; a payload of up to eav.max_payload_bytes.
        q "SELECT 1 FROM eav.register_attribute(1, 'live', 'int', 'live')" >/dev/null
        q "CREATE TABLE payload AS SELECT string_agg(format('{\"tenant_id\":1,\"entity_id\":%s,\"attributes\":{%s}}', e,
               (SELECT string_agg(format('\"a%s\":%s', a, e), ',') FROM generate_series(1, 10) AS a)), E'\n') AS events
           FROM generate_series(1, $values / 10) AS e"
        note 'payload' "$(q "SELECT pg_size_pretty(octet_length(events)::bigint) FROM payload"), eav.max_payload_bytes $(q "SELECT eav._setting('eav.max_payload_bytes')")"
        start_clock
        if message=$(q "SELECT accepted FROM payload, eav.ingest(events)" 2>&1); then
            is accepted "$message" $((values / 10))
        else
            case $message in *'payload is too large'*) note 'one call of eav.ingest()' "refused: $message" ;; *) wrong "$message" ;; esac
            continue
        fi
        note "eav.ingest() of $values values" "$(seconds) s"
    fi
    wait_for_history 600 $((1 + values * ($([ $door = ingest ] && echo 2 || echo 1))))
    note "until they are in history" "$(seconds) s"
    note 'memory of the worker' "$before MB before, $(told) MB at most, $(own_memory "$(worker_pid)") MB afterwards"
done
