-- A plain role may do nothing with any object of the extension. The list is read from the catalog:
-- a new object has to be looked at here.
CREATE ROLE regress_plain;
CREATE VIEW member AS
SELECT d.classid, d.objid, o.type, o.identity
FROM pg_depend d
CROSS JOIN pg_identify_object(d.classid, d.objid, 0) AS o
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'eav_ext');

\a
SELECT objid::regprocedure AS function, has_function_privilege('regress_plain', objid, 'EXECUTE') AS execute,
       prosecdef AS as_owner
FROM member JOIN pg_proc p ON p.oid = objid AND classid = 'pg_proc'::regclass
ORDER BY objid::regprocedure::text COLLATE "C";

SELECT type, identity,
       (SELECT string_agg(privilege, ', ')
        FROM unnest('{SELECT,INSERT,UPDATE,REFERENCES,DELETE,TRUNCATE,TRIGGER}'::text[]) AS privilege
        WHERE has_table_privilege('regress_plain', objid, privilege)) AS privileges,
       has_any_column_privilege('regress_plain', objid, 'SELECT, INSERT, UPDATE, REFERENCES') AS columns
FROM member JOIN pg_class c ON c.oid = objid AND classid = 'pg_class'::regclass
WHERE c.relkind <> 'S'
ORDER BY identity COLLATE "C";

SELECT identity AS sequence,
       has_sequence_privilege('regress_plain', objid, 'USAGE, SELECT, UPDATE') AS privileges
FROM member JOIN pg_class c ON c.oid = objid AND classid = 'pg_class'::regclass
WHERE c.relkind = 'S'
ORDER BY identity COLLATE "C";

-- Members of other kinds: none but the types of the tables.
SELECT type, count(*) FROM member
WHERE classid NOT IN ('pg_proc'::regclass, 'pg_class'::regclass) AND type <> 'type' GROUP BY 1;

-- A type that stands for itself.
SELECT identity AS composite_type, has_type_privilege('regress_plain', t.oid, 'USAGE') AS privileges
FROM member JOIN pg_type t ON t.oid = objid AND classid = 'pg_type'::regclass
JOIN pg_class c ON c.oid = t.typrelid
WHERE c.relkind = 'c'
ORDER BY identity COLLATE "C";

-- Partitions are no members, and are just as closed.
SELECT eav._ensure_partitions();
SELECT bool_or(has_table_privilege('regress_plain', partition, 'SELECT, INSERT, UPDATE, DELETE'))
FROM eav._history_partitions();

SELECT has_schema_privilege('regress_plain', 'eav', 'USAGE, CREATE') AS schema;
SET ROLE regress_plain;
SELECT eav.register_tenant('x');
RESET ROLE;

-- What the roles are for. A writer hands in values of its tenant, and no more.
GRANT eav_writer TO regress_plain;
SELECT eav.register_tenant('acl', 7001), eav.register_tenant('acl other', 7002);
SET ROLE regress_plain;
SELECT eav.register_entity(7001, 'e');
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value) VALUES (7001, 'e', 'a', '1');
SELECT eav.set_tenant(7001);
BEGIN;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value) VALUES (7001, 'e', 'a', '1');
SELECT eav.register_entity(7001, 'e') > 0, eav.register_attribute(7001, 'a', 'int') > 0,
       eav.replay_rejects();
