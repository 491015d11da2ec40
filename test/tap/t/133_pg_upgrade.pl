# A database in use goes through pg_upgrade, and by pg_dump, to another server: the one of
# EAV_OLD_PG_CONFIG is the old one, such as PostgreSQL 15 with pg_partman 4 before 17 with 5; without it
# both are the same. The worker runs before and after, staged values and backlog come along.
use strict;
use warnings;

use EavCluster;
use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

my $old_pg_config = $ENV{EAV_OLD_PG_CONFIG} || undef;
my %old_install;
if ($old_pg_config)
{
	chomp(my $bindir = `'$old_pg_config' --bindir`);
	chomp(my $sharedir = `'$old_pg_config' --sharedir`);
	plan skip_all => "the old server, $bindir/postgres, has no eav_ext or no pg_partman"
	  if grep { !-f "$sharedir/extension/$_.control" } qw(eav_ext pg_partman);
	%old_install = (install_path => dirname($bindir));
}

my $old = EavCluster->new('old', %old_install);
# Checksums became the default with PostgreSQL 18, and must be the same on both sides.
$old->init(extra => ['--data-checksums']);
$old->append_conf('postgresql.conf', "eav.max_hot_attributes = 5");
$old->start;
$old->ask('CREATE DATABASE app');
$old->ask(<<'SQL', 'app');
CREATE SCHEMA partman;
CREATE EXTENSION pg_partman SCHEMA partman;
CREATE EXTENSION eav_ext;
SQL
$old->register('app');
$old->ask(q(SELECT eav.register_attribute(1, 'place', 'text', 'current'), eav.configure_partitions('1 day', 3)), 'app');
$old->wait_for_worker('app');
$old->ask(EavCluster::insert_numbers(1, 1000), 'app');
$old->ask(EavCluster::ingest_numbers(1001, 2000, 'durable'), 'app');
$old->ask(<<'SQL', 'app');
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
SELECT 1, 'device-' || i, a, 'x' || i FROM generate_series(1, 50) AS i, unnest('{state,place,new}'::text[]) AS a;
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value) VALUES (1, 1, 'n', 'no number');
SELECT eav.upsert_hot_attributes(1, 5, '{"state": "on"}');
SELECT eav.create_attribute_index(1, 'state');
INSERT INTO eav.nodes (node_id, conninfo) VALUES ('standby1', 'host=standby1');
SQL
$old->wait_for('SELECT count(*) = 2151 FROM eav.entity_values_ts', 't', 'app');
$old->wait_for("SELECT state = 'valid' FROM eav.stat_attribute_indexes", 't', 'app');
# One leaf holds rows of transactions that have been flushed, so that a wrong snapshot would double them.
$old->worker_off;
$old->ask(EavCluster::insert_numbers(2001, 2400), 'app');
is($old->flush('app'), 400, 'a flush by hand');
$old->ask(EavCluster::insert_numbers(2401, 2500), 'app');
$old->ask(q(INSERT INTO eav.flush_backlog (tenant_id, entity_id, attribute, value, observed_at)
	VALUES (1, 1, 'n', '2501', now()); UPDATE eav.flush_state SET backlog = 1), 'app');

my %facts = map { $_ => "SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM eav.$_ t" }
  qw(entity_values_ts entity_jsonb entity_values_current ingest_rejects tenants entities attributes
	attribute_changes attribute_indexes nodes freshness_budget partition_policy ingest_gaps flush_backlog);
my %cluster_facts = (%facts, map { $_ => "SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM eav.$_ t" }
	qw(flush_state entity_values_ingest attribute_rollups attribute_rollups_daily rollup_pending));
sub facts_of
{
	my ($node, $queries) = @_;
	return { map { $_ => $node->ask($queries->{$_}, 'app') } keys %$queries };
}
my $facts = facts_of($old, \%facts);
my $cluster_facts = facts_of($old, \%cluster_facts);
my $entity_id = $old->ask('SELECT last_value FROM eav.entity_id_seq', 'app');

