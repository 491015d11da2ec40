-- PUBLIC gets nothing: not the EXECUTE that functions and the USAGE that types have by default, and
-- not what default privileges of the database may have added. Only members of the extension are touched, since the
-- schema may hold objects of others.

DO $$
DECLARE
    member record;
BEGIN
    FOR member IN
        SELECT CASE o.type WHEN 'function' THEN 'ROUTINE' WHEN 'aggregate' THEN 'ROUTINE'
               WHEN 'sequence' THEN 'SEQUENCE'
               WHEN 'type' THEN 'TYPE' ELSE 'TABLE' END AS kind,
               o.identity
        FROM pg_catalog.pg_extension e
        JOIN pg_catalog.pg_depend d
            ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
            AND d.refobjid = e.oid AND d.deptype = 'e'
        CROSS JOIN pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS o
        WHERE e.extname = 'eav_ext'
          AND d.classid IN ('pg_catalog.pg_proc'::pg_catalog.regclass,
                            'pg_catalog.pg_type'::pg_catalog.regclass,
                            'pg_catalog.pg_class'::pg_catalog.regclass)
          -- Since version 17 an extension's arrays are its members too. They have the privileges of
          -- their elements, and can have no others.
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_type t
                          WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                            AND t.typarray = d.objid)
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM PUBLIC', member.kind, member.identity);
    END LOOP;
END
$$;
