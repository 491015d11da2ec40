-- Indexes of single attributes by value. A wish is a row here; a process of its own
-- (src/worker/index_builder.cpp) makes the indexes what the wishes say.

CREATE TABLE eav.attribute_indexes (
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    requested_by text NOT NULL DEFAULT session_user,
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (tenant_id, attribute_id)
);
COMMENT ON TABLE eav.attribute_indexes IS 'Indexes that eav.create_attribute_index() was asked for; eav.stat_attribute_indexes shows how they are. An index is built when there is none, also after a restore from a dump, which has only this table.';
COMMENT ON COLUMN eav.attribute_indexes.requested_by IS 'The role that was logged in.';
COMMENT ON COLUMN eav.attribute_indexes.failures IS 'Attempts to build it that failed, one after the other.';
COMMENT ON COLUMN eav.attribute_indexes.last_error IS 'Why the last attempt failed; null after one that did not.';
COMMENT ON COLUMN eav.attribute_indexes.next_attempt_at IS 'Not tried before this time: 10 seconds after a failure, and twice as long after each further one, up to an hour.';

CREATE FUNCTION eav._attribute_index_name(attribute_id integer) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 'attribute_' || attribute_id || '_idx';
COMMENT ON FUNCTION eav._attribute_index_name(integer) IS 'Internal: what the index of an attribute is called.';

CREATE FUNCTION eav._attribute_index_statement(tenant_id bigint, attribute_id integer,
                                               document_name text)
    RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('CREATE INDEX CONCURRENTLY %I ON eav.entity_jsonb '
                  '(eav.value_key(hot_attrs -> %L::text), entity_id) '
                  'WHERE tenant_id = %L::bigint AND hot_attrs ? %L::text',
                  eav._attribute_index_name(attribute_id), document_name, tenant_id, document_name)
$$;
COMMENT ON FUNCTION eav._attribute_index_statement(bigint, integer, text) IS
'Internal: the statement that builds the index of an attribute, by the name that it has in documents.';

CREATE FUNCTION eav._attribute_indexes()
    RETURNS TABLE (index_id oid, index_name name, attribute_id integer, is_valid boolean)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid, c.relname, n.number::integer, i.indisvalid
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    CROSS JOIN LATERAL (SELECT substring(c.relname FROM '^attribute_([0-9]{1,10})_idx$')::bigint) AS n (number)
    WHERE i.indrelid = 'eav.entity_jsonb'::regclass AND n.number < 2147483648
$$;
COMMENT ON FUNCTION eav._attribute_indexes() IS 'Internal: the indexes of attributes that there are.';

