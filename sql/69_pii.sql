-- Personal attributes: their values are stored encrypted, under a key of the entity they are about.
--
-- The key is in a table of its own. Without it nobody can read what tables, WAL and backups hold of
-- these values: to erase an entity its key is deleted first, and what a backup of the other tables
-- holds is gone with it. See docs/erasure.md for what that protects from, and what not.
--
-- A value is encrypted by whoever writes it to history (src/flush/pii.cpp calls eav._encrypt_pii()),
-- and everything behind that, documents included, knows only the ciphertext: the text pii1:, and in
-- base64 which key it is, the initialization vector, AES-256-CBC of the value, and an HMAC-SHA-256 of
-- all that and of the entity. pgcrypto does it, which has to be there when the first attribute is made
-- personal.
--
-- An entity may have several keys: nobody waits for another who is just making one.

CREATE TABLE eav.entity_keys (
    tenant_id bigint NOT NULL,
    entity_id bigint NOT NULL,
    key_id uuid NOT NULL DEFAULT gen_random_uuid(),
    key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, entity_id, key_id)
);
COMMENT ON TABLE eav.entity_keys IS 'Keys that values of personal attributes are encrypted with, at least one for each entity that has any. Whoever reads it can read those values; keep it out of backups that are kept long.';
COMMENT ON COLUMN eav.entity_keys.key IS '32 bytes for AES, 32 for the HMAC.';

CREATE FUNCTION eav._pgcrypto() RETURNS name
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema_name name;
BEGIN
    SELECT n.nspname INTO schema_name FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'pgcrypto';
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = 'extension pgcrypto is not installed',
            DETAIL = 'It encrypts the values of personal attributes.',
            HINT = 'CREATE EXTENSION pgcrypto;';
    END IF;
    RETURN schema_name;
END
$$;
COMMENT ON FUNCTION eav._pgcrypto() IS 'Internal: the schema of pgcrypto. Raises undefined_object (42704) when it is not there.';

CREATE FUNCTION eav._encrypt_pii(tenants bigint[], entities bigint[], texts text[]) RETURNS text[]
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    crypto CONSTANT name := eav._pgcrypto();
    encrypted text[];
BEGIN
    EXECUTE format(
        'INSERT INTO eav.entity_keys (tenant_id, entity_id, key) '
        'SELECT e.t, e.e, %I.gen_random_bytes(64) '
        'FROM (SELECT DISTINCT u.t, u.e FROM unnest($1, $2) AS u (t, e)) AS e '
        'WHERE NOT EXISTS (SELECT FROM eav.entity_keys k WHERE k.tenant_id = e.t AND k.entity_id = e.e)',
        crypto)
    USING tenants, entities;
    -- OFFSET 0: what is random is taken once.
    EXECUTE format(
        'SELECT array_agg(''pii1:'' || translate(encode(s.sealed || %1$I.hmac(s.sealed || s.subject, '
        'substr(s.key, 33), ''sha256''), ''base64''), E''\n'', '''') ORDER BY s.number) '
        'FROM (SELECT i.number, i.key, i.subject, uuid_send(i.key_id) || i.iv || %1$I.encrypt_iv('
        'convert_to(i.value, ''UTF8''), substr(i.key, 1, 32), i.iv, ''aes-cbc/pad:pkcs'') AS sealed '
        'FROM (SELECT u.number, u.value, k.key_id, k.key, %1$I.gen_random_bytes(16) AS iv, '
        'int8send(u.tenant_id) || int8send(u.entity_id) AS subject '
        'FROM unnest($1, $2, $3) WITH ORDINALITY AS u (tenant_id, entity_id, value, number) '
        'CROSS JOIN LATERAL (SELECT k.key_id, k.key FROM eav.entity_keys k '
        'WHERE k.tenant_id = u.tenant_id AND k.entity_id = u.entity_id '
        'ORDER BY k.key_id LIMIT 1) AS k OFFSET 0) AS i OFFSET 0) AS s', crypto)
    INTO encrypted USING tenants, entities, texts;
    IF cardinality(encrypted) IS DISTINCT FROM cardinality(texts) THEN
        RAISE serialization_failure USING MESSAGE = 'the key of an entity was deleted meanwhile',
            HINT = 'Run the transaction again.';
    END IF;
    RETURN encrypted;
END
$$;
COMMENT ON FUNCTION eav._encrypt_pii(bigint[], bigint[], text[]) IS 'Internal: values of personal attributes as they are stored, in the same order; makes keys for entities that have none. Raises undefined_object (42704) without pgcrypto, serialization_failure (40001) when a key is deleted meanwhile.';

CREATE FUNCTION eav._decrypt_pii(tenant_id bigint, entity_id bigint, value text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    crypto name;
    entity_key bytea;
    sealed bytea;
    body bytea;
    mac bytea;
    cleartext bytea;
BEGIN
    IF value IS NULL OR value NOT LIKE 'pii1:%' THEN
        RETURN value;
    ELSIF value !~ '^pii1:[A-Za-z0-9+/]{107,}={0,2}$' THEN
        RAISE data_corrupted USING MESSAGE = 'the value is no encrypted value';
    END IF;
    sealed := decode(substr(value, 6), 'base64');
    body := substr(sealed, 1, length(sealed) - 32);
    SELECT k.key INTO entity_key FROM eav.entity_keys k
    WHERE k.tenant_id = tenant_id AND k.entity_id = entity_id
      AND k.key_id = encode(substr(body, 1, 16), 'hex')::uuid;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    crypto := eav._pgcrypto();
    EXECUTE format('SELECT %I.hmac($1 || int8send($2) || int8send($3), substr($4, 33), ''sha256'')',
                   crypto)
    INTO mac USING body, tenant_id, entity_id, entity_key;
    IF mac <> substr(sealed, length(sealed) - 31) THEN
        RAISE data_corrupted USING MESSAGE = 'the value has been changed since it was encrypted';
    END IF;
    EXECUTE format('SELECT %I.decrypt_iv(substr($1, 33), substr($2, 1, 32), substr($1, 17, 16), '
                   '''aes-cbc/pad:pkcs'')', crypto)
    INTO cleartext USING body, entity_key;
    RETURN convert_from(cleartext, 'UTF8');
