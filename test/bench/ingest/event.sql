'{"tenant_id": 1, "entity_id": ' || :entity || ', "observed_at": ' || :at
|| ', "attributes": {"temperature": ' || :temperature || ', "speed": ' || :speed
|| ', "voltage": ' || :voltage || ', "rpm": ' || :rpm || ', "gear": ' || :gear
|| ', "range": ' || :reach || ', "status": "driving", "charging": false}}'
