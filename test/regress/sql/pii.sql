-- Personal attributes: who can be one, and what becomes of them. That nothing stands in the clear is
-- tested in test/tap/t/132_pii.pl.
SELECT eav.register_tenant('pii', 69001);
SELECT eav.register_attribute(69001, 'secret', 'text', 'live') > 0,
       eav.register_attribute(69001, 'hot', 'text', 'hot') > 0,
       eav.register_attribute(69001, 'current', 'text', 'current') > 0,
       eav.register_attribute(69001, 'number', 'int', 'live') > 0,
       eav.register_attribute(69001, 'used', 'text', 'none') > 0;
SELECT error_of($$SELECT eav.set_pii(69001, 'secret')$$);
SELECT error_of($$SELECT eav._encrypt_pii('{69001}', '{1}', '{x}')$$);
CREATE SCHEMA crypto;
CREATE EXTENSION pgcrypto SCHEMA crypto;
SELECT error_of($$SELECT eav.set_pii(NULL, 'secret')$$);
SELECT error_of($$SELECT eav.set_pii(69000, 'secret')$$);
SELECT error_of($$SELECT eav.set_pii(69001, 'unknown')$$);
SELECT error_of($$SELECT eav.set_pii(69001, 'hot')$$);
SELECT error_of($$SELECT eav.set_pii(69001, 'current')$$);
SELECT error_of($$SELECT eav.set_pii(69001, 'number')$$);
SELECT eav.upsert_hot_attributes(69001, 1, '{"used": "x"}');
SELECT error_of($$SELECT eav.set_pii(69001, 'used')$$);
-- One whose history has expired: its last value stands in the document.
SELECT eav.register_attribute(69001, 'expired', 'text', 'live') > 0;
SELECT eav.upsert_hot_attributes(69001, 1, '{"expired": "shown?"}', '2026-01-01');
DELETE FROM eav.entity_values_ts WHERE tenant_id = 69001;
SELECT error_of($$SELECT eav.set_pii(69001, 'expired')$$) AS not_merged;
SELECT eav.merge_rollups() > 0;
SELECT error_of($$SELECT eav.set_pii(69001, 'expired')$$) AS merged;
SELECT eav.rebuild_rollups() > 0;
SELECT error_of($$SELECT eav.set_pii(69001, 'expired')$$) AS rebuilt;
-- One that rejects show: by name, by id, the old name, in an event and in what is none.
SELECT eav.register_attribute(69001, 'old "näme"', 'text', 'live') AS id \gset
SELECT eav.rename_attribute(69001, 'old "näme"', 'rejected');
BEGIN;
TRUNCATE eav.ingest_rejects;
INSERT INTO eav.ingest_rejects (tenant_id, sqlstate, reason, payload) VALUES
    (69001, '22023', 'others', '{"tenant_id": 69001, "attribute": "secret", "value": "rejected"}'),
    (69001, '22023', 'others', '{"event": {"attributes": {"secret": "rejected"}}}'),
    (69001, '22023', 'others', jsonb_build_object('event', '{"attributes": {"secret": 1e400000, "b": "not rejected"}}')),
    (69000, '22023', 'others', '{"event": {"attributes": {"rejected": "x"}}}'),
    (69001, '22023', 'withheld', '{"withheld": true, "attribute": "rejected"}'),
    (69001, '22023', 'shown', '{"tenant_id": 69001, "attribute": "rejected", "value": "x"}'),
    (69001, '22023', 'shown', jsonb_build_object('tenant_id', 69001, 'attribute_id', :id, 'value', 'x')),
    (69001, '22023', 'shown', '{"event": {"attributes": {"rejected": "x"}}}'),
    (69001, '22023', 'shown', '{"event": [{"attributes": {"old \"näme\"": "x"}}]}'),
    (NULL, '22023', 'shown', '{"event": {"attributes": {"rejected": "x"}}}'),
    (69000, '22023', 'shown', '{"event": {"tenant_id": "69001", "attributes": {"rejected": "x"}}}'),
    (69001, '22023', 'shown', jsonb_build_object('event', '{"attributes": {"old \"n\u00e4me\"": 1e400000}}'));
SELECT error_of($$SELECT eav.set_pii(69001, 'rejected')$$);
SELECT reason, count(*), count(*) FILTER (WHERE eav._reject_has_attribute(payload, a)) AS shown
FROM eav.ingest_rejects, eav.attributes a WHERE a.attribute_id = :id GROUP BY reason ORDER BY reason;
DELETE FROM eav.ingest_rejects WHERE reason = 'shown';
SELECT eav.set_pii(69001, 'rejected');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT error_of($$SELECT eav.set_pii(69001, 'secret')$$);
ROLLBACK;
SELECT eav.set_pii(69001, 'secret');
SELECT eav.set_pii(69001, 'secret');
SELECT name, is_pii FROM eav.attributes WHERE tenant_id = 69001 ORDER BY name;
SELECT error_of($$SELECT eav.promote_attribute(69001, 'secret', 'hot')$$);
SELECT error_of($$SELECT eav.alter_attribute_type(69001, 'secret', 'json', 'keep')$$);
SELECT error_of($$UPDATE eav.attributes SET is_pii = false WHERE tenant_id = 69001 AND name = 'secret'$$);

