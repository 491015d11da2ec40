# The clock of the servers, which all of them and all clients share. It is off by as much as a file
# says (test/tap/skewed_clock.c), and events set it.
package Chaos::Clock;
use strict;
use warnings;
use Time::HiRes qw(time);

sub new
{
	my ($class, $file) = @_;
	my $self = bless { file => $file }, $class;
	if (!-e $file)
	{
		open my $new, '>', $file or die "$file: $!";
		syswrite $new, pack 'q<', 0;
		close $new;
	}
	open $self->{handle}, '+<', $file or die "$file: $!";
	return $self;
}

sub offset
{
	my ($self) = @_;
	sysseek $self->{handle}, 0, 0;
	sysread $self->{handle}, my $bytes, 8;
	return unpack('q<', $bytes) / 1e6;
}

sub now
{
	my ($self) = @_;
	return time + $self->offset;
}

# Steps the clock by so many seconds, for all.
sub step
{
	my ($self, $seconds) = @_;
	my $offset = $self->offset + $seconds;
	sysseek $self->{handle}, 0, 0;
	syswrite $self->{handle}, pack 'q<', int $offset * 1e6;
	return;
}

1;
