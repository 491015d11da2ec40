-- entity_jsonb without WAL, its GIN built at the end. All values of a tenant have one time, as if an
-- event had set all of them, so that the list of versions takes three bytes for each but the first.
CREATE FUNCTION bench.leb128(number numeric) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    bytes bytea := '';
BEGIN
    WHILE number >= 128 LOOP
        bytes := bytes || set_byte('\x00', 0, (number % 128)::integer + 128);
        number := div(number, 128);
    END LOOP;
    RETURN bytes || set_byte('\x00', 0, number::integer);
END
$$;
CREATE TABLE bench.versions AS
SELECT tenant_id, decode('01', 'hex') || string_agg(
           bench.leb128(attribute_id - before)
           || CASE WHEN before = 0 THEN bench.leb128(2 * micros) || bench.leb128(2 * micros) ELSE '\x0000' END,
           '' ORDER BY attribute_id) AS versions
FROM (SELECT tenant_id, attribute_id,
             lag(attribute_id, 1, 0) OVER (PARTITION BY tenant_id ORDER BY attribute_id) AS before,
             extract(epoch FROM timestamptz '2026-11-01 00:00+00' - timestamptz '2000-01-01 00:00+00')::numeric * 1000000 AS micros
      FROM eav.attributes) AS attribute
GROUP BY tenant_id;
SELECT tenant_id, count(v) AS versions FROM bench.versions, eav.projection_versions(versions) AS v GROUP BY tenant_id \g /dev/null

BEGIN;
TRUNCATE eav.entity_jsonb;
DROP INDEX eav.entity_jsonb_hot_attrs_idx;
INSERT INTO eav.entity_jsonb (tenant_id, entity_id, hot_attrs, versions)
SELECT t.tenant_id, e, hot.document, v.versions
FROM bench.tenant AS t JOIN bench.versions AS v USING (tenant_id)
CROSS JOIN LATERAL generate_series(1, t.entities) AS e
CROSS JOIN LATERAL (SELECT jsonb_object_agg(bench.hot_name(h), bench.hot_value(h, e + 0 * t.tenant_id)) AS document
                    FROM generate_series(0, :hot - 1) AS h) AS hot;
CREATE INDEX entity_jsonb_hot_attrs_idx ON eav.entity_jsonb USING gin (hot_attrs jsonb_path_ops);
COMMIT;
