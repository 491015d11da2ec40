-- Rollups: history summed up by the hour and by the day.
--
-- What arrives is summed up per batch in the transaction that writes it to history, into
-- rollup_pending, which has no index and is only ever appended to; the worker merges that into the
-- rollups. See src/rollup/merge.cpp.

CREATE TABLE eav.rollup_pending (
    tenant_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    value_count bigint NOT NULL,
    cleared_count bigint NOT NULL,
    number_count bigint NOT NULL,
    new_entities bigint NOT NULL,
    first_observed_at timestamptz,
    last_observed_at timestamptz,
    last_ingested_at timestamptz,
    attribute_id integer NOT NULL,
    min_value numeric,
    max_value numeric,
    sum_value numeric
) USING heap;
COMMENT ON TABLE eav.rollup_pending IS 'What is still to be added to eav.attribute_rollups: one row per batch, attribute and hour, or some more. Emptied by eav.merge_rollups().';

CREATE TABLE eav.attribute_rollups (
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    bucket timestamptz NOT NULL,
    value_count bigint NOT NULL,
    cleared_count bigint NOT NULL,
    number_count bigint NOT NULL,
    min_value numeric,
    max_value numeric,
    sum_value numeric,
    first_observed_at timestamptz NOT NULL,
    last_observed_at timestamptz NOT NULL,
    last_ingested_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, attribute_id, bucket)
) USING heap WITH (fillfactor = 70);
-- For the hours that expire.
CREATE INDEX attribute_rollups_bucket_idx ON eav.attribute_rollups USING brin (bucket)
    WITH (autosummarize = on);
COMMENT ON TABLE eav.attribute_rollups IS 'History summed up: one row per attribute and hour of observed_at with values. At most eav.rollup_interval behind. Read it through eav.hourly_rollups or eav.value_distribution().';
COMMENT ON COLUMN eav.attribute_rollups.bucket IS 'Begin of the hour, in UTC.';
COMMENT ON COLUMN eav.attribute_rollups.value_count IS 'Values, without clearings.';
COMMENT ON COLUMN eav.attribute_rollups.cleared_count IS 'How often the attribute was cleared.';
COMMENT ON COLUMN eav.attribute_rollups.number_count IS 'Values that min_value, max_value and sum_value are of: int, float and numeric, without NaN, Infinity and what has more than 10,000 digits before the point. A float counts with 15 digits.';

CREATE TABLE eav.attribute_rollups_daily (
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    bucket timestamptz NOT NULL,
    value_count bigint NOT NULL,
    cleared_count bigint NOT NULL,
    number_count bigint NOT NULL,
    new_entities bigint NOT NULL,
    min_value numeric,
    max_value numeric,
    sum_value numeric,
    first_observed_at timestamptz,
    last_observed_at timestamptz,
    last_ingested_at timestamptz,
    PRIMARY KEY (tenant_id, attribute_id, bucket)
) USING heap WITH (fillfactor = 70);
COMMENT ON TABLE eav.attribute_rollups_daily IS 'The hours of eav.attribute_rollups summed up by the day, those included that have expired.';
COMMENT ON COLUMN eav.attribute_rollups_daily.bucket IS 'Begin of the day, in UTC; -infinity in the row of an attribute that counts its entities.';
COMMENT ON COLUMN eav.attribute_rollups_daily.new_entities IS 'Entities that have the attribute in their projection, or had; 0 but in the row with bucket -infinity.';

-- Names its argument once, or the planner would not put its body in its place.
CREATE FUNCTION eav._is_summed(number numeric) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT abs(number) < '1e10000'::numeric;
END;
COMMENT ON FUNCTION eav._is_summed(numeric) IS 'Internal: whether min, max, sum and avg of rollups take the number into account: not NaN and Infinity, and not numbers so large that a sum might be none.';

CREATE FUNCTION eav.merge_rollups() RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_merge_rollups'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.merge_rollups() IS
'Adds what has been written to history since the last time to eav.attribute_rollups and eav.attribute_rollups_daily, and returns how many rows of eav.rollup_pending that were. The worker does so every eav.rollup_interval; call it to see the newest values at once, or where no worker runs. Merges take turns: a second caller waits for the first, until the end of its transaction. Raises nothing of its own.';

