-- The projection for people: names beside the ids, all tiers in one list.

CREATE VIEW eav.current_values WITH (security_invoker = true) AS
SELECT v.tenant_id,
       v.entity_id,
       v.external_id,
       v.attribute_id,
       v.attribute_name,
       v.data_type,
       v.projection,
       v.value,
       v.observed_at,
       v.ingested_at
FROM (SELECT p.tenant_id, p.entity_id, e.external_id, t.attribute_id, a.name AS attribute_name,
             a.data_type, a.projection,
             coalesce(p.hot_attrs -> coalesce(a.document_name, a.name),
                      p.live_attrs -> coalesce(a.document_name, a.name),
                      c.value) AS value,
             t.observed_at, t.ingested_at
      FROM eav.entity_jsonb p
      CROSS JOIN LATERAL eav.projection_versions(p.versions) AS t
      JOIN eav.entities e ON e.tenant_id = p.tenant_id AND e.entity_id = p.entity_id
      JOIN eav.attributes a ON a.tenant_id = p.tenant_id AND a.attribute_id = t.attribute_id
      LEFT JOIN eav.entity_values_current c
          ON c.tenant_id = p.tenant_id AND c.entity_id = p.entity_id
          AND c.attribute_id = t.attribute_id
      WHERE NOT e.is_deleted) AS v
WHERE v.value IS NOT NULL;
COMMENT ON VIEW eav.current_values IS 'The present values, with names: one row per entity and attribute with a value, whatever its projection, none excepted; deleted entities are left out. Runs with the rights of the reader, who needs SELECT on entity_jsonb, entity_values_current, entities and attributes, and EXECUTE on projection_versions(). Filter on tenant_id and entity_id to use the indexes; for filters on values there is eav.find_entities().';
COMMENT ON COLUMN eav.current_values.value IS 'As in a document.';
COMMENT ON COLUMN eav.current_values.observed_at IS 'Of the newest value, even when it was equal to the one before.';
