-- Statistics per attribute.

-- From the rollups, so that it costs the same however many values there are.
CREATE MATERIALIZED VIEW eav.mv_entity_attribute_stats AS
SELECT s.tenant_id,
       s.attribute_id,
       a.name AS attribute_name,
       a.data_type,
       s.value_count::bigint AS value_count,
       s.cleared_count::bigint AS cleared_count,
       CASE WHEN a.projection <> 'none' THEN s.entity_count::bigint END AS entity_count,
       s.min_value,
       s.max_value,
       s.sum_value / nullif(s.number_count, 0) AS avg_value,
       s.first_observed_at,
       s.last_observed_at,
       s.last_ingested_at
FROM (SELECT r.tenant_id,
             r.attribute_id,
             sum(r.value_count) AS value_count,
             sum(r.cleared_count) AS cleared_count,
             sum(r.number_count) AS number_count,
             sum(r.new_entities) AS entity_count,
             min(r.min_value) AS min_value,
             max(r.max_value) AS max_value,
             sum(r.sum_value) AS sum_value,
             min(r.first_observed_at) AS first_observed_at,
             max(r.last_observed_at) AS last_observed_at,
             max(r.last_ingested_at) AS last_ingested_at
      FROM eav.attribute_rollups_daily r
      GROUP BY r.tenant_id, r.attribute_id
      HAVING sum(r.value_count + r.cleared_count) > 0) AS s
LEFT JOIN eav.attributes a ON a.tenant_id = s.tenant_id AND a.attribute_id = s.attribute_id;
CREATE UNIQUE INDEX mv_entity_attribute_stats_key
    ON eav.mv_entity_attribute_stats (tenant_id, attribute_id);

COMMENT ON MATERIALIZED VIEW eav.mv_entity_attribute_stats IS 'One row per attribute that ever had a value, as of the last eav.refresh_stats(); empty until the first, also after a restore.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.value_count IS 'Values that were written to history, without clearings; those in partitions that have been dropped since still count.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.cleared_count IS 'How often the attribute was cleared.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.entity_count IS 'Entities in whose projection the attribute ever had a value or a clearing; null for an attribute with projection none.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.min_value IS 'Smallest value of a numeric attribute (int, float, numeric), without NaN, Infinity and what has more than 10,000 digits before the point; null for other types. max_value and avg_value likewise. A float counts with 15 digits.';

CREATE FUNCTION eav.refresh_stats(concurrently boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF "concurrently" IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'concurrently must not be null',
            DETAIL = 'It says whether readers may go on meanwhile.',
            HINT = 'Use true or false.';
    END IF;
    PERFORM eav.merge_rollups();
    IF "concurrently" THEN
        REFRESH MATERIALIZED VIEW CONCURRENTLY eav.mv_entity_attribute_stats;
    ELSE
        REFRESH MATERIALIZED VIEW eav.mv_entity_attribute_stats;
    END IF;
END
$$;
COMMENT ON FUNCTION eav.refresh_stats(boolean) IS
'Merges the rollups (eav.merge_rollups()) and recomputes eav.mv_entity_attribute_stats from them; returns nothing. concurrently: true lets readers go on, false is faster and locks them out. Refreshes take turns. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for null.';
