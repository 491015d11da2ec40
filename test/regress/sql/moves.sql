-- Projections: where values go, what a change of a projection or of a type moves, and how.
\pset format unaligned
\pset tuples_only on
SELECT eav.register_tenant('moves', 8300) AS tenant \gset
-- The worker does what is done by hand here, too.
CREATE PROCEDURE end_moves() LANGUAGE plpgsql AS $$
BEGIN
    WHILE eav.move_attributes() > 0 LOOP
        COMMIT;
    END LOOP;
    COMMIT;
END
$$;
CREATE VIEW places AS
SELECT p.entity_id, p.hot_attrs, p.live_attrs,
       coalesce((SELECT jsonb_object_agg(a.name, c.value)
                 FROM eav.entity_values_current c JOIN eav.attributes a USING (tenant_id, attribute_id)
                 WHERE c.tenant_id = p.tenant_id AND c.entity_id = p.entity_id), '{}') AS current,
       (SELECT count(*) FROM eav.projection_versions(p.versions)) AS versions
FROM eav.entity_jsonb p WHERE p.tenant_id = 8300 ORDER BY p.entity_id;
CREATE VIEW change AS
SELECT a.name, c.change, c.old_value, c.new_value, c.details ->> 'values_moved' AS moved,
       c.details ->> 'values_failed' AS failed, c.details ->> 'history_done' AS history
FROM eav.attribute_changes c JOIN eav.attributes a USING (tenant_id, attribute_id)
WHERE c.tenant_id = 8300 ORDER BY c.change_id;

-- Tier current.
SELECT eav.register_attribute(8300, name, data_type, projection) IS NOT NULL
FROM (VALUES ('firmware', 'text', 'current'), ('size', 'int', 'current'), ('state', 'text', 'hot'),
             ('speed', 'float', 'live'), ('note', 'text', 'none')) AS a (name, data_type, projection);
SELECT eav.upsert_hot_attributes(8300, 1, '{"firmware": "1.0", "size": 5, "state": "on", "speed": 1.5, "note": "x"}',
                                 '2026-01-01') IS NOT NULL;
