# The worker makes the partitions of history and keeps them ahead of time; no value of a working
# server falls into the default partition.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = EavCluster->ready('main', 'eav.maintenance_interval' => 1);
$node->register;
my $next = 1;

my $partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'eav.entity_values_ts'::regclass";

sub values_arrive
{
	my ($count, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->ask(EavCluster::insert_numbers($next, $next + $count - 1));
	$next += $count;
	ok($node->wait_for('SELECT count(*) FROM eav.entity_values_ts', $next - 1), $name);
	is($node->ask('SELECT count(*) FROM eav.entity_values_ts_default'), 0, 'none is in the default partition');
	return;
}

sub ahead
{
	return $node->ask('SELECT count(*) FROM eav._history_partitions() WHERE lower > now()');
}

is($node->ask($partitions), 0, 'CREATE EXTENSION makes no partition');
values_arrive(1000, 'the first flush of the worker makes them');
is($node->ask("$partitions AND inhrelid <> 'eav.entity_values_ts_default'::regclass"), 5,
	'the present month and four more');
is($node->ask("SELECT count(DISTINCT tableoid) FROM eav.entity_values_ts"), 1, 'one holds all values');
is($node->ask("SELECT count(*) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
		WHERE inhparent = 'eav.entity_values_ts'::regclass
		AND 2 <> (SELECT count(*) FROM pg_index WHERE indrelid = c.oid)"),
	0, 'each has its two indexes');
is($node->ask("SELECT automatic_maintenance FROM part_config WHERE parent_table = 'eav.entity_values_ts'"),
	'off', 'pg_partman leaves the maintenance to us');

# What somebody has dropped by mistake comes back.
$node->ask("DROP TABLE $_")
  foreach split /\n/, $node->ask('SELECT partition FROM eav._history_partitions() WHERE lower > now()');
ok($node->wait_for('SELECT count(*) >= 4 FROM eav._history_partitions() WHERE lower > now()'),
	'the worker makes partitions that are missing in the future');
values_arrive(1000, 'values go on flowing');

# Maintenance does not wait for a reader for long, and so holds up no flush.
my $future = 'SELECT partition FROM eav._history_partitions() WHERE lower > now()';
$node->set('eav.maintenance_interval' => 3600);
$node->ask("DROP TABLE $_") foreach split /\n/, $node->ask("$future ORDER BY lower DESC LIMIT 3");
my $reader = $node->session;
$reader->query_safe('BEGIN');
$reader->query_safe('SELECT count(*) FROM eav.entity_values_ts');
$node->set('eav.maintenance_interval' => 1);
foreach (1 .. 3)
{
	values_arrive(1000, 'values flow beside a reader that has all partitions locked');
	ok($node->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'eav_ext flush worker'
		AND wait_event_type = 'Lock'", 1), 'while maintenance tries to get past it');
}
$reader->query_safe('COMMIT');
$reader->quit;
ok($node->wait_for("SELECT count(*) >= 4 FROM ($future) AS f"), 'when it has ended there are new partitions');
values_arrive(1000, 'values flow afterwards');

# Hours instead of months: what is premade is replaced, the values stay.
$node->ask("SELECT eav.configure_partitions('1 hour', 6)");
cmp_ok(ahead(), '>=', 6, 'configure_partitions() makes six hours ahead');
values_arrive(1000, 'values go on flowing');
$node->ask("SELECT eav.configure_partitions('1 hour', 9)");
ok($node->wait_for('SELECT count(*) >= 9 FROM eav._history_partitions() WHERE lower > now()'),
	'nine when that is asked for');

# Partitions older than the retention go. A partition of the past is given to history by hand.
$node->ask(<<'SQL');
CREATE TABLE eav.entity_values_ts_p20200101 (LIKE eav.entity_values_ts_template INCLUDING ALL);
ALTER TABLE eav.entity_values_ts ATTACH PARTITION eav.entity_values_ts_p20200101
    FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-02-01 00:00:00+00');
INSERT INTO eav.entity_values_ts (tenant_id, entity_id, attribute_id, value_int, observed_at, ingested_at)
VALUES (1, 1, 1, 0, '2020-01-02', '2020-01-02');
SQL
$node->ask('SELECT eav.run_maintenance()');
is($node->ask('SELECT count(*) FROM eav.entity_values_ts WHERE ingested_at < now() - interval \'1 year\''),
	1, 'without retention old values stay');
$node->ask("SELECT eav.configure_partitions('1 hour', 9, '30 days')");
ok($node->wait_for("SELECT to_regclass('eav.entity_values_ts_p20200101') IS NULL"),
	'with retention the worker drops their partition');
is($node->history_count, $next - 1, 'and no other value');

# An error in the maintenance does not stop the flushes.
$node->ask('ALTER TABLE eav.partition_policy RENAME TO hidden');
my $position = $node->log_position;
ok(EavCluster::wait_until('the maintenance fails',
		sub { $node->log_since($position) =~ /ERROR:  relation "eav.partition_policy" does not exist/ }),
	'maintenance that fails says so');
values_arrive(1000, 'values flow nevertheless');
$node->ask('ALTER TABLE eav.hidden RENAME TO partition_policy');
$node->ask('SELECT pg_reload_conf()');
values_arrive(1000, 'and when it works again');

$node->projection_is_right;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal 11/, 'the log tells of no crash');

done_testing();
