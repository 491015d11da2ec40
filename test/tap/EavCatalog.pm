# What an extension consists of, as text: a line for each property of each of its members. Two
# databases that have the same lines have the same extension.
package EavCatalog;
use strict;
use warnings;
use Test::More;

my $inventory = <<'SQL';
SET search_path = pg_catalog;
SET quote_all_identifiers = off;
WITH member AS (
    SELECT d.classid, d.objid, o.type, o.identity
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    CROSS JOIN pg_identify_object(d.classid, d.objid, 0) AS o
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'eav_ext'
), relation AS (
    SELECT m.identity, c.*
    FROM member m JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass
    UNION ALL
    SELECT m.identity || ' index ' || c.relname, c.*
    FROM member m JOIN pg_index i ON i.indrelid = m.objid AND m.classid = 'pg_class'::regclass
    JOIN pg_class c ON c.oid = i.indexrelid
), function AS (
    SELECT m.identity, p.*
    FROM member m JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass
), col AS (
    SELECT r.identity || ' column ' || a.attname AS identity, r.relkind, a.*,
           row_number() OVER (PARTITION BY r.oid ORDER BY a.attnum) AS place
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind <> 'i'
), acl AS (
    SELECT identity, proacl AS acl FROM function
    UNION ALL SELECT identity, relacl FROM relation
    UNION ALL SELECT identity, attacl FROM col
    UNION ALL SELECT m.identity, t.typacl FROM member m
              JOIN pg_type t ON t.oid = m.objid AND m.classid = 'pg_type'::regclass
    UNION ALL SELECT 'schema eav', coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace WHERE nspname = 'eav'
    UNION ALL SELECT 'initially ' || m.identity || ' ' || i.objsubid, i.initprivs
              FROM pg_init_privs i JOIN member m ON m.objid = i.objoid AND m.classid = i.classoid
), property (object, property, value) AS (
    SELECT identity, 'member', type FROM member
    UNION ALL
    SELECT 'extension', key, value FROM pg_extension e, jsonb_each_text(
        to_jsonb(e) - '{oid,extconfig,extcondition,extowner,extnamespace}'::text[])
    WHERE extname = 'eav_ext'
    UNION ALL
    SELECT 'extension', 'dumps ' || c.config::regclass, coalesce(c.condition, '')
    FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS c (config, condition)
    WHERE extname = 'eav_ext'
    UNION ALL
    SELECT f.identity, key, value FROM function f, jsonb_each_text(
        to_jsonb(f) - '{oid,identity,proacl,prosqlbody,prosrc,pronamespace,proargdefaults,prorettype,proargtypes,proallargtypes,proowner}'::text[])
    UNION ALL
    SELECT identity, 'definition',
           CASE WHEN prokind = 'a' THEN prosrc ELSE pg_get_functiondef(oid) END FROM function
    UNION ALL
    SELECT identity, 'owner', proowner::regrole::text FROM function
    UNION ALL
    SELECT f.identity, 'aggregate ' || key, value FROM function f JOIN pg_aggregate a ON a.aggfnoid = f.oid,
           jsonb_each_text(to_jsonb(a) - '{aggfnoid}'::text[])
    UNION ALL
    SELECT r.identity, key, value FROM relation r, jsonb_each_text(
        to_jsonb(r) - '{oid,identity,relnamespace,reltype,relfilenode,relpages,reltuples,relallvisible,relallfrozen,reltoastrelid,relrewrite,relfrozenxid,relminmxid,relacl,relowner,relpartbound,relhastriggers,relhasindex,relhassubclass,relchecks,relnatts,reltablespace}'::text[])
    UNION ALL
    SELECT identity, 'owner', relowner::regrole::text FROM relation
    UNION ALL
    SELECT identity, 'bound', pg_get_expr(relpartbound, oid) FROM relation
    UNION ALL
    SELECT identity, 'partition key', pg_get_partkeydef(oid) FROM relation WHERE relkind = 'p'
    UNION ALL
    SELECT r.identity, 'parent', i.inhparent::regclass::text
    FROM relation r JOIN pg_inherits i ON i.inhrelid = r.oid
    UNION ALL
    SELECT r.identity, 'toast options', t.reloptions::text
    FROM relation r JOIN pg_class t ON t.oid = r.reltoastrelid
    UNION ALL
    SELECT identity, 'view', pg_get_viewdef(oid) FROM relation WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT identity, 'index', pg_get_indexdef(oid) FROM relation WHERE relkind = 'i'
    UNION ALL
    SELECT r.identity, 'sequence ' || key, value
    FROM relation r JOIN pg_sequence s ON s.seqrelid = r.oid,
         jsonb_each_text(to_jsonb(s) - '{seqrelid}'::text[])
    UNION ALL
    SELECT r.identity, 'owned by', d.refobjid::regclass || ' ' || d.refobjsubid
    FROM relation r JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'a'
    WHERE r.relkind = 'S'
    UNION ALL
    SELECT identity, 'place', place::text FROM col
    UNION ALL
    SELECT c.identity, key, value FROM col c, jsonb_each_text(
        to_jsonb(c) - '{identity,attrelid,attnum,place,attacl,attoptions,atttypid,attcollation,attmissingval,atthasmissing,attcacheoff,relkind}'::text[])
    UNION ALL
    SELECT identity, 'type', format_type(atttypid, atttypmod) FROM col
    UNION ALL
    SELECT identity, 'options', string_agg(o, ', ' ORDER BY o) FROM col, unnest(attoptions) AS o
    WHERE o LIKE 'n\_distinct%' GROUP BY 1
    UNION ALL
    SELECT identity, 'collation', attcollation::regcollation::text FROM col WHERE attcollation <> 0
    UNION ALL
    SELECT c.identity, 'default', pg_get_expr(d.adbin, d.adrelid)
    FROM col c JOIN pg_attrdef d ON d.adrelid = c.attrelid AND d.adnum = c.attnum
    UNION ALL
    SELECT r.identity, 'constraint ' || c.conname,
           pg_get_constraintdef(c.oid) || ' ' || concat_ws(' ', c.convalidated, c.conislocal, c.coninhcount)
    FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
    UNION ALL
    SELECT r.identity, 'trigger ' || t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
    FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT r.identity, 'policy ' || p.polname,
           concat_ws(' ', p.polcmd::text, p.polpermissive, p.polroles::regrole[],
                     pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
    UNION ALL
    SELECT r.identity, 'rule ' || w.rulename, pg_get_ruledef(w.oid)
    FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid
    UNION ALL
    SELECT r.identity, 'statistics ' || s.stxname, pg_get_statisticsobjdef(s.oid)
    FROM relation r JOIN pg_statistic_ext s ON s.stxrelid = r.oid
    UNION ALL
    SELECT m.identity, key, value
    FROM member m JOIN pg_type t ON t.oid = m.objid AND m.classid = 'pg_type'::regclass,
         jsonb_each_text(to_jsonb(t) - '{oid,typnamespace,typacl,typrelid,typelem,typarray,typowner,typbasetype,typdefaultbin}'::text[])
    UNION ALL
    SELECT m.identity, 'labels', string_agg(l.enumlabel, ',' ORDER BY l.enumsortorder)
    FROM member m JOIN pg_enum l ON l.enumtypid = m.objid AND m.classid = 'pg_type'::regclass
    GROUP BY 1
    UNION ALL
    SELECT m.identity, 'constraint ' || c.conname, pg_get_constraintdef(c.oid)
    FROM member m JOIN pg_constraint c ON c.contypid = m.objid AND m.classid = 'pg_type'::regclass
    UNION ALL
    SELECT a.identity, 'granted', string_agg(concat_ws(' ', x.grantee::regrole, x.privilege_type,
                                                       x.is_grantable, x.grantor::regrole), ', '
                              ORDER BY x.grantee::regrole::text, x.privilege_type, x.grantor::regrole::text)
    FROM acl a, aclexplode(a.acl) AS x GROUP BY 1
    UNION ALL
    SELECT m.identity || coalesce(' column ' || a.attname, ''), 'comment', d.description
    FROM member m JOIN pg_description d ON d.objoid = m.objid AND d.classoid = m.classid
    LEFT JOIN pg_attribute a ON m.classid = 'pg_class'::regclass AND a.attrelid = m.objid
                            AND a.attnum = d.objsubid AND d.objsubid > 0
    UNION ALL
    SELECT 'setting', name, to_jsonb(s)::text
    FROM pg_settings s WHERE name LIKE 'eav.%'
)
SELECT format('%s | %s | %s', object, property, replace(value, E'\n', ' ')) FROM property
WHERE value IS NOT NULL ORDER BY 1
SQL

# The rows that the scripts insert, without what depends on when.
my $rows = <<'SQL';
SELECT format('row of %s | %s', n.nspname || '.' || c.relname,
    (xpath('//row/*[not(self::snapshot or self::snapshot_at or self::ingested_at or self::ticket_key)]', x.row))::text)
FROM pg_depend d
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'eav_ext'
JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass AND c.relkind = 'r'
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(xpath('//row', query_to_xml(
    format('SELECT * FROM eav.%I', c.relname), false, false, ''))) AS x (row)
WHERE d.deptype = 'e' AND c.relname <> 'replication_heartbeat'
ORDER BY 1
SQL

sub lines_of
{
	my ($node, $db) = @_;
	return split /\n/, $node->ask($inventory, $db);
}
sub rows_of
{
	my ($node, $db) = @_;
	return split /\n/, $node->ask($rows, $db);
}

# What only one of two lists has, marked by its side.
sub differences
{
	my ($left, $right) = @_;
	my (%count, @difference);
	$count{$_}++ foreach @$left;
	$count{$_}-- foreach @$right;
	foreach my $line (sort keys %count)
	{
		push @difference, ($count{$line} > 0 ? '- ' : '+ ') . $line if $count{$line};
	}
	return @difference;
}

# Lines of the same members, each difference shown: - the first has, + the second has.
sub same_catalog
{
	my ($node, $first, $second, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @difference = (
		differences([ lines_of($node, $first) ], [ lines_of($node, $second) ]),
		differences([ rows_of($node, $first) ], [ rows_of($node, $second) ]));
	ok(!@difference, $name) or diag "- $first\n+ $second\n", join "\n", @difference;
	return;
}

1;
