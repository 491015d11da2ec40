-- What it takes to write one entity with :attributes attributes, to write it again with other values, and how large it is.
CREATE PROCEDURE bench.step(what text, statement text) LANGUAGE plpgsql AS $$
DECLARE
    began CONSTANT timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement;
    COMMIT;
    INSERT INTO bench.figure (what, figure)
    VALUES (what, round(extract(epoch FROM clock_timestamp() - began) * 1000, 1) || ' ms');
    COMMIT;
END
$$;
CREATE TABLE bench.figure (at serial, what text, figure text);
SELECT eav.register_tenant('wide', 1) \g /dev/null
CREATE FUNCTION bench.send(version integer, attributes integer) RETURNS void LANGUAGE sql AS $$
    SELECT count(eav.ingest(jsonb_build_object('tenant_id', 1, 'entity_id', 1, 'attributes', document)::text))
    FROM (SELECT jsonb_object_agg('attribute_' || a, CASE a % 4 WHEN 0 THEN to_jsonb('word ' || a % 7 + version)
                                  WHEN 1 THEN to_jsonb((a + version) % 2 = 0) ELSE to_jsonb(a + version * 0.5) END) AS document
          FROM generate_series(0, attributes - 1) AS a GROUP BY a / 1000) AS event
$$;
CALL bench.step('send, unknown attributes', format('SELECT bench.send(0, %s)', :attributes));
CALL bench.step('flush, unknown attributes', 'SELECT eav.stage_flush()');
CALL bench.step('send again, all changed', format('SELECT bench.send(1, %s)', :attributes));
CALL bench.step('flush, all changed', 'SELECT eav.stage_flush()');
CALL bench.step('send again, none changed', format('SELECT bench.send(1, %s)', :attributes));
CALL bench.step('flush, none changed', 'SELECT eav.stage_flush()');
SELECT eav.ingest('{"tenant_id": 1, "entity_id": 1, "attributes": {"attribute_2": -1}}') \g /dev/null
CALL bench.step('flush, one value', 'SELECT eav.stage_flush()');
CREATE PROCEDURE bench.promote(attribute text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM eav.promote_attribute(1, attribute);
    LOOP
        COMMIT;
        EXIT WHEN eav.move_attributes() = 0;
    END LOOP;
END
$$;
DO $$
DECLARE
    began CONSTANT timestamptz := clock_timestamp();
BEGIN
    CALL bench.promote('attribute_5000');
    COMMIT;
    INSERT INTO bench.figure (what, figure)
    VALUES ('one attribute promoted to hot', round(extract(epoch FROM clock_timestamp() - began) * 1000, 1) || ' ms');
END
$$;
INSERT INTO bench.figure (what, figure)
SELECT 'tier ' || projection, count(*) || ' attributes' FROM eav.attributes WHERE tenant_id = 1 GROUP BY projection ORDER BY projection;
INSERT INTO bench.figure (what, figure)
SELECT 'document', octet_length(eav.get_entity(1, 1)::text) || ' bytes as text' UNION ALL
SELECT 'row of entity_jsonb', pg_column_size(p.*) || ' bytes, ' || pg_column_size(versions) || ' of them versions' FROM eav.entity_jsonb p UNION ALL
SELECT 'rows of entity_values_current', count(*) || ' of ' || sum(pg_column_size(c.*)) || ' bytes' FROM eav.entity_values_current c;
SELECT what, figure FROM bench.figure ORDER BY at;
