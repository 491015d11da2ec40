-- History for people: names beside the ids, and one text for the value whatever its type.
--
-- The view runs with the rights of who reads it, so that row security on the tables below holds.
-- The joins keep a value whose entity or attribute is gone; a filter on a name makes them inner.

CREATE VIEW eav.entity_values WITH (security_invoker = true) AS
SELECT v.tenant_id,
       v.entity_id,
       e.external_id,
       v.attribute_id,
       a.name AS attribute_name,
       a.data_type,
       coalesce(v.value_text,
                v.value_int::text,
                v.value_float::text,
                v.value_numeric::text,
                v.value_bool::text,
                CASE WHEN isfinite(v.value_time)
                     THEN regexp_replace(to_jsonb(v.value_time AT TIME ZONE 'UTC') #>> '{}',
                                         '( BC)?$', '+00:00\1')
                     ELSE v.value_time::text END,
                v.value_json::text) AS value,
       v.value_text,
       v.value_int,
       v.value_float,
       v.value_numeric,
       v.value_bool,
       v.value_time,
       v.value_json,
       v.observed_at,
       v.ingested_at
FROM eav.entity_values_ts v
LEFT JOIN eav.entities e ON e.tenant_id = v.tenant_id AND e.entity_id = v.entity_id
LEFT JOIN eav.attributes a ON a.tenant_id = v.tenant_id AND a.attribute_id = v.attribute_id;

COMMENT ON VIEW eav.entity_values IS 'History with names: one row per row of eav.entity_values_ts. Runs with the rights of the reader, who needs SELECT on entity_values_ts, entities and attributes. Filter on tenant_id and attribute_name, or on ingested_at, to use the indexes.';
COMMENT ON COLUMN eav.entity_values.external_id IS 'Null for an entity that is known by number only or no longer registered.';
COMMENT ON COLUMN eav.entity_values.attribute_name IS 'Null for an attribute that is no longer registered; data_type as well.';
COMMENT ON COLUMN eav.entity_values.value IS 'The value as text, the same in every session: bool is true or false, a timestamp ISO 8601 in UTC (2026-01-31T12:00:00.5+00:00) as in the projection, json compact as jsonb prints it, a float the shortest text that reads back the same number (with extra_float_digits at its default). Null where the attribute was cleared.';
