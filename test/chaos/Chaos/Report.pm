# What a run has done, as text for docs/chaos.md.
package Chaos::Report;
use strict;
use warnings;
use Test::More;

sub new
{
	my ($class, %with) = @_;
	return bless { %with, events => {}, figures => {} }, $class;
}

sub happened
{
	my ($self, $name, $took, $settled) = @_;
	my $event = $self->{events}{$name} //= { times => 0, longest => 0 };
	$event->{times}++;
	$event->{longest} = $settled if $settled > $event->{longest};
	return;
}

sub print    ## no critic
{
	my ($self) = @_;
	note join "\n", map { "$_: $self->{events}{$_}{times}" } sort keys %{ $self->{events} };
	return;
}

1;
