'{"tenant_id": 1, "entity_id": ' || :entity || ', "observed_at": ' || :at
|| ', "attributes": {"temperature": ' || :reading || ', "speed": ' || :reading
|| ', "voltage": ' || :reading || ', "rpm": ' || :number || ', "range": ' || :number
|| ', "gear": ' || :gear || ', "status": "driving", "charging": false}}'
