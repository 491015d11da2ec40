-- 30 days of history of :attributes attributes, :per_hour values of each in every hour, written by SQL
-- and summed up anew.
SELECT eav.register_tenant('fleet', 1) \g /dev/null
SELECT count(eav.register_attribute(1, 'reading_' || to_char(a, 'FM000'), 'float', 'current'))
FROM generate_series(0, :attributes - 1) AS a \g /dev/null
SELECT eav._ensure_partitions() \g /dev/null
INSERT INTO eav.entity_values_ts (tenant_id, entity_id, attribute_id, observed_at, value_float)
SELECT 1, 1 + bench.draw(1, n, 10000), a.attribute_id,
       now() - hour * interval '1 hour' - n * interval '1 s', bench.draw(2, n + 1000 * hour, 1000000) / 1000.0
FROM generate_series(1, 30 * 24) AS hour, generate_series(1, :per_hour) AS n, eav.attributes AS a
ORDER BY hour DESC, a.attribute_id;
SELECT eav.rebuild_rollups() \g /dev/null
VACUUM ANALYZE eav.attribute_rollups;
VACUUM ANALYZE eav.entity_values_ts;
SELECT '   ' || count(*) || ' values' FROM eav.entity_values_ts;
