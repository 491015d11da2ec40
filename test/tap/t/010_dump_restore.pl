# A database with data goes through pg_dump and comes back the same: plain and custom format, in
# one piece, in parallel and in sections with maintenance in between; and it goes on from there.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
# The worker rests, so that nothing moves while two databases are compared.
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'eav_ext'
eav.worker_enabled = off
fsync = off
CONF
$node->start;

sub sql
{
	my ($db, $query) = @_;
	return $node->safe_psql($db, $query);
}

# A dump as text, without what pg_dump makes up anew each time.
sub dump_of
{
	my ($db) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pg_dump', '--no-sync', '-d', $node->connstr($db) ], '>', \$out, '2>', \$err)
	  or die "pg_dump of $db: $err";
	$out =~ s/^\\(un)?restrict .*$//mg;
	# pg_partman notes when it last ran, the rows of a table have no order
	return join "\n", sort grep { !/maintenance_last_run/ } split /\n/, $out;
}

sub fresh
{
	my ($db) = @_;
	sql('postgres', "CREATE DATABASE $db");
}

# pg_partman lives where nobody would guess it.
fresh('source');
sql('source', <<'SQL');
CREATE SCHEMA "Part Man";
CREATE EXTENSION pg_partman SCHEMA "Part Man";
CREATE EXTENSION eav_ext;
SELECT eav.register_tenant('acme'), eav.register_tenant('globex', 77);
SELECT eav.register_entity(1, 'device-1', 'sensor'), eav.register_entity(77, 'device-1', NULL, 5);
SELECT eav.register_attribute(1, 'temperature', 'float', 'hot'), eav.register_attribute(1, 'note', 'text');
SELECT eav.configure_partitions('1 month', 2);
COPY eav.entity_values_ingest (tenant_id, entity, attribute, value, observed_at) FROM stdin;
1	device-1	temperature	20.5	2026-01-01 00:00:00+00
1	device-1	temperature	NaN	2026-01-01 00:00:01+00
1	device-1	note	tab\\tand "quote"	2026-01-01 00:00:00+00
1	device-2	discovered	17	2026-01-01 00:00:00+00
77	device-1	state	{"on": true}	2026-01-01 00:00:00+00
4	device-1	temperature	1	2026-01-01 00:00:00+00
1	device-1	temperature	warm	2026-01-01 00:00:00+00
\.
SQL
sql('source', 'SELECT eav.stage_flush()');
sql('source', <<'SQL');
SELECT eav.upsert_hot_attributes(1, 1000000000000, '{"temperature": 21.5, "note": null}');
-- partitions of two lengths, values in an old one and by default
SELECT eav.configure_partitions('1 day', 2, '30 days');
SELECT eav._add_partition('2020-01-01 00:00:00+00', '2020-02-01 00:00:00+00', 'YYYYMMDD');
INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, ingested_at, attribute_id, value_float)
VALUES (1, 1000000000000, '2020-01-15', '2020-01-15', 1, 1), (1, 1000000000000, '2000-01-01', '2000-01-01', 1, 2);
INSERT INTO eav.ingest_gaps (epoch, gap_start, gap_end, reason) VALUES (2, now(), now(), 'crash');
INSERT INTO eav.flush_backlog (tenant_id, entity, attribute, value, observed_at)
VALUES (1, 'device-3', 'temperature', '19', '2026-01-01 00:00:00+00');
-- of the budgets those that are not as installed
UPDATE eav.freshness_budget SET max_lag = '7 s' WHERE read_path = 'replica';
INSERT INTO eav.freshness_budget VALUES ('reports', 'replica', '1 min', '2 min', 'eventual', 'abort', '5 min');
INSERT INTO eav.nodes (node_id, conninfo, read_path) VALUES ('standby1', 'host=standby1', 'reports');
SELECT eav.heartbeat();
SQL
is( sql('source', "SELECT string_agg(sqlstate, ',' ORDER BY reject_id) FROM eav.ingest_rejects"),
	'23503,22P02', 'two values were rejected');
is(sql('source', 'SELECT count(*) FROM eav.entity_values'), '9', 'the others are in history');

my $source = dump_of('source');
like($source, qr/device-2/, 'entities are dumped');
like($source, qr/^standby1\t/m, 'nodes are dumped');
unlike($source, qr/^near_real_time\t/m, 'budgets that are as installed are not');
unlike($source, qr/COPY eav\.(flush_state|entity_values_ingest|staging_epoch|replication_heartbeat)/,
	'what belongs to this cluster is not dumped');

