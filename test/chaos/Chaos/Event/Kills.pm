# Processes that end without a word, or are asked to end.
package Chaos::Event::Kills;
use strict;
use warnings;
use Chaos::Random;
use EavCluster;
use Time::HiRes qw(sleep);

my $clients = q(backend_type = 'client backend' AND state IS NOT NULL AND pid <> pg_backend_pid());
my $worker = q(backend_type = 'eav_ext flush worker' AND datname = 'postgres');

# Processes that meet a condition: the which-th of them, or several.
sub processes
{
	my ($world, $where) = @_;
	my @pids;
	EavCluster::wait_until('there is somebody to kill', sub {
		@pids = split /\n/, $world->ask("SELECT pid FROM pg_stat_activity WHERE $where ORDER BY pid");
		return scalar @pids;
	}) or die "nobody to kill: $where";
	return @pids;
}

sub kill_one
{
	my ($world, $signal, $where, $which) = @_;
	# Who was there may have gone meanwhile.
	EavCluster::wait_until('somebody is killed', sub {
		my @pids = processes($world, $where);
		return $world->kill_process($signal, $pids[ $which % @pids ]);
	}) or die "nobody could be killed: $where";
	return;
}

sub which { return { which => Chaos::Random::whole(0, 99), after => sprintf '%.3f', rand 0.3 } }

sub events
{
	return (
		{
			name => 'kill -9 of a backend', gaps => 1, plan => \&which,
			run => sub { kill_one($_[0], 'KILL', $clients, $_[1]{which}) }
		},
		{
			name => 'kill -9 of a backend in a transaction', gaps => 1, plan => \&which,
			run => sub { kill_one($_[0], 'KILL', "$clients AND state <> 'idle'", $_[1]{which}) }
		},
		{
			name => 'kill -9 of the worker', gaps => 1, plan => \&which,
			run => sub { sleep $_[1]{after}; kill_one($_[0], 'KILL', $worker, 0) }
		},
		{
			name => 'kill -9 of the worker in a flush', gaps => 1,
			run => sub {
				my ($world) = @_;
				# Where it cannot get on.
				my $holder = $world->client;
				$holder->ask('BEGIN');
				$holder->ask('LOCK TABLE eav.entity_jsonb IN ACCESS EXCLUSIVE MODE');
				kill_one($world, 'KILL', "$worker AND state = 'active' AND wait_event_type = 'Lock'", 0);
				$holder->close;
			}
		},
		{
			name => 'kill -9 of the postmaster', gaps => 1, plan => \&which,
			run => sub {
				my ($world, $with) = @_;
				sleep $with->{after};
				$world->kill_server($world->{primary});
				$world->start($world->{primary});
			}
		},
		{
			name => 'kill -9 of the standby', gaps => 0, plan => \&which,
			run => sub {
				my ($world, $with) = @_;
				$world->kill_server($world->{standby});
				sleep $with->{after};
				$world->start($world->{standby});
			}
		},
		{
			name => 'SIGTERM of backends', gaps => 0,
			plan => sub { +{ which()->%*, count => Chaos::Random::whole(1, 8), pause => sprintf '%.3f', rand 0.2 } },
			run => sub {
				my ($world, $with) = @_;
				foreach my $i (1 .. $with->{count})
				{
					kill_one($world, 'TERM', $clients, $with->{which} + $i);
					sleep $with->{pause};
				}
			}
		},
		{
			name => 'SIGTERM of the worker', gaps => 0,
			plan => sub { +{ count => Chaos::Random::whole(1, 3), pause => sprintf '%.3f', rand 2 } },
			run => sub {
				my ($world, $with) = @_;
				foreach (1 .. $with->{count})
				{
					kill_one($world, 'TERM', $worker, 0);
					sleep $with->{pause};
				}
			}
		},
		{
			name => 'cancelled statements', gaps => 0,
			plan => sub { +{ which()->%*, count => Chaos::Random::whole(5, 40) } },
			run => sub {
				my ($world, $with) = @_;
				foreach my $i (1 .. $with->{count})
				{
					kill_one($world, 'INT', "$clients AND state <> 'idle'", $with->{which} + $i);
				}
				# The worker may be asked as well.
				kill_one($world, 'INT', $worker, 0);
			}
		});
}

1;