END
$$;
COMMENT ON FUNCTION eav._decrypt_pii(bigint, bigint, text) IS 'Internal: what eav.decrypt_pii() does once its caller has been checked.';
CREATE FUNCTION eav.decrypt_pii(tenant_id bigint, entity_id bigint, value text) RETURNS text
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'eav_for_tenant';
COMMENT ON FUNCTION eav.decrypt_pii(bigint, bigint, text) IS
'Returns the cleartext of a value of a personal attribute as history and documents have it (pii1:...); null when its key is gone, or it is of another entity; what is not encrypted comes back as it is. tenant_id, entity_id: whose value it is. Grant it to those only who may see personal values. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, data_corrupted (XX001) for a value that has been changed, and undefined_object (42704) without pgcrypto.';

CREATE FUNCTION eav._get_pii(tenant_id bigint, entity_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(v.name, v.cleartext) FILTER (WHERE v.cleartext IS NOT NULL), '{}')
    FROM (SELECT a.name,
                 eav._decrypt_pii($1, $2, CASE WHEN a.projection = 'live' AND a.moving_from IS NULL
                     THEN (SELECT p.live_attrs ->> coalesce(a.document_name, a.name)
                           FROM eav.entity_jsonb p WHERE p.tenant_id = $1 AND p.entity_id = $2)
                     ELSE (SELECT h.value_text FROM eav.entity_values_ts h
                           WHERE h.tenant_id = $1 AND h.attribute_id = a.attribute_id
                             AND h.entity_id = $2
                           ORDER BY h.observed_at DESC, h.ingested_at DESC LIMIT 1)
                     END) AS cleartext
          FROM eav.attributes a WHERE a.tenant_id = $1 AND a.is_pii) AS v
$$;
COMMENT ON FUNCTION eav._get_pii(bigint, bigint) IS 'Internal: what eav.get_pii() does once its caller has been checked.';
CREATE FUNCTION eav.get_pii(tenant_id bigint, entity_id bigint) RETURNS jsonb
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'eav_for_tenant';
COMMENT ON FUNCTION eav.get_pii(bigint, bigint) IS
'Returns the newest values of the personal attributes of an entity in the clear, an object by name; {} when there are none, or the key is gone. Of attributes with projection none it reads the history. Grant it to those only who may see personal values. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, data_corrupted (XX001) for a value that has been changed, and undefined_object (42704) without pgcrypto.';

