# The clock of all servers is set.
package Chaos::Event::Clocks;
use strict;
use warnings;
use Chaos::Random;
use Time::HiRes qw(sleep);

# Forwards to where another partition begins.
sub leap
{
	my ($world, $to) = @_;
	my $seconds = $world->ask(sprintf 'SELECT extract(epoch FROM %s - clock_timestamp())',
		$to // q(date_trunc('hour', clock_timestamp()) + interval '1 hour'));
	$world->{clock}->step($seconds + 1);
	return;
}

sub events
{
	my ($class, $world) = @_;
	return if !$world->{has_clock};
	return (
		{
			name => 'the clock is set ahead', gaps => 0,
			plan => sub { +{ seconds => sprintf '%.1f', Chaos::Random::between(0.5, 60) } },
			run => sub { $_[0]{clock}->step($_[1]{seconds}) }
		},
		{
			name => 'the clock is set back', gaps => 0,
			plan => sub { +{ seconds => sprintf '%.1f', Chaos::Random::between(0.5, 45) } },
			run => sub { $_[0]{clock}->step(-$_[1]{seconds}) }
		},
		{
			name => 'the clock is set back, and a crash', gaps => 1,
			plan => sub { +{ seconds => sprintf('%.1f', Chaos::Random::between(0.5, 45)), after => sprintf '%.3f', rand 0.3 } },
			run => sub {
				my ($world, $with) = @_;
				$world->{clock}->step(-$with->{seconds});
				sleep $with->{after};
				$world->kill_server($world->{primary});
				$world->start($world->{primary});
			}
		},
		{ name => 'the next hour begins', gaps => 0, run => sub { leap($_[0]) } });
}

1;
