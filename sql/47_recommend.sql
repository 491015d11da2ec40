-- Which projection suits an attribute, by how it is used.

-- The rules, one attribute at a time; reason says which it was. What counts as often, seldom or
-- large is here and nowhere else.
CREATE FUNCTION eav._recommended_projection(projection text, data_type text, filters bigint,
                                            reads bigint, tenant_queries bigint,
                                            sampled bigint, change_rate double precision,
                                            distinct_values bigint, avg_bytes double precision,
                                            OUT recommended text, OUT reason text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT split_part(rule, ': ', 1), split_part(rule, ': ', 2)
    FROM (SELECT filters >= 10 AND filters >= tenant_queries / 200 AS is_filtered_often,
                 reads >= 10 AND reads >= tenant_queries / 200 AS is_read_often,
                 -- Without two values of one entity the type decides, as it does at registration.
                 coalesce(change_rate, CASE WHEN data_type IN ('text', 'bool') THEN 0 ELSE 1 END)
                     AS changes,
                 avg_bytes > 2000 AS is_large,
                 data_type IN ('int', 'float', 'numeric', 'timestamp') AS has_ranges) AS f
    CROSS JOIN LATERAL (SELECT CASE
        WHEN coalesce(sampled, 0) = 0
            THEN projection || ': no values have arrived'
        WHEN tenant_queries < 100
            THEN projection || ': too few queries of this tenant have been counted'
        WHEN is_large AND filters + reads > 0
            THEN 'current: asked for, and too large for documents'
        WHEN is_large
            THEN 'none: large, and never asked for'
        WHEN is_filtered_often AND changes > 0.2
            THEN 'current: filtered by often, and changes often; the index of current spares the documents'
        WHEN is_filtered_often AND distinct_values < 5
            THEN 'live: filtered by often, but by too few different values for an index'
        WHEN is_filtered_often AND has_ranges
            THEN 'hot: filtered by often, selective, and changes seldom; eav.create_attribute_index() serves ranges and order'
        WHEN is_filtered_often
            THEN 'hot: filtered by often, selective, and changes seldom'
        WHEN is_read_often
            THEN 'live: read often, and seldom filtered by'
        WHEN filters + reads > 0
            THEN 'current: seldom asked for'
        WHEN changes >= 0.9
            THEN 'none: changes with each event, and never asked for'
        WHEN projection = 'none'
            THEN 'none: never asked for'
        ELSE 'current: never asked for, and cheap to keep'
    END) AS r (rule)
$$;
COMMENT ON FUNCTION eav._recommended_projection(text, text, bigint, bigint, bigint, bigint, double precision, bigint, double precision) IS
'Internal: the rules of eav.recommend_attributes(), without the limit of eav.max_hot_attributes. tenant_queries: filters and reads of all attributes of the tenant.';

-- The newest values of an attribute, at most so many: by an index, so the cost does not grow with
-- history. Values above 2 kB are told apart by their size only, which needs no look into them.
CREATE FUNCTION eav._sample_attribute(tenant_id bigint, attribute_id integer, most bigint,
                                      OUT sampled bigint, OUT values_per_day double precision,
                                      OUT change_rate double precision,
                                      OUT distinct_values bigint, OUT avg_bytes double precision)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_attribute CONSTANT integer := attribute_id;
BEGIN
    SELECT count(*),
           count(*) * 86400 / greatest(extract(epoch FROM clock_timestamp() - min(c.ingested_at)), 1),
           avg((c.key IS DISTINCT FROM c.before)::integer) FILTER (WHERE NOT c.is_first),
           count(DISTINCT c.key), avg(c.bytes)
    INTO sampled, values_per_day, change_rate, distinct_values, avg_bytes
    FROM (SELECT s.*, lag(s.key) OVER per_entity AS before,
                 row_number() OVER per_entity = 1 AS is_first
          FROM (SELECT v.entity_id, v.observed_at, v.ingested_at, b.bytes,
                       CASE WHEN b.bytes > 2000 THEN b.bytes::text
                       ELSE coalesce(v.value_text, v.value_int::text, v.value_float::text,
                                     v.value_bool::text, v.value_time::text, v.value_numeric::text,
                                     v.value_json::text) END AS key
                FROM eav.entity_values_ts v
                CROSS JOIN LATERAL (SELECT coalesce(
                    pg_column_size(v.value_text), pg_column_size(v.value_int),
                    pg_column_size(v.value_float), pg_column_size(v.value_bool),
                    pg_column_size(v.value_time), pg_column_size(v.value_numeric),
                    pg_column_size(v.value_json), 0)) AS b (bytes)
                WHERE v.tenant_id = wanted_tenant AND v.attribute_id = wanted_attribute
                ORDER BY v.ingested_at DESC
                LIMIT most) AS s
          WINDOW per_entity AS (PARTITION BY s.entity_id ORDER BY s.observed_at, s.ingested_at)) AS c;
END
$$;
COMMENT ON FUNCTION eav._sample_attribute(bigint, integer, bigint) IS
'Internal: what the newest values of an attribute look like; see eav.recommend_attributes(). sampled: how many were looked at.';

CREATE FUNCTION eav.recommend_attributes(tenant_id bigint)
    RETURNS TABLE (attribute text, projection text, recommended text, reason text, filters bigint,
                   reads bigint, values_per_day double precision, change_rate double precision,
                   distinct_values bigint, avg_bytes double precision)
    LANGUAGE plpgsql VOLATILE ROWS 100
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    budget CONSTANT integer := eav._setting('eav.max_hot_attributes')::integer;
    attribute_count bigint;
    sample_size bigint;
BEGIN
    PERFORM eav._check_tenant(wanted_tenant);
    SELECT count(*) INTO attribute_count FROM eav.attributes a WHERE a.tenant_id = wanted_tenant;
    sample_size := least(greatest(500000 / greatest(attribute_count, 1), 20), 200);
    RETURN QUERY
    WITH counted AS (
        SELECT c.attribute_id, sum(c.filters)::bigint AS filters, sum(c.reads)::bigint AS reads
        FROM (SELECT r.attribute_id, r.filters, r.reads FROM eav.attribute_reads r
              UNION ALL
              SELECT r.attribute_id, r.filters, r.reads FROM eav._read_counts(false) r) AS c
        GROUP BY c.attribute_id
    ), used AS (
        SELECT a.attribute_id, a.name, a.projection, a.data_type, coalesce(c.filters, 0) AS filters,
               coalesce(c.reads, 0) AS reads,
               sum(coalesce(c.filters + c.reads, 0)) OVER ()::bigint AS tenant_queries
        FROM eav.attributes a
        LEFT JOIN counted c USING (attribute_id)
        WHERE a.tenant_id = wanted_tenant
    ), proposed AS MATERIALIZED (
        SELECT u.*, s.*, p.*,
               p.recommended IN ('hot', 'live') AS is_in_document
        FROM used u
        CROSS JOIN LATERAL eav._sample_attribute(wanted_tenant, u.attribute_id, sample_size) AS s
        CROSS JOIN LATERAL eav._recommended_projection(
            u.projection, u.data_type, u.filters, u.reads, u.tenant_queries, s.sampled,
            s.change_rate, s.distinct_values, s.avg_bytes) AS p
    ), ranked AS (
        SELECT p.*, p.is_in_document AND p.sampled > 0 AND p.filters + p.reads > 0
                    AND count(*) FILTER (WHERE p.is_in_document) OVER (
                        ORDER BY p.is_in_document DESC, p.filters + p.reads > 0, p.filters DESC,
                                 p.reads DESC, p.projection = p.recommended DESC, p.name
                        ROWS UNBOUNDED PRECEDING) > budget AS is_beyond
        FROM proposed p
    )
    SELECT r.name, r.projection, CASE WHEN r.is_beyond THEN 'current' ELSE r.recommended END,
           CASE WHEN r.is_beyond THEN 'would be ' || r.recommended
                || ', but eav.max_hot_attributes are asked for more often' ELSE r.reason END,
           r.filters, r.reads, r.values_per_day, r.change_rate, r.distinct_values, r.avg_bytes
    FROM ranked r
    ORDER BY r.filters + r.reads DESC, r.name;
END
$$;
COMMENT ON FUNCTION eav.recommend_attributes(bigint) IS
'Proposes a projection for each attribute of a tenant, by how it has been used, and returns one row each, those asked for most first. recommended: hot, live, current or none; reason: why. filters, reads: queries through the functions of the extension that filtered by it, or returned it by name, since they are counted (eav.attribute_reads). The other figures are from its newest values, at most 200, and fewer (20 at least) when there are more than 2500 attributes: values_per_day, as many as that sample would make in a day; change_rate, the share of values that differ from the one before of the same entity, null when no entity comes twice; distinct_values of the sample; avg_bytes of a value. Keeps what is as it is until 100 filters and reads of the tenant have been counted. Recommends at most eav.max_hot_attributes as hot and live together. Changes nothing. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null tenant_id and foreign_key_violation (23503) for an unknown tenant.';
