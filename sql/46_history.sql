-- Questions to history. The functions that ask it are plain SQL, for the planner to put their
-- bodies into the query that calls them: it then sees which partitions can be left out.
--
-- Partitions are by ingested_at. What was observed at a time has arrived no earlier than that, by
-- the clock of the server, but for eav.max_future_skew; of that at least a day is assumed, in case
-- the setting was larger once. How late it may have arrived nobody knows.

CREATE FUNCTION eav._attribute_to_read(tenant_id bigint, attribute text) RETURNS integer
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attribute_id CONSTANT integer := eav._attribute_id(tenant_id, attribute);
BEGIN
    PERFORM eav._check_tenant_access(tenant_id);
    IF attribute_id IS NULL AND tenant_id IS NOT NULL AND attribute IS NOT NULL THEN
        RAISE NOTICE USING MESSAGE = format('tenant %s has no attribute "%s"', tenant_id, attribute),
            DETAIL = 'There is no row for it.';
    END IF;
    RETURN attribute_id;
END
$$;
COMMENT ON FUNCTION eav._attribute_to_read(bigint, text) IS 'Internal: the attribute with this name, or that had it; null with a NOTICE when there is none, null for null.';

CREATE FUNCTION eav._document_value(value_text text, value_int bigint, value_float double precision,
                                    value_numeric numeric, value_bool boolean,
                                    value_time timestamptz, value_json jsonb)
    RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(to_jsonb(value_text), to_jsonb(value_int), to_jsonb(value_float),
                    to_jsonb(value_numeric), to_jsonb(value_bool),
                    to_jsonb(CASE WHEN isfinite(value_time)
                                  THEN regexp_replace(
                                           to_jsonb(value_time AT TIME ZONE 'UTC') #>> '{}',
                                           '( BC)?$', '+00:00\1')
                                  ELSE value_time::text END),
                    value_json);
END;
COMMENT ON FUNCTION eav._document_value(text, bigint, double precision, numeric, boolean, timestamptz, jsonb) IS 'Internal: the columns of a row of history as its value would be in a document, whatever the settings of the session; null for a clearing.';

CREATE FUNCTION eav._bucket_width(width interval) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF width IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'width must not be null',
            DETAIL = 'It is the length of a bucket.',
            HINT = 'Use an interval such as 1 hour or 1 day.';
    ELSIF width <= interval '0' OR extract(year FROM width) <> 0 OR extract(month FROM width) <> 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'width is not valid',
            DETAIL = format('%s is not positive, or has months, which differ in length.', width),
            HINT = 'Use an interval such as 5 minutes, 1 hour, 1 day or 7 days.';
    END IF;
    RETURN width;
END
$$;
COMMENT ON FUNCTION eav._bucket_width(interval) IS 'Internal: the width, when eav.time_buckets() can use it; an error otherwise.';

