# Erasures of entities and of a tenant that are interrupted again and again, by death of the worker, of
# the server, of a client that drives them by hand, while values of the same tenants arrive and attributes
# move: each goes on from where it was, counts every row once, and in the end nothing is left but what it should be.
# SEED=n repeats the plan.
use strict;
use warnings;
use EavCluster;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = $ENV{SEED} // int(rand(1_000_000));
srand($seed);
note "seed $seed";

my $rows_each = 12_000;
my $node = EavCluster->ready(
	'main',
	'eav.flush_interval' => 10,
	'restart_after_crash' => 'on');
$node->ask("SELECT eav.register_tenant('t' || n, n) FROM generate_series(1, 3) AS n");
$node->ask("SELECT eav.register_attribute(t, 'a' || n, 'int', (ARRAY['hot', 'live', 'current', 'none'])[1 + n % 4])
	FROM generate_series(1, 3) AS t, generate_series(1, 120) AS n");
# Each entity has 120 attributes at 100 times, in three partitions.
foreach my $tenant (1 .. 3)
{
	$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_int, observed_at)
		SELECT $tenant, e, 'a' || a, e, now() - (i % 4) * interval '1 h'
		FROM generate_series(1, 10) AS e, generate_series(1, 120) AS a, generate_series(1, 100) AS i");
	$node->flush;
}
$node->ask("WITH moved AS (DELETE FROM eav.entity_values_ts WHERE ingested_at > '2020-01-01' AND random() < 0.3
		AND attribute_id IN (SELECT attribute_id FROM eav.attributes WHERE projection = 'none') RETURNING *)
	INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, ingested_at, attribute_id, value_int)
	SELECT tenant_id, entity_id, observed_at, ingested_at - interval '900 days', attribute_id, value_int FROM moved");
$node->ask('VACUUM ANALYZE');
$node->ask('SELECT eav.rebuild_rollups()');

sub history_of { return $node->ask("SELECT count(*) FROM eav.entity_values_ts WHERE $_[0]") }
is(history_of('tenant_id = 1 AND entity_id = 5'), $rows_each, 'what an entity has');

my %trouble = (
	'the worker is killed' => sub { kill 9, $node->worker_pid // return; },
	'the worker is terminated' => sub {
		$node->ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'eav_ext flush worker'");
	},
	'the postmaster is killed' => sub {
		$node->kill9;
		EavCluster::wait_until('the server starts again',
			sub {
				return 1 if $node->start(fail_ok => 1);
				$node->stop('fast', fail_ok => 1);
				return 0;
			});
	},
	'an immediate stop' => sub { $node->stop('immediate'); $node->start; },
	'a call is cancelled' => sub {
		my $client = $node->client;
		$client->sqlstate("SET statement_timeout = " . int(1 + rand 20) . "; SELECT eav.run_erasures(1000000)");
		$client->close;
	});

my %erasure = map { $_ => $node->ask("SELECT eav.erase_entity(1, $_, 'ticket')") } 3, 5, 7;
my $tenant = $node->ask("SELECT eav.erase_tenant(2, 'ticket')");
my $interrupted = 0;
foreach my $round (1 .. 12)
{
	my @names = sort keys %trouble;
	my $name = $names[ $round % @names ];
	# Of tenants 1 and 3, erased entities among them.
	my $load = $node->start_session("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_int)
		SELECT 1 + 2 * (n % 2), 1 + n % 10, 'a' || 1 + n % 120, n % 10 FROM generate_series(1, 200) AS n");
	EavCluster::finish_session($load);
	# A move fetches values out of history, those of entities that are being erased among them.
	$node->ask("SELECT eav.promote_attribute(1, 'a' || " . (4 * $round - 1) . ", '" . ($round % 2 ? 'live' : 'current') . "')");
	sleep rand 0.15;
	my $left = $node->ask("SELECT count(*) FROM eav.erasures WHERE phase <> 'settling'");
	$interrupted++ if $left;
	note "round $round: $name, $left under way";
	$trouble{$name}->();
	EavCluster::wait_until('the server answers', sub { ($node->psql('postgres', 'SELECT'))[0] == 0 });
	$node->wait_for_worker;
}
cmp_ok($interrupted, '>', 3, "$interrupted interruptions met an erasure under way");
foreach my $id (values %erasure, $tenant)
{
	ok($node->wait_for("SELECT count(*) FROM eav.audit_log WHERE erasure_id = $id AND state = 'completed'", 1),
		"erasure $id completes")
	  or diag $node->ask('SELECT * FROM eav.stat_erasures');
}
is($node->ask("SELECT count(*) FROM eav.audit_log WHERE state = 'completed'"), 4, 'each once');
is($node->ask("SELECT details #>> '{removed,entity_values_ts}' FROM eav.audit_log WHERE erasure_id = $erasure{$_} AND state = 'completed'"),
	$rows_each, "every row of history of entity $_ is counted once")
  foreach sort keys %erasure;
is($node->ask("SELECT details #>> '{removed,entity_values_ts}' FROM eav.audit_log WHERE erasure_id = $tenant AND state = 'completed'"),
	10 * $rows_each, 'and of the tenant');
ok($node->wait_for('SELECT count(*) FROM eav.attribute_moves', 0), 'moves have ended as well');
$node->flush;
is(history_of('tenant_id = 1 AND entity_id IN (3, 5, 7) OR tenant_id = 2'), 0, 'nothing of them is in history');
is($node->ask("SELECT count(*) FROM eav.$_ WHERE tenant_id = 1 AND entity_id IN (3, 5, 7) OR tenant_id = 2"), 0, "nor in $_")
  foreach qw(entity_jsonb entity_values_current entities);
cmp_ok(history_of('tenant_id = 1'), '>=', 7 * $rows_each, 'the others have all they had');
$node->projection_is_right('the projection is what history says');
is($node->ask(<<'SQL'), '', 'the rollups are what history says');
WITH merged AS MATERIALIZED (SELECT eav.merge_rollups()),
expected AS (
    SELECT tenant_id, attribute_id, bucket, value_count, number_count, min_value, max_value, sum_value,
           first_observed_at, last_observed_at
    FROM eav._computed_rollups() WHERE isfinite(bucket)),
actual AS (
    SELECT tenant_id, attribute_id, bucket, value_count, number_count, min_value, max_value, sum_value,
           first_observed_at, last_observed_at FROM eav.attribute_rollups, merged)
(SELECT 'missing ' || e::text FROM (SELECT * FROM expected EXCEPT SELECT * FROM actual) AS e LIMIT 5)
UNION ALL (SELECT 'wrong ' || a::text FROM (SELECT * FROM actual EXCEPT SELECT * FROM expected) AS a LIMIT 5)
SQL
done_testing();
