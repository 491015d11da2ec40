-- What an erasure (68_erasure.sql) removes, tier by tier: each function does one batch, and returns the
-- erasure as it stands then, with the rows that are gone added to its counts.

CREATE FUNCTION eav._add_counts(counts jsonb, name text, rows bigint) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
    RETURN CASE WHEN rows = 0 THEN counts
           ELSE jsonb_set(counts, ARRAY[name], to_jsonb(coalesce((counts ->> name)::bigint, 0) + rows)) END;
COMMENT ON FUNCTION eav._add_counts(jsonb, text, bigint) IS 'Internal: counts with so many rows of a table more.';

CREATE FUNCTION eav._erase_backlog(INOUT erasure eav.erasures)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM eav.flush_backlog b
    WHERE b.tenant_id = erasure.tenant_id
      AND (erasure.of_tenant OR b.entity_id = erasure.entity_id OR b.entity = erasure.external_id);
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone > 0 THEN
        UPDATE eav.flush_state SET backlog = backlog - gone;
        erasure.counts := eav._add_counts(erasure.counts, 'flush_backlog', gone);
    END IF;
END
$$;
COMMENT ON FUNCTION eav._erase_backlog(eav.erasures) IS 'Internal: removes what is about the subject from the backlog, under the flush lock.';

-- A row that a client holds is left: nobody may wait for it under the flush lock.
CREATE FUNCTION eav._erase_entity_rows(INOUT erasure eav.erasures)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone bigint;
    present_name text;
