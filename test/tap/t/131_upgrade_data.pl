# Begins with release 1.0.0.
# A database in use is updated from a released version: new files, restart, ALTER EXTENSION UPDATE.
# Values in all places, and of all doors, are there afterwards, and the worker goes on: before the
# restart with the old library, then not at all, then with the new one.
use strict;
use warnings;

use EavCatalog;
use EavCluster;
use EavInstallation;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => $ENV{EAV_NO_RELEASE} if $ENV{EAV_NO_RELEASE};
plan skip_all => EavCluster::release_refused() if EavCluster::release_refused();

my $installation = EavInstallation->copy;
my $new_library = slurp_file($installation->library);
my $new_control = slurp_file("$installation->{sharedir}/extension/eav_ext.control");
my $old_control = slurp_file("$ENV{EAV_RELEASE}/eav_ext.control");
my ($old_version) = $old_control =~ /^default_version = '(.*)'/m;
my ($new_version) = $new_control =~ /^default_version = '(.*)'/m;
$installation->install_library("$ENV{EAV_RELEASE}/eav_ext.so");
$installation->install_script('eav_ext.control', $old_control);

my $node = EavCluster->new('update', install_path => $installation->path);
$node->init;
$node->start;
$node->ask('CREATE EXTENSION eav_ext CASCADE');
$node->ask('CREATE DATABASE compared');
is($node->ask("SELECT extversion FROM pg_extension WHERE extname = 'eav_ext'"),
	$old_version, 'the old version is installed');

# Values by all doors, in all places: history only, hot, live, current, rejected.
$node->register;
$node->ask(q(SELECT eav.register_attribute(1, 'place', 'text', 'current'), eav.register_tenant('globex', 77)));
$node->ask(EavCluster::insert_numbers(1, 1000));
$node->ask(EavCluster::ingest_numbers(1001, 2000, 'durable'));
$node->ask(<<'SQL');
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
SELECT 1, 'device-' || i, a, 'x' || i FROM generate_series(1, 50) AS i, unnest('{state,place,new}'::text[]) AS a;
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value) VALUES (1, 1, 'n', 'no number');
SELECT eav.upsert_hot_attributes(1, 5, '{"state": "on", "extra": 1.5}');
SELECT eav.create_attribute_index(1, 'state');
UPDATE eav.freshness_budget SET max_lag = '7 s' WHERE read_path = 'replica';
INSERT INTO eav.nodes (node_id, conninfo) VALUES ('standby1', 'host=standby1');
CREATE ROLE grafana;
GRANT USAGE ON SCHEMA eav TO grafana;
GRANT SELECT ON eav.entity_values TO grafana;
GRANT EXECUTE ON FUNCTION eav.freshness() TO grafana;
SQL
$node->wait_for('SELECT count(*) = 2152 FROM eav.entity_values_ts');
$node->wait_for("SELECT state = 'valid' FROM eav.stat_attribute_indexes");

# Then values that no flush has seen: in staging, and in the backlog.
$node->worker_off;
$node->ask(EavCluster::insert_numbers(2001, 2500));
$node->ask(EavCluster::ingest_numbers(2501, 3000));
$node->ask(q(INSERT INTO eav.flush_backlog (tenant_id, entity_id, attribute, value, observed_at)
	VALUES (1, 1, 'n', '3001', now()); UPDATE eav.flush_state SET backlog = 1));

# New files under a server that runs: it goes on with the old ones, and cannot be updated yet.
$installation->put($installation->library, $new_library);
$installation->install_script('eav_ext.control', $new_control);
like($node->error_of('ALTER EXTENSION eav_ext UPDATE'), qr/could not find function "eav_library_version"/,
	'no update under a server that has preloaded the old library');
