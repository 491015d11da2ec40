# Servers that are stopped and started by their administrator, in each of the three ways.
package Chaos::Event::Restarts;
use strict;
use warnings;
use Chaos::Random;
use IPC::Run ();
use Time::HiRes qw(sleep);

sub restart
{
	my ($role, $mode) = @_;
	return sub {
		my ($world) = @_;
		$world->stop($world->{$role}, $mode);
		$world->start($world->{$role});
	};
}

# It waits for the clients to go, and lets nobody in meanwhile; they are sent away after a while.
sub smart_restart
{
	my ($world, $with) = @_;
	my $node = $world->{primary};
	my $client = $world->client;
	my @pids = split /\n/, $client->ask(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'
		AND pid <> pg_backend_pid()));
	$client->close;
	my $stop = IPC::Run::start([ 'pg_ctl', '-w', '-s', '-t', 120, '-D', $node->data_dir, '-m', 'smart', 'stop' ],
		'<', \undef, '>', '/dev/null', '2>', '/dev/null');
	sleep $with->{patience};
	kill 'TERM', @pids;
	IPC::Run::finish($stop) or die 'the server does not stop';
	$node->{_pid} = undef;
	$world->start($node);
	return;
}

sub events
{
	return (
		{ name => 'fast restart', gaps => 0, run => restart('primary', 'fast') },
		{
			name => 'smart restart', gaps => 0, run => \&smart_restart,
			plan => sub { +{ patience => sprintf '%.2f', Chaos::Random::between(0.2, 1.5) } }
		},
		{ name => 'immediate restart', gaps => 1, run => restart('primary', 'immediate') },
		{ name => 'fast restart of the standby', gaps => 0, run => restart('standby', 'fast') },
		{ name => 'immediate restart of the standby', gaps => 0, run => restart('standby', 'immediate') });
}

1;
