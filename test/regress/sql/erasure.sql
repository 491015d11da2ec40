-- What eav.erase_entity() and eav.erase_tenant() refuse and answer; that they leave nothing is tested
-- in test/tap/t/130_erasure.pl. The worker rests, so each batch is ours.
SELECT eav.register_tenant('erasure', 68001);
SELECT error_of($$SELECT eav.erase_entity(NULL, 1, 'x')$$);
SELECT error_of($$SELECT eav.erase_entity(68000, 1, 'x')$$);
SELECT error_of($$SELECT eav.erase_entity(68001, NULL, 'x')$$);
SELECT error_of($$SELECT eav.erase_entity(68001, 1, NULL)$$);
SELECT error_of($$SELECT eav.erase_entity(68001, 1, E' \n')$$);
SELECT error_of($$SELECT eav.erase_tenant(NULL, 'x')$$);
SELECT error_of($$SELECT eav.erase_tenant(68000, 'x')$$);
SELECT error_of($$SELECT eav.erase_tenant(68001, NULL)$$);
SELECT error_of($$SELECT eav.erase_tenant(68001, '')$$);
SELECT error_of($$SELECT eav.run_erasures(NULL)$$);
SELECT error_of($$SELECT eav.run_erasures(0)$$);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT error_of($$SELECT eav.run_erasures()$$);
ROLLBACK;

SELECT eav.register_entity(68001, 'person', NULL, 7);
SELECT eav.upsert_hot_attributes(68001, 7, '{"a": 1, "b": "x"}') IS NOT NULL;
SELECT eav.upsert_hot_attributes(68001, 8, '{"a": 2}') IS NOT NULL;
-- A request that does not commit leaves nothing.
BEGIN;
SELECT eav.erase_entity(68001, 7, 'mistaken') > 0;
SELECT eav.run_erasures() AS not_begun_by_the_one_who_asked;
ROLLBACK;
SELECT count(*) FROM eav.erasures;
SELECT count(*) FROM eav.audit_log;

-- What was staged and rolled back stands in staging until that is emptied.
BEGIN;
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value) VALUES (68001, 7, 'a', '5');
ROLLBACK;
SELECT eav.erase_entity(68001, 7, 'ticket') AS erasure \gset
SELECT eav.erase_entity(68001, 7, 'ticket') = :erasure;
SELECT error_of($$SELECT eav.upsert_hot_attributes(68001, 7, '{"a": 3}')$$);
SELECT error_of($$SELECT eav.register_entity(68001, 'person')$$);
SELECT error_of($$SELECT eav.register_entity(68001, 'other', NULL, 7)$$);
-- Others are not concerned.
SELECT eav.upsert_hot_attributes(68001, 8, '{"a": 4}') IS NOT NULL, eav.register_entity(68001, 'another') > 0;
SELECT phase, of_tenant FROM eav.stat_erasures;
CREATE PROCEDURE erase_all() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 10000 LOOP
        EXIT WHEN eav.run_erasures() = 0;
        COMMIT;
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;
CALL erase_all();
SELECT action, state, tenant_id, reason, details -> 'removed' AS removed FROM eav.audit_log
WHERE erasure_id = :erasure ORDER BY audit_id;
SELECT entity_id, value_int FROM eav.entity_values_ts WHERE tenant_id = 68001 ORDER BY 1, 2;
SELECT entity_id, external_id FROM eav.entities WHERE tenant_id = 68001 AND entity_id < 100;
SELECT count(*) FROM eav.erased_subjects WHERE tenant_id = 68001;
-- Registered again it is another.
SELECT eav.register_entity(68001, 'person') <> 7;
SELECT count(*) FROM eav.erased_subjects WHERE tenant_id = 68001;
-- Who was never there can be erased, too.
SELECT eav.erase_entity(68001, 9, 'on the way') > 0;
CALL erase_all();

-- Rejects: of another sender, of none, as text that jsonb cannot hold. Those about others stay.
SELECT eav.register_entity(68001, 'M"üller', NULL, 10);
SELECT eav.register_tenant('erasure 2', 68002);
INSERT INTO eav.ingest_rejects (tenant_id, sqlstate, reason, payload)
SELECT n.tenant_id, '42501', CASE WHEN n.is_about THEN 'about it' ELSE 'about others' END, n.payload
FROM (VALUES
    (68001, true, '{"event": {"tenant_id": 68001, "entity_id": 10}}'::jsonb),
    (68002, true, '{"event": {"tenant_id": 68001, "entity_id": 10}}'),
    (68002, true, '{"event": {"tenant_id": "68001", "entity": "M\"üller"}}'),
    (68002, true, '{"tenant_id": 68001, "entity_id": 10, "attribute": "a", "value": "x"}'),
    (NULL, true, '{"event": {"tenant_id": "68001", "entity_id": "10"}}'),
    (NULL, true, '{"event": {"tenant_id": 68001.0, "entity_id": 10}}'),
    (NULL, true, '{"event": {"entity_id": 10}}'),
    (NULL, true, '{"event": [{"entity_id": 10}]}'),
    (NULL, true, '{"tenant_id": true, "entity_id": 10}'),
    (68001, true, jsonb_build_object('event', '{"entity": "M\"\u00fcller", "attributes": {"a": 1e400000}}')),
    (68001, true, jsonb_build_object('event', '{"entity": "M\u0022\u00FCller", "attributes": {"\ud800": "\u0000"}}')),
    (68002, true, jsonb_build_object('event', '{"tenant_id" : "68001", "entity_id": 10, "attributes": {"a": 1e400000}}')),
    (NULL, true, jsonb_build_object('event', '{"entity_id": 10, "attributes": {"a": 1e400000}}')),
    (68001, false, '{"event": {"tenant_id": 68001, "entity_id": 100}}'),
    (68002, false, '{"event": {"tenant_id": 68002, "entity_id": 10}}'),
    (68002, false, '{"event": {"entity_id": 10}}'),
    (68002, false, '{"event": {"tenant_id": 68001, "entity_id": 11}}'),
    (NULL, false, '{"event": {"tenant_id": "68002", "entity_id": 10}}'),
    (NULL, false, '{"event": {"tenant_id": "99999999999999999999", "entity_id": 11}}'),
    (NULL, false, jsonb_build_object('event', '{"tenant_id": 68002, "entity_id": 10, "attributes": {"a": 1e400000}}')),
    (68001, false, jsonb_build_object('event', '{"entity": "M\\u00fcller", "attributes": {"a": 1e400000}}'))
    ) AS n (tenant_id, is_about, payload);