CREATE FUNCTION eav.entity_history(tenant_id bigint, entity_id bigint, attribute text,
                                   from_time timestamptz DEFAULT NULL,
                                   to_time timestamptz DEFAULT NULL)
    RETURNS TABLE (observed_at timestamptz, ingested_at timestamptz, value jsonb, cleared boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT h.observed_at, h.ingested_at,
           eav._document_value(h.value_text, h.value_int, h.value_float, h.value_numeric,
                               h.value_bool, h.value_time, h.value_json),
           num_nonnulls(h.value_bool, h.value_int, h.value_float, h.value_time, h.value_text,
                        h.value_numeric, h.value_json) = 0
    FROM eav.entity_values_ts h
    WHERE h.tenant_id = entity_history.tenant_id
      AND h.entity_id = entity_history.entity_id
      AND h.attribute_id = (SELECT eav._attribute_to_read(entity_history.tenant_id,
                                                          entity_history.attribute))
      AND h.ingested_at >= coalesce(
              from_time - greatest(interval '1 day',
                                   current_setting('eav.max_future_skew', true)::interval),
              '-infinity')
      AND h.observed_at >= coalesce(from_time, '-infinity')
      AND h.observed_at < coalesce(to_time, 'infinity')
    ORDER BY h.observed_at, h.ingested_at;
END;
COMMENT ON FUNCTION eav.entity_history(bigint, bigint, text, timestamptz, timestamptz) IS
'Returns all values that an attribute of an entity ever had, the oldest first, by observed_at and then ingested_at. from_time, to_time: of observed_at, the first included and the last not; null for no limit. value: as in a document; null where the attribute was cleared. Give from_time to leave older partitions unread. An unknown attribute is a NOTICE and no row; null for one of the first three is no row. Runs with the rights of the caller, who needs SELECT on eav.entity_values_ts and EXECUTE on eav._attribute_to_read() and eav._document_value(). Raises insufficient_privilege (42501) for a tenant that the caller may not act for.';

CREATE FUNCTION eav.value_at(tenant_id bigint, entity_id bigint, attribute text, as_of timestamptz)
    RETURNS TABLE (value jsonb, observed_at timestamptz, ingested_at timestamptz)
    LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    SELECT v.value, v.observed_at, v.ingested_at
    FROM (SELECT eav._document_value(h.value_text, h.value_int, h.value_float, h.value_numeric,
                                     h.value_bool, h.value_time, h.value_json) AS value,
                 h.observed_at, h.ingested_at
          FROM eav.entity_values_ts h
          WHERE h.tenant_id = value_at.tenant_id
            AND h.entity_id = value_at.entity_id
            AND h.attribute_id = (SELECT eav._attribute_to_read(value_at.tenant_id,
                                                                value_at.attribute))
            AND h.observed_at <= as_of
          ORDER BY h.observed_at DESC, h.ingested_at DESC
          LIMIT 1) AS v
    WHERE v.value IS NOT NULL;
END;
COMMENT ON FUNCTION eav.value_at(bigint, bigint, text, timestamptz) IS
'Returns the value that an attribute of an entity had at a time, as far as it is known today: the newest with observed_at up to as_of, values that arrived later included. No row when it had none yet or was cleared, and for a null argument; an unknown attribute is a NOTICE. value: as in a document. Runs with the rights of the caller, who needs SELECT on eav.entity_values_ts and EXECUTE on eav._attribute_to_read() and eav._document_value(). Raises insufficient_privilege (42501) for a tenant that the caller may not act for.';

CREATE FUNCTION eav._newest_add(state internal, value jsonb, observed_at timestamptz,
                                ingested_at timestamptz)
    RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eav_newest_add'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._newest_add(internal, jsonb, timestamptz, timestamptz) IS 'Internal: transition of eav._newest().';
CREATE FUNCTION eav._newest_value(state internal) RETURNS jsonb
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eav_newest_value'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._newest_value(internal) IS 'Internal: result of eav._newest().';
CREATE AGGREGATE eav._newest(value jsonb, observed_at timestamptz, ingested_at timestamptz) (
    SFUNC = eav._newest_add, STYPE = internal, SSPACE = 64, FINALFUNC = eav._newest_value,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE eav._newest(jsonb, timestamptz, timestamptz) IS 'Internal: the value with the greatest observed_at, among equals the greatest ingested_at.';

CREATE FUNCTION eav.time_buckets(tenant_id bigint, attribute text, width interval,
                                 from_time timestamptz DEFAULT NULL,
                                 to_time timestamptz DEFAULT NULL)
    RETURNS TABLE (bucket timestamptz, value_count bigint, min_value numeric, max_value numeric,
                   avg_value numeric, last_value jsonb)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.bucket, count(*), min(v.number), max(v.number), avg(v.number),
           eav._newest(v.value, v.observed_at, v.ingested_at)
    FROM (SELECT n.*, CASE WHEN eav._is_summed(n.any_number) THEN n.any_number END AS number
          FROM (SELECT date_bin(eav._bucket_width(width), h.observed_at,
                                '0001-01-01 00:00:00+00'::timestamptz) AS bucket,
                       eav._document_value(h.value_text, h.value_int, h.value_float, h.value_numeric,
                                           h.value_bool, h.value_time, h.value_json)
                           AS value,
                       coalesce(h.value_int::numeric, h.value_float::numeric, h.value_numeric)
                           AS any_number,
                       h.observed_at, h.ingested_at
                FROM eav.entity_values_ts h
                WHERE h.tenant_id = time_buckets.tenant_id
                  AND h.attribute_id = (SELECT eav._attribute_to_read(time_buckets.tenant_id,
                                                                      time_buckets.attribute))
                  AND h.ingested_at >= coalesce(
                          from_time - greatest(
                              interval '1 day',
                              current_setting('eav.max_future_skew', true)::interval),
                          '-infinity')
                  AND h.observed_at >= coalesce(from_time, '-infinity')
                  AND h.observed_at < coalesce(to_time, 'infinity')
                  AND num_nonnulls(h.value_bool, h.value_int, h.value_float, h.value_time,
                                   h.value_text, h.value_numeric, h.value_json) > 0) AS n
          OFFSET 0) AS v -- so that each number is computed once
    GROUP BY v.bucket
    ORDER BY v.bucket;
END;
COMMENT ON FUNCTION eav.time_buckets(bigint, text, interval, timestamptz, timestamptz) IS
'Returns the values of an attribute, of all entities of a tenant, summed up by buckets of observed_at, the oldest first; buckets without values are left out. width: length of a bucket, any that is positive and has no months. Buckets begin at whole multiples of it, in UTC, weeks on Monday. from_time, to_time: of observed_at, the first included and the last not; null for no limit. Give from_time to leave older partitions unread. value_count: values, without clearings. min_value, max_value, avg_value: of int, float and numeric, without NaN and Infinity; null without any. last_value: the newest, as in a document; of several equally new ones any. Read from history, so that it is never behind the flush. An unknown attribute is a NOTICE and no row; a null tenant_id or attribute is no row. Runs with the rights of the caller, who needs SELECT on eav.entity_values_ts and EXECUTE on eav._attribute_to_read(), eav._document_value(), eav._bucket_width(), eav._is_summed(), and eav._newest(). Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null width, and invalid_parameter_value (22023) for a width that is not positive or has months.';
