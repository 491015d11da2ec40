# All that can happen. Each module below Event/ returns a list of events:
#
#   name    what the report calls it
#   plan    draws its parameters, a hash of words and numbers, from the seed
#   run     makes it happen: run($world, \%parameters)
#   gaps    rows that it adds to eav.ingest_gaps, the most; least: the fewest, the same when left out
#
# What an event starts it also ends, so that the next one finds servers that work; but a background (a
# held snapshot) may go on during those that follow.
package Chaos::Events;
use strict;
use warnings;
use Chaos::Random;

our @modules = qw(Kills Restarts Failover Locks Rebuilding Partitions Clocks Disk Memory Slots Attributes);

sub all
{
	my ($world) = @_;
	my @events;
	# Some of them, to look into one.
	foreach my $module ($ENV{CHAOS_EVENTS} ? split(/,/, $ENV{CHAOS_EVENTS}) : @modules)
	{
		require "Chaos/Event/$module.pm";
		push @events, "Chaos::Event::$module"->events($world);
	}
	return @events;
}

# The nth run through all events: their order, parameters, and the pauses between.
sub deck
{
	my ($seed, $round, @events) = @_;
	Chaos::Random::stream($seed, 'order', $round);
	my @deck = map { { event => $_ } } Chaos::Random::shuffled(@events);
	foreach my $i (0 .. $#deck)
	{
		Chaos::Random::stream($seed, 'event', $round, $i);
		$deck[$i]{pause} = sprintf '%.2f', Chaos::Random::between(0.5, 3);
		$deck[$i]{with} = $deck[$i]{event}{plan} ? $deck[$i]{event}{plan}->() : {};
	}
	return @deck;
}

sub describe
{
	my ($planned) = @_;
	my %with = %{ $planned->{with} };
	return join ' ', $planned->{event}{name}, map { "$_=$with{$_}" } sort keys %with;
}

1;