ROLLBACK;
-- Not for another tenant, whether it is there or not; and not saying that it was another who wrote.
SELECT eav.register_entity(7002, 'e');
SELECT eav.register_entity(7003, 'e');
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value) VALUES (7002, 'e', 'a', '1');
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value, writer_tenant)
VALUES (7001, 'e', 'a', '1', 7002);
SELECT eav.register_tenant('x');
SELECT eav.stage_flush();
SELECT * FROM eav.entity_values_ingest;
-- Its rejects it sees, replays and deletes, without a right that would let it lock the table.
RESET ROLE;
INSERT INTO eav.ingest_rejects (tenant_id, sqlstate, reason, payload)
SELECT t, '22000', 'acl', '{"tenant_id": 7001, "entity": "e", "attribute": "a", "value": "1"}'
FROM unnest('{7001,7001,7002,null}'::bigint[]) AS t;
SELECT array_agg(reject_id ORDER BY reject_id) AS rejects FROM eav.ingest_rejects WHERE reason = 'acl' \gset
SET ROLE regress_plain;
BEGIN;
LOCK TABLE eav.ingest_rejects IN ACCESS EXCLUSIVE MODE;
ROLLBACK;
BEGIN;
SELECT count(*), eav.replay_rejects(:'rejects') FROM eav.ingest_rejects WHERE reason = 'acl';
SELECT count(*) FROM eav.ingest_rejects WHERE reason = 'acl';
ROLLBACK;
SELECT eav.delete_rejects(:'rejects'), eav.delete_rejects(:'rejects'), eav.delete_rejects('{}');
SELECT eav.delete_rejects(NULL);
RESET ROLE;
SELECT tenant_id FROM eav.ingest_rejects WHERE reason = 'acl' ORDER BY reject_id;
-- Who has chosen a tenant deletes and replays no other's; who has not, all.
SELECT eav.delete_rejects(:'rejects'), eav.replay_rejects(:'rejects');
RESET eav.tenant_id;
SET ROLE regress_plain;
SELECT eav.delete_rejects(:'rejects');
RESET ROLE;
SELECT eav.delete_rejects(:'rejects');
SET eav.tenant_id = 7001;
SET ROLE regress_plain;
SELECT eav.get_entity(7001, 'e');
-- A pinned role has its tenant without choosing, and can choose no other.
RESET ROLE;
RESET eav.tenant_id;
SELECT eav.grant_tenant('regress_plain', 7002);
SET ROLE regress_plain;
SELECT eav.current_tenant();
SELECT eav.set_tenant(7001);
SET eav.tenant_id = 7001;
SELECT eav.current_tenant();
RESET eav.tenant_id;
RESET ROLE;
-- Nor can its members, also under a name that is new.
ALTER ROLE regress_plain RENAME TO regress_renamed;
CREATE ROLE regress_member IN ROLE regress_renamed;
SET ROLE regress_member;
SELECT eav.current_tenant();
RESET ROLE;
DROP ROLE regress_member;
-- A role that is given a name that was free again is another one.
CREATE ROLE regress_plain IN ROLE eav_writer;
SET ROLE regress_plain;
SELECT eav.current_tenant();
RESET ROLE;
SELECT eav.revoke_tenant('regress_plain');
SELECT eav.grant_tenant('regress_plain', 7001);
SET ROLE regress_renamed;
SELECT eav.current_tenant();
SELECT eav.set_tenant(7001);
RESET ROLE;
-- Of a role that is gone the name is left, as in a dump. It still binds.
DROP ROLE regress_plain;
CREATE ROLE regress_plain IN ROLE eav_writer;
SET ROLE regress_plain;
SELECT eav.current_tenant();
RESET ROLE;
SELECT eav.grant_tenant('regress_plain', 7002);
SELECT role_id::regrole AS role, tenant_id FROM eav.tenant_grants WHERE role = 'regress_plain'
ORDER BY role_id::regrole::text COLLATE "C";
DROP ROLE regress_plain;
SELECT eav.revoke_tenant('regress_plain');
ALTER ROLE regress_renamed RENAME TO regress_plain;
SELECT eav.revoke_tenant('regress_plain'), eav.revoke_tenant('regress_plain');
SELECT eav.grant_tenant('regress_nobody', 7002);
SELECT eav.grant_tenant('regress_plain', 7003);
SELECT eav.grant_tenant(NULL, 7002);

