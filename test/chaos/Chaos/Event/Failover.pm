# The standby takes over, and the old primary becomes its standby, by pg_rewind or from a new backup.
package Chaos::Event::Failover;
use strict;
use warnings;
use Chaos::Random;
use EavCluster;
use Time::HiRes qw(sleep);

sub how { return Chaos::Random::pick(qw(rewind backup)) }

# Nothing is lost: a server that is stopped in order sends all it has.
sub planned
{
	my ($world, $with) = @_;
	$world->stop($world->{primary}, 'fast');
	$world->fail_over(0, $with->{rejoin});
	return;
}

# What the standby has not received is lost, durable or not, unless the primary waits for it.
sub unplanned
{
	my ($world, $with) = @_;
	my $is_synchronous = $with->{synchronous};
	if ($is_synchronous)
	{
		$world->{primary}->set(synchronous_standby_names => '*');
		$world->{primary}->wait_for(q(SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'), 1)
		  or die 'the standby does not become synchronous';
		# The commits that did not wait have reached it before it became synchronous.
	}
	sleep $with->{after};
	# The last that it hears of the primary.
	$world->{standby}->cut_off;
	sleep $with->{cut};
	$world->kill_machine($world->{primary});
	$world->fail_over(!$is_synchronous, $with->{rejoin});
	return;
}

sub events
{
	return (
		{
			name => 'promotion after a stop', gaps => 1, run => \&planned,
			plan => sub { +{ rejoin => how() } }
		},
		{
			name => 'promotion after kill -9', gaps => 1, run => \&unplanned,
			plan => sub { +{ rejoin => how(), synchronous => 0, after => 0, cut => sprintf '%.2f', rand 1.5 } }
		},
		{
			name => 'promotion of a synchronous standby after kill -9', gaps => 1, run => \&unplanned,
			plan => sub { +{ rejoin => how(), synchronous => 1, after => sprintf('%.2f', Chaos::Random::between(0.5, 2)),
				cut => sprintf '%.2f', Chaos::Random::between(0.3, 1.5) } }
		});
}

1;
