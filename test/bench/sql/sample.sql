-- bench.sample: :values values that both sides get again and again, in order of arrival.
--   events     an event is one device, one moment and ten attributes; a device always sends the
--              same ten of the 200 attributes of its tenant
--   scattered  every value is of a random device and a random attribute
-- Device d belongs to tenant d % 64 + 1. One state in ten differs from the usual one of its device.
CREATE SCHEMA IF NOT EXISTS bench;
DROP TABLE IF EXISTS bench.sample;
CREATE UNLOGGED TABLE bench.sample AS
WITH attribute AS MATERIALIZED (
    SELECT tenant_id, attribute_id,
           row_number() OVER (PARTITION BY tenant_id ORDER BY name) - 1 AS a
    FROM eav.attributes),
draw AS MATERIALIZED (
    SELECT i, moment, device, reading, device + (reading < 0.1)::int AS state,
           CASE :'shape' WHEN 'events' THEN device / 64 % 20 * 10 + i % 10
                         ELSE (hashint4(i) & 2147483647) % 200 END AS a
    FROM (SELECT i, moment, (hashint4extended(i, 1) & 1048575) / 1048576.0::float8 AS reading,
                 (hashint4extended(moment, 2) & 2147483647)::int % :devices AS device
          FROM (SELECT i, CASE :'shape' WHEN 'events' THEN i / 10 * 10 ELSE i END AS moment
                FROM generate_series(0, :values - 1) AS i) AS numbered) AS drawn)
SELECT d.i AS seq, d.moment, d.device % 64 + 1 AS tenant_id, d.device::bigint + 1 AS entity_id,
       t.attribute_id,
       CASE d.a % 10 WHEN 0 THEN (ARRAY['idle', 'driving', 'charging', 'fault'])[state % 4 + 1] END
           AS value_text,
       CASE d.a % 10 WHEN 1 THEN state % 2 = 0 END AS value_bool,
       CASE d.a % 10 WHEN 2 THEN state % 8 WHEN 7 THEN (reading * 100000)::bigint END AS value_int,
       CASE WHEN d.a % 10 IN (3, 4, 5, 6, 8, 9) THEN round((reading * 1000)::numeric, 3)::float8 END
           AS value_float
FROM draw AS d
JOIN attribute AS t ON t.tenant_id = d.device % 64 + 1 AND t.a = d.a
ORDER BY d.i;
VACUUM ANALYZE bench.sample;
