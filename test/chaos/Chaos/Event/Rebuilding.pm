# Tables and indexes that are written anew while everything goes on.
package Chaos::Event::Rebuilding;
use strict;
use warnings;
use Chaos::Random;
use Time::HiRes qw(sleep);

my @tables = qw(entity_jsonb entity_values_current entities attributes flush_state flush_backlog ingest_rejects
  ingest_gaps rollup_pending attribute_rollups entity_values_ingest_0 entity_values_ingest_1 entity_values_ingest_2
  staging_epoch replication_heartbeat attribute_moves);

# Who loses a deadlock tries again, as an administrator would.
sub insist
{
	my ($world, $sql) = @_;
	foreach my $attempt (1 .. 10)
	{
		my $client = $world->client;
		my $error = $client->query($sql)->{error};
		$client->close if !$client->{lost};
		return if !$error;
		die "$error->{C} $error->{M}: $sql" if !Chaos::Place::is_excused($error);
		$world->tell("$error->{C}, tried again: $sql");
	}
	die "too many failures: $sql";
}

sub on_some_tables
{
	my ($command) = @_;
	return (
		plan => sub { +{ tables => join ',', (Chaos::Random::shuffled(@tables))[ 0 .. 5 ] } },
		run => sub {
			my ($world, $with) = @_;
			insist($world, "$command eav.$_") foreach split /,/, $with->{tables};
		});
}

# Of history it is the partition that is written to.
sub on_history
{
	my ($command) = @_;
	return sub {
		my ($world) = @_;
		insist($world, "$command " . $world->ask(q(SELECT tableoid::regclass FROM eav.entity_values_ts ORDER BY ingested_at DESC LIMIT 1)));
	};
}

# What may be cut off anywhere.
my @statements = (
	'VACUUM FULL eav.entity_jsonb', 'VACUUM FULL eav.flush_state', 'VACUUM FULL eav.entity_values_ingest_0',
	'REINDEX TABLE eav.entity_jsonb', 'REINDEX TABLE CONCURRENTLY eav.entity_jsonb', 'REINDEX TABLE eav.entities',
	'SELECT eav.run_maintenance()', 'SELECT eav.stage_flush()', q(SELECT eav.configure_partitions('1 hour', 3)),
	'SELECT eav.rebuild_rollups()', 'CHECKPOINT');

sub crash_during
{
	my ($world, $with) = @_;
	my $client = $world->client;
	$client->send($with->{statement});
	sleep $with->{after};
	$world->kill_machine($world->{primary});
	# The connection is lost, or the statement had ended.
	$client->result;
	$world->start($world->{primary});
	return;
}

sub events
{
	return (
		{ name => 'VACUUM FULL', gaps => 0, on_some_tables('VACUUM FULL') },
		{ name => 'VACUUM FULL of history', gaps => 0, run => on_history('VACUUM FULL') },
		{
			name => 'a crash while something is written anew', gaps => 1, run => \&crash_during,
			plan => sub { +{ statement => Chaos::Random::pick(@statements), after => sprintf '%.3f', rand 0.1 } }
		},
		{ name => 'VACUUM FREEZE', gaps => 0, on_some_tables('VACUUM (FREEZE, ANALYZE)') },
		{ name => 'REINDEX', gaps => 0, on_some_tables('REINDEX TABLE') },
		{ name => 'REINDEX CONCURRENTLY', gaps => 0, on_some_tables('REINDEX TABLE CONCURRENTLY') },
		{ name => 'REINDEX CONCURRENTLY of history', gaps => 0, run => on_history('REINDEX TABLE CONCURRENTLY') });
}

1;
