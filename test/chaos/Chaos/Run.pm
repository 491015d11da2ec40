# The course of a run: starts servers and clients, lets one event after the other happen, stops
# everything now and then to judge, and reports.
package Chaos::Run;
use strict;
use warnings;
use Chaos::Events;
use Chaos::Judgement;
use Chaos::Producer;
use Chaos::Random;
use Chaos::Reader;
use Chaos::Report;
use Chaos::World;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $producers = 5;
# Numbers of readers, above those of producers.
my @readers = (91, 92);

sub main
{
	my (%with) = @_;
	my $began = time;
	note "seed $with{seed}, $with{minutes} minutes";
	my $world = Chaos::World->new(dir => $with{dir}, disks => $with{disks}, seed => $with{seed});
	my @events = Chaos::Events::all($world);
	my $report = Chaos::Report->new(%with, began => $began, world => $world);
	my @pids = start_clients($world);
	my $round = 0;
	my $is_well = 1;
	while ($is_well && ($round == 0 || time - $began < 60 * $with{minutes}))
	{
		$is_well = happen($world, $report, $round, $_) && $is_well
		  foreach grep { $is_well && ($round == 0 || time - $began < 60 * $with{minutes}) }
		  Chaos::Events::deck($with{seed}, $round, @events);
		last if !$is_well;
		$is_well = Chaos::Judgement::interim($world, scalar @pids, $round++);
	}
	Chaos::Judgement::final($world, $report, \@pids) if $is_well;
	end_clients($world, @pids);
	$report->print;
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
	my $is_right = ok($more >= $least && $more <= $event->{gaps}, "$what: costs $event->{gaps} gap(s) at most, $least at least");
	diag "there are $more more" if !$is_right;
	my @new = $world->{place}->complaints;
	splice @new, 0, $complaints;
	is(join("\n", @new), '', "$what: nobody complains");
	return 1;
}

1;
