\echo Use "ALTER EXTENSION eav_ext UPDATE" to load this file. \quit

-- What users have been granted on our objects is remembered until the end (end.sql): what this script
-- grants makes the server take all privileges on an object for those of the extension, and a dump
-- would leave those of users out; and an object that is dropped and made anew would lose them.
SELECT pg_catalog.set_config('eav_ext.user_grants', coalesce(pg_catalog.jsonb_agg(g)::text, '[]'), true)
FROM (
    WITH acl AS (
        SELECT d.classid, d.objid, 0 AS objsubid, coalesce(c.relacl, p.proacl, t.typacl) AS acl,
               CASE WHEN p.oid IS NOT NULL THEN 'ROUTINE' WHEN t.oid IS NOT NULL THEN 'TYPE'
                    WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, '' AS columns
        FROM pg_catalog.pg_depend d
        LEFT JOIN pg_catalog.pg_class c
            ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
        LEFT JOIN pg_catalog.pg_proc p
            ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid
        LEFT JOIN pg_catalog.pg_type t
            ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = d.objid
        WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
          AND d.refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'eav_ext')
        UNION ALL
        SELECT d.classid, d.objid, a.attnum, a.attacl, 'TABLE', pg_catalog.format(' (%I)', a.attname)
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_attribute a ON a.attrelid = d.objid AND a.attacl IS NOT NULL
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
          AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
          AND d.refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'eav_ext')
    )
    SELECT a.kind, o.identity, a.columns, x.privilege_type AS privilege, x.grantee, x.is_grantable
    FROM acl a
    CROSS JOIN pg_catalog.pg_identify_object(a.classid, a.objid, 0) AS o
    CROSS JOIN pg_catalog.aclexplode(a.acl) AS x
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_init_privs i, pg_catalog.aclexplode(i.initprivs) AS y
        WHERE i.classoid = a.classid AND i.objoid = a.objid AND i.objsubid = a.objsubid
          AND y.grantee = x.grantee AND y.privilege_type = x.privilege_type
          AND y.is_grantable = x.is_grantable)
) AS g;