CREATE FUNCTION eav._expire_rollups() RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_expire_rollups'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._expire_rollups() IS
'Internal: deletes hours of eav.attribute_rollups that are older than eav.rollup_retention, whose days remain, and returns how many; a million at most. Does nothing while another transaction merges.';

CREATE FUNCTION eav.rebuild_rollups() RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_rebuild_rollups'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.rebuild_rollups() IS
'Computes eav.attribute_rollups and eav.attribute_rollups_daily anew from the whole history and projection, and returns from how many hours, and rows that count entities. For a history that was written otherwise than by eav_ext. What had been summed up of values that are no longer in history is gone then. Ingestion goes on meanwhile, merges wait until the transaction ends. Raises nothing of its own.';

CREATE FUNCTION eav._computed_rollups() RETURNS SETOF eav.attribute_rollups_daily
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.tenant_id, v.attribute_id, date_trunc('hour', v.observed_at, 'UTC'),
           count(*) FILTER (WHERE v.is_set), count(*) FILTER (WHERE NOT v.is_set),
           count(v.number), 0::bigint, min(v.number), max(v.number), sum(v.number),
           min(v.observed_at), max(v.observed_at), max(v.ingested_at)
    FROM (SELECT n.*, CASE WHEN eav._is_summed(n.any_number) THEN n.any_number END AS number
          FROM (SELECT h.tenant_id, h.attribute_id, h.observed_at, h.ingested_at,
                       coalesce(h.value_int::numeric, h.value_float::numeric, h.value_numeric)
                           AS any_number,
                       num_nonnulls(h.value_bool, h.value_int, h.value_float, h.value_time,
                                    h.value_text, h.value_numeric, h.value_json) > 0 AS is_set
                FROM eav.entity_values_ts h
                WHERE isfinite(h.observed_at)) AS n
          OFFSET 0) AS v -- so that each number is computed once
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT p.tenant_id, v.attribute_id, '-infinity', 0, 0, 0, count(*), NULL, NULL, NULL, NULL,
           NULL, NULL
    FROM eav.entity_jsonb p CROSS JOIN LATERAL eav.projection_versions(p.versions) AS v
    GROUP BY 1, 2;
END;
COMMENT ON FUNCTION eav._computed_rollups() IS 'Internal: what rollups have to hold, from history and projection: all hours, and the rows of days that count entities.';

CREATE VIEW eav.hourly_rollups WITH (security_invoker = true) AS
SELECT r.tenant_id,
       r.attribute_id,
       a.name AS attribute_name,
       a.data_type,
       r.bucket,
       r.value_count,
       r.cleared_count,
       r.number_count,
       r.min_value,
       r.max_value,
       r.sum_value / nullif(r.number_count, 0) AS avg_value,
       r.sum_value,
       r.first_observed_at,
       r.last_observed_at,
       r.last_ingested_at
FROM eav.attribute_rollups r
LEFT JOIN eav.attributes a ON a.tenant_id = r.tenant_id AND a.attribute_id = r.attribute_id;
COMMENT ON VIEW eav.hourly_rollups IS 'History by the hour, with names: one row per attribute and hour of observed_at with values, at most eav.rollup_interval behind. Runs with the rights of the reader, who needs SELECT on attribute_rollups and attributes. Filter on tenant_id, attribute and bucket to use the index.';
COMMENT ON COLUMN eav.hourly_rollups.bucket IS 'Begin of the hour, in UTC.';
COMMENT ON COLUMN eav.hourly_rollups.number_count IS 'Values that min_value, max_value, avg_value and sum_value are of; see eav.attribute_rollups.';

