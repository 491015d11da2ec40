-- Tombstones: whose values do not come back. What is erased (68_erasure.sql) leaves one, flushes and
-- writers look for it, and registering the entity or the tenant again takes it away.

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

-- Not by classes of characters, which go by the locale: it must raise nothing, whatever is written.
CREATE FUNCTION eav._integer_of(written text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN written ~ '^[ \t\r\n]*[+-]?[0-9]{1,19}(\.0*)?[ \t\r\n]*$' THEN
               CASE WHEN written::numeric BETWEEN -9223372036854775808 AND 9223372036854775807
                    THEN written::numeric::bigint END END;
COMMENT ON FUNCTION eav._integer_of(text) IS 'Internal: the bigint that is written there, with or without a fraction of zeros; null when it is none.';

CREATE FUNCTION eav._json_string(escaped text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN strpos(escaped, '\') = 0 THEN escaped
           ELSE ('"' || escaped || '"')::jsonb #>> '{}' END;
EXCEPTION WHEN invalid_text_representation OR untranslatable_character THEN
    RETURN escaped;
END
$$;
COMMENT ON FUNCTION eav._json_string(text) IS 'Internal: what stands between the quotes of a string in JSON, without its escapes; as it is when no text can be that.';

-- An array or an object may be small, and as text more than fits into memory.
CREATE FUNCTION eav._scalar_of(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN jsonb_typeof(value) IN ('number', 'string') THEN value #>> '{}' END;
COMMENT ON FUNCTION eav._scalar_of(jsonb) IS 'Internal: a number or a string as text, else null.';

-- An event that jsonb cannot hold is kept as the text it came in: there, what stands behind a key, as
-- far as can be told.
CREATE FUNCTION eav._reject_tenant(payload jsonb) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    RETURN eav._integer_of(coalesce(
        eav._scalar_of(payload -> 'tenant_id'), eav._scalar_of(payload #> '{event,tenant_id}'),
        CASE WHEN jsonb_typeof(payload -> 'event') = 'string'
             THEN substring(payload ->> 'event' FROM '"tenant_id"\s*:\s*"?\s*([^",}\]\s]*)') END));
COMMENT ON FUNCTION eav._reject_tenant(jsonb) IS 'Internal: the tenant that the payload of a reject names, as a number or as text; null when it names none. Not always the one that has sent it.';

CREATE FUNCTION eav._reject_mentions(payload jsonb, entity_id bigint, external_id text)
    RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT entity_id IS NOT NULL
           AND jsonb_path_exists(payload, '$.**.entity_id ? (@ == $id || @ == $text)',
                                 jsonb_build_object('id', entity_id, 'text', entity_id::text))
        OR external_id IS NOT NULL
           AND jsonb_path_exists(payload, '$.** ? (@ == $name)',
                                 jsonb_build_object('name', external_id))
        OR coalesce(CASE WHEN jsonb_typeof(payload -> 'event') = 'string' THEN
               coalesce(strpos(payload ->> 'event', external_id) > 0, false)
               OR coalesce(payload ->> 'event' ~ ('"entity_id"\s*:\s*"?' || entity_id || '\M'), false)
               OR EXISTS (SELECT FROM regexp_matches(payload ->> 'event', '"((?:[^"\\]|\\.)*)"', 'g') AS m (string)
                          WHERE eav._json_string(m.string[1]) = external_id) END, false)
$$;
COMMENT ON FUNCTION eav._reject_mentions(jsonb, bigint, text) IS 'Internal: whether the payload of a reject is about the entity, or has its external id anywhere. A null id is mentioned nowhere.';

CREATE FUNCTION eav._is_erased_reject(tenant_id bigint, payload jsonb) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT
        FROM (VALUES ($1), (eav._reject_tenant(payload))) AS t (id)
        CROSS JOIN (SELECT CASE WHEN jsonb_typeof(payload -> 'event') = 'string'
                                THEN payload ->> 'event' END) AS e (event)
        CROSS JOIN LATERAL (
            SELECT '00000000-0000-0000-0000-000000000000'::uuid
            UNION ALL
            SELECT eav._erasure_subject(t.id, eav._integer_of(m.id), NULL)
            FROM (VALUES (eav._scalar_of(payload -> 'entity_id')), (eav._scalar_of(payload #> '{event,entity_id}')),
                         (substring(event FROM '"entity_id"\s*:\s*"?(-?\d{1,19})\M'))) AS m (id)
            UNION ALL
            SELECT eav._erasure_subject(t.id, NULL, m.name)
            FROM (VALUES (eav._scalar_of(payload -> 'entity')), (eav._scalar_of(payload #> '{event,entity}')),
                         (eav._json_string(substring(event FROM '"entity"\s*:\s*"((?:[^"\\]|\\.)*)"')))) AS m (name)
            WHERE m.name IS NOT NULL) AS s (subject)
        JOIN eav.erased_subjects d ON d.tenant_id = t.id AND d.subject = s.subject)
$$;
COMMENT ON FUNCTION eav._is_erased_reject(bigint, jsonb) IS 'Internal: whether a reject is about an entity or a tenant that has been erased, of the tenant that has sent it or of the one that it names; it is not kept then.';

-- Who is about to write locks the table before the tombstones are looked at: an erasure waits for
-- those who hold the lock. Who looks must see what was requested after his snapshot was taken: his
-- transaction may be too old for the erasure to know of him.
CREATE FUNCTION eav._is_being_erased(tenant_id bigint, entity_id bigint, external_id text)
    RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_is_being_erased'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._is_being_erased(bigint, bigint, text) IS 'Internal: true while the entity with this entity_id or this external id is being erased, or the tenant when both are null; false when it has been erased and not been registered again, else null. Sees what is committed, whatever the isolation level.';

CREATE FUNCTION eav._check_not_erased(tenant_id bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE eav._is_being_erased(tenant_id, NULL, NULL)
        WHEN true THEN
            RAISE object_in_use USING MESSAGE = format('tenant %s is being erased', tenant_id),
                DETAIL = 'Values that were sent before may still be on their way.',
                HINT = 'eav.stat_erasures says how far it has come.';
        WHEN false THEN
            RAISE object_not_in_prerequisite_state
                USING MESSAGE = format('tenant %s has been erased', tenant_id),
                    DETAIL = 'Whatever arrives for it is discarded.',
                    HINT = 'Register it again with eav.register_tenant().';
        ELSE
            RETURN;
    END CASE;
END
$$;
COMMENT ON FUNCTION eav._check_not_erased(bigint) IS 'Internal: returns when the tenant has no tombstone. Raises object_in_use (55006) while it is being erased, and object_not_in_prerequisite_state (55000) when it has been.';

CREATE FUNCTION eav._readmit_entity(tenant_id bigint, entity_id bigint, external_id text,
                                    is_known boolean)
    RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF NOT is_known THEN
        LOCK TABLE eav.entities IN ROW EXCLUSIVE MODE;
    END IF;
    PERFORM eav._check_not_erased(tenant_id);
    CASE eav._is_being_erased(tenant_id, entity_id, external_id)
        WHEN true THEN
            RAISE object_in_use USING MESSAGE = 'the entity is being erased',
                DETAIL = 'Values that were sent before may still be on their way.',
                HINT = 'eav.stat_erasures says how far it has come.';
        WHEN false THEN
            DELETE FROM eav.erased_subjects s
            WHERE s.tenant_id = tenant_id
              AND s.subject IN (eav._erasure_subject(tenant_id, entity_id, NULL),
                                eav._erasure_subject(tenant_id, NULL, external_id));
        ELSE
            RETURN;
    END CASE;
END
$$;
COMMENT ON FUNCTION eav._readmit_entity(bigint, bigint, text, boolean) IS 'Internal: lets values arrive again for an entity that was erased. Raises object_in_use (55006) while the erasure of it, or of its tenant, is under way, and object_not_in_prerequisite_state (55000) when its tenant has been erased.';

CREATE FUNCTION eav._readmit_tenant(tenant_id bigint, is_known boolean) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF NOT is_known THEN
        LOCK TABLE eav.tenants IN ROW EXCLUSIVE MODE;
    END IF;
    IF eav._is_being_erased(tenant_id, NULL, NULL) IS NOT DISTINCT FROM false THEN
        DELETE FROM eav.erased_subjects s
        WHERE s.tenant_id = tenant_id
          AND s.subject = '00000000-0000-0000-0000-000000000000'::uuid;
    END IF;
    PERFORM eav._check_not_erased(tenant_id);
END
$$;
COMMENT ON FUNCTION eav._readmit_tenant(bigint, boolean) IS 'Internal: lets values arrive again for a tenant that was erased. Raises object_in_use (55006) while the erasure is under way, and object_not_in_prerequisite_state (55000) when the isolation level does not let it see the tombstone.';
