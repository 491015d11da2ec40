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

-- Partitions are no members, and are just as closed.
SELECT eav._ensure_partitions();
SELECT bool_or(has_table_privilege('regress_plain', partition, 'SELECT, INSERT, UPDATE, DELETE'))
FROM eav._history_partitions();

SELECT has_schema_privilege('regress_plain', 'eav', 'USAGE, CREATE') AS schema;
SET ROLE regress_plain;
SELECT eav.register_tenant('x');
RESET ROLE;

-- What a producer needs, and no more.
GRANT USAGE ON SCHEMA eav TO regress_plain;
GRANT INSERT ON eav.entity_values_ingest TO regress_plain;
GRANT EXECUTE ON FUNCTION eav._staging_slot() TO regress_plain;
SET ROLE regress_plain;
BEGIN;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value) VALUES (1, 'e', 'a', '1');
ROLLBACK;
SELECT eav.register_tenant('x');
SELECT * FROM eav.entity_values_ingest;
RESET ROLE;
-- Functions that do a task need no rights on what they touch.
GRANT EXECUTE ON FUNCTION eav.register_tenant, eav.register_entity, eav.register_attribute,
    eav.replay_rejects, eav.worker_status TO regress_plain;
SET ROLE regress_plain;
BEGIN;
SELECT eav.register_tenant('x') AS tenant \gset
SELECT eav.register_entity(:tenant, 'e') > 0, eav.register_attribute(:tenant, 'a', 'int') > 0,
       eav.replay_rejects(), flushes >= 0 FROM eav.worker_status();
ROLLBACK;
RESET ROLE;

DROP VIEW member;
DROP OWNED BY regress_plain;
DROP ROLE regress_plain;