sub new_node
{
	my ($name) = @_;
	my $node = EavCluster->new($name);
	$node->init(extra => ['--data-checksums']);
	$node->append_conf('postgresql.conf', "eav.max_hot_attributes = 5\neav.worker_enabled = off");
	return $node;
}
sub goes_on
{
	my ($node, $last) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->worker_on;
	ok($node->wait_for_worker('app'), 'the worker runs');
	$node->ask(EavCluster::ingest_numbers(3001, 3100, 'durable'), 'app');
	ok($node->wait_for("SELECT count(*) = 1 FROM eav.entity_values_ts WHERE value_int = 2501", 't', 'app'), 'the backlog is flushed');
	$node->numbers_are([ [ 1, $last ], [ 2501, 2501 ], [ 3001, 3100 ] ], 'all numbers are in history, once', 'app');
	$node->ask(EavCluster::insert_numbers(3101, 3200), 'app');
	$node->wait_for('SELECT count(*) = 1 FROM eav.entity_values_ts WHERE value_int = 3200', 't', 'app');
	$node->numbers_are([ [ 1, $last ], [ 2501, 2501 ], [ 3001, 3200 ] ], 'both doors are open', 'app');
	$node->projection_is_right('the projection is what history says', 'app');
	cmp_ok($node->ask(q(SELECT eav.register_entity(1, 'new')), 'app'), '>=', $entity_id, 'ids go on');
	my $ahead = 'SELECT count(*) FROM eav._history_partitions() WHERE lower > now()';
	$node->ask(q(DO $$ BEGIN EXECUTE format('DROP TABLE %s', (SELECT partition FROM eav._history_partitions()
		WHERE lower IS NOT NULL ORDER BY lower DESC LIMIT 1)); END $$), 'app');
	$node->ask($ahead, 'app') < 3 or die 'no partition is missing';
	is($node->error_of('SELECT eav.run_maintenance()', 'app'), '', 'partitions are maintained');
	# One more after noon: pg_partman rounds what is left of the present one.
	like($node->ask($ahead, 'app'), qr/^[34]$/, 'as many as there were');
	$node->ask(q(SELECT eav.configure_partitions('1 day', 7)), 'app');
	is($node->ask($ahead, 'app'), 7, 'as many as wanted');
	is($node->ask('SELECT count(*) FROM eav.ingest_gaps', 'app'), 0, 'no gap');
	ok($node->wait_for("SELECT state = 'valid' FROM eav.stat_attribute_indexes", 't', 'app'), 'the index is there');
	return;
}

# pg_dump of the new server, while the worker of the old one runs.
my $dump = $old->basedir . '/app.dump';
my $restored = new_node('restored');
$restored->start;
$restored->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $old->connstr('app') ], 'pg_dump');
$restored->ask('CREATE DATABASE app');
my ($out, $err) = ('', '');
IPC::Run::run([ 'pg_restore', '-d', $restored->connstr('app'), $dump ], '>', \$out, '2>', \$err);
# The tables of pg_partman have other columns in another major version; ours do without its rows.
$err =~ s/^pg_restore: error: could not execute query: ERROR: .*\n(?:(?!pg_restore:).*\n)*?Command was: COPY partman\..*\n//mg;
$err =~ s/^pg_restore: warning: errors ignored on restore: \d+\n//m if $err !~ /error:/;
is($err, '', 'pg_restore');
is_deeply(facts_of($restored, \%facts), $facts, 'the dump has all that a dump has');
goes_on($restored, 2400);
$restored->stop;

# pg_upgrade, with the server's own start and stop of both, and our library preloaded in both.
$old->stop;
my $new = new_node('new');
my $position = -s $old->logfile;
chdir $new->basedir;
command_ok([
		'pg_upgrade', '--no-sync', '--old-datadir', $old->data_dir, '--new-datadir', $new->data_dir,
		'--old-bindir', $old->config_data('--bindir'), '--new-bindir', $new->config_data('--bindir'),
		'--socketdir', $new->host, '--old-port', $old->port, '--new-port', $new->port
	], 'pg_upgrade');
$new->start;
is_deeply(facts_of($new, \%cluster_facts), $cluster_facts, 'everything is there, staged values too');
ok($new->ask('SELECT pg_snapshot_xmax(snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) FROM eav.flush_state', 'app') eq 't',
	'transaction ids go on');
if ($new->ask(q(SELECT extversion <> default_version FROM pg_extension
	JOIN pg_available_extensions ON name = extname WHERE extname = 'pg_partman'), 'app') eq 't')
{
	my $partman = $new->ask(q(SELECT extversion FROM pg_extension WHERE extname = 'pg_partman'), 'app');
	is($new->error_of('SELECT eav.run_maintenance()', 'app'), '', "pg_partman $partman works until it is updated");
	is($new->error_of('ALTER EXTENSION pg_partman UPDATE', 'app'), '', 'pg_partman is updated');
}
goes_on($new, 2500);
$new->stop;
done_testing();