-- A choice that ends with the transaction, for clients that share connections.
SELECT eav.set_tenant(7001, true);
BEGIN;
SELECT eav.set_tenant(7001, true), eav.current_tenant();
COMMIT;
SELECT eav.current_tenant();
SET eav.tenant_scope = 'transaction';
SELECT eav.set_tenant(7001);
SET eav.tenant_id = 7001;
SELECT eav.current_tenant();
BEGIN;
SET eav.tenant_id = 7002;
SELECT eav.current_tenant();
SAVEPOINT later;
SET LOCAL eav.tenant_id = 7001;
SELECT eav.current_tenant();
ROLLBACK TO later;
SELECT eav.current_tenant();
COMMIT;
SELECT eav.current_tenant();
RESET eav.tenant_id;
RESET eav.tenant_scope;

-- The administration of attributes is that of all tenants.
REVOKE eav_writer FROM regress_plain;
GRANT eav_admin TO regress_plain;
SET ROLE regress_plain;
BEGIN;
SELECT eav.register_tenant('x') AS tenant \gset
SELECT eav.register_attribute(:tenant, 'a', 'int', 'hot') > 0, eav.rename_attribute(:tenant, 'a', 'b');
SELECT eav.create_attribute_index(:tenant, 'b') IS NOT NULL;
SELECT attribute, state, requested_by = session_user FROM eav.stat_attribute_indexes WHERE tenant_id = :tenant;
SELECT eav.drop_attribute_index(:tenant, 'b');
SELECT attribute, recommended FROM eav.recommend_attributes(:tenant);
SELECT eav.demote_attribute(:tenant, 'b', 'live'), flushed >= 0, eav.run_maintenance() >= 0,
       eav.merge_rollups() >= 0 FROM eav.stage_flush();
ROLLBACK;
RESET ROLE;
-- Nothing of its own runs as the owner, who writes to the tables and may be a superuser; and values in
-- the clear, of personal attributes as well, are for the flush alone.
SELECT identity, privilege FROM member, unnest('{REFERENCES,TRIGGER}'::text[]) AS privilege
WHERE classid = 'pg_class'::regclass AND type IN ('table', 'view', 'materialized view')
  AND has_table_privilege('eav_admin', objid, privilege);
SELECT identity,
       (SELECT string_agg(privilege, ', ')
        FROM unnest('{SELECT,INSERT,UPDATE,REFERENCES,DELETE,TRUNCATE,TRIGGER}'::text[]) AS privilege
        WHERE CASE WHEN privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
                   THEN has_any_column_privilege('eav_admin', objid, privilege)
                   ELSE has_table_privilege('eav_admin', objid, privilege) END) AS of_admin
FROM member
WHERE classid = 'pg_class'::regclass AND identity ~ '^eav.(entity_values_ingest(_\d)?|flush_backlog|audit_log|entity_keys|erasure_secret)$'
ORDER BY identity COLLATE "C";
CREATE FUNCTION as_whom() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''runs as %'', current_user; END';
SET ROLE regress_plain;
BEGIN;
CREATE TRIGGER as_whom BEFORE INSERT ON eav.entities FOR EACH ROW EXECUTE FUNCTION as_whom();
ROLLBACK;
SELECT value, value_text FROM eav.entity_values_ingest;
SELECT value, value_text FROM eav.flush_backlog;
-- Nor can it turn them into values of another attribute.
UPDATE eav.entity_values_ingest SET attribute_id = 1;
UPDATE eav.flush_backlog SET attribute_id = 1;
RESET ROLE;
DROP FUNCTION as_whom;
-- Not on partitions either, whatever others get by default.
BEGIN;
ALTER DEFAULT PRIVILEGES IN SCHEMA eav GRANT ALL ON TABLES TO PUBLIC, eav_admin;
SELECT eav._add_partition('1990-01-01 00:00:00+00', '1990-02-01 00:00:00+00', 'YYYYMMDD');
SELECT p.partition, privilege
FROM eav._history_partitions() p,
     unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS privilege,
     unnest('{eav_admin,regress_plain}'::text[]) AS who
