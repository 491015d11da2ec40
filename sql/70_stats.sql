-- Statistics of history per attribute.

-- Numbers are summed up as numeric: it holds every int and float, and, unlike float, every numeric.
CREATE MATERIALIZED VIEW eav.mv_entity_attribute_stats AS
SELECT s.tenant_id,
       s.attribute_id,
       a.name AS attribute_name,
       a.data_type,
       s.value_count,
       s.cleared_count,
       s.entity_count,
       s.min_value,
       s.max_value,
       s.avg_value,
       s.first_observed_at,
       s.last_observed_at,
       s.last_ingested_at
FROM (SELECT v.tenant_id,
             v.attribute_id,
             count(*) FILTER (WHERE v.is_set) AS value_count,
             count(*) FILTER (WHERE NOT v.is_set) AS cleared_count,
             count(DISTINCT v.entity_id) AS entity_count,
             min(v.number) FILTER (WHERE v.is_finite) AS min_value,
             max(v.number) FILTER (WHERE v.is_finite) AS max_value,
             avg(v.number) FILTER (WHERE v.is_finite) AS avg_value,
             min(v.observed_at) AS first_observed_at,
             max(v.observed_at) AS last_observed_at,
             max(v.ingested_at) AS last_ingested_at
      FROM (SELECT t.tenant_id, t.attribute_id, t.entity_id, t.observed_at, t.ingested_at,
                   t.number,
                   t.number NOT IN ('NaN', 'Infinity', '-Infinity') AS is_finite,
                   t.is_set
            FROM (SELECT h.*,
                         coalesce(h.value_int::numeric, h.value_float::numeric, h.value_numeric)
                             AS number,
                         num_nonnulls(h.value_bool, h.value_int, h.value_float, h.value_time,
                                      h.value_text, h.value_numeric, h.value_json) > 0 AS is_set
                  FROM eav.entity_values_ts h) AS t) AS v
      GROUP BY v.tenant_id, v.attribute_id) AS s
LEFT JOIN eav.attributes a ON a.tenant_id = s.tenant_id AND a.attribute_id = s.attribute_id;
CREATE UNIQUE INDEX mv_entity_attribute_stats_key
    ON eav.mv_entity_attribute_stats (tenant_id, attribute_id);

COMMENT ON MATERIALIZED VIEW eav.mv_entity_attribute_stats IS 'One row per attribute with history, as of the last eav.refresh_stats(); empty until the first, also after a restore.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.value_count IS 'Values in history, without clearings.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.cleared_count IS 'How often the attribute was cleared.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.entity_count IS 'Distinct entities that ever had a value or a clearing.';
COMMENT ON COLUMN eav.mv_entity_attribute_stats.min_value IS 'Smallest value of a numeric attribute (int, float, numeric), without NaN and Infinity; null for other types. max_value and avg_value likewise. A float counts with 15 digits.';

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
    ELSIF "concurrently" THEN
        REFRESH MATERIALIZED VIEW CONCURRENTLY eav.mv_entity_attribute_stats;
    ELSE
        REFRESH MATERIALIZED VIEW eav.mv_entity_attribute_stats;
    END IF;
END
$$;
COMMENT ON FUNCTION eav.refresh_stats(boolean) IS
'Recomputes eav.mv_entity_attribute_stats from the whole history; returns nothing. concurrently: true lets readers go on, false is faster and locks them out. Refreshes take turns. Runs with the rights of the owner of the extension, so that EXECUTE is enough. Raises null_value_not_allowed (22004) for null.';