CREATE FUNCTION eav.value_distribution(tenant_id bigint, attributes text[] DEFAULT NULL,
                                       since interval DEFAULT '30 days')
    RETURNS TABLE (attribute text, data_type text, value_count bigint, cleared_count bigint,
                   min_value numeric, max_value numeric, avg_value numeric,
                   first_observed_at timestamptz, last_observed_at timestamptz)
    LANGUAGE plpgsql STABLE ROWS 100
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT bigint := tenant_id;
    retention CONSTANT interval := nullif(eav._setting('eav.rollup_retention')::interval, '0');
    first_bucket CONSTANT timestamptz := date_trunc(
        'hour', now() - least(since, interval '6000 years'), 'UTC');
    -- Before it there are hours, from it on days.
    first_day CONSTANT timestamptz := date_trunc(
        'day', CASE WHEN first_bucket < now() - retention THEN first_bucket
                    ELSE first_bucket + interval '23:59:59.999999' END, 'UTC');
    unknown CONSTANT text[] := ARRAY(
        SELECT DISTINCT n.name FROM unnest(attributes) AS n (name)
        WHERE eav._attribute_id(tenant, n.name) IS NULL ORDER BY n.name);
    wanted CONSTANT integer[] := ARRAY(
        SELECT DISTINCT eav._attribute_id(tenant, n.name) FROM unnest(attributes) AS n (name));
BEGIN
    IF tenant IS NULL OR since IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('%s must not be null',
                             CASE WHEN tenant IS NULL THEN 'tenant_id' ELSE 'since' END),
            DETAIL = 'Only attributes may be null, for all of them.',
            HINT = 'Leave since out to get the last 30 days.';
    ELSIF since <= interval '0' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'since must be positive',
            DETAIL = format('It is %s.', since),
            HINT = 'It tells how far back from now the values go.';
    END IF;
    PERFORM eav._check_tenant_access(tenant);
    IF cardinality(unknown) > 0 THEN
        RAISE NOTICE USING
            MESSAGE = format('tenant %s has no attribute %s', tenant,
                             (SELECT string_agg(format('"%s"', name), ', ') FROM unnest(unknown) AS name)),
            DETAIL = 'There is no row for it.';
    END IF;
    -- Attribute by attribute: the older hours of others are not looked at.
    RETURN QUERY
    SELECT a.name, a.data_type, s.value_count::bigint, s.cleared_count::bigint, s.min_value,
           s.max_value, s.sum_value / nullif(s.number_count, 0), s.first_observed_at,
           s.last_observed_at
    FROM eav.attributes a
    CROSS JOIN LATERAL (
        SELECT sum(r.value_count) AS value_count, sum(r.cleared_count) AS cleared_count,
               sum(r.number_count) AS number_count, min(r.min_value) AS min_value,
               max(r.max_value) AS max_value, sum(r.sum_value) AS sum_value,
               min(r.first_observed_at) AS first_observed_at,
               max(r.last_observed_at) AS last_observed_at
        FROM (SELECT h.value_count, h.cleared_count, h.number_count, h.min_value, h.max_value,
                     h.sum_value, h.first_observed_at, h.last_observed_at
              FROM eav.attribute_rollups h
              WHERE h.tenant_id = tenant AND h.attribute_id = a.attribute_id
                AND h.bucket >= first_bucket AND h.bucket < first_day
              UNION ALL
              SELECT d.value_count, d.cleared_count, d.number_count, d.min_value, d.max_value,
                     d.sum_value, d.first_observed_at, d.last_observed_at
              FROM eav.attribute_rollups_daily d
              WHERE d.tenant_id = tenant AND d.attribute_id = a.attribute_id
                AND d.bucket >= first_day) AS r) AS s
    WHERE a.tenant_id = tenant AND (attributes IS NULL OR a.attribute_id = ANY (wanted))
      AND s.first_observed_at IS NOT NULL
    ORDER BY a.name COLLATE "C";
END
$$;
COMMENT ON FUNCTION eav.value_distribution(bigint, text[], interval) IS
'Returns one row per attribute with values or clearings since a time, in the order of their names: how many (clearings apart), and least, greatest and mean of the numbers among them. attributes: names, old ones included; null for all. since: how far back from now observed_at may lie, in whole hours: the hour in which that was counts in full, or the day, where hours have expired (eav.rollup_retention). Read from the rollups, so that it costs the same however many values there are, and what arrived within the last eav.rollup_interval may be missing. min_value, max_value, avg_value: of int, float and numeric, without NaN and Infinity; null without any. An unknown name is a NOTICE and no row. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null tenant_id or since, and invalid_parameter_value (22023) for a since that is not positive.';
