-- Erasure: every trace of an entity, or of a tenant, from every place where values are.
--
--   request    eav.erase_entity() and eav.erase_tenant() leave a tombstone and a row in eav.erasures.
--              From their commit on, every flush discards what arrives for the subject, and every
--              eav.upsert_hot_attributes() is refused: what is in staging, in the ring, or in a
--              transaction that is still open, does not come back.
--   waiting    A flush that began before is waited for by its lock. Transactions that may have
--              written by the registry as it was before hold locks on what they wrote; those are
--              noted, and waited for: up to 10 seconds at first, and for as long as it takes before
--              the last pass.
--   rows       Projection, names, backlog: under the flush lock, because moves of attributes
--              project what they find in history.
--   history    Partition by partition, in slices of the index on (tenant, attribute, time), each
--              with its progress in one transaction. What a slice takes away from sums goes to
--              rollup_pending in the same transaction, as what is written does.
--   writers    What is noted as waiting still has to end: then rows and history once more.
--   rollups    Least and greatest values and times are no sums: those of the attributes that the
--              entity had are computed anew from the history that remains.
--   rest       Rows again, for a move may have brought some back; staged rows that were flushed.
--   rejects    What mentions the subject.
--   stats      The materialized view is computed anew.
--   settling   The ids are gone from the request. Transactions that are as old as the request may
--              still publish values, which the flush discards; when all of them have ended, staging
--              is flushed once more, its leaves are emptied, and the request goes. Until then the
--              subject cannot be registered again.
--
-- Partitions are worked through in the order of their oids: rows that maintenance moves go to a
-- newer one, which is still to come.
--
-- A batch and the note how far it has come are one transaction: after a crash it goes on from
-- there. All statements need the newest snapshot, hence READ COMMITTED.

-- An erased subject must not be known by what was erased. Its id is hashed with a secret of this
-- database; who can read the secret can try ids.
CREATE TABLE eav.erasure_secret (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    secret bytea NOT NULL
);
COMMENT ON TABLE eav.erasure_secret IS 'What the ids of erased entities are hashed with, from the first erasure on.';

CREATE TABLE eav.erased_subjects (
    tenant_id bigint NOT NULL,
    subject uuid NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    discarded bigint NOT NULL DEFAULT 0,
    last_discarded_at timestamptz,
    PRIMARY KEY (tenant_id, subject)
) WITH (fillfactor = 70);
COMMENT ON TABLE eav.erased_subjects IS 'Tombstones: values that arrive for one of them are discarded, until eav.register_entity() or eav.register_tenant() names it again.';
COMMENT ON COLUMN eav.erased_subjects.subject IS 'Hash of the entity_id or the external id with the secret of eav.erasure_secret; all zero for the tenant as a whole.';
COMMENT ON COLUMN eav.erased_subjects.discarded IS 'Values that have been discarded since, at least.';
-- Flushes keep in mind which tenants have some.
CREATE TRIGGER registry_changed AFTER INSERT OR DELETE OR TRUNCATE ON eav.erased_subjects
    FOR EACH STATEMENT EXECUTE FUNCTION eav._registry_changed();