-- The rollups know of values that history has lost to retention, while a document still has the last;
-- to look into the documents would be to read those of all entities. What is staged, and in the
-- backlog, is encrypted when it is flushed.
CREATE FUNCTION eav._has_values(tenant_id bigint, attribute_id integer) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM eav.entity_values_ts h
                   WHERE h.tenant_id = $1 AND h.attribute_id = $2)
        OR EXISTS (SELECT FROM eav.entity_values_current c
                   WHERE c.tenant_id = $1 AND c.attribute_id = $2)
        OR EXISTS (SELECT FROM eav.attribute_rollups_daily r
                   WHERE r.tenant_id = $1 AND r.attribute_id = $2
                     AND (r.value_count + r.cleared_count > 0 OR r.new_entities > 0))
        OR EXISTS (SELECT FROM eav.rollup_pending r
                   WHERE r.tenant_id = $1 AND r.attribute_id = $2
                     AND (r.value_count + r.cleared_count > 0 OR r.new_entities > 0))
$$;
COMMENT ON FUNCTION eav._has_values(bigint, integer) IS 'Internal: whether the attribute has, or has had, values that were not erased.';

-- Events are kept as they came: under any name that reaches the attribute, on any level.
CREATE FUNCTION eav._reject_has_attribute(payload jsonb, attribute eav.attributes) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NOT payload ? 'withheld'
       AND (payload ->> 'attribute_id' = attribute.attribute_id::text
            OR EXISTS (
                SELECT FROM unnest(array_remove(ARRAY[attribute.name, attribute.document_name], NULL)) AS n (name)
                WHERE payload ->> 'attribute' = n.name
                   OR jsonb_path_exists(payload -> 'event', format('$.**.%s', to_jsonb(n.name))::jsonpath)
                   OR jsonb_typeof(payload -> 'event') = 'string'
                      AND EXISTS (SELECT FROM regexp_matches(payload ->> 'event', '"((?:[^"\\]|\\.)*)"', 'g') AS m (string)
                                  WHERE eav._json_string(m.string[1]) = n.name)))
$$;
COMMENT ON FUNCTION eav._reject_has_attribute(jsonb, eav.attributes) IS 'Internal: whether a reject may show values of the attribute.';