CREATE TEMPORARY TABLE rejected AS SELECT * FROM eav.ingest_rejects;
SELECT eav.erase_entity(68001, 10, 'ticket') > 0;
CALL erase_all();
SELECT tenant_id, reason, payload FROM eav.ingest_rejects ORDER BY reject_id;
-- Nor are they kept when they arrive later, if they name the tenant.
SELECT reason, count(*) FILTER (WHERE eav._is_erased_reject(tenant_id, payload)) AS discarded, count(*)
FROM rejected GROUP BY reason;
SELECT tenant_id, payload FROM rejected
WHERE reason = 'about it' AND NOT eav._is_erased_reject(tenant_id, payload) ORDER BY reject_id;

-- A batch that fails says so, and is tried again.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''refused''; END';
CREATE TRIGGER refuse BEFORE DELETE ON eav.entity_jsonb FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT eav.erase_entity(68001, 8, 'ticket') AS erasure \gset
SELECT eav.run_erasures();
SELECT eav.run_erasures();
SELECT phase, failures, last_error FROM eav.stat_erasures;
DROP TRIGGER refuse ON eav.entity_jsonb;
DROP FUNCTION refuse;
UPDATE eav.erasures SET next_attempt_at = now();
CALL erase_all();
SELECT state FROM eav.audit_log WHERE erasure_id = :erasure ORDER BY audit_id;

-- A tenant.
SELECT eav.register_attribute(68001, 'c', 'int', 'hot') > 0;
SELECT eav.erase_tenant(68001, 'end') AS erasure \gset
SELECT eav.erase_tenant(68001, 'again') = :erasure;
SELECT error_of($$SELECT eav.register_tenant('erasure')$$);
SELECT error_of($$SELECT eav.register_tenant('erasure', 68001)$$);
SELECT error_of($$SELECT eav.upsert_hot_attributes(68001, 7, '{"a": 3}')$$);
SELECT error_of($$SELECT eav.register_entity(68001, 'late')$$);
SELECT error_of($$SELECT eav.register_attribute(68001, 'late', 'int')$$);
CALL erase_all();
SELECT state, details -> 'removed' AS removed FROM eav.audit_log WHERE erasure_id = :erasure ORDER BY audit_id;
SELECT count(*) FROM eav.attributes WHERE tenant_id = 68001;
SELECT tenant_id, payload FROM eav.ingest_rejects ORDER BY reject_id;
TRUNCATE eav.ingest_rejects;
SELECT error_of($$SELECT eav.erase_tenant(68001, 'again')$$);
SELECT eav.register_tenant('erasure', 68001);
SELECT eav.upsert_hot_attributes(68001, 7, '{"a": 3}');
SELECT eav.erase_tenant(68001, 'the end') > 0;
CALL erase_all();
-- A restored dump may have the tombstone and the tenant, and no erasure under way.
SELECT eav.register_tenant('erasure', 68001);
INSERT INTO eav.erased_subjects (tenant_id, subject) VALUES (68001, '00000000-0000-0000-0000-000000000000');
SELECT error_of($$SELECT eav.register_entity(68001, 'late')$$);
SELECT error_of($$SELECT eav.register_attribute(68001, 'late', 'int')$$);
SELECT eav.register_tenant('erasure', 68001);
SELECT eav.register_attribute(68001, 'late', 'int') > 0, eav.register_entity(68001, 'late') > 0;
SELECT eav.erase_tenant(68001, 'the end') > 0, eav.erase_tenant(68002, 'the end') > 0;
CALL erase_all();
-- Whatever is in a reject, no flush fails of it: digits or blanks that only a locale takes for such,
-- and what is small in jsonb and a gigabyte as text.
SELECT eav.ingest('{"tenant_id": "68001\u2003", "entity_id": "5\u3000", "attributes": {}}') IS NOT NULL;
SELECT eav.ingest('{"tenant_id": "\u0661", "entity_id": "\u0662", "attributes": {}}') IS NOT NULL;
SELECT eav.ingest(format('{"entity_id": {%1$s}, "entity": {%1$s}, "attributes": {%1$s}}',
                         string_agg(format('"n%s": 1e131000', i), ', '))) IS NOT NULL
FROM generate_series(1, 2500) AS i;
SELECT eav.ingest(format('{"tenant_id": [%s]}', string_agg('1e131000', ', '))) IS NOT NULL
FROM generate_series(1, 2500) AS i;
SELECT flushed, rejected FROM eav.stage_flush();
SELECT count(*), count(*) FILTER (WHERE pg_column_size(payload) > 100000) FROM eav.ingest_rejects;
SELECT eav.register_tenant('erasure', 68001) > 0, eav.erase_entity(68001, 4711, 'ticket') > 0;
SELECT eav.erase_tenant(68001, 'the end') > 0;
CALL erase_all();
TRUNCATE eav.ingest_rejects;
DROP PROCEDURE erase_all;