CREATE SEQUENCE eav.erasure_seq;
CREATE TABLE eav.erasures (
    erasure_id bigint PRIMARY KEY DEFAULT nextval('eav.erasure_seq'),
    tenant_id bigint NOT NULL,
    entity_id bigint,
    external_id text,
    subjects uuid[] NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    phase text NOT NULL DEFAULT 'waiting'
        CHECK (phase IN ('waiting', 'rows', 'history', 'writers', 'rollups', 'rest', 'rejects',
                         'stats', 'settling', 'settled')),
    of_tenant boolean NOT NULL,
    is_last_pass boolean NOT NULL DEFAULT false,
    writers text[],
    older text[],
    is_flushed boolean NOT NULL DEFAULT false,
    leaves integer[],
    step integer NOT NULL DEFAULT 1,
    last_key bigint NOT NULL DEFAULT -9223372036854775808,
    partition oid NOT NULL DEFAULT 0,
    last_attribute_id integer NOT NULL DEFAULT -2147483648,
    last_ingested_at timestamptz NOT NULL DEFAULT '-infinity',
    counts jsonb NOT NULL DEFAULT '{}',
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
ALTER SEQUENCE eav.erasure_seq OWNED BY eav.erasures.erasure_id;
COMMENT ON TABLE eav.erasures IS 'One row per erasure that is under way: whom it is about, and how far it has come; see eav.stat_erasures. Not dumped.';
-- The worker looks into the table after this, and not before.
CREATE TRIGGER registry_changed AFTER INSERT ON eav.erasures
    FOR EACH STATEMENT EXECUTE FUNCTION eav._registry_changed();

CREATE TABLE eav.erasure_attributes (
    erasure_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    first_bucket timestamptz NOT NULL,
    last_bucket timestamptz NOT NULL,
    PRIMARY KEY (erasure_id, attribute_id)
);
COMMENT ON TABLE eav.erasure_attributes IS 'Attributes of which an erasure under way has taken values out of history, and the first and last hour of those: where rollups have to be computed anew.';

CREATE SEQUENCE eav.audit_log_seq;
CREATE TABLE eav.audit_log (
    audit_id bigint PRIMARY KEY DEFAULT nextval('eav.audit_log_seq'),
    logged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL DEFAULT session_user,
    action text NOT NULL CHECK (action IN ('erase_entity', 'erase_tenant')),
    state text NOT NULL CHECK (state IN ('requested', 'completed')),
    erasure_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    reason text,
    details jsonb NOT NULL DEFAULT '{}'
);
ALTER SEQUENCE eav.audit_log_seq OWNED BY eav.audit_log.audit_id;
CREATE INDEX ON eav.audit_log (erasure_id);
COMMENT ON TABLE eav.audit_log IS 'One row when an erasure is requested, and one when it is complete. Holds no id of an entity and nothing that was erased. Only ever added to, by the functions.';
COMMENT ON COLUMN eav.audit_log.actor IS 'The role that was logged in; of a completion, who requested it.';
COMMENT ON COLUMN eav.audit_log.erasure_id IS 'What eav.erase_entity() and eav.erase_tenant() returned.';
COMMENT ON COLUMN eav.audit_log.reason IS 'As given with the request. What is written there stays: name a ticket, not a person.';
COMMENT ON COLUMN eav.audit_log.details IS 'Of a completion: how many rows were removed from which table, and when the erasure was requested.';

CREATE VIEW eav.stat_erasures WITH (security_invoker = true) AS
SELECT e.erasure_id, e.tenant_id, e.of_tenant, e.phase, e.requested_at, e.updated_at,
       e.counts, e.failures, e.last_error, e.next_attempt_at
FROM eav.erasures e;
COMMENT ON VIEW eav.stat_erasures IS 'One row per erasure that is under way. phase: waiting and writers, for transactions that began before it and have written; rows, history, rollups, rest, rejects and stats, while it removes; settling, when all has been removed, and transactions as old as the request have yet to end, whose values will be discarded. counts: rows removed so far, by table. A batch that fails is tried again at next_attempt_at, later and later; last_error says why. A row goes when the erasure is complete; eav.audit_log then has one.';

CREATE FUNCTION eav._lock_flush() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_lock_flush'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._lock_flush() IS 'Internal: waits for the flush that is running and keeps others from beginning, until the end of the transaction.';

CREATE FUNCTION eav._flush_all() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_flush_all'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._flush_all() IS 'Internal: a flush that notes how far it has come even when nothing was to be flushed: leaves of staging can be emptied afterwards.';

CREATE FUNCTION eav._rotate_staging() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_rotate_staging'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._rotate_staging() IS 'Internal: lets new rows go to an empty leaf of staging, if there is one, however small the present one is, and empties leaves that have been flushed and that nobody writes to.';

-- The same is computed in src/flush/erased.cpp.
CREATE FUNCTION eav._erasure_subject(tenant_id bigint, entity_id bigint, external_id text)
    RETURNS uuid
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT encode(substr(sha256(s.secret || CASE WHEN external_id IS NULL
                                            THEN 'i' || int8send(tenant_id) || int8send(entity_id)
                                            ELSE 'e' || int8send(tenant_id) || convert_to(external_id, getdatabaseencoding()) END),
                         1, 16), 'hex')::uuid
    FROM eav.erasure_secret s
$$;
COMMENT ON FUNCTION eav._erasure_subject(bigint, bigint, text) IS 'Internal: the tombstone of an entity_id, or of an external id when that is not null. Null before the first erasure.';

-- In JSON text that is no jsonb: what stands behind a key, as far as can be told.
CREATE FUNCTION eav._reject_mentions(payload jsonb, entity_id bigint, external_id text)
    RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(payload ->> 'entity_id' = entity_id::text
                    OR payload #>> '{event,entity_id}' = entity_id::text, false)
        OR coalesce(jsonb_path_exists(payload, '$.** ? (@ == $name)',
                                      jsonb_build_object('name', external_id)), false)
        OR jsonb_typeof(payload -> 'event') = 'string'
           AND (coalesce(strpos(payload ->> 'event', external_id) > 0, false)
                OR coalesce(payload ->> 'event' ~ ('"entity_id"\s*:\s*"?' || entity_id || '\M'), false))
$$;
COMMENT ON FUNCTION eav._reject_mentions(jsonb, bigint, text) IS 'Internal: whether the payload of a reject is about the entity, or has its external id anywhere. A null id is mentioned nowhere.';

CREATE FUNCTION eav._is_erased_reject(tenant_id bigint, payload jsonb) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM eav.erased_subjects e
        WHERE e.tenant_id = _is_erased_reject.tenant_id
          AND e.subject IN (
              SELECT '00000000-0000-0000-0000-000000000000'::uuid
              UNION ALL
              SELECT eav._erasure_subject(e.tenant_id, m.id[1]::bigint, NULL)
              FROM (VALUES (regexp_match(payload ->> 'entity_id', '^-?\d{1,18}$')),
                           (regexp_match(payload #>> '{event,entity_id}', '^-?\d{1,18}$')),
                           (regexp_match(payload ->> 'event', '"entity_id"\s*:\s*"?(-?\d{1,18})\M'))) AS m (id)
              UNION ALL
              SELECT eav._erasure_subject(e.tenant_id, NULL, m.name)
              FROM (VALUES (payload ->> 'entity'), (payload #>> '{event,entity}'),
                           ((regexp_match(payload ->> 'event', '"entity"\s*:\s*"([^"]*)"'))[1])) AS m (name)
              WHERE m.name IS NOT NULL))
$$;
COMMENT ON FUNCTION eav._is_erased_reject(bigint, jsonb) IS 'Internal: whether a reject is about an entity or a tenant that has been erased; it is not kept then.';

-- Who may have written what a request cannot see. A prepared transaction has lost its name.
CREATE FUNCTION eav._open_writers() RETURNS text[]
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}')
    FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareLock')
      AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND l.relation IN ('eav.entity_values_ts'::regclass, 'eav.entities'::regclass,
                         'eav.entity_jsonb'::regclass, 'eav.entity_values_current'::regclass,
                         'eav.flush_backlog'::regclass, 'eav.ingest_rejects'::regclass,
                         'eav.attributes'::regclass, 'eav.tenants'::regclass)
$$;
COMMENT ON FUNCTION eav._open_writers() IS 'Internal: the transactions of others that may have written to tables that an erasure empties.';

CREATE FUNCTION eav._open_transactions() RETURNS text[]
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}')
    FROM pg_locks l
    LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE (l.locktype = 'virtualxid' OR l.pid IS NULL) AND l.granted
      AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND (a.datname = current_database()
           AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
           OR l.pid IS NULL
              AND EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.database = current_database()))
$$;
COMMENT ON FUNCTION eav._open_transactions() IS 'Internal: the transactions of others in this database that may have values to publish.';

-- The list without those that have ended. One that has been prepared meanwhile, and is called
-- otherwise, is one of those that are prepared now.
CREATE FUNCTION eav._still_open(noted text[], present text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(p.name), '{}') FROM unnest(present) AS p (name)
    WHERE p.name = ANY (noted) OR noted <> '{}' AND p.name LIKE '-1/%'
$$;
COMMENT ON FUNCTION eav._still_open(text[], text[]) IS 'Internal: which of the transactions that were noted may be among the present ones.';

CREATE FUNCTION eav._check_reason(reason text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF reason IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'reason must not be null',
            DETAIL = 'It is kept in eav.audit_log.',
            HINT = 'Name the ticket or the request that asks for the erasure, and no person.';
    ELSIF reason !~ '\S' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'reason must not be empty',
            HINT = 'Name the ticket or the request that asks for the erasure, and no person.';
    END IF;
END
$$;
COMMENT ON FUNCTION eav._check_reason(text) IS 'Internal: returns when an erasure may have this reason. Raises null_value_not_allowed (22004) and invalid_parameter_value (22023).';

CREATE FUNCTION eav._request_erasure(tenant_id bigint, entity_id bigint, external_id text,
                                     of_tenant boolean, reason text)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    tombstones uuid[];
    id bigint;
BEGIN
    INSERT INTO eav.erasure_secret (secret)
    VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) ON CONFLICT DO NOTHING;
    tombstones := CASE
        WHEN of_tenant THEN ARRAY['00000000-0000-0000-0000-000000000000'::uuid]
        ELSE array_remove(ARRAY[eav._erasure_subject(tenant_id, entity_id, NULL),
                                CASE WHEN external_id IS NOT NULL
                                THEN eav._erasure_subject(tenant_id, NULL, external_id) END], NULL) END;
    SELECT e.erasure_id INTO id FROM eav.erasures e
    WHERE e.tenant_id = tenant_id AND e.subjects @> tombstones AND e.phase <> 'settling'
    LIMIT 1;
    IF FOUND THEN
        RETURN id;
    END IF;
    INSERT INTO eav.erased_subjects (tenant_id, subject)
    SELECT tenant_id, s FROM unnest(tombstones) AS s ON CONFLICT DO NOTHING;
    INSERT INTO eav.erasures AS e (tenant_id, entity_id, external_id, subjects, of_tenant)
    VALUES (tenant_id, entity_id, external_id, tombstones, of_tenant)
    RETURNING e.erasure_id INTO id;
    INSERT INTO eav.audit_log (action, state, erasure_id, tenant_id, reason)
    VALUES (CASE WHEN of_tenant THEN 'erase_tenant' ELSE 'erase_entity' END, 'requested', id,
            tenant_id, reason);
    RETURN id;
END
$$;
COMMENT ON FUNCTION eav._request_erasure(bigint, bigint, text, boolean, text) IS 'Internal: what eav.erase_entity() and eav.erase_tenant() have in common.';

CREATE FUNCTION eav._erase_entity(tenant_id bigint, entity_id bigint, reason text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM eav._check_tenant(tenant_id);
    IF entity_id IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'entity_id must not be null',
            HINT = 'eav.entities has the entity_id of an external id; eav.erase_tenant() erases all.';
    END IF;
    PERFORM eav._check_reason(reason);
    RETURN eav._request_erasure(
        tenant_id, entity_id,
        (SELECT e.external_id FROM eav.entities e
         WHERE e.tenant_id = tenant_id AND e.entity_id = entity_id), false, reason);
END
$$;
COMMENT ON FUNCTION eav._erase_entity(bigint, bigint, text) IS 'Internal: what eav.erase_entity() does once its caller has been checked.';
CREATE FUNCTION eav.erase_entity(tenant_id bigint, entity_id bigint, reason text) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_for_tenant';
COMMENT ON FUNCTION eav.erase_entity(bigint, bigint, text) IS
'Erases an entity: history, projection, names, backlog, rejects, what it has added to rollups and statistics, what is in staging, in the ring or in open transactions. From the commit on, values that arrive for it are discarded, until eav.register_entity() names it again; the worker removes what is there in batches, and eav.stat_erasures shows how far it is. reason: kept in eav.audit_log; must name no person. Returns the id of the erasure, which stands in eav.audit_log; that of the erasure that is already under way for the entity, if there is one. An entity that nobody knows is erased as well: its values may be on their way. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, foreign_key_violation (23503) for an unknown tenant, null_value_not_allowed (22004) for a null argument, and invalid_parameter_value (22023) for an empty reason.';

CREATE FUNCTION eav._erase_tenant(tenant_id bigint, reason text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    id bigint;
BEGIN
    -- Its row may be gone already.
    SELECT e.erasure_id INTO id FROM eav.erasures e WHERE e.tenant_id = tenant_id AND e.of_tenant;
    IF FOUND THEN
        RETURN id;
    END IF;
    PERFORM eav._check_tenant(tenant_id);
    PERFORM eav._check_reason(reason);
    RETURN eav._request_erasure(tenant_id, NULL, NULL, true, reason);
END
$$;
COMMENT ON FUNCTION eav._erase_tenant(bigint, text) IS 'Internal: what eav.erase_tenant() does once its caller has been checked.';
CREATE FUNCTION eav.erase_tenant(tenant_id bigint, reason text) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_for_tenant';
COMMENT ON FUNCTION eav.erase_tenant(bigint, text) IS
'Erases a tenant: all its entities as eav.erase_entity() does, its attributes with what is known about them, its rollups, its rejects, and its name. The number remains in eav.audit_log and in eav.erased_subjects, so that values that arrive for it are discarded, until eav.register_tenant() gives the number out again. Returns the id of the erasure; that of the one that is already under way, if there is one. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, foreign_key_violation (23503) for an unknown tenant, null_value_not_allowed (22004) for a null argument, and invalid_parameter_value (22023) for an empty reason.';

-- Who is about to write locks the table before the tombstones are looked at: an erasure waits for
-- those who hold the lock.
CREATE FUNCTION eav._readmit_entity(tenant_id bigint, entity_id bigint, external_id text,
                                    is_known boolean)
    RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    tombstones uuid[];
BEGIN
    IF NOT is_known THEN
        LOCK TABLE eav.entities IN ROW EXCLUSIVE MODE;
    END IF;
    IF NOT EXISTS (SELECT FROM eav.erased_subjects s WHERE s.tenant_id = tenant_id) THEN
        RETURN;
    END IF;
    tombstones := ARRAY[eav._erasure_subject(tenant_id, entity_id, NULL),
                        eav._erasure_subject(tenant_id, NULL, external_id)];
    IF NOT EXISTS (SELECT FROM eav.erased_subjects s
                   WHERE s.tenant_id = tenant_id AND s.subject = ANY (tombstones)) THEN
        RETURN;
    ELSIF EXISTS (SELECT FROM eav.erasures e
                  WHERE e.tenant_id = tenant_id AND e.subjects && tombstones) THEN
        RAISE object_in_use USING MESSAGE = 'the entity is being erased',
            DETAIL = 'Values that were sent before may still be on their way.',
            HINT = 'eav.stat_erasures says how far it has come.';
    END IF;
    DELETE FROM eav.erased_subjects s
    WHERE s.tenant_id = tenant_id AND s.subject = ANY (tombstones);
END
$$;
COMMENT ON FUNCTION eav._readmit_entity(bigint, bigint, text, boolean) IS 'Internal: lets values arrive again for an entity that was erased. Raises object_in_use (55006) while the erasure is under way.';

CREATE FUNCTION eav._readmit_tenant(tenant_id bigint, is_known boolean) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    tombstone CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    IF NOT is_known THEN
        LOCK TABLE eav.tenants IN ROW EXCLUSIVE MODE;
    END IF;
    IF EXISTS (SELECT FROM eav.erasures e WHERE e.tenant_id = tenant_id AND e.of_tenant) THEN
        RAISE object_in_use USING MESSAGE = format('tenant %s is being erased', tenant_id),
            DETAIL = 'Values that were sent before may still be on their way.',
            HINT = 'eav.stat_erasures says how far it has come.';
    ELSIF EXISTS (SELECT FROM eav.erased_subjects s
                  WHERE s.tenant_id = tenant_id AND s.subject = tombstone) THEN
        DELETE FROM eav.erased_subjects s
        WHERE s.tenant_id = tenant_id AND s.subject = tombstone;
    END IF;
END
$$;
COMMENT ON FUNCTION eav._readmit_tenant(bigint, boolean) IS 'Internal: lets values arrive again for a tenant that was erased. Raises object_in_use (55006) while the erasure is under way.';

-- Each of these does one batch of a phase, and returns how many rows are gone.

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
        min(observed_at) AS first_observed_at, max(observed_at) AS last_observed_at,
        max(ingested_at) AS last_ingested_at
        FROM gone WHERE $2 IS NOT NULL AND isfinite(observed_at) GROUP BY 1, 2),
        noted AS (INSERT INTO eav.rollup_pending (tenant_id, attribute_id, bucket, value_count,
        cleared_count, number_count, new_entities, sum_value, first_observed_at,
        last_observed_at, last_ingested_at)
        SELECT $1, attribute_id, bucket, -value_count, -cleared_count, -number_count, 0,
        -sum_value, first_observed_at, last_observed_at, last_ingested_at FROM summed),
        touched AS (INSERT INTO eav.erasure_attributes AS t
        SELECT $7, attribute_id, min(bucket), max(bucket) FROM summed GROUP BY attribute_id
        ON CONFLICT (erasure_id, attribute_id) DO UPDATE
        SET first_bucket = least(t.first_bucket, EXCLUDED.first_bucket),
        last_bucket = greatest(t.last_bucket, EXCLUDED.last_bucket))
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
-- that is counted, the sum is taken from there: one of floats does not come back exactly.
CREATE FUNCTION eav._erase_from_rollups(INOUT erasure eav.erasures, max_attributes integer)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
AS $$
DECLARE
    ids integer[];
    first_buckets timestamptz[];
    last_buckets timestamptz[];
    first_day timestamptz;
    end_of_days timestamptz;
BEGIN
    WITH gone AS (
        DELETE FROM eav.erasure_attributes WHERE ctid = ANY (ARRAY(
            SELECT t.ctid FROM eav.erasure_attributes t
            WHERE t.erasure_id = erasure.erasure_id ORDER BY t.attribute_id LIMIT max_attributes))
        RETURNING *)
    SELECT array_agg(g.attribute_id), array_agg(g.first_bucket), array_agg(g.last_bucket),
           date_trunc('day', min(g.first_bucket), 'UTC'),
           date_trunc('day', max(g.last_bucket), 'UTC') + interval '24 h'
    INTO ids, first_buckets, last_buckets, first_day, end_of_days FROM gone g;
    IF ids IS NULL THEN
        erasure.phase := 'rest';
        RETURN;
    END IF;
    PERFORM eav.merge_rollups();
    -- Of what nobody has any more nothing remains.
    DELETE FROM eav.attribute_rollups r USING unnest(ids, first_buckets, last_buckets)
        AS t (attribute_id, first_bucket, last_bucket)
    WHERE r.tenant_id = erasure.tenant_id AND r.attribute_id = t.attribute_id
      AND r.bucket BETWEEN t.first_bucket AND t.last_bucket
      AND r.value_count + r.cleared_count <= 0;
    DELETE FROM eav.attribute_rollups_daily r
    WHERE r.tenant_id = erasure.tenant_id AND r.attribute_id = ANY (ids)
      AND r.value_count + r.cleared_count <= 0 AND r.new_entities = 0;
    WITH t AS (
        SELECT * FROM unnest(ids, first_buckets, last_buckets)
            AS t (attribute_id, first_bucket, last_bucket)),
    h AS MATERIALIZED (
        SELECT v.attribute_id, date_trunc('hour', v.observed_at, 'UTC') AS bucket,
               count(*) AS row_count,
               count(*) FILTER (WHERE eav._is_summed(v.number)) AS number_count,
               min(v.number) FILTER (WHERE eav._is_summed(v.number)) AS min_value,
               max(v.number) FILTER (WHERE eav._is_summed(v.number)) AS max_value,
               sum(v.number) FILTER (WHERE eav._is_summed(v.number)) AS sum_value,
               min(v.observed_at) AS first_observed_at, max(v.observed_at) AS last_observed_at,
               max(v.ingested_at) AS last_ingested_at
        FROM (SELECT n.attribute_id, n.observed_at, n.ingested_at,
                     coalesce(n.value_int::numeric, n.value_float::numeric, n.value_numeric)
                         AS number
              FROM eav.entity_values_ts n
              WHERE n.tenant_id = erasure.tenant_id AND n.attribute_id = ANY (ids)
                AND n.observed_at >= first_day AND n.observed_at < end_of_days) AS v
        GROUP BY 1, 2),
    d AS (
        SELECT h.attribute_id, date_trunc('day', h.bucket, 'UTC') AS bucket,
               sum(h.row_count) AS row_count, sum(h.number_count) AS number_count,
               min(h.min_value) AS min_value, max(h.max_value) AS max_value,
               sum(h.sum_value) AS sum_value, min(h.first_observed_at) AS first_observed_at,
               max(h.last_observed_at) AS last_observed_at,
               max(h.last_ingested_at) AS last_ingested_at
        FROM h GROUP BY 1, 2),
    hours AS (
        UPDATE eav.attribute_rollups r
        SET min_value = h.min_value, max_value = h.max_value,
            sum_value = CASE WHEN r.number_count = 0 THEN NULL
                             WHEN h.number_count = r.number_count
                                  AND h.row_count = r.value_count + r.cleared_count
                             THEN h.sum_value ELSE r.sum_value END,
            first_observed_at = coalesce(h.first_observed_at, r.bucket),
            last_observed_at = coalesce(h.last_observed_at, r.bucket),
            last_ingested_at = coalesce(h.last_ingested_at, r.bucket)
        FROM t JOIN eav.attribute_rollups o
            ON o.attribute_id = t.attribute_id AND o.bucket BETWEEN t.first_bucket AND t.last_bucket
        LEFT JOIN h ON h.attribute_id = o.attribute_id AND h.bucket = o.bucket
        WHERE o.tenant_id = erasure.tenant_id AND r.tenant_id = o.tenant_id
          AND r.attribute_id = o.attribute_id AND r.bucket = o.bucket)
    UPDATE eav.attribute_rollups_daily r
    SET min_value = d.min_value, max_value = d.max_value,
        sum_value = CASE WHEN r.number_count = 0 THEN NULL
                         WHEN d.number_count = r.number_count
                              AND d.row_count = r.value_count + r.cleared_count
                         THEN d.sum_value ELSE r.sum_value END,
        first_observed_at = coalesce(d.first_observed_at, r.bucket),
        last_observed_at = coalesce(d.last_observed_at, r.bucket),
        last_ingested_at = coalesce(d.last_ingested_at, r.bucket)
    FROM t JOIN eav.attribute_rollups_daily o
        ON o.attribute_id = t.attribute_id
        AND o.bucket BETWEEN date_trunc('day', t.first_bucket, 'UTC') AND t.last_bucket
    LEFT JOIN d ON d.attribute_id = o.attribute_id AND d.bucket = o.bucket
    WHERE o.tenant_id = erasure.tenant_id AND r.tenant_id = o.tenant_id
      AND r.attribute_id = o.attribute_id AND r.bucket = o.bucket;
END
$$;
COMMENT ON FUNCTION eav._erase_from_rollups(eav.erasures, integer) IS 'Internal: computes least and greatest values and times anew in the rollups of some of the attributes of which history has lost values.';

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
    -- An event that was no event may say what tenant it is of where nobody could read it.
    DELETE FROM eav.ingest_rejects r
    WHERE (r.tenant_id = erasure.tenant_id
           AND (erasure.of_tenant
                OR eav._reject_mentions(r.payload, erasure.entity_id, erasure.external_id)))
       OR (r.tenant_id IS NULL
           AND coalesce(eav._reject_mentions(r.payload, NULL, erasure.external_id), false));
    GET DIAGNOSTICS gone = ROW_COUNT;
    erasure.counts := eav._add_counts(erasure.counts, 'ingest_rejects', gone);
    erasure.phase := 'stats';
END
$$;
COMMENT ON FUNCTION eav._erase_rejects(eav.erasures) IS 'Internal: removes rejects that are about the subject.';

CREATE FUNCTION eav._settle_erasure(INOUT erasure eav.erasures)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    erasure.older := eav._still_open(erasure.older, eav._open_transactions());
    IF erasure.older <> '{}' THEN
        erasure.next_attempt_at := clock_timestamp() + interval '1 s';
    ELSIF NOT erasure.is_flushed THEN
        PERFORM eav._flush_all();
        erasure.is_flushed := true;
        erasure.leaves := ARRAY(SELECT n FROM generate_series(0, 2) AS n
                                WHERE pg_relation_size(format('eav.entity_values_ingest_%s', n)) > 0);
    ELSE
        PERFORM eav._rotate_staging();
        erasure.leaves := ARRAY(SELECT n FROM unnest(erasure.leaves) AS n
                                WHERE pg_relation_size(format('eav.entity_values_ingest_%s', n)) > 0);
        IF erasure.leaves = '{}' THEN
            erasure.phase := 'settled';
        ELSE
            erasure.next_attempt_at := clock_timestamp() + interval '0.1 s';
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION eav._settle_erasure(eav.erasures) IS 'Internal: waits for transactions that are as old as the request, flushes what they have left, and empties staging.';

CREATE FUNCTION eav._erase_batch(INOUT erasure eav.erasures, max_values integer)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- How long the first pass is put off for those who may have to be waited for in any case.
    patience CONSTANT interval := '10 s';
BEGIN
    CASE erasure.phase
        WHEN 'waiting' THEN
            IF erasure.writers IS NULL THEN
                PERFORM eav._lock_flush();
                erasure.writers := eav._open_writers();
                erasure.older := eav._open_transactions();
            END IF;
            erasure.writers := eav._still_open(erasure.writers, eav._open_writers());
            erasure.is_last_pass := erasure.writers = '{}';
            IF erasure.is_last_pass OR clock_timestamp() > erasure.requested_at + patience THEN
                erasure.phase := 'rows';
            ELSE
                erasure.next_attempt_at := clock_timestamp() + interval '0.2 s';
            END IF;
        WHEN 'writers' THEN
            erasure.writers := eav._still_open(erasure.writers, eav._open_writers());
            IF erasure.writers = '{}' THEN
                erasure.is_last_pass := true;
                erasure.partition := 0;
                erasure.step := 1;
                erasure.phase := 'rows';
            ELSE
                erasure.next_attempt_at := clock_timestamp() + interval '1 s';
            END IF;
        WHEN 'rows' THEN
            IF erasure.of_tenant THEN
                erasure := eav._erase_tenant_rows(erasure, max_values);
            ELSE
                erasure := eav._erase_entity_rows(erasure);
                erasure.phase := 'history';
            END IF;
        WHEN 'history' THEN
            erasure := eav._erase_history(erasure, max_values);
        WHEN 'rollups' THEN
            erasure := eav._erase_from_rollups(erasure, greatest(max_values / 100, 1));
        WHEN 'rest' THEN
            erasure := eav._erase_rest(erasure);
        WHEN 'rejects' THEN
            erasure := eav._erase_rejects(erasure);
        WHEN 'stats' THEN
            PERFORM eav.refresh_stats();
            erasure.entity_id := NULL;
            erasure.external_id := NULL;
            erasure.phase := 'settling';
        WHEN 'settling' THEN
            erasure := eav._settle_erasure(erasure);
    END CASE;
END
$$;
COMMENT ON FUNCTION eav._erase_batch(eav.erasures, integer) IS 'Internal: one batch of an erasure.';

CREATE FUNCTION eav.run_erasures(max_values integer DEFAULT 20000) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    erasure eav.erasures;
    id bigint;
    message text;
BEGIN
    IF max_values IS NULL OR max_values < 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'max_values must be at least 1',
            HINT = 'Leave it out to get its default.';
    ELSIF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE invalid_transaction_state
            USING MESSAGE = 'eav.run_erasures() needs the isolation level READ COMMITTED',
                DETAIL = 'What others have committed meanwhile has to be seen.';
    END IF;
    SELECT * INTO erasure FROM eav.erasures e
    WHERE e.xact IS DISTINCT FROM pg_current_xact_id_if_assigned()
      AND e.next_attempt_at <= clock_timestamp()
    ORDER BY e.updated_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        id := erasure.erasure_id;
        BEGIN
            erasure := eav._erase_batch(erasure, max_values);
            UPDATE eav.erasures e
            SET entity_id = erasure.entity_id, external_id = erasure.external_id,
                subjects = erasure.subjects, phase = erasure.phase,
                is_last_pass = erasure.is_last_pass, writers = erasure.writers,
                older = erasure.older, is_flushed = erasure.is_flushed, leaves = erasure.leaves,
                step = erasure.step, last_key = erasure.last_key, partition = erasure.partition,
                last_attribute_id = erasure.last_attribute_id,
                last_ingested_at = erasure.last_ingested_at, counts = erasure.counts,
                failures = 0, last_error = NULL, next_attempt_at = erasure.next_attempt_at,
                updated_at = clock_timestamp()
            WHERE e.erasure_id = id;
            IF erasure.phase = 'settled' THEN
                INSERT INTO eav.audit_log (actor, action, state, erasure_id, tenant_id, details)
                SELECT r.actor, r.action, 'completed', r.erasure_id, r.tenant_id,
                       jsonb_build_object('requested_at', r.logged_at, 'removed', erasure.counts)
                FROM eav.audit_log r WHERE r.erasure_id = id AND r.state = 'requested';
                DELETE FROM eav.erasures e WHERE e.erasure_id = id;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            -- Tried again later and later; one that fails keeps no other from going on.
            message := SQLERRM;
            UPDATE eav.erasures e
            SET failures = e.failures + 1, last_error = message, updated_at = clock_timestamp(),
                next_attempt_at = clock_timestamp()
                    + least(2 ^ least(e.failures, 12), 3600) * interval '1 s'
            WHERE e.erasure_id = id;
        END;
    END IF;
    RETURN (SELECT count(*) FROM eav.erasures);
END
$$;
COMMENT ON FUNCTION eav.run_erasures(integer) IS
'Does one batch of what eav.erase_entity() and eav.erase_tenant() have left to do, as the worker does with each tick; for servers without a worker. max_values: how many rows of history of the tenant it goes through at most. Returns the number of erasures that are still under way: call it, each time in a transaction of its own, until it returns 0; some of them may only be waiting for transactions of others to end. A batch that fails is noted in eav.stat_erasures and tried again later. Raises invalid_parameter_value (22023) when max_values is below 1 or null, and invalid_transaction_state (25000) in a transaction that is not READ COMMITTED.';