CREATE FUNCTION eav._set_pii(tenant_id bigint, attribute text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    -- While it waits nobody can flush.
    SET lock_timeout = '2s'
AS $$
#variable_conflict use_variable
DECLARE
    known eav.attributes;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE invalid_transaction_state
            USING MESSAGE = 'eav.set_pii() needs the isolation level READ COMMITTED',
                DETAIL = 'What others have committed meanwhile has to be seen.';
    END IF;
    PERFORM eav._pgcrypto();
    -- Who writes has read the registry under one of these locks.
    PERFORM eav._lock_flush();
    LOCK TABLE eav.entity_values_ts IN SHARE MODE;
    known := eav._lock_attribute(tenant_id, attribute);
    IF known.is_pii THEN
        RETURN false;
    ELSIF known.data_type IS DISTINCT FROM 'text' OR known.is_inferred THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('attribute "%s" cannot be personal', known.name),
            DETAIL = 'Only attributes that were registered with type text can: what is encrypted is text.',
            HINT = 'Register it with type text; numbers and times are stored as they are written.';
    ELSIF known.projection NOT IN ('live', 'none') OR known.moving_from IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('attribute "%s" cannot be personal', known.name),
            DETAIL = format('It has projection %s; values of hot and current attributes are indexed.',
                            known.projection),
            HINT = 'Register it with projection live or none.';
    ELSIF eav._has_values(known.tenant_id, known.attribute_id) THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('attribute "%s" has values that are not encrypted', known.name),
            DETAIL = 'They stand in history, in documents or in backups, and would stay there.',
            HINT = 'Make another attribute personal before its first value, and have it sent from now on.';
    ELSIF EXISTS (SELECT FROM eav.ingest_rejects r
                  WHERE (coalesce(r.tenant_id, known.tenant_id) = known.tenant_id
                         OR eav._reject_tenant(r.payload) = known.tenant_id)
                    AND eav._reject_has_attribute(r.payload, known)) THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('rejects show values of attribute "%s"', known.name),
            DETAIL = 'They stand in eav.ingest_rejects, and would stay there.',
            HINT = 'Delete these rejects, or make another attribute personal before its first value.';
    END IF;
    UPDATE eav.attributes a SET is_pii = true
    WHERE a.tenant_id = known.tenant_id AND a.attribute_id = known.attribute_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION eav._set_pii(bigint, text) IS 'Internal: what eav.set_pii() does once its caller has been checked.';
CREATE FUNCTION eav.set_pii(tenant_id bigint, attribute text) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_for_tenant';
COMMENT ON FUNCTION eav.set_pii(bigint, text) IS
'Makes an attribute personal, before its first value: its values are stored encrypted, under a key of each entity that eav.erase_entity() deletes. It must have type text and projection live or none, and keeps them. Values show as pii1:... in documents and history and cannot be searched; eav.get_pii() and eav.decrypt_pii() read them. Ingestion stands still until the transaction ends. Returns false when it is personal already. Raises insufficient_privilege (42501) for a tenant that the caller may not act for, lock_not_available (55P03) when transactions that have upserted stay open for 2 seconds, object_not_in_prerequisite_state (55000) when it has values, or has had some that retention has dropped, or rejects show some, invalid_parameter_value (22023) for another type or projection, undefined_object (42704) for an unknown attribute or without pgcrypto, foreign_key_violation (23503) for an unknown tenant, null_value_not_allowed (22004), and invalid_transaction_state (25000) in a transaction that is not READ COMMITTED.';

-- Whoever changes where its values go, or their type, is refused.
CREATE FUNCTION eav._keep_pii() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE object_not_in_prerequisite_state USING
        MESSAGE = format('attribute "%s" is personal', OLD.name),
        DETAIL = 'Its values are encrypted text with projection live or none.',
        HINT = 'Use another attribute.';
END
$$;
COMMENT ON FUNCTION eav._keep_pii() IS 'Internal: personal attributes stay text, and out of indexes. Raises object_not_in_prerequisite_state (55000).';
CREATE TRIGGER keep_pii BEFORE UPDATE ON eav.attributes FOR EACH ROW
    WHEN (OLD.is_pii AND (NOT NEW.is_pii OR NEW.projection NOT IN ('live', 'none')
                          OR NEW.data_type IS DISTINCT FROM 'text'))
    EXECUTE FUNCTION eav._keep_pii();

-- A reject keeps what identifies it. Of an event all else is withheld when the tenant has personal
-- attributes: nobody could read which of them are in it. What names no tenant, or another than its
-- sender's, may have values of anybody. Of the latter all values are withheld as soon as anybody has
-- personal attributes: what is shown must not tell the sender which ones the other tenant has.
CREATE FUNCTION eav._withhold_pii(tenant_id bigint, payload jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT EXISTS (SELECT FROM eav.attributes a
                         WHERE a.is_pii AND (a.tenant_id = $1 OR $1 IS NULL OR f.is_foreign)) THEN payload
        WHEN payload ? 'event' THEN
            payload || jsonb_build_object('withheld', true, 'event',
                CASE WHEN jsonb_typeof(payload -> 'event') = 'object'
                     THEN (SELECT jsonb_object_agg(m.key, m.value)
                           FROM jsonb_each(payload -> 'event') AS m
                           WHERE m.key IN ('tenant_id', 'entity_id', 'entity')
                             AND jsonb_typeof(m.value) IN ('number', 'string')) END)
        WHEN f.is_foreign
             OR EXISTS (SELECT FROM eav.attributes a
                        WHERE a.is_pii AND (a.tenant_id = $1 OR $1 IS NULL)
                          AND (a.attribute_id::text = payload ->> 'attribute_id'
                               OR payload ->> 'attribute' IN (a.name, a.document_name))) THEN
            (payload - '{value,value_text,value_json,value_int,value_float,value_numeric,value_time,value_bool}'::text[])
            || '{"withheld": true}'
        ELSE payload END
    FROM (SELECT coalesce(eav._reject_tenant(payload) <> $1, false)) AS f (is_foreign)
$$;
COMMENT ON FUNCTION eav._withhold_pii(bigint, jsonb) IS 'Internal: the payload of a reject without values of personal attributes.';
