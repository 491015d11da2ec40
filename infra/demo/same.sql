-- What COPY and eav.ingest() have made of the same feed.
\pset footer off
SELECT name AS attribute, data_type AS type, counted.copied, counted.ingested
FROM (SELECT name, data_type, count(*) FILTER (WHERE h.tenant_id = 1) AS copied,
             count(*) FILTER (WHERE h.tenant_id = 2) AS ingested
      FROM eav.entity_values_ts h JOIN eav.attributes USING (tenant_id, attribute_id)
      GROUP BY name, data_type) AS counted
ORDER BY name;
WITH document AS (
    SELECT tenant_id, external_id, hot_attrs, live_attrs
    FROM eav.entity_jsonb JOIN eav.entities USING (tenant_id, entity_id)),
value AS (
    SELECT h.tenant_id, external_id, name, observed_at, value_bool, value_int, value_float,
           value_time, value_text, value_numeric, value_json
    FROM eav.entity_values_ts h JOIN eav.entities USING (tenant_id, entity_id)
    JOIN eav.attributes a USING (tenant_id, attribute_id)),
counted_value AS (
    SELECT count(*) FILTER (WHERE tenant_id = 1) AS copied,
           count(*) FILTER (WHERE tenant_id = 2) AS ingested
    FROM value
    GROUP BY external_id, name, observed_at, value_bool, value_int, value_float, value_time,
             value_text, value_numeric, value_json)
SELECT (SELECT count(*) FROM document WHERE tenant_id = 2) AS documents,
       (SELECT count(*) FROM (SELECT * FROM document WHERE tenant_id = 1) AS c
        FULL JOIN (SELECT * FROM document WHERE tenant_id = 2) AS i USING (external_id)
        WHERE (c.hot_attrs, c.live_attrs) IS DISTINCT FROM (i.hot_attrs, i.live_attrs))
           AS different_documents,
       (SELECT sum(ingested) FROM counted_value) AS "values",
       (SELECT count(*) FROM counted_value WHERE copied <> ingested) AS different_values;
