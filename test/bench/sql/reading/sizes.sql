SELECT coalesce('  ' || i.indexrelid::regclass::text, c.oid::regclass::text), pg_relation_size(r.oid) + coalesce(pg_relation_size(nullif(r.reltoastrelid, 0)), 0),
       pg_size_pretty(pg_relation_size(r.oid) + coalesce(pg_relation_size(nullif(r.reltoastrelid, 0)), 0)), r.reltuples::bigint
FROM pg_class c
CROSS JOIN LATERAL (SELECT NULL::oid AS indexrelid
                    UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = c.oid) AS i
JOIN pg_class r ON r.oid = coalesce(i.indexrelid, c.oid)
WHERE c.oid IN ('eav.entities'::regclass, 'eav.entity_jsonb'::regclass, 'eav.entity_values_current'::regclass,
                to_regclass('bench.history'), to_regclass('bench.documents'))
ORDER BY c.relnamespace, c.relname, i.indexrelid IS NOT NULL, r.relname;
