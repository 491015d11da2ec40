INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, observed_at, attribute, value_float,
                                      value_int, value_text, value_bool)
VALUES (1, :entity, to_timestamp(:at / 1000.0), 'temperature', :reading, NULL, NULL, NULL),
       (1, :entity, to_timestamp(:at / 1000.0), 'speed', :reading, NULL, NULL, NULL),
       (1, :entity, to_timestamp(:at / 1000.0), 'voltage', :reading, NULL, NULL, NULL),
       (1, :entity, to_timestamp(:at / 1000.0), 'rpm', NULL, :number, NULL, NULL),
       (1, :entity, to_timestamp(:at / 1000.0), 'gear', NULL, :gear, NULL, NULL),
       (1, :entity, to_timestamp(:at / 1000.0), 'range', NULL, :number, NULL, NULL),
       (1, :entity, to_timestamp(:at / 1000.0), 'status', NULL, NULL, 'driving', NULL),
       (1, :entity, to_timestamp(:at / 1000.0), 'charging', NULL, NULL, NULL, false);
