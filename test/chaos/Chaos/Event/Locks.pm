# Clients that hold what others need: locks on tables and rows, and snapshots.
package Chaos::Event::Locks;
use strict;
use warnings;
use Chaos::Random;
use Time::HiRes qw(sleep time);

my @tables = qw(entity_values_ts entity_jsonb entity_values_current entities attributes flush_backlog
  ingest_rejects rollup_pending attribute_rollups entity_values_ingest entity_values_ingest_0
  entity_values_ingest_1 entity_values_ingest_2 flush_state staging_epoch attribute_moves);
my @modes = ('ACCESS EXCLUSIVE', 'ACCESS EXCLUSIVE', 'EXCLUSIVE', 'SHARE', 'SHARE ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE');
my @rows = (
	'FROM eav.entity_jsonb WHERE entity_id % 3 = 0 FOR UPDATE',
	'FROM eav.entities WHERE entity_id % 2 = 0 FOR UPDATE',
	'FROM eav.attributes FOR UPDATE',
	'FROM eav.entity_values_current FOR UPDATE',
	'FROM eav.flush_state FOR UPDATE',
	'FROM eav.stage_flush()');

# Each session takes one lock and sits on it: together they cannot come into a deadlock.
sub storm
{
	my ($world, $with) = @_;
	my @holders;
	foreach my $what (split /;/, $with->{locks})
	{
		my ($seconds, $lock) = split / /, $what, 2;
		my $client = $world->client;
		$client->send("BEGIN; SET LOCAL statement_timeout = '20s'; $lock; SELECT pg_sleep($seconds); COMMIT");
		push @holders, $client;
		sleep 0.05;
	}
	foreach my $client (@holders)
	{
		my $result = $client->result;
		die "$result->{error}{C} $result->{error}{M}" if $result->{error} && !Chaos::Place::is_excused($result->{error});
		$client->close;
	}
	return;
}

sub table_lock
{
	return sprintf '%.1f LOCK TABLE eav.%s IN %s MODE', Chaos::Random::between(0.3, 3), Chaos::Random::pick(@tables),
	  Chaos::Random::pick(@modes);
}

sub row_lock { return sprintf '%.1f SELECT %s', Chaos::Random::between(0.3, 3), Chaos::Random::pick(@rows) }

sub some
{
	my ($make) = @_;
	return sub { +{ locks => join ';', map { $make->() } 1 .. Chaos::Random::whole(2, 7) } };
}

# Goes on during the events that follow.
sub hold_snapshot
{
	my ($world, $with) = @_;
	my $client = EavClient->connect($world->{ $with->{on} }->host, $world->{ $with->{on} }->port) or return;
	foreach my $sql ('BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT count(*) FROM eav.entity_jsonb')
	{
		$client->query($sql) if !$client->{lost};
	}
	$world->in_background($client, $with->{seconds});
	return;
}

sub events
{
	return (
		{ name => 'locks on tables', gaps => 0, run => \&storm, plan => some(\&table_lock) },
		{ name => 'locks on rows', gaps => 0, run => \&storm, plan => some(\&row_lock) },
		{
			name => 'a held snapshot', gaps => 0, run => \&hold_snapshot,
			plan => sub { +{ on => Chaos::Random::pick(qw(primary primary standby)), seconds => Chaos::Random::whole(5, 20) } }
		});
}

1;
