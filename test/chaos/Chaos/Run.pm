# The course of a run: starts servers and clients, lets one event after the other happen, stops
# everything after each round of all events to judge, and reports.
package Chaos::Run;
use strict;
use warnings;
use Chaos::Events;
use Chaos::Judgement;
use Chaos::Producer;
use Chaos::Random;
use Chaos::Reader;
use Chaos::Report;
use Chaos::Sabotage;
use Chaos::World;
use EavClient;
use EavCluster;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $producers = 5;
# Numbers of readers, above those of producers.
my @readers = (91, 92);

# Each event at least once, and as many as fit into the time.
sub main
{
	my (%with) = @_;
	my $until = time + 60 * $with{minutes};
	# Nobody is in a hurry: what takes so long has failed.
	$EavCluster::patience = $EavClient::patience = 150;
	note "seed $with{seed}, $with{minutes} minutes";
	my $world = Chaos::World->new(dir => $with{dir}, disks => $with{disks}, seed => $with{seed});
	my @events = Chaos::Events::all($world);
	my $report = Chaos::Report->new(%with, world => $world);
	my @pids = start_clients($world);
	my ($round, $figure) = (0);
	do
	{
		$round++;
		my $is_well = 1;
		foreach my $planned (Chaos::Events::deck($with{seed}, $round, @events))
		{
			last if $round > 1 && time > $until;
			$is_well = happen($world, $report, $round, $planned) or last;
		}
		$figure = $is_well && Chaos::Judgement::judge($world, "round $round", scalar @pids);
	} while ($figure && time < $until);
	end_clients($world, @pids);
	$report->finish($figure) if $figure;
	Chaos::Sabotage::subtest_of($world) if $figure;
	done_testing();
	return;
}

sub start_clients
{
	my ($world) = @_;
	my %with = (seed => $world->{seed}, place => $world->{place}, pause => 0.12);
	my @pids;
	foreach my $number (1 .. $producers, @readers)
	{
		my $pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			my $is_done = eval {
				$world->{place}{leader} = getppid;
				my $clock = Chaos::Clock->new($world->{clock}{file});
				my $class = $number > $producers ? 'Chaos::Reader' : 'Chaos::Producer';
				$class->new(%with, clock => $clock, number => $number)->work;
				1;
			};
			$world->{place}->complain("client $number", $@) if !$is_done;
			POSIX::_exit($is_done ? 0 : 1);    # no END block of the test
		}
		push @pids, $pid;
	}
	return @pids;
}

sub end_clients
{
	my ($world, @pids) = @_;
	$world->{place}->end;
	my $failed = 0;
	foreach my $pid (@pids)
	{
		waitpid $pid, 0;
		$failed++ if $? != 0;
	}
	is($failed, 0, 'all clients have ended in order');
	return;
}

# One event, and that all works again after it. False when it does not.
sub happen
{
	my ($world, $report, $round, $planned) = @_;
	my $event = $planned->{event};
	my $what = Chaos::Events::describe($planned);
	sleep $planned->{pause};
	$world->end_background(time);
	my $gaps = $world->gap_count;
	my $began = time;
	my $complaints = $world->{place}->complaints;
	my $is_done = eval {
		Chaos::Random::stream($world->{seed}, 'run', $round, $what);
		$event->{run}->($world, $planned->{with});
		my $took = time - $began;
		my $least = $gaps + ($event->{least} // $event->{gaps});
		# A server needs a moment to notice that it has crashed.
		EavCluster::wait_until('the gap is recorded', sub { eval { $world->gap_count >= $least } });
		my $settled = $world->settle;
		note sprintf '%s: %.1f s, values flow after %.1f s', $what, $took, $settled;
		$report->happened($event->{name}, $took, $settled);
		1;
	};
	if (!$is_done)
	{
		fail($what);
		diag $@;
		return 0;
	}
	my $more = $world->gap_count - $gaps;
	my $least = $event->{least} // $event->{gaps};
	my $is_right = ok($more >= $least && $more <= $event->{gaps},
		"$what: costs " . ($least < $event->{gaps} ? "$least to $event->{gaps}" : $least) . ' gap(s)');
	diag "there are $more more" if !$is_right;
	my @new = $world->{place}->complaints;
	splice @new, 0, $complaints;
	return is(join("\n", @new), '', "$what: nobody complains") && $is_right;
}

1;
