# Attributes that get another projection, and indexes that come and go with it.
package Chaos::Event::Attributes;
use strict;
use warnings;
use Chaos::Event::Rebuilding;
use Chaos::Producer;
use Chaos::Random;

my @ranks = qw(none current live hot);

# The readers rely on it that n has a place in the document.
sub goal
{
	my ($name) = @_;
	return Chaos::Random::pick($name eq 'n' ? @ranks[ 1 .. 3 ] : @ranks);
}

sub move
{
	my ($world, $with) = @_;
	my %rank = map { $ranks[$_] => $_ } 0 .. $#ranks;
	foreach my $move (split /,/, $with->{moves})
	{
		my ($tenant, $name, $to) = split /:/, $move;
		my $from = $world->ask("SELECT projection FROM eav.attributes WHERE tenant_id = $tenant AND name = '$name'");
		my $verb = $rank{$to} > $rank{$from} ? 'promote' : 'demote';
		Chaos::Event::Rebuilding::insist($world, "SELECT eav.${verb}_attribute($tenant, '$name', '$to')");
	}
	return;
}

sub index
{
	my ($world, $with) = @_;
	my $projection = $world->ask(q(SELECT projection FROM eav.attributes WHERE tenant_id = 1 AND name = 'state'));
	Chaos::Event::Rebuilding::insist($world, q(SELECT eav.promote_attribute(1, 'state', 'hot'))) if $projection ne 'hot';
	Chaos::Event::Rebuilding::insist($world, q(SELECT eav.create_attribute_index(1, 'state')));
	Chaos::Event::Rebuilding::insist($world, q(SELECT eav.drop_attribute_index(1, 'state'))) if $with->{drops};
	return;
}

sub some_moves
{
	return join ',', map {
		my $name = Chaos::Random::pick(@Chaos::Producer::attributes)->{name};
		join ':', Chaos::Random::whole(1, 2), $name, goal($name)
	} 1 .. Chaos::Random::whole(1, 4);
}

sub events
{
	return (
		{ name => 'attributes move', gaps => 0, run => \&move, plan => sub { +{ moves => some_moves() } } },
		{
			name => 'an index of an attribute', gaps => 0, run => \&index,
			plan => sub { +{ drops => Chaos::Random::whole(0, 1) } }
		});
}

1;
