
-- What users had been granted before (begin.sql), on what is still there, theirs and not ours.
DO $$
DECLARE
    given record;
    made record;
BEGIN
    FOR given IN
        SELECT g.*, a.classid, a.objid,
               CASE WHEN g.grantee = 0 THEN 'PUBLIC'
                    ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS role
        FROM pg_catalog.jsonb_to_recordset(
                pg_catalog.current_setting('eav_ext.user_grants')::pg_catalog.jsonb)
            AS g (kind text, identity text, columns text, privilege text, grantee oid,
                  is_grantable boolean)
        JOIN (SELECT d.classid, d.objid, o.identity
              FROM pg_catalog.pg_depend d
              CROSS JOIN pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS o
              WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
                AND d.refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'eav_ext')
             ) AS a ON a.identity = g.identity
    LOOP
        EXECUTE pg_catalog.format('GRANT %s%s ON %s %s TO %s%s', given.privilege, given.columns,
                                  given.kind, given.identity, given.role,
                                  CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
        SELECT i.objsubid, pg_catalog.array_agg(y.item) AS initprivs INTO made
        FROM pg_catalog.pg_init_privs i
        LEFT JOIN pg_catalog.pg_attribute c
            ON c.attrelid = given.objid AND pg_catalog.format(' (%I)', c.attname) = given.columns
        LEFT JOIN LATERAL (
            SELECT pg_catalog.makeaclitem(x.grantee, x.grantor, x.privilege_type, x.is_grantable) AS item
            FROM pg_catalog.aclexplode(i.initprivs) AS x
            WHERE (x.grantee, x.privilege_type, x.is_grantable)
                  IS DISTINCT FROM (given.grantee, given.privilege, given.is_grantable)
        ) AS y ON true
        WHERE i.classoid = given.classid AND i.objoid = given.objid
          AND i.objsubid = coalesce(c.attnum, 0)
        GROUP BY i.objsubid;
        UPDATE pg_catalog.pg_init_privs i SET initprivs = made.initprivs
        WHERE i.classoid = given.classid AND i.objoid = given.objid AND i.objsubid = made.objsubid
          AND made.initprivs IS NOT NULL;
    END LOOP;
END
$$;