SELECT * FROM places;
-- Unchanged values write nothing there, and a newer time is kept all the same.
SELECT ctid AS place, xmin AS writer FROM eav.entity_values_current WHERE tenant_id = 8300 AND value = '"1.0"' \gset
SELECT eav.upsert_hot_attributes(8300, 1, '{"firmware": "1.0"}', '2026-01-03') IS NOT NULL;
SELECT eav.upsert_hot_attributes(8300, 1, '{"firmware": "0.9"}', '2026-01-02') IS NOT NULL;
SELECT ctid = :'place' AND xmin = :'writer' FROM eav.entity_values_current WHERE tenant_id = 8300 AND value = '"1.0"';
SELECT v.observed_at FROM eav.entity_jsonb p, eav.projection_versions(p.versions) v
JOIN eav.attributes a USING (attribute_id) WHERE p.tenant_id = 8300 AND a.name = 'firmware';
SELECT eav.upsert_hot_attributes(8300, 1, '{"firmware": "1.1", "size": null}', '2026-01-04') IS NOT NULL;
SELECT * FROM places;
-- A value that is too long for an index.
SELECT eav.upsert_hot_attributes(8300, 2, jsonb_build_object('firmware', repeat('long', 100000))) IS NOT NULL;
SELECT length(value #>> '{}') FROM eav.entity_values_current WHERE tenant_id = 8300 AND entity_id = 2;
SELECT length(eav.value_key(value)) FROM eav.entity_values_current WHERE tenant_id = 8300 AND entity_id = 2;
SELECT eav.upsert_hot_attributes(8300, 2, '{"firmware": "2.0"}') IS NOT NULL;

-- No more attributes in the documents of a tenant than eav.max_hot_attributes.
SET eav.max_hot_attributes = 3;
SELECT eav.upsert_hot_attributes(8300, 3, '{"a1": "x", "a2": 2, "a3": true}') IS NOT NULL;
SELECT name, projection FROM eav.attributes WHERE tenant_id = 8300 AND name ~ '^a[0-9]' ORDER BY name;
SELECT eav.register_attribute(8300, 'b1', 'text') IS NOT NULL;
SELECT eav.register_attribute(8300, 'b2', 'text', 'hot') IS NOT NULL;
SELECT name, projection FROM eav.attributes WHERE tenant_id = 8300 AND name ~ '^b' ORDER BY name;
SELECT hot_attrs, live_attrs, current FROM places WHERE entity_id = 3;
RESET eav.max_hot_attributes;

-- Moves.
BEGIN;
SELECT eav.promote_attribute(8300, 'firmware');
SELECT eav.promote_attribute(8300, 'firmware');
SELECT name, projection, moving_from FROM eav.attributes WHERE tenant_id = 8300 AND name = 'firmware';
COMMIT;
CALL end_moves();
SELECT hot_attrs, current FROM places WHERE entity_id < 3;
SELECT eav.demote_attribute(8300, 'state'), eav.demote_attribute(8300, 'speed', 'none'),
       eav.promote_attribute(8300, 'note', 'live');
CALL end_moves();
SELECT * FROM places WHERE entity_id = 1;
SELECT eav.promote_attribute(8300, 'speed', 'current');
CALL end_moves();
SELECT * FROM places WHERE entity_id = 1;
SELECT * FROM change;
SELECT count(*) FROM eav.stat_attribute_moves WHERE tenant_id = 8300;
-- A goal that changes before it is reached.
BEGIN;
SELECT eav.demote_attribute(8300, 'firmware', 'none');
SELECT eav.promote_attribute(8300, 'firmware', 'current');
SELECT name, projection, moving_from FROM eav.attributes WHERE tenant_id = 8300 AND name = 'firmware';
COMMIT;
CALL end_moves();
SELECT name, projection, moving_from FROM eav.attributes WHERE tenant_id = 8300 AND name = 'firmware';
SELECT current FROM places WHERE entity_id < 3;

-- Types.
SELECT eav.upsert_hot_attributes(8300, e, jsonb_build_object('code', v, 'amount', e * 1.5, 'flag', e))
       IS NOT NULL
FROM (VALUES (1, '7'), (2, 'x7'), (3, '-8')) AS s (e, v);
SELECT name, data_type, is_inferred FROM eav.attributes WHERE tenant_id = 8300 AND name IN ('code', 'amount', 'flag') ORDER BY 1;
SELECT error_of($$SELECT eav.alter_attribute_type(8300, 'code', 'int')$$);
SELECT eav.alter_attribute_type(8300, 'code', 'int', 'keep');
CALL end_moves();
SELECT entity_id, hot_attrs -> 'code' FROM places;
SELECT error_of($$SELECT eav.upsert_hot_attributes(8300, 4, '{"code": "x8"}')$$);
SELECT eav.alter_attribute_type(8300, 'code', 'int');
SELECT eav.alter_attribute_type(8300, 'code', 'float', 'clear');
CALL end_moves();
SELECT entity_id, hot_attrs -> 'code' FROM places;
SELECT eav.alter_attribute_type(8300, 'amount', 'text'), eav.alter_attribute_type(8300, 'flag', 'json');
CALL end_moves();
SELECT entity_id, live_attrs FROM places;
-- What is fetched from history fits the type, too.
SELECT eav.demote_attribute(8300, 'amount', 'none');
CALL end_moves();
SELECT eav.promote_attribute(8300, 'amount', 'current');
CALL end_moves();
SELECT entity_id, current -> 'amount' FROM places;
SELECT * FROM change WHERE change = 'type';
SELECT eav.is_convertible('"5"', 'int'), eav.is_convertible('"5.5"', 'int'), eav.is_convertible('5.0', 'int'),
       eav.is_convertible('{"a": 1}', 'text'), eav.is_convertible('null', 'text'),
       eav.is_convertible('"2026-01-01"', 'timestamp'), eav.is_convertible('1', 'bool'),
       eav.is_convertible('1', 'colour'), eav.is_convertible(NULL, 'int');

-- A value that waits in the backlog, already in history, while the type changes: it is converted, and
-- one that cannot be is the newest all the same. It is not rejected. (A client's lock cannot be had
-- here; what a flush would have left is written by hand.)
SELECT eav.register_attribute(8300, 'late', 'int', 'hot') AS late \gset
SELECT eav.upsert_hot_attributes(8300, e, '{"late": 1}', '2026-01-01') IS NOT NULL FROM generate_series(1, 2) e;
BEGIN;
INSERT INTO eav.flush_backlog (ingested_at, attribute_id, tenant_id, entity_id, observed_at, value_text)
VALUES (clock_timestamp(), :late, 8300, 1, '2026-01-02', '2'), (clock_timestamp(), :late, 8300, 2, '2026-01-02', 'x');
UPDATE eav.flush_state SET backlog = backlog + 2;
COMMIT;
SELECT eav.stage_flush() IS NOT NULL;
SELECT entity_id, hot_attrs -> 'late' FROM places WHERE entity_id < 3;
SELECT count(*) FROM eav.ingest_rejects WHERE tenant_id = 8300;
-- An attribute that has only been cleared so far keeps the projection that it was told to have.
SELECT eav.upsert_hot_attributes(8300, 5, '{"ghost": null, "spirit": null}') IS NOT NULL;
SELECT eav.demote_attribute(8300, 'ghost', 'none');
CALL end_moves();
SELECT eav.upsert_hot_attributes(8300, 5, '{"ghost": "now", "spirit": "now"}') IS NOT NULL;
SELECT name, data_type, projection FROM eav.attributes WHERE tenant_id = 8300 AND name IN ('ghost', 'spirit') ORDER BY 1;
-- Entities without a value are not touched.
SELECT eav.register_attribute(8300, 'unused', 'int', 'live') IS NOT NULL, eav.promote_attribute(8300, 'unused');
SELECT array_agg(ctid::text || xmin || xmax) AS rows FROM eav.entity_jsonb WHERE tenant_id = 8300 \gset
CALL end_moves();
SELECT array_agg(ctid::text || xmin || xmax) = :'rows' FROM eav.entity_jsonb WHERE tenant_id = 8300;
-- A move that fails says why, keeps no other from going on, and is tried again.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.hot_attrs ? 'late' AND NOT NEW.hot_attrs ? 'late' THEN
        RAISE 'not without late';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse BEFORE UPDATE ON eav.entity_jsonb FOR EACH ROW WHEN (NEW.tenant_id = 8300)
EXECUTE FUNCTION refuse();
SELECT eav.demote_attribute(8300, 'late'), eav.demote_attribute(8300, 'spirit', 'none');
DO $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        PERFORM eav.move_attributes();
        EXIT WHEN (SELECT array_agg(failures > 0) FROM eav.stat_attribute_moves) = '{t}';
        PERFORM pg_sleep(0.05);
        COMMIT;
    END LOOP;
END
$$;
SELECT attribute, failures > 0, last_error, next_attempt_at > updated_at FROM eav.stat_attribute_moves ORDER BY 1;
DROP TRIGGER refuse ON eav.entity_jsonb;
UPDATE eav.attribute_moves SET next_attempt_at = now();
CALL end_moves();
SELECT hot_attrs ? 'late' AS late, count(*) FROM places GROUP BY 1;
DROP FUNCTION refuse;

-- Errors.
SELECT error_of($$SELECT eav.promote_attribute(8300, 'nothing')$$);
SELECT error_of($$SELECT eav.promote_attribute(83000, 'code')$$);
SELECT error_of($$SELECT eav.promote_attribute(NULL, 'code')$$);
SELECT error_of($$SELECT eav.promote_attribute(8300, NULL)$$);
SELECT error_of($$SELECT eav.promote_attribute(8300, 'code', NULL)$$);
SELECT error_of($$SELECT eav.promote_attribute(8300, 'code', 'warm')$$);
SELECT error_of($$SELECT eav.promote_attribute(8300, 'b2', 'current')$$);
SELECT error_of($$SELECT eav.demote_attribute(8300, 'b1', 'hot')$$);
SELECT error_of($$SELECT eav.alter_attribute_type(8300, 'a3', 'timestamp')$$);
SELECT error_of($$SELECT eav.alter_attribute_type(8300, 'a3', 'boolean')$$);
SELECT error_of($$SELECT eav.alter_attribute_type(8300, 'a3', 'text', 'drop')$$);
SELECT error_of($$SELECT eav.alter_attribute_type(8300, 'a3', NULL)$$);
SELECT error_of($$SELECT eav.alter_attribute_type(8300, 'a3', 'text', NULL)$$);
SELECT error_of($$SELECT eav.move_attributes(0)$$);
SELECT error_of($$SELECT eav.move_attributes(NULL)$$);
BEGIN;
SELECT eav.demote_attribute(8300, 'b2');
SELECT error_of($$SELECT eav.alter_attribute_type(8300, 'b2', 'int')$$);
ROLLBACK;
BEGIN;
SELECT eav.alter_attribute_type(8300, 'b2', 'int');
SELECT error_of($$SELECT eav.demote_attribute(8300, 'b2')$$);
ROLLBACK;
SELECT count(*) FROM eav.attribute_moves;
DROP VIEW places, change;
DROP PROCEDURE end_moves;
