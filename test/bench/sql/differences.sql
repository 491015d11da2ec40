-- Entities whose documents differ between the two sides, and values that only one of them has.
SELECT (SELECT count(*)
        FROM eav.entity_jsonb e FULL JOIN reference.projection r USING (tenant_id, entity_id)
        WHERE (e.hot_attrs, e.live_attrs) IS DISTINCT FROM (r.hot_attrs, r.live_attrs))
     + abs((SELECT count(*) FROM eav.entity_values_ts) - (SELECT count(*) FROM reference.history));
