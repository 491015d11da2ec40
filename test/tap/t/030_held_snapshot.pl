# A snapshot that somebody holds all the time makes no flush slower and no staging larger: a
# flush never deletes what it has taken.
use strict;
use warnings;
use EavCluster;
use List::Util qw(sum);
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = 64;
my $values = 20_000;    # of each
my $warm_up = 21;       # all entities are there then

my $node = EavCluster->ready(
	'main',
	'eav.worker_enabled' => 'off',
	'eav.rotation_interval' => 0,
	autovacuum => 'off',
	# All that is written fits: what is measured is the snapshot, and not the reuse of buffers.
	shared_buffers => '2GB',
	max_wal_size => '20GB',
	checkpoint_timeout => '1h');
$node->register;

# The work that the session's server process has done, in milliseconds of processor time: what
# else runs on the machine makes a flush take longer, but not work more.
sub processor_ms
{
	my ($session) = @_;
	my @stat = split ' ', $session->query_safe("SELECT pg_read_file('/proc/self/stat')");
	return ($stat[13] + $stat[14]) * 10;
}

# Rounds of $values values and a flush. Returns the work of each flush; keeps the largest staging.
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
		my $before = processor_ms($session);
		my $flushed = $session->query_safe('SELECT flushed FROM eav.stage_flush()');
		push @times, processor_ms($session) - $before;
		die "flushed $flushed values" if $flushed != $values;
		my $bytes = $session->query_safe("SELECT sum(pg_total_relation_size(relid))
			FROM pg_partition_tree('eav.entity_values_ingest') WHERE isleaf");
		$largest = $bytes if $bytes > $largest;
	}
	return @times;
}

# A workload is an INSERT of the numbers from..to. Slowing down by what the test looks for happens
# every time; by what else the machine does, not: so there are four chances.
sub holds
{
	my ($name, $statement) = @_;
	my $session = $node->session;
	flush_rounds($session, $warm_up, $statement);
	my ($slower, $times);
	foreach (1 .. 4)
	{
		($slower, $times) = hold($session, $statement);
		note "$name: $times";
		last if $slower < 1.5;
	}
	$session->quit;
	cmp_ok($slower, '<', 1.5, "$name: $times");
	cmp_ok($largest, '<', 12 * 1024 * 1024,
		sprintf '%s: staging had at most %.1f MB', $name, $largest / 1024 / 1024);
	return;
}

# By what factor flushes get slower while a snapshot is held.
sub hold
{
	my ($session, $statement) = @_;
	my $holder = $node->session;
	$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	my $seen = $holder->query_safe('SELECT count(*) FROM eav.entity_values_ts');
	$largest = 0;
	my @times = flush_rounds($session, $rounds, $statement);
	die 'the snapshot was not held'
	  if $holder->query_safe('SELECT count(*) FROM eav.entity_values_ts') != $seen;
	$holder->query_safe('COMMIT');
	$holder->quit;

	my $quarter = $rounds / 4;
	my $first = sum(@times[ 0 .. $quarter - 1 ]) / $quarter;
	my $last = sum(@times[ -$quarter .. -1 ]) / $quarter;
	note join ' ', @times;
	return ($last / $first,
		sprintf '%d flushes of %d values, ms of processor time each: %.0f in the first quarter, %.0f in the last',
		$rounds, $values, $first, $last);
}

my $insert = 'INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int)
	SELECT 1, %s, %s, i FROM generate_series(%%d, %%d) AS i';
holds('history only', sprintf $insert, '1 + i %% 20000', 3);
# Each document is replaced a few times meanwhile. Replacing the same ones in every round costs
# more and more in PostgreSQL, if less than it did: docs/benchmarks.md has the figures.
holds('with projection', sprintf $insert, '1 + i %% 400000', 1);

$node->input_is_output($input);
$node->projection_is_right;

done_testing();