my $plain = $node->basedir . '/plain.sql';
my $custom = $node->basedir . '/custom.dump';
$node->command_ok([ 'pg_dump', '--no-sync', '-f', $plain, '-d', $node->connstr('source') ], 'plain dump');
$node->command_ok([ 'pg_dump', '--no-sync', '-Fc', '-f', $custom, '-d', $node->connstr('source') ], 'custom dump');

sub restore
{
	my ($db, @options) = @_;
	$node->command_ok(
		[ 'pg_restore', '--exit-on-error', '-d', $node->connstr($db), @options, $custom ],
		"pg_restore into $db: " . (join(' ', @options) || 'whole'));
}
fresh('plain');
$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $plain, '-d', $node->connstr('plain') ],
	'plain restore');
fresh('custom');
restore('custom');
# In parallel the tables come in any order.
fresh('parallel');
restore('parallel', '--jobs=3');
# Whoever maintains partitions while a dump is being restored finds nothing to do yet: neither
# creates what the dump will create nor drops what it will look for.
fresh('sections');
for my $section (qw(pre-data data post-data))
{
	restore('sections', "--section=$section");
	is(sql('sections', 'SELECT eav.run_maintenance()'), '0', "no partitions are made after $section")
	  if $section ne 'post-data';
}

for my $db (qw(plain custom parallel sections))
{
	ok(dump_of($db) eq $source, "$db: dumped again it is the same");
	is( sql($db, 'SELECT count(*) FROM eav._history_partitions() p, eav._missing_indexes(p.partition)'),
		'0', "$db: every partition has its indexes");
	is( sql($db, q{SELECT value FROM eav.entity_values WHERE external_id = 'device-1' AND tenant_id = 1
			AND attribute_name = 'temperature' ORDER BY observed_at DESC LIMIT 1}),
		'21.5', "$db: the view works");
	is( sql($db, q{SELECT hot_attrs FROM eav.entity_jsonb WHERE tenant_id = 1 AND hot_attrs @> '{"temperature": 21.5}'}),
		'{"temperature": 21.5}', "$db: the projection works");

	# Ids go on above the highest.
	is(sql($db, q{SELECT eav.register_tenant('acme')}), '1', "$db: tenants are known");
	is(sql($db, q{SELECT eav.register_tenant('new')}), '2', "$db: the next tenant_id");
	is( sql($db, q{SELECT eav.register_entity(1, 'new') > max(entity_id) FROM eav.entities}),
		't', "$db: the next entity_id");
	is( sql($db, q{SELECT eav.register_attribute(1, 'new', 'int') > max(attribute_id) FROM eav.attributes}),
		't', "$db: the next attribute_id");

	# New values flow, and what waited arrives.
	sql($db, q{INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
		VALUES (1, 'device-1', 'temperature', '22.25')});
	is(sql($db, 'SELECT flushed FROM eav.stage_flush()'), '1', "$db: the first flush takes the new value");
	is(sql($db, 'SELECT flushed FROM eav.stage_flush()'), '1', "$db: the second takes what waited before the dump");
	is( sql($db, q{SELECT hot_attrs FROM eav.entity_jsonb WHERE entity_id = 1000000000000}),
		'{"temperature": 22.25}', "$db: the new value is projected");
	is( sql($db, q{SELECT hot_attrs->>'temperature' FROM eav.entity_jsonb JOIN eav.entities USING (tenant_id, entity_id)
			WHERE external_id = 'device-3'}),
		'19', "$db: the value that waited is projected");
	is(sql($db, q{SELECT eav.replay_rejects(correction => '{"value": "18"}')}), '2', "$db: rejects can be replayed");

	# Partitions are maintained by the same policy.
	is( sql($db, q{SELECT premake, partition_interval FROM "Part Man".part_config}),
		'2|1 day', "$db: pg_partman knows its task");
	sql($db, 'SELECT eav.run_maintenance()');
	is( sql($db, q{SELECT count(*) FROM eav._history_partitions() WHERE upper < now() - interval '30 days'}),
		'0', "$db: what has expired is dropped");
	sql($db, q{SELECT eav.configure_partitions('7 days', 3)});
	is( sql($db, q{SELECT count(*) FROM eav._history_partitions() WHERE lower > now()
			AND upper - lower = interval '7 days'}),
		'3', "$db: partitions can be configured");
	sql($db, 'SELECT eav.refresh_stats()');
	is( sql($db, q{SELECT max_value FROM eav.mv_entity_attribute_stats WHERE attribute_name = 'temperature' AND tenant_id = 1}),
		'22.25', "$db: statistics can be refreshed");
}

$node->stop;
done_testing();