CREATE FUNCTION eav._index_work()
    RETURNS TABLE (tenant_id bigint, attribute_id integer, is_drop boolean, statement text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH wished AS (
        SELECT w.tenant_id, w.attribute_id, coalesce(a.document_name, a.name) AS document_name,
               w.next_attempt_at <= clock_timestamp() AS is_due, w.requested_at
        FROM eav.attribute_indexes w
        JOIN eav.attributes a USING (tenant_id, attribute_id)
        WHERE a.projection = 'hot'
    )
    SELECT w.tenant_id, coalesce(w.attribute_id, p.attribute_id), p.index_id IS NOT NULL,
           CASE WHEN p.index_id IS NULL
                THEN eav._attribute_index_statement(w.tenant_id, w.attribute_id, w.document_name)
                ELSE format('DROP INDEX CONCURRENTLY eav.%I', p.index_name) END
    FROM wished w
    FULL JOIN eav._attribute_indexes() p USING (attribute_id)
    WHERE w.attribute_id IS NULL OR (w.is_due AND p.is_valid IS NOT TRUE)
    ORDER BY p.index_id IS NULL, w.requested_at, 2
$$;
COMMENT ON FUNCTION eav._index_work() IS
'Internal: what is to be done now so that the indexes are as wished: what nobody wants (any more), or a build left behind, is dropped first, then what is missing is built. An invalid index counts as left behind; so this is right only as long as nobody builds.';

CREATE FUNCTION eav._start_index_builder() RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_start_index_builder'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._start_index_builder() IS
'Internal: starts the process that builds indexes; it begins after the transaction has ended. False when no background worker slot is free.';

CREATE FUNCTION eav._call_index_builder() RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT eav._start_index_builder() THEN
        RAISE WARNING USING
            MESSAGE = 'the process that builds indexes could not be started: no background worker slot is free',
            HINT = 'The flush worker will try again. Raise max_worker_processes if this lasts.';
    END IF;
END
$$;
COMMENT ON FUNCTION eav._call_index_builder() IS
'Internal: the same, with a WARNING when it was not started.';

CREATE FUNCTION eav._check_attribute(tenant_id bigint, attribute text) RETURNS eav.attributes
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_name CONSTANT text := attribute;
    found_row eav.attributes;
BEGIN
    PERFORM eav._check_tenant(wanted_tenant);
    PERFORM eav._check_name('attribute name', wanted_name);
    SELECT a.* INTO found_row FROM eav.attributes a
    WHERE a.tenant_id = wanted_tenant
      AND a.attribute_id = eav._attribute_id(wanted_tenant, wanted_name);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('attribute "%s" of tenant %s does not exist', wanted_name, wanted_tenant),
            HINT = 'See eav.attributes.';
    END IF;
    RETURN found_row;
END
$$;
COMMENT ON FUNCTION eav._check_attribute(bigint, text) IS
'Internal: the attribute with this name, or that was registered with it. Raises null_value_not_allowed (22004) for null, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for what is no name, undefined_object (42704) for an unknown one.';

CREATE FUNCTION eav.create_attribute_index(tenant_id bigint, attribute text) RETURNS text
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known CONSTANT eav.attributes := eav._check_attribute(tenant_id, attribute);
    new_name CONSTANT text := eav._attribute_index_name(known.attribute_id);
    is_new boolean;
BEGIN
    IF known.projection = 'current' THEN
        RAISE NOTICE 'attribute "%" needs no index of its own', known.name
            USING DETAIL = 'Its projection is current, which is indexed by value for all attributes.';
        RETURN 'entity_values_current_value_idx';
    ELSIF known.projection <> 'hot' THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('attribute "%s" cannot have an index', known.name),
            DETAIL = CASE known.projection
                WHEN 'live' THEN 'Its projection is live: an index would make every new value of every live attribute as expensive as one of a hot attribute.'
                ELSE 'Its projection is none: it has no current values.' END,
            HINT = 'Make it hot with eav.promote_attribute() first.';
    END IF;
    -- All tenants share the table, and each of its writers opens and locks all of its indexes.
    IF (SELECT count(*) FROM eav.attribute_indexes w
        WHERE (w.tenant_id, w.attribute_id) <> (known.tenant_id, known.attribute_id))
       >= eav._setting('eav.max_attribute_indexes')::integer THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = format('attribute "%s" cannot have an index: there are eav.max_attribute_indexes of them',
                             known.name),
            DETAIL = 'Every flush and every upsert of every tenant pays for each of them.',
            HINT = 'Drop one that is used less, or demote the attribute to projection current, which is indexed for all.';
    END IF;
    -- Asked for again: tried at once.
    INSERT INTO eav.attribute_indexes AS w (tenant_id, attribute_id)
    VALUES (known.tenant_id, known.attribute_id)
    ON CONFLICT (tenant_id, attribute_id) DO UPDATE SET failures = 0, next_attempt_at = '-infinity'
    RETURNING w.xmax = '0'::xid INTO is_new;
    IF is_new THEN
        INSERT INTO eav.attribute_changes (tenant_id, attribute_id, change, new_value)
        VALUES (known.tenant_id, known.attribute_id, 'index', new_name);
    END IF;
    IF EXISTS (SELECT FROM eav._index_work()) THEN
        PERFORM eav._call_index_builder();
    END IF;
    RETURN new_name;
END
$$;
COMMENT ON FUNCTION eav.create_attribute_index(bigint, text) IS
'Asks for an index on the values of a hot attribute, for comparisons and for order, and returns its name. A background process builds it without blocking anybody, after the transaction has committed; eav.stat_attribute_indexes shows how far it is. Asked for again, an attempt that failed is repeated at once. For an attribute with projection current, whose values are indexed anyway, a NOTICE and the name of that index. A WARNING when the process could not be started: the flush worker starts it later. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, program_limit_exceeded (54000) when there are eav.max_attribute_indexes of them already, null_value_not_allowed (22004) for a null argument, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for what is no name, undefined_object (42704) for an unknown attribute, and object_not_in_prerequisite_state (55000) for one with projection live or none.';

CREATE FUNCTION eav._forget_attribute_index(tenant_id bigint, attribute_id integer) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted_tenant CONSTANT bigint := tenant_id;
    wanted_id CONSTANT integer := attribute_id;
BEGIN
    DELETE FROM eav.attribute_indexes w
    WHERE w.tenant_id = wanted_tenant AND w.attribute_id = wanted_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO eav.attribute_changes (tenant_id, attribute_id, change, old_value)
    VALUES (wanted_tenant, wanted_id, 'index', eav._attribute_index_name(wanted_id));
    IF EXISTS (SELECT FROM eav._index_work()) THEN
        PERFORM eav._call_index_builder();
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION eav._forget_attribute_index(bigint, integer) IS
'Internal: takes back the wish for an index of an attribute; true when there was one. The index is dropped in the background after the transaction has committed.';

CREATE FUNCTION eav.drop_attribute_index(tenant_id bigint, attribute text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known CONSTANT eav.attributes := eav._check_attribute(tenant_id, attribute);
BEGIN
    RETURN eav._forget_attribute_index(known.tenant_id, known.attribute_id);
END
$$;
COMMENT ON FUNCTION eav.drop_attribute_index(bigint, text) IS
'Takes back what eav.create_attribute_index() was asked for and returns true, or false when it was not. A background process drops the index without blocking anybody, after the transaction has committed. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, null_value_not_allowed (22004) for a null argument, foreign_key_violation (23503) for an unknown tenant, invalid_name (42602) for what is no name, and undefined_object (42704) for an unknown attribute.';

-- Without functions of ours, so that SELECT is enough.
CREATE VIEW eav.stat_attribute_indexes WITH (security_invoker = true) AS
SELECT w.tenant_id, coalesce(w.attribute_id, i.attribute_id) AS attribute_id, a.name AS attribute,
       coalesce(i.index_name, 'attribute_' || w.attribute_id || '_idx') AS index_name,
       CASE WHEN w.attribute_id IS NULL OR a.projection IS DISTINCT FROM 'hot' THEN 'unwanted'
            WHEN i.is_valid THEN 'valid'
            WHEN p.index_relid IS NOT NULL THEN 'building'
            WHEN i.index_id IS NOT NULL THEN 'invalid'
            ELSE 'pending' END AS state,
       p.phase, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total,
       pg_catalog.pg_relation_size(i.index_id) AS bytes,
       w.requested_at, w.requested_by, w.failures, w.last_error, w.next_attempt_at
FROM eav.attribute_indexes w
FULL JOIN (SELECT c.oid AS index_id, c.relname::text AS index_name, x.indisvalid AS is_valid,
                  substring(c.relname FROM '^attribute_([0-9]{1,10})_idx$')::bigint AS attribute_id
           FROM pg_catalog.pg_index x
           JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
           WHERE x.indrelid = 'eav.entity_jsonb'::pg_catalog.regclass
             AND c.relname ~ '^attribute_[0-9]{1,10}_idx$') AS i
    ON i.attribute_id = w.attribute_id
LEFT JOIN eav.attributes a ON a.tenant_id = w.tenant_id AND a.attribute_id = w.attribute_id
LEFT JOIN pg_catalog.pg_stat_progress_create_index p
    ON p.index_relid = i.index_id AND p.datname = pg_catalog.current_database();
COMMENT ON VIEW eav.stat_attribute_indexes IS 'The indexes of attributes: those wished for and those that there are.';
COMMENT ON COLUMN eav.stat_attribute_indexes.state IS 'pending: will be built. building: now. valid: done. invalid: an attempt was broken off; will be dropped and built again. unwanted: nobody asks for it (any more), or the attribute is no longer hot; will be dropped if it is there.';
COMMENT ON COLUMN eav.stat_attribute_indexes.phase IS 'Of the build, with the four columns after it, as in pg_stat_progress_create_index; null when none is under way, and for those who are not allowed to see it (pg_read_all_stats).';
COMMENT ON COLUMN eav.stat_attribute_indexes.bytes IS 'Its size on disk.';