is($node->ask("SELECT extversion FROM pg_extension WHERE extname = 'eav_ext'"), $old_version, 'nothing has changed');
ok($node->wait_for_worker, 'the worker comes back after the try');
my %before = map { $_ => $node->ask("SELECT $_") } (
	'count(*), md5(string_agg(v::text, \'\' ORDER BY v::text)) FROM eav.entity_values_ts v',
	'count(*), md5(string_agg(e::text, \'\' ORDER BY e::text)) FROM eav.entity_jsonb e',
	'count(*), md5(string_agg(c::text, \'\' ORDER BY c::text)) FROM eav.entity_values_current c',
	'count(*), md5(string_agg(i::text, \'\' ORDER BY i::text)) FROM eav.entity_values_ingest i',
	(map { "count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM eav.$_ t" }
		qw(ingest_rejects tenants entities attribute_changes attribute_indexes nodes
		freshness_budget flush_backlog flush_state staging_epoch partition_policy)),
	# The columns of the old version.
	"count(*), md5(string_agg((to_jsonb(t) - 'is_pii')::text, '' ORDER BY t::text)) FROM eav.attributes t",
	'last_value FROM eav.entity_id_seq', 'last_value FROM eav.attribute_id_seq');
my %unflushed = map { $_ => $before{$_} } grep { !/_ts v|_jsonb|_current|_ingest|backlog|flush_state|epoch/ } keys %before;

# After the restart nothing works but reading tables, until the update.
my $position = $node->log_position;
$node->restart;
$node->worker_on;
my $disagree = qr/the extension is of version \Q$old_version\E, and its library of version \Q$new_version\E/;
ok(EavCluster::wait_until('the worker waits', sub { $node->log_since($position) =~ /worker waits: $disagree/ }),
	'the worker waits for the update');
foreach my $statement (
	"SELECT eav.ingest('[]')", 'SELECT eav.stage_flush()', EavCluster::insert_numbers(1, 1),
	q(SELECT eav.upsert_hot_attributes(1, 5, '{"state": "off"}')))
{
	like($node->error_of($statement),
		qr/extension eav_ext is of version \Q$old_version\E, and its library of version \Q$new_version\E.*HINT:  Run ALTER EXTENSION eav_ext UPDATE/s,
		"refused: $statement");
}
is($node->ask("SELECT $_"), $before{$_}, "as before the restart: $_") foreach sort keys %before;

$node->ask('ALTER EXTENSION eav_ext UPDATE');
ok($node->wait_for_worker, 'the worker has come back');
ok($node->wait_for('SELECT count(*) = 3153 FROM eav.entity_values_ts'), 'what was waiting is flushed');
cmp_ok(scalar(() = $node->log_since($position) =~ /worker waits/g), '<=', 2, 'each worker said once that it waits');

# Everything is there, and works.
is($node->ask("SELECT $_"), $unflushed{$_}, "after the update: $_") foreach sort keys %unflushed;
$node->numbers_are([ [ 1, 3001 ] ], 'all numbers are in history, once');
$node->projection_is_right;
is($node->ask('SELECT count(*) FROM eav.ingest_gaps'), 0, 'no gap');
$node->ask(EavCluster::ingest_numbers(4001, 4100, 'durable'));
$node->numbers_are([ [ 1, 3001 ], [ 4001, 4100 ] ], 'the ring works');
is($node->ask('SELECT state FROM eav.stat_attribute_indexes'), 'valid', 'the index is as it was');
is($node->ask(q(SELECT has_table_privilege('grafana', 'eav.entity_values', 'SELECT')
	AND has_function_privilege('grafana', 'eav.freshness()', 'EXECUTE'))), 't', 'what users were granted they have');
my $dump = join '', `pg_dump -d '@{[ $node->connstr('postgres') ]}' --schema-only`;
like($dump, qr/GRANT SELECT ON TABLE eav\.entity_values TO grafana/, 'a dump tells grants on tables');
like($dump, qr/GRANT ALL ON FUNCTION eav\.freshness\(.* TO grafana/, 'a dump tells grants on functions');

# The catalog is that of a new extension, but for what users have done to it.
$node->ask(q(DROP OWNED BY grafana; SELECT eav.drop_attribute_index(1, 'state')));
$node->wait_for('SELECT count(*) = 0 FROM eav.stat_attribute_indexes');
$node->ask('CREATE EXTENSION eav_ext CASCADE', 'compared');
my @differences = EavCatalog::differences([ EavCatalog::lines_of($node, 'compared') ],
	[ EavCatalog::lines_of($node, 'postgres') ]);
is(join("\n", @differences), '', 'the catalog is that of a new extension');
$node->stop;
done_testing();
