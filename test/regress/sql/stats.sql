-- eav.mv_entity_attribute_stats and eav.refresh_stats()
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';
SET datestyle = 'ISO';
-- There from the start, and refreshable without having been filled.
SELECT count(*) FROM eav.mv_entity_attribute_stats WHERE attribute_name LIKE 's\_%';
SELECT eav.refresh_stats();

SELECT eav.register_tenant('stats') AS tenant \gset
SELECT eav.register_attribute(:tenant, 's_text', 'text') AS text_id,
       eav.register_attribute(:tenant, 's_int', 'int') AS int_id,
       eav.register_attribute(:tenant, 's_float', 'float') AS float_id,
       eav.register_attribute(:tenant, 's_numeric', 'numeric') AS numeric_id \gset
INSERT INTO eav.entity_values_ts
    (tenant_id, entity_id, observed_at, attribute_id, value_text, value_int, value_float, value_numeric)
VALUES
    (:tenant, 1, '2026-01-01', :text_id, 'a', NULL, NULL, NULL),
    (:tenant, 2, '2026-01-02', :text_id, 'b', NULL, NULL, NULL),
    (:tenant, 2, '2026-01-03', :text_id, NULL, NULL, NULL, NULL),
    (:tenant, 1, '2026-01-01', :int_id, NULL, 9223372036854775807, NULL, NULL),
    (:tenant, 1, '2026-01-02', :int_id, NULL, 9223372036854775805, NULL, NULL),
    (:tenant, 1, '2026-01-01', :float_id, NULL, NULL, 1.5, NULL),
    (:tenant, 2, '2026-01-01', :float_id, NULL, NULL, 'NaN', NULL),
    (:tenant, 3, '2026-01-01', :float_id, NULL, NULL, 'Infinity', NULL),
    (:tenant, 3, '2026-01-01', :float_id, NULL, NULL, 2.5, NULL),
    -- an int that became a float leaves both behind
    (:tenant, 3, '2026-01-01', :float_id, NULL, 5, NULL, NULL),
    (:tenant, 1, '2026-01-01', :numeric_id, NULL, NULL, NULL, '1e1000'),
    (:tenant, 1, '2026-01-01', :numeric_id, NULL, NULL, NULL, '-Infinity'),
    -- an attribute that is not registered
    (:tenant, 1, '2026-01-01', 1000000, NULL, 1, NULL, NULL);
SELECT count(*) FROM eav.mv_entity_attribute_stats WHERE tenant_id = :tenant;
SELECT eav.refresh_stats();
-- Written by hand, and so nothing that the rollups were told of.
SELECT count(*) FROM eav.mv_entity_attribute_stats WHERE tenant_id = :tenant;
SELECT eav.rebuild_rollups() > 0;
SELECT eav.refresh_stats();
SELECT attribute_name, data_type, value_count, cleared_count, entity_count, left(min_value::text, 20),
       left(max_value::text, 20), round(avg_value) < 1e1000, first_observed_at, last_observed_at,
       last_ingested_at > now() - interval '1 minute'
FROM eav.mv_entity_attribute_stats WHERE tenant_id = :tenant ORDER BY attribute_id;
SELECT avg_value FROM eav.mv_entity_attribute_stats
WHERE tenant_id = :tenant AND attribute_id IN (:int_id, :float_id) ORDER BY attribute_id;

-- Entities are counted where they have a projection: clearings as well, twice the same once, and
-- not those of an attribute that has none.
SELECT eav.register_attribute(:tenant, 's_none', 'int', 'none') \g /dev/null
SELECT eav.upsert_hot_attributes(:tenant, 1, '{"s_bool": true, "s_none": 1}'),
       eav.upsert_hot_attributes(:tenant, 1, '{"s_bool": false}'),
       eav.upsert_hot_attributes(:tenant, 2, '{"s_bool": null, "s_none": 2}') \g /dev/null
SELECT eav.refresh_stats();
SELECT attribute_name, value_count, cleared_count, entity_count, min_value FROM eav.mv_entity_attribute_stats
WHERE tenant_id = :tenant AND attribute_name IN ('s_bool', 's_none') ORDER BY attribute_name;

-- In a transaction, with and without readers.
BEGIN;
SELECT eav.upsert_hot_attributes(:tenant, 4, '{"s_text": "c"}') \g /dev/null
SELECT eav.refresh_stats(true);
SELECT eav.refresh_stats(concurrently => false);
SELECT value_count FROM eav.mv_entity_attribute_stats WHERE tenant_id = :tenant AND attribute_id = :text_id;
ROLLBACK;
SELECT value_count FROM eav.mv_entity_attribute_stats WHERE tenant_id = :tenant AND attribute_id = :text_id;
SELECT error_of('SELECT eav.refresh_stats(NULL)');

-- EXECUTE is enough.
CREATE ROLE regress_refresher;
GRANT USAGE ON SCHEMA eav TO regress_refresher;
GRANT EXECUTE ON FUNCTION eav.refresh_stats TO regress_refresher;
SET ROLE regress_refresher;
SELECT eav.refresh_stats();
SELECT error_of('SELECT count(*) FROM eav.mv_entity_attribute_stats');
RESET ROLE;
DROP OWNED BY regress_refresher;
DROP ROLE regress_refresher;
