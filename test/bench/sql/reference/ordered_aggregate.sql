-- One statement, without DISTINCT ON: jsonb_object_agg in order of time keeps the last value.
WITH batch AS MATERIALIZED (DELETE FROM reference.staging RETURNING *),
document AS (
    SELECT l.tenant_id, l.entity_id,
           coalesce(jsonb_object_agg(a.name, :value ORDER BY l.observed_at) FILTER (WHERE a.projection = 'hot'), '{}') AS hot,
           coalesce(jsonb_object_agg(a.name, :value ORDER BY l.observed_at) FILTER (WHERE a.projection = 'live'), '{}') AS live
    FROM batch l JOIN eav.attributes a USING (tenant_id, attribute_id)
    WHERE a.projection <> 'none'
    GROUP BY l.tenant_id, l.entity_id),
projection AS (
    INSERT INTO reference.projection AS p (tenant_id, entity_id, hot_attrs, live_attrs)
    SELECT * FROM document ORDER BY tenant_id, entity_id
    ON CONFLICT (tenant_id, entity_id) DO UPDATE
    SET hot_attrs = p.hot_attrs || EXCLUDED.hot_attrs,
        live_attrs = p.live_attrs || EXCLUDED.live_attrs,
        updated_at = clock_timestamp())
INSERT INTO reference.history (:columns, ingested_at)
SELECT :columns, now() FROM batch ORDER BY tenant_id, attribute_id;