SELECT eav.upsert_hot_attributes(69001, 1, '{"secret": "one", "number": 1}') ->> 'secret' LIKE 'pii1:%';
SELECT eav.get_pii(69001, 1), eav.get_pii(69001, 2);
SELECT eav.upsert_hot_attributes(69001, 1, '{"secret": "older"}', '2020-01-01') ->> 'number';
SELECT eav.get_pii(69001, 1);
SELECT eav.rename_attribute(69001, 'secret', 'private');
SELECT eav.get_pii(69001, 1);
SELECT eav.demote_attribute(69001, 'private', 'none'), eav.move_attributes();
SELECT eav.get_pii(69001, 1);
SELECT eav.promote_attribute(69001, 'private', 'live'), eav.move_attributes(), eav.move_attributes();
SELECT eav.get_pii(69001, 1);
SELECT eav.upsert_hot_attributes(69001, 1, '{"private": null}') ->> 'secret';
SELECT eav.get_pii(69001, 1);
SELECT eav.decrypt_pii(69001, 1, NULL), eav.decrypt_pii(69001, 1, 'clear'), eav.decrypt_pii(69001, 1, '');
SELECT error_of($$SELECT eav.decrypt_pii(69001, 1, 'pii1:')$$);
SELECT error_of($$SELECT eav.decrypt_pii(69001, 1, 'pii1:' || repeat('?', 120))$$);
-- What was encrypted stays readable as long as its key is there.
SELECT eav.decrypt_pii(tenant_id, entity_id, value_text) FROM eav.entity_values_ts
WHERE tenant_id = 69001 AND value_text LIKE 'pii1:%' ORDER BY observed_at;
DELETE FROM eav.entity_keys WHERE tenant_id = 69001;
SELECT eav.decrypt_pii(tenant_id, entity_id, value_text) FROM eav.entity_values_ts
WHERE tenant_id = 69001 AND value_text LIKE 'pii1:%' ORDER BY observed_at;

-- Rejects do not show them.
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value, observed_at) VALUES
    (69001, 1, 'private', 'shown?', '9999-01-01'), (69001, 1, 'secret', 'shown?', '9999-01-01'),
    (69001, 1, 'number', 'not personal', now());
SELECT rejected FROM eav.stage_flush();
SELECT reason, payload - 'observed_at' AS payload FROM eav.ingest_rejects WHERE tenant_id = 69001 ORDER BY reject_id;
DELETE FROM eav.ingest_rejects WHERE tenant_id = 69001;
-- Nor do those of a sender who names another tenant, whatever that has; he sees his own as ever.
SELECT eav.register_tenant('pii 2', 69002), eav.register_tenant('pii 3', 69003);
CREATE ROLE regress_sender IN ROLE eav_writer;
SET ROLE regress_sender;
SELECT eav.set_tenant(69002);
SELECT (eav.ingest(e)).rejected
FROM unnest('{"{\"tenant_id\": 69001, \"entity_id\": 7, \"attributes\": {\"secret\": \"shown?\"}}",
              "{\"tenant_id\": \"69003\", \"entity_id\": 7, \"attributes\": {\"a\": \"shown?\"}}",
              "{\"tenant_id\": 69001, \"entity_id\": 7, \"attributes\": {\"secret\": 1e400000}}",
              "{\"tenant_id\": 69002, \"entity_id\": 7, \"attributes\": \"seen\"}",
              "{\"entity_id\": 7, \"attributes\": \"seen\"}"}'::text[]) AS e;
RESET eav.tenant_id;
RESET ROLE;
DROP ROLE regress_sender;
SELECT rejected FROM eav.stage_flush();
SELECT sqlstate, payload - 'observed_at' AS payload FROM eav.ingest_rejects WHERE tenant_id = 69002 ORDER BY reject_id;
DELETE FROM eav.ingest_rejects WHERE tenant_id = 69002;
SELECT t, eav._withhold_pii(69002, jsonb_build_object('tenant_id', t, 'entity_id', 7, 'attribute', 'a', 'value', 'x'))
FROM generate_series(69001, 69003) AS t;
SELECT eav.erase_tenant(t, 'end') > 0 FROM generate_series(69001, 69003) AS t;
DO $$BEGIN WHILE eav.run_erasures() > 0 LOOP COMMIT; PERFORM pg_sleep(0.01); END LOOP; END$$;
SELECT count(*) FROM eav.entity_keys WHERE tenant_id = 69001;
DROP EXTENSION pgcrypto;
DROP SCHEMA crypto;
