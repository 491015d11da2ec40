-- Three statements with a temporary table in between, analyzed; DISTINCT ON.
CREATE TEMP TABLE batch (LIKE reference.staging) ON COMMIT DROP;
WITH taken AS (DELETE FROM reference.staging RETURNING *)
INSERT INTO batch SELECT * FROM taken;
ANALYZE batch;
INSERT INTO reference.history (:columns, ingested_at)
SELECT :columns, now() FROM batch ORDER BY tenant_id, attribute_id;
WITH latest AS (
    SELECT DISTINCT ON (tenant_id, entity_id, attribute_id) *
    FROM batch ORDER BY tenant_id, entity_id, attribute_id, observed_at DESC)
INSERT INTO reference.projection AS p (tenant_id, entity_id, hot_attrs, live_attrs)
SELECT l.tenant_id, l.entity_id,
       coalesce(jsonb_object_agg(a.name, :value) FILTER (WHERE a.projection = 'hot'), '{}'),
       coalesce(jsonb_object_agg(a.name, :value) FILTER (WHERE a.projection = 'live'), '{}')
FROM latest l JOIN eav.attributes a USING (tenant_id, attribute_id)
WHERE a.projection <> 'none'
GROUP BY l.tenant_id, l.entity_id
ORDER BY l.tenant_id, l.entity_id
ON CONFLICT (tenant_id, entity_id) DO UPDATE
SET hot_attrs = p.hot_attrs || EXCLUDED.hot_attrs,
    live_attrs = p.live_attrs || EXCLUDED.live_attrs,
    updated_at = clock_timestamp();
