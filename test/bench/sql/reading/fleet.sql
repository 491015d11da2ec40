-- 200 attributes that register themselves; of every ten two texts and two bools, which change with one
-- event in twenty, and six numbers, which change with every event. Names are in the order of arrival.
SELECT eav.register_tenant('fleet', 1) \g /dev/null
CREATE FUNCTION bench.state(a integer, e bigint, round integer) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT bench.draw(a, e, 8) + (round + bench.draw(a + 1000, e, 20)) / 20
$$;
-- One event of every entity into staging: all attributes, or only those whose value is another one.
CREATE FUNCTION bench.stage(fleet bigint, round integer, only_changes boolean) RETURNS bigint LANGUAGE sql AS $$
    WITH staged AS (
        INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, observed_at, value_text, value_bool, value_float)
        SELECT 1, e, 'attribute_' || to_char(a, 'FM000'), clock_timestamp(),
               CASE WHEN a % 10 IN (0, 1) THEN 'state ' || bench.state(a, e, round) % 8 END,
               CASE WHEN a % 10 IN (2, 3) THEN bench.state(a, e, round) % 2 = 0 END,
               CASE WHEN a % 10 >= 4 THEN bench.draw(a + 2000 * round, e, 1000000) / 1000.0 END
        FROM generate_series(1, fleet) AS e, generate_series(0, 199) AS a
        WHERE NOT only_changes OR a % 10 >= 4 OR bench.state(a, e, round) <> bench.state(a, e, round - 1)
        ORDER BY e, a
        RETURNING 1)
    SELECT count(*) FROM staged
$$;
-- Round 0 registers and creates.
CREATE TABLE bench.round (round integer, changes boolean, values bigint, seconds float, wal bigint);
CREATE PROCEDURE bench.flush(fleet bigint, round integer, only_changes boolean) LANGUAGE plpgsql AS $$
DECLARE
    staged bigint;
    began timestamptz;
    wal pg_lsn;
BEGIN
    staged := bench.stage(fleet, round, only_changes);
    COMMIT;
    CHECKPOINT;
    wal := pg_current_wal_insert_lsn();
    began := clock_timestamp();
    PERFORM eav.stage_flush();
    COMMIT;
    INSERT INTO bench.round VALUES (round, only_changes, staged, extract(epoch FROM clock_timestamp() - began),
                                    pg_current_wal_insert_lsn() - wal);
    COMMIT;
END
$$;
