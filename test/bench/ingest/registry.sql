-- 10,000 devices with the attributes of event.sql, and their documents, so that the benchmarks
-- meet what a server meets that has been running for a while.
SELECT eav.register_tenant('fleet', 1);
SELECT count(eav.register_attribute(1, name, type, projection))
FROM (VALUES ('temperature', 'float', 'live'), ('speed', 'float', 'live'),
             ('voltage', 'float', 'live'), ('rpm', 'int', 'live'), ('gear', 'int', 'hot'),
             ('range', 'int', 'live'), ('status', 'text', 'hot'),
             ('charging', 'bool', 'hot')) AS attribute (name, type, projection);
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value, observed_at)
SELECT 1, entity, name, CASE data_type WHEN 'text' THEN 'idle' WHEN 'bool' THEN 'true' ELSE '1' END,
       now() - interval '1 h'
FROM generate_series(1, 10000) AS entity, eav.attributes
WHERE tenant_id = 1;
SELECT eav.stage_flush();
