# No process slot is left for a worker: parallel queries have taken them all.
package Chaos::Event::Slots;
use strict;
use warnings;
use Chaos::Random;
use EavCluster;
use Time::HiRes qw(sleep);

my $count = 0;

sub exhaust
{
	my ($world, $with) = @_;
	my $slots = $world->ask(q(SELECT current_setting('max_worker_processes')));
	my $name = $world->ask(q(SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')));
	my @sleepers;
	# By those who keep them: a builder of indexes and the parallel query of a reader give theirs back.
	EavCluster::wait_until('all slots are taken', sub {
		my ($taken, $asleep) = split /\|/, $world->ask(q(SELECT count(*), count(*) FILTER (WHERE backend_type = 'parallel worker')
			FROM pg_stat_activity
			WHERE backend_type IN ('eav_ext launcher', 'eav_ext flush worker', 'logical replication launcher')
			OR backend_type = 'parallel worker' AND query = 'SELECT pg_sleep(200)'));
		return 1 if $taken >= $slots;
		wake(pop @sleepers) if @sleepers > $asleep;
		my $client = $world->client;
		$client->ask("SET $name = on");
		$client->send('SELECT pg_sleep(200)');
		push @sleepers, $client;
		sleep 0.2;
		return 0;
	}) or die 'there are always slots left';
	my $is_done = eval { meanwhile($world, $with); 1 };
	my $why = $@;
	wake($_) foreach @sleepers;
	die $why if !$is_done;
	recovered($world);
	return;
}

sub wake
{
	my ($client) = @_;
	kill 'INT', $client->pid;
	$client->result;
	$client->close;
	return;
}

# The worker that there is goes on, ended or not; a second database has to do without.
sub meanwhile
{
	my ($world, $with) = @_;
	my $name = 'crowd' . ++$count;
	$world->{crowd} = $name;
	$world->{primary}->psql('postgres', "CREATE DATABASE $name");
	my (undef, undef, $said) = $world->{primary}->psql($name, 'CREATE EXTENSION eav_ext CASCADE');
	die "no warning that no worker was started: $said" if $said !~ /WARNING:  the flush worker was not started/;
	kill 'TERM', $world->ask('SELECT eav._worker_pid()') if $with->{ends_worker};
	$world->{primary}->psql($name, q(SELECT eav.register_tenant('t', 1);
		SELECT eav.ingest('{"tenant_id": 1, "entity_id": 1, "attributes": {"a": 1}}')));
	sleep $with->{seconds};
	$world->settle;
	return;
}

# Then it gets its worker, and the value arrives.
sub recovered
{
	my ($world) = @_;
	my $name = delete $world->{crowd};
	$world->ask('SELECT pg_reload_conf()');
	# The launcher looks once a minute.
	$world->{primary}->wait_for('SELECT count(*) FROM eav.entity_values_ts', 1, $name)
	  or die 'the value of the database without a worker does not arrive';
	$world->{primary}->psql('postgres', "DROP DATABASE $name WITH (FORCE)");
	return;
}

sub events
{
	return {
		name => 'no worker slot is left', gaps => 0, run => \&exhaust,
		plan => sub { +{ seconds => sprintf('%.1f', rand 2), ends_worker => Chaos::Random::whole(0, 1) } }
	};
}

1;
