# A snapshot that somebody holds all the time makes no flush slower and no staging larger: a
# flush never deletes what it has taken.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = 64;
my $values = 20_000;
my $warm_up = 8;

my $node = EavCluster->ready(
	'main',
	'eav.worker_enabled' => 'off',
	'eav.rotation_interval' => 0,
	autovacuum => 'off',
	shared_buffers => '512MB',
	max_wal_size => '20GB',
	checkpoint_timeout => '1h');
$node->register;

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}

# Rounds of $values values and a flush. Returns milliseconds per flush; keeps the largest staging.
my $input = 0;
my $largest;

sub flush_rounds
{
	my ($session, $count, $statement) = @_;
	my @times;
	foreach (1 .. $count)
	{
		$session->query_safe(sprintf $statement, $input + 1, $input + $values);
		$input += $values;
		my $took = $session->query_safe(
			'SELECT flushed, extract(epoch FROM elapsed) * 1000 FROM eav.stage_flush()');
		my ($flushed, $ms) = split /\|/, $took;
		die "flushed $flushed values" if $flushed != $values;
		push @times, $ms;
		my $bytes = $session->query_safe("SELECT sum(pg_total_relation_size(relid))
			FROM pg_partition_tree('eav.entity_values_ingest') WHERE isleaf");
		$largest = $bytes if $bytes > $largest;
	}
	return @times;
}

# A workload is an INSERT of the numbers from..to.
sub holds
{
	my ($name, $statement) = @_;
	my $session = $node->session;
	flush_rounds($session, $warm_up, $statement);
	my $one_round = $node->staging_bytes;

	my $holder = $node->session;
	$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	my $seen = $holder->query_safe('SELECT count(*) FROM eav.entity_values_ts');
	$largest = 0;
	my @times = flush_rounds($session, $rounds, $statement);
	is($holder->query_safe('SELECT count(*) FROM eav.entity_values_ts'),
		$seen, "$name: the snapshot was held through $rounds flushes of $values values");
	$holder->query_safe('COMMIT');
	$_->quit foreach $holder, $session;

	my $quarter = $rounds / 4;
	my $first = median(@times[ 0 .. $quarter - 1 ]);
	my $last = median(@times[ -$quarter .. -1 ]);
	note join ' ', map { sprintf '%.0f', $_ } @times;
	cmp_ok($last, '<', 1.5 * $first,
		sprintf '%s: the last flushes take %.0f ms, the first took %.0f ms', $name, $last, $first);
	cmp_ok($largest, '<', 12 * 1024 * 1024,
		sprintf '%s: staging had at most %.1f MB', $name, $largest / 1024 / 1024);
	return;
}

holds('history only', 'INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int)
	SELECT 1, 1 + i %% 20000, 3, i FROM generate_series(%d, %d) AS i');
holds('with projection', 'INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int)
	SELECT 1, 1 + i %% 20000, 1, i FROM generate_series(%d, %d) AS i');

$node->input_is_output($input);
$node->projection_is_right;

done_testing();
