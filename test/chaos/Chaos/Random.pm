# Chance that follows from the seed of the run: each stream (the plan, event 17, transaction 4711 of
# producer 3) draws from a start of its own, so that what one draws does not move the others.
package Chaos::Random;
use strict;
use warnings;
use Digest::MD5 qw(md5);

# All that is drawn from now on, by this process, is that of the stream.
sub stream
{
	my ($seed, @names) = @_;
	srand unpack 'L', md5(join ' ', $seed, @names);
	return;
}

sub pick { return $_[ int rand @_ ]; }

sub between
{
	my ($least, $most) = @_;
	return $least + rand($most - $least);
}

sub whole
{
	my ($least, $most) = @_;
	return $least + int rand($most - $least + 1);
}

sub shuffled
{
	my @list = @_;
	foreach my $i (reverse 1 .. $#list)
	{
		my $j = int rand($i + 1);
		@list[ $i, $j ] = @list[ $j, $i ];
	}
	return @list;
}

1;