BEGIN
    PERFORM eav._lock_flush();
    -- Registered, or named otherwise, by a transaction that was open when it was asked for.
    SELECT e.external_id INTO present_name FROM eav.entities e
    WHERE e.tenant_id = erasure.tenant_id AND e.entity_id = erasure.entity_id;
    IF present_name IS DISTINCT FROM erasure.external_id AND present_name IS NOT NULL THEN
        erasure.external_id := present_name;
        erasure.subjects := erasure.subjects
            || eav._erasure_subject(erasure.tenant_id, NULL, present_name);
        INSERT INTO eav.erased_subjects (tenant_id, subject)
        VALUES (erasure.tenant_id, eav._erasure_subject(erasure.tenant_id, NULL, present_name))
        ON CONFLICT DO NOTHING;
    END IF;
    WITH gone AS (
        DELETE FROM eav.entity_jsonb WHERE ctid = ANY (ARRAY(
            SELECT p.ctid FROM eav.entity_jsonb p
            WHERE p.tenant_id = erasure.tenant_id AND p.entity_id = erasure.entity_id
            FOR UPDATE SKIP LOCKED))
        RETURNING versions),
    noted AS (
        INSERT INTO eav.rollup_pending (tenant_id, bucket, value_count, cleared_count,
                                        number_count, new_entities, attribute_id)
        SELECT erasure.tenant_id, '-infinity', 0, 0, 0, -1, v.attribute_id
        FROM gone CROSS JOIN LATERAL eav.projection_versions(gone.versions) AS v)
    SELECT count(*) INTO gone FROM gone;
    erasure.counts := eav._add_counts(erasure.counts, 'entity_jsonb', gone);
    DELETE FROM eav.entity_values_current WHERE ctid = ANY (ARRAY(
        SELECT c.ctid FROM eav.entity_values_current c
        WHERE c.tenant_id = erasure.tenant_id AND c.entity_id = erasure.entity_id
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS gone = ROW_COUNT;
    erasure.counts := eav._add_counts(erasure.counts, 'entity_values_current', gone);
    DELETE FROM eav.entities WHERE ctid = ANY (ARRAY(
        SELECT e.ctid FROM eav.entities e
        WHERE e.tenant_id = erasure.tenant_id
          AND (e.entity_id = erasure.entity_id OR e.external_id = erasure.external_id)
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS gone = ROW_COUNT;
    erasure.counts := eav._add_counts(erasure.counts, 'entities', gone);
    DELETE FROM eav.entity_keys k
    WHERE k.tenant_id = erasure.tenant_id AND k.entity_id = erasure.entity_id;
    GET DIAGNOSTICS gone = ROW_COUNT;
    erasure.counts := eav._add_counts(erasure.counts, 'entity_keys', gone);
    erasure := eav._erase_backlog(erasure);
END
$$;
COMMENT ON FUNCTION eav._erase_entity_rows(eav.erasures) IS 'Internal: removes projection, names and backlog of an entity.';

-- What a tenant has, and the column by which it is gone through.
CREATE FUNCTION eav._tenant_tables() RETURNS TABLE (step integer, relation regclass, key text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    VALUES (1, 'eav.entity_jsonb'::regclass, 'entity_id'),
           (2, 'eav.entity_values_current', 'entity_id'),
           (3, 'eav.entities', 'entity_id'),
           (4, 'eav.entity_keys', 'entity_id'),
           (5, 'eav.attribute_rollups', 'attribute_id'),
           (6, 'eav.attribute_rollups_daily', 'attribute_id'),
           (7, 'eav.attribute_moves', 'attribute_id'),
           (8, 'eav.attribute_indexes', 'attribute_id'),
           (9, 'eav.attribute_reads', 'attribute_id'),
           (10, 'eav.attribute_changes', 'attribute_id'),
           (11, 'eav.attributes', 'attribute_id')
$$;
COMMENT ON FUNCTION eav._tenant_tables() IS 'Internal: the tables with rows of a tenant that an erasure goes through, in order, and the column that follows tenant_id in their key.';

CREATE FUNCTION eav._erase_tenant_rows(INOUT erasure eav.erasures, max_rows integer)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    -- A table without statistics must not be read as a whole for each batch.
    SET enable_seqscan = off
AS $$
DECLARE
    part record;
    gone bigint;
    last_key bigint;
BEGIN
    SELECT * INTO part FROM eav._tenant_tables() t WHERE t.step = erasure.step;
    IF NOT FOUND THEN
        erasure.phase := CASE WHEN erasure.is_last_pass AND erasure.partition = 4294967295
                         THEN 'rest' ELSE 'history' END;
        RETURN;
    END IF;
    EXECUTE format('WITH gone AS (DELETE FROM %1$s WHERE ctid = ANY (ARRAY('
                   'SELECT ctid FROM %1$s WHERE tenant_id = $1 AND %2$I >= $2 '
                   'ORDER BY %2$I LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING %2$I AS key) '
                   'SELECT count(*), max(key) FROM gone', part.relation, part.key)
    INTO gone, last_key USING erasure.tenant_id, erasure.last_key, max_rows;
    erasure.counts := eav._add_counts(erasure.counts,
                                      (SELECT c.relname::text FROM pg_class c
                                       WHERE c.oid = part.relation), gone);
    IF gone < max_rows THEN
        erasure.step := erasure.step + 1;
        erasure.last_key := -9223372036854775808;
    ELSE
        erasure.last_key := last_key;
    END IF;
END
$$;
COMMENT ON FUNCTION eav._erase_tenant_rows(eav.erasures, integer) IS 'Internal: removes some rows of a tenant from one of the tables that have any.';

CREATE FUNCTION eav._erase_history(INOUT erasure eav.erasures, max_values integer)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    -- Of a partition without statistics the slice must not be found by reading all of it; and the
    -- planner takes the slice for larger than it is.
    SET enable_seqscan = off
    SET max_parallel_workers_per_gather = 0
    SET jit = off
AS $$
DECLARE
    relation regclass;
    last_attribute_id integer;
    last_ingested_at timestamptz;
    gone bigint;
BEGIN
    -- The one in which it is, or the next.
    SELECT p.partition INTO relation FROM eav._history_partitions() p
    WHERE p.partition::oid >= erasure.partition ORDER BY p.partition::oid LIMIT 1;
    IF NOT FOUND THEN
        erasure.partition := 4294967295;
        erasure.phase := CASE WHEN NOT erasure.is_last_pass THEN 'writers'
                              WHEN erasure.of_tenant THEN 'rest' ELSE 'rollups' END;
        RETURN;
    ELSIF relation::oid > erasure.partition THEN
        erasure.partition := relation::oid;
        erasure.last_attribute_id := -2147483648;
        erasure.last_ingested_at := '-infinity';
    END IF;
    EXECUTE format('SELECT attribute_id, ingested_at FROM %s WHERE tenant_id = $1 '
                   'AND (attribute_id, ingested_at) > ($2, $3) '
                   'ORDER BY attribute_id, ingested_at OFFSET $4 LIMIT 1', relation)
    INTO last_attribute_id, last_ingested_at
    USING erasure.tenant_id, erasure.last_attribute_id, erasure.last_ingested_at, max_values - 1;
    -- Times stand in what is noted because a row of rollups has some.
    EXECUTE format($sql$
        WITH gone AS (DELETE FROM %s h WHERE h.tenant_id = $1 AND (h.entity_id = $2 OR $2 IS NULL)
        AND h.attribute_id BETWEEN $3 AND $5 AND (h.attribute_id, h.ingested_at) > ($3, $4)
        AND (h.attribute_id, h.ingested_at) <= ($5, $6)
        RETURNING h.attribute_id, h.observed_at, h.ingested_at,
        coalesce(h.value_int::numeric, h.value_float::numeric, h.value_numeric) AS any_number,
        num_nonnulls(h.value_bool, h.value_int, h.value_float, h.value_time, h.value_text,
        h.value_numeric, h.value_json) > 0 AS is_set),
        summed AS (SELECT attribute_id, date_trunc('hour', observed_at, 'UTC') AS bucket,
        count(*) FILTER (WHERE is_set) AS value_count,
        count(*) FILTER (WHERE NOT is_set) AS cleared_count,
        count(*) FILTER (WHERE eav._is_summed(any_number)) AS number_count,
        sum(any_number) FILTER (WHERE eav._is_summed(any_number)) AS sum_value,
        min(any_number) FILTER (WHERE eav._is_summed(any_number)) AS min_value,
        max(any_number) FILTER (WHERE eav._is_summed(any_number)) AS max_value,
        min(observed_at) AS first_observed_at, max(observed_at) AS last_observed_at,
        max(ingested_at) AS last_ingested_at
        FROM gone WHERE $2 IS NOT NULL AND isfinite(observed_at) GROUP BY 1, 2),
        noted AS (INSERT INTO eav.rollup_pending (tenant_id, attribute_id, bucket, value_count,
        cleared_count, number_count, new_entities, sum_value, first_observed_at,
        last_observed_at, last_ingested_at)
        SELECT $1, attribute_id, bucket, -value_count, -cleared_count, -number_count, 0,
        -sum_value, first_observed_at, last_observed_at, last_ingested_at FROM summed),
        touched AS (INSERT INTO eav.erasure_hours AS t
        SELECT $7, attribute_id, bucket, min_value, max_value, first_observed_at,
        last_observed_at, last_ingested_at FROM summed
        ON CONFLICT (erasure_id, attribute_id, bucket) DO UPDATE
        SET min_value = least(t.min_value, EXCLUDED.min_value),
        max_value = greatest(t.max_value, EXCLUDED.max_value),
        first_observed_at = least(t.first_observed_at, EXCLUDED.first_observed_at),
        last_observed_at = greatest(t.last_observed_at, EXCLUDED.last_observed_at),
        last_ingested_at = greatest(t.last_ingested_at, EXCLUDED.last_ingested_at))
        SELECT count(*) FROM gone
        $sql$, relation)
    INTO gone
    USING erasure.tenant_id, erasure.entity_id, erasure.last_attribute_id, erasure.last_ingested_at,
          coalesce(last_attribute_id, 2147483647), coalesce(last_ingested_at, 'infinity'),
          erasure.erasure_id;
    erasure.counts := eav._add_counts(erasure.counts, 'entity_values_ts', gone);
    IF last_attribute_id IS NULL THEN
        erasure.partition := relation::oid::bigint + 1;
        erasure.last_attribute_id := -2147483648;
        erasure.last_ingested_at := '-infinity';
    ELSE
        erasure.last_attribute_id := last_attribute_id;
        erasure.last_ingested_at := last_ingested_at;
    END IF;
END
$$;
COMMENT ON FUNCTION eav._erase_history(eav.erasures, integer) IS 'Internal: removes what belongs to the subject among the next rows of history that its tenant has, in the order of the index.';

-- Counts and sums are right already, values of dropped partitions included. Where history has all
-- that is counted, the sum is taken from there: one of floats does not come back exactly. A least
-- value below all that the entity had there is of others, who may have it from dropped partitions.
CREATE FUNCTION eav._erase_from_rollups(INOUT erasure eav.erasures, max_attributes integer)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
AS $$
DECLARE
    ids integer[];
    first_day timestamptz;
    end_of_days timestamptz;
BEGIN
    ids := ARRAY(SELECT DISTINCT t.attribute_id FROM eav.erasure_hours t
                 WHERE t.erasure_id = erasure.erasure_id ORDER BY t.attribute_id
                 LIMIT max_attributes);
    IF ids = '{}' THEN
        erasure.phase := 'rest';
        RETURN;
    END IF;
    SELECT date_trunc('day', min(t.bucket), 'UTC'),
           date_trunc('day', max(t.bucket), 'UTC') + interval '24 h'
    INTO first_day, end_of_days FROM eav.erasure_hours t
    WHERE t.erasure_id = erasure.erasure_id AND t.attribute_id = ANY (ids);
    PERFORM eav.merge_rollups();
    -- Of what nobody has any more nothing remains.
    DELETE FROM eav.attribute_rollups r USING eav.erasure_hours t
    WHERE t.erasure_id = erasure.erasure_id AND t.attribute_id = ANY (ids)
      AND r.tenant_id = erasure.tenant_id AND r.attribute_id = t.attribute_id
      AND r.bucket = t.bucket AND r.value_count + r.cleared_count <= 0;
    DELETE FROM eav.attribute_rollups_daily r
    WHERE r.tenant_id = erasure.tenant_id AND r.attribute_id = ANY (ids)
      AND r.value_count + r.cleared_count <= 0 AND r.new_entities = 0;
    -- What history has, what is gone from it, and what hours say are grouped together: tables
    -- without statistics must not be joined row by row. Days take from their hours what history has
    -- no more.
    WITH gone AS (
        DELETE FROM eav.erasure_hours t
        WHERE t.erasure_id = erasure.erasure_id AND t.attribute_id = ANY (ids)
        RETURNING *),
    grouped AS (
        SELECT v.attribute_id, v.bucket,
               count(v.observed_at) AS row_count,
               count(*) FILTER (WHERE eav._is_summed(v.number)) AS number_count,
               min(v.number) FILTER (WHERE eav._is_summed(v.number)) AS min_value,
               max(v.number) FILTER (WHERE eav._is_summed(v.number)) AS max_value,
               sum(v.number) FILTER (WHERE eav._is_summed(v.number)) AS sum_value,
               min(v.observed_at) AS first_at, max(v.observed_at) AS last_at,
               max(v.ingested_at) AS ingested_at,
               min(v.min_value) FILTER (WHERE v.is_gone) AS gone_min,
               max(v.max_value) FILTER (WHERE v.is_gone) AS gone_max,
               min(v.first_at) FILTER (WHERE v.is_gone) AS gone_first,
               max(v.last_at) FILTER (WHERE v.is_gone) AS gone_last,
               max(v.last_ingested_at) FILTER (WHERE v.is_gone) AS gone_ingested,
               min(v.min_value) FILTER (WHERE NOT v.is_gone) AS hour_min,
               max(v.max_value) FILTER (WHERE NOT v.is_gone) AS hour_max,
               min(v.first_at) FILTER (WHERE NOT v.is_gone) AS hour_first,
               max(v.last_at) FILTER (WHERE NOT v.is_gone) AS hour_last,
               max(v.last_ingested_at) FILTER (WHERE NOT v.is_gone) AS hour_ingested
        FROM (SELECT n.attribute_id, date_trunc('hour', n.observed_at, 'UTC') AS bucket,
                     n.observed_at, n.ingested_at,
                     coalesce(n.value_int::numeric, n.value_float::numeric, n.value_numeric)
                         AS number,
                     NULL::boolean AS is_gone, NULL::numeric AS min_value,
                     NULL::numeric AS max_value, NULL::timestamptz AS first_at,
                     NULL::timestamptz AS last_at, NULL::timestamptz AS last_ingested_at
              FROM eav.entity_values_ts n
              WHERE n.tenant_id = erasure.tenant_id AND n.attribute_id = ANY (ids)
                AND n.observed_at >= first_day AND n.observed_at < end_of_days
              UNION ALL
              SELECT g.attribute_id, g.bucket, NULL, NULL, NULL, true, g.min_value, g.max_value,
                     g.first_observed_at, g.last_observed_at, g.last_ingested_at
              FROM gone g
              UNION ALL
              SELECT r.attribute_id, r.bucket, NULL, NULL, NULL, false, r.min_value, r.max_value,
                     r.first_observed_at, r.last_observed_at, r.last_ingested_at
              FROM eav.attribute_rollups r
              WHERE r.tenant_id = erasure.tenant_id AND r.attribute_id = ANY (ids)
                AND r.bucket >= first_day AND r.bucket < end_of_days) AS v
        GROUP BY 1, 2),
    h AS MATERIALIZED (
        SELECT g.attribute_id, g.bucket, g.row_count, g.number_count, g.sum_value,
               g.gone_min, g.gone_max, g.gone_first, g.gone_last, g.gone_ingested,
               CASE WHEN g.gone_min <= g.hour_min THEN g.min_value
                    ELSE coalesce(g.hour_min, g.min_value) END AS min_value,
               CASE WHEN g.gone_max >= g.hour_max THEN g.max_value
                    ELSE coalesce(g.hour_max, g.max_value) END AS max_value,
               CASE WHEN g.gone_first <= g.hour_first THEN g.first_at
                    ELSE coalesce(g.hour_first, g.first_at) END AS first_at,
               CASE WHEN g.gone_last >= g.hour_last THEN g.last_at
                    ELSE coalesce(g.hour_last, g.last_at) END AS last_at,
               CASE WHEN g.gone_ingested >= g.hour_ingested THEN g.ingested_at
                    ELSE coalesce(g.hour_ingested, g.ingested_at) END AS ingested_at
        FROM grouped g),
    d AS (
        SELECT h.attribute_id, date_trunc('day', h.bucket, 'UTC') AS bucket,
               sum(h.row_count) AS row_count, sum(h.number_count) AS number_count,
               sum(h.sum_value) AS sum_value, min(h.min_value) AS min_value,
               max(h.max_value) AS max_value, min(h.first_at) AS first_at,
               max(h.last_at) AS last_at, max(h.ingested_at) AS ingested_at,
               min(h.gone_min) AS gone_min, max(h.gone_max) AS gone_max,
               min(h.gone_first) AS gone_first, max(h.gone_last) AS gone_last,
               max(h.gone_ingested) AS gone_ingested
        FROM h GROUP BY 1, 2),
    hours AS (
        UPDATE eav.attribute_rollups r
        SET min_value = h.min_value, max_value = h.max_value,
            sum_value = CASE WHEN r.number_count = 0 THEN NULL
                             WHEN h.number_count = r.number_count
                                  AND h.row_count = r.value_count + r.cleared_count
                             THEN h.sum_value ELSE r.sum_value END,
            first_observed_at = coalesce(h.first_at, r.bucket),
            last_observed_at = coalesce(h.last_at, r.bucket),
            last_ingested_at = coalesce(h.ingested_at, r.bucket)
        FROM h
        WHERE h.gone_first IS NOT NULL AND r.tenant_id = erasure.tenant_id
          AND r.attribute_id = ANY (ids) AND r.attribute_id = h.attribute_id
          AND r.bucket = h.bucket)
    UPDATE eav.attribute_rollups_daily r
    SET min_value = CASE WHEN d.gone_min <= r.min_value THEN d.min_value ELSE r.min_value END,
        max_value = CASE WHEN d.gone_max >= r.max_value THEN d.max_value ELSE r.max_value END,
        sum_value = CASE WHEN r.number_count = 0 THEN NULL
                         WHEN d.number_count = r.number_count
                              AND d.row_count = r.value_count + r.cleared_count
                         THEN d.sum_value ELSE r.sum_value END,
        first_observed_at = CASE WHEN d.gone_first <= r.first_observed_at
                            THEN coalesce(d.first_at, r.bucket) ELSE r.first_observed_at END,
        last_observed_at = CASE WHEN d.gone_last >= r.last_observed_at
                           THEN coalesce(d.last_at, r.bucket) ELSE r.last_observed_at END,
        last_ingested_at = CASE WHEN d.gone_ingested >= r.last_ingested_at
                           THEN coalesce(d.ingested_at, r.bucket) ELSE r.last_ingested_at END
    FROM d
    WHERE d.gone_first IS NOT NULL AND r.tenant_id = erasure.tenant_id
      AND r.attribute_id = ANY (ids) AND r.attribute_id = d.attribute_id AND r.bucket = d.bucket;
END
$$;
COMMENT ON FUNCTION eav._erase_from_rollups(eav.erasures, integer) IS 'Internal: computes least and greatest values and times anew in the rollups of some of the attributes of which history has lost values, where those may have been the entity''s.';

-- What has been flushed stands in staging until its leaf is emptied.
CREATE FUNCTION eav._erase_rest(INOUT erasure eav.erasures)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone bigint;
    part record;
    is_any_left boolean;
BEGIN
    IF erasure.of_tenant THEN
        -- A client who pins a role may hold these, and stay: nobody waits for him with the flush lock.
        LOCK TABLE eav.tenant_grants IN ROW EXCLUSIVE MODE NOWAIT;
        PERFORM FROM eav.tenants t WHERE t.tenant_id = erasure.tenant_id FOR UPDATE NOWAIT;
    END IF;
    PERFORM eav._lock_flush();
    DELETE FROM eav.entity_values_ingest s
    WHERE s.tenant_id = erasure.tenant_id
      AND (erasure.of_tenant OR s.entity_id = erasure.entity_id OR s.entity = erasure.external_id)
      AND pg_visible_in_snapshot(s.xact, (SELECT f.snapshot FROM eav.flush_state f));
    GET DIAGNOSTICS gone = ROW_COUNT;
    erasure.counts := eav._add_counts(erasure.counts, 'entity_values_ingest', gone);
    erasure.phase := 'rejects';
    IF NOT erasure.of_tenant THEN
        erasure := eav._erase_entity_rows(erasure);
        IF EXISTS (SELECT FROM eav.entity_jsonb p
                   WHERE p.tenant_id = erasure.tenant_id AND p.entity_id = erasure.entity_id)
           OR EXISTS (SELECT FROM eav.entity_values_current c
                      WHERE c.tenant_id = erasure.tenant_id AND c.entity_id = erasure.entity_id)
           OR EXISTS (SELECT FROM eav.entities e
                      WHERE e.tenant_id = erasure.tenant_id
                        AND (e.entity_id = erasure.entity_id
                             OR e.external_id = erasure.external_id)) THEN
            erasure.phase := 'rest';
            erasure.next_attempt_at := clock_timestamp() + interval '1 s';
        END IF;
        RETURN;
    END IF;
    erasure := eav._erase_backlog(erasure);
    DELETE FROM eav.rollup_pending r WHERE r.tenant_id = erasure.tenant_id;
    FOR part IN SELECT t.* FROM eav._tenant_tables() t ORDER BY t.step LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE tenant_id = $1)', part.relation)
        INTO is_any_left USING erasure.tenant_id;
        IF is_any_left THEN
            erasure.phase := 'rows';
            erasure.step := part.step;
            erasure.next_attempt_at := clock_timestamp() + interval '1 s';
            RETURN;
        END IF;
    END LOOP;
    DELETE FROM eav.erased_subjects s
    WHERE s.tenant_id = erasure.tenant_id
      AND s.subject <> '00000000-0000-0000-0000-000000000000'::uuid;
    DELETE FROM eav.tenants t WHERE t.tenant_id = erasure.tenant_id;
    GET DIAGNOSTICS gone = ROW_COUNT;
    erasure.counts := eav._add_counts(erasure.counts, 'tenants', gone);
    -- Now that nobody can add one. They bind their roles, which without them could choose any tenant,
    -- and must not let them act for whoever gets the number next.
    UPDATE eav.tenant_grants g SET tenant_id = NULL WHERE g.tenant_id = erasure.tenant_id;
    IF EXISTS (SELECT FROM eav._index_work()) THEN
        PERFORM eav._call_index_builder();
    END IF;
END
$$;
COMMENT ON FUNCTION eav._erase_rest(eav.erasures) IS 'Internal: removes what may have come back, and what was flushed, and sees to it that nothing is left.';

CREATE FUNCTION eav._erase_rejects(INOUT erasure eav.erasures)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    -- One that was sent for another tenant than the sender's is his, and about the other. One that
    -- names none may be about anybody.
    DELETE FROM eav.ingest_rejects r
    WHERE CASE WHEN r.tenant_id = erasure.tenant_id THEN true
               ELSE coalesce(eav._reject_tenant(r.payload) = erasure.tenant_id,
                             r.tenant_id IS NULL AND NOT erasure.of_tenant) END
      AND (erasure.of_tenant
           OR eav._reject_mentions(r.payload, erasure.entity_id, erasure.external_id));
    GET DIAGNOSTICS gone = ROW_COUNT;
    erasure.counts := eav._add_counts(erasure.counts, 'ingest_rejects', gone);
    erasure.phase := 'stats';
END
$$;
COMMENT ON FUNCTION eav._erase_rejects(eav.erasures) IS 'Internal: removes rejects that are about the subject.';
