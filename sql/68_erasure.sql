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
--   rollups    Least and greatest values and times are no sums: in the hours and days that the entity
--              had values in, those that may have been its own are computed anew from the history
--              that remains. The others stay: history may have expired since.
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

CREATE TABLE eav.erasure_hours (
    erasure_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    bucket timestamptz NOT NULL,
    min_value numeric,
    max_value numeric,
    first_observed_at timestamptz NOT NULL,
    last_observed_at timestamptz NOT NULL,
    last_ingested_at timestamptz NOT NULL,
    PRIMARY KEY (erasure_id, attribute_id, bucket)
);
COMMENT ON TABLE eav.erasure_hours IS 'Attributes and hours of which an erasure under way has taken values out of history, with the least and greatest of what it took: where rollups may have to be computed anew.';

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