WHERE has_table_privilege(who, p.partition, privilege);
ROLLBACK;
REVOKE eav_admin FROM regress_plain;
-- The monitor sees no tenant.
GRANT eav_monitor TO regress_plain;
SET ROLE regress_plain;
SELECT flushes >= 0 FROM eav.worker_status();
SELECT * FROM eav.entities;
RESET ROLE;
REVOKE eav_monitor FROM regress_plain;

-- The JSON door: EXECUTE is enough, also where values go through staging, as they do while the
-- worker rests, and whatever the search_path finds first.
GRANT USAGE ON SCHEMA eav TO regress_plain;
GRANT EXECUTE ON FUNCTION eav.ingest(text, text), eav.wait_flushed TO regress_plain;
SELECT eav.grant_tenant('regress_plain', 7001);
CREATE SCHEMA trap AUTHORIZATION regress_plain;
SET ROLE regress_plain;
CREATE FUNCTION trap.equal(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''trapped as %'', current_user; END';
CREATE OPERATOR trap.= (FUNCTION = trap.equal, LEFTARG = bigint, RIGHTARG = bigint);
CREATE FUNCTION trap.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''trapped as %'', current_user; END';
CREATE TABLE trap.entity_values_ingest (xact text);
CREATE TABLE trap.ingest_rejects (reject_id text);
CREATE TABLE trap.staging_epoch (epoch text);
CREATE TABLE trap.flush_state (epoch text);
SET search_path = trap, pg_catalog;
BEGIN READ ONLY;
SELECT accepted, rejected, ticket IS NULL AS no_ticket
FROM eav.ingest('[{"tenant_id": 7001, "entity": "acl", "attributes": {"a": 1}}, {"entity": "acl"}]');
SELECT current_user, current_setting('search_path') AS search_path,
       current_setting('transaction_read_only') AS read_only;
ROLLBACK;
SELECT accepted, rejected, ticket AS acl_ticket
FROM eav.ingest('[{"tenant_id": 7001, "entity": "acl", "attributes": {"a": 1}}, {"entity": "acl"}]') \gset
SELECT eav.wait_flushed(:acl_ticket, '0');
-- The other forms of it are for others.
SELECT eav.ingest(bytea '[]');
SELECT eav.ingest(jsonb '[]');
SELECT * FROM eav.stat_ingest;
RESET search_path;
-- An error on the way to staging leaves nobody with the rights of the owner.
RESET ROLE;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''refused to %'', current_user = ''regress_plain''; END';
CREATE TRIGGER refuse BEFORE INSERT ON eav.ingest_rejects FOR EACH ROW EXECUTE FUNCTION refuse();
GRANT EXECUTE ON FUNCTION error_of TO regress_plain;
SET ROLE regress_plain;
SELECT error_of($$SELECT eav.ingest('{}')$$);
SELECT current_user, current_setting('search_path') AS search_path;
BEGIN READ ONLY;
SAVEPOINT before_ingest;
SELECT eav.ingest('{}');
ROLLBACK TO before_ingest;
SELECT current_user, current_setting('search_path') AS search_path,
       current_setting('transaction_read_only') AS read_only;
ROLLBACK;
RESET ROLE;
DROP TRIGGER refuse ON eav.ingest_rejects;
DROP FUNCTION refuse;
SELECT sqlstate, reason FROM eav.ingest_rejects ORDER BY reject_id DESC LIMIT 1;
-- Limits are for those who run the server; what concerns the session alone is for everybody.
SET ROLE regress_plain;
SET eav.max_payload_bytes = '1GB';
SET eav.max_payload_bytes = 2048;
SET eav.ring_size = 0;
SET eav.tenant_id = 7001;
SET eav.durable_timeout = 1000;
RESET eav.tenant_id;
RESET eav.durable_timeout;
RESET ROLE;

SELECT flushed, rejected FROM eav.stage_flush();
SET ROLE regress_plain;
SELECT eav.wait_flushed(:acl_ticket, '0');
RESET ROLE;
DELETE FROM eav.ingest_rejects WHERE reason = 'event 2: no attributes are given';
DROP VIEW member;
DROP OWNED BY regress_plain;
DROP ROLE regress_plain;
