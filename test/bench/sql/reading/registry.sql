-- Two tenants with attributes of the same names; the second has a twentieth of the entities.
SELECT eav.register_tenant('fleet', 1), eav.register_tenant('another fleet', 2) \g /dev/null
SELECT count(eav.register_attribute(t, bench.hot_name(h), (ARRAY['text', 'bool', 'text', 'int', 'text'])[h % 5 + 1], 'hot'))
FROM generate_series(1, 2) AS t, generate_series(0, :hot - 1) AS h \g /dev/null
SELECT count(eav.register_attribute(t, bench.cold_name(c), (ARRAY['int', 'float', 'text'])[c % 3 + 1], 'current'))
FROM generate_series(1, 2) AS t, generate_series(0, :cold - 1) AS c \g /dev/null
INSERT INTO bench.tenant VALUES (1, :entities), (2, :entities / 20);
BEGIN;
TRUNCATE eav.entities;
INSERT INTO eav.entities (tenant_id, entity_id, external_id)
SELECT tenant_id, e, 'device-' || e FROM bench.tenant, generate_series(1, entities) AS e;
COMMIT;
