-- The same values as plain EAV history and as one document an entity. History holds :attributes of the
-- cold attributes only, with two values of each, the newest and the one before; documents hold all.
CREATE TABLE bench.history (LIKE eav.entity_values_ts INCLUDING DEFAULTS);
CREATE TABLE bench.documents (tenant_id bigint, entity_id bigint, document jsonb);
BEGIN;
TRUNCATE bench.history;
INSERT INTO bench.history (tenant_id, entity_id, attribute_id, observed_at, ingested_at, value_int, value_float, value_text)
SELECT tenant_id, entity_id, attribute_id, at, at + interval '1 s',
       CASE c % 3 WHEN 0 THEN value::bigint END, CASE c % 3 WHEN 1 THEN value::float END,
       CASE c % 3 WHEN 2 THEN value #>> '{}' END
FROM (SELECT t.tenant_id, e AS entity_id, a.attribute_id, c,
             timestamptz '2026-10-01' + revision * interval '10 days' + e * interval '1 ms' AS at,
             bench.cold_value(c, e + 1000000000 * (1 - revision)) AS value
      FROM generate_series(0, 1) AS revision, bench.tenant AS t
      CROSS JOIN LATERAL generate_series(1, t.entities) AS e
      CROSS JOIN LATERAL generate_series(0, :attributes - 1 + (0 * e)::integer) AS c
      JOIN eav.attributes a ON a.tenant_id = t.tenant_id AND a.name = bench.cold_name(c)) AS value;
COMMIT;
BEGIN;
TRUNCATE bench.documents;
INSERT INTO bench.documents
SELECT tenant_id, entity_id, hot_attrs || (SELECT jsonb_object_agg(bench.cold_name(c), bench.cold_value(c, entity_id))
                                           FROM generate_series(0, :cold - 1) AS c)
FROM eav.entity_jsonb;
COMMIT;
