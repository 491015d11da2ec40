# What several sessions do at once: register the same things, set up partitions, replay rejects;
# and maintenance that meets a session which holds history.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('concurrency');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'eav_ext'
eav.worker_enabled = off
fsync = off
CONF
$node->start;
$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION eav_ext CASCADE');

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Eight clients, all of them with the same few names; a client that meets an error ends.
$node->pgbench(
	'--no-vacuum --client=8 --transactions=150', 0,
	[qr/processed: 1200\/1200/], [qr/^$/],
	'eight clients register the same things',
	{
		'register' => q{
\set n random(1, 40)
SELECT eav.register_tenant('tenant ' || :n) AS tenant \gset
SELECT eav.register_entity(:tenant, 'entity ' || :n, CASE WHEN :n % 2 = 0 THEN 'even' END);
SELECT eav.register_entity(:tenant, 'by number ' || :n, NULL, 7);
SELECT eav.register_attribute(:tenant, 'attribute ' || :n, 'int');
}
	});
is(sql('SELECT count(*) = count(DISTINCT name) FROM eav.tenants'), 't', 'no tenant is there twice');
is( sql(q{SELECT count(*) FROM eav.entities WHERE external_id LIKE 'entity %'}),
	sql('SELECT count(*) FROM eav.tenants'), 'one entity for each');
is( sql(q{SELECT count(*) FROM eav.entities WHERE external_id LIKE 'by number %' AND entity_id = 7}),
	sql('SELECT count(*) FROM eav.tenants'), 'and the one that got a number by hand');
is(sql('SELECT count(*) FROM eav.attributes'), sql('SELECT count(*) FROM eav.tenants'), 'one attribute for each');

# The first values come from everywhere, also from transactions with an old snapshot.
$node->pgbench(
	'--no-vacuum --client=6 --transactions=2', 0,
	[qr/processed: 12\/12/], [qr/^$/],
	'six clients set up the partitions',
	{
		'ensure' => q{
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM pg_class;
SELECT eav._ensure_partitions();
SELECT pg_sleep(0.1);
COMMIT;
}
	});
is(sql('SELECT count(*) FROM eav._history_partitions()'), '6', 'they are there once');

# No reject is replayed twice.
sql(q{INSERT INTO eav.ingest_rejects (sqlstate, reason, payload)
	SELECT 'XX000', 'test', jsonb_build_object('tenant_id', 1, 'value_int', n) FROM generate_series(1, 3000) AS n});
$node->pgbench(
	'--no-vacuum --client=4 --transactions=20', 0,
	[qr/processed: 80\/80/], [qr/^$/],
	'four clients replay rejects',
	{ 'replay' => 'SELECT eav.replay_rejects(max_rejects => 100)' });
sql('SELECT eav.replay_rejects()');
is(sql('SELECT count(*), count(DISTINCT value_int) FROM eav.entity_values_ingest'), '3000|3000', 'each of them once');
is(sql('SELECT count(*) FROM eav.ingest_rejects'), '0', 'and all of them');

# A session that has read old history and stays in its transaction keeps an expired partition from
# being dropped. New ones are created all the same, and nobody waits for long.
sql(q{SELECT eav.configure_partitions('1 day', 2, '1 day')});
sql(q{SELECT eav._add_partition('2020-01-01 00:00:00+00', '2020-01-02 00:00:00+00', 'YYYYMMDD')});
my $reader = $node->background_psql('postgres');
my $expired = 'SELECT count(*) FROM eav._history_partitions() WHERE upper < now() - interval \'1 day\'';
my $ahead = 'SELECT count(*) FROM eav._history_partitions() WHERE lower > now()';

# Maintenance with more to create than there is: its SQLSTATE or result, its warnings, its time.
sub maintain
{
	sql(q{UPDATE part_config SET premake = premake + 40});
	my $began = time;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT eav.run_maintenance()");
	return ($out, $err, time - $began);
}

$reader->query_safe(q{BEGIN});
$reader->query_safe(q{SELECT count(*) FROM eav.entity_values_ts
	WHERE ingested_at >= '2020-01-01 00:00:00+00' AND ingested_at < '2020-01-02 00:00:00+00'});
my $before = sql($ahead);
my ($out, $err, $elapsed) = maintain();
cmp_ok($out, '>', 0, 'partitions are created beside a reader of an old one');
is(sql($ahead), $before + $out, 'as many as it says');
like($err, qr/WARNING:  55P03/, 'the expired one cannot be dropped, and it says so');
is(sql($expired), '1', 'it is still there');
cmp_ok($elapsed, '<', 5, 'the wait was short');

# One that has read everything holds the default partition as well, which creation needs.
$reader->query_safe('SELECT count(*) FROM eav.entity_values_ts');
$before = sql($ahead);
($out, $err, $elapsed) = maintain();
like($err, qr/ERROR:  55P03/, 'no partition can be created beside a reader of everything');
is(sql($ahead), $before, 'and none is');
cmp_ok($elapsed, '<', 5, 'the wait was short');
sql(q{INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, attribute_id) VALUES (1, 1, now(), 1)});
pass('writers go on beside it');

$reader->query_safe('COMMIT');
$reader->quit;
($out, $err) = maintain();
cmp_ok($out, '>', 0, 'afterwards partitions are created');
is($err, '', 'without complaint');
is(sql($expired), '0', 'and the expired one is gone');

$node->stop;
done_testing();
