-- The sample into a staging table (:target). Rounds differ in their readings and in time.
INSERT INTO :target (tenant_id, entity_id, attribute_id, value_text, value_bool, value_int,
                     value_float, observed_at)
SELECT tenant_id, entity_id, attribute_id, value_text, value_bool, value_int, value_float + :round,
       now() - (1000000 - moment) * interval '10 us'
FROM bench.sample
ORDER BY seq;
