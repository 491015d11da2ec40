# What a client has sent and what it was told, on disk. Two lines per transaction:
#
#   I id way ack numbers undone           before anything is sent
#   O id outcome ack began replied true ticket   when the outcome is known
#
# Each value is a number of its own, producer * 10^8 + a running number; one with a b is an event or
# value that is to be rejected. undone: numbers of savepoints that are rolled back. outcome: committed;
# undone: it did not commit; unknown: the connection was lost before the reply. ack of the second line
# is what was promised in the end: durable; accepted; commit, durable with the commit itself. began and
# replied are times by the clock of the servers, true is the true time of the reply. An I without an O
# is a client that died: its outcome is unknown.
package Chaos::Ledger;
use strict;
use warnings;
use Fcntl qw(O_WRONLY O_CREAT O_APPEND);

our $numbers = 100_000_000;

sub open_for
{
	my ($class, $dir, $producer) = @_;
	my $file = "$dir/ledger_$producer";
	sysopen my $handle, $file, O_WRONLY | O_CREAT | O_APPEND or die "$file: $!";
	return bless { handle => $handle }, $class;
}

sub note
{
	my ($self, @words) = @_;
	my $line = join(' ', @words) . "\n";
	my $written = syswrite $self->{handle}, $line;
	die "the ledger cannot be written: $!" if !defined $written || $written != length $line;
	return;
}

sub intend
{
	my ($self, $id, $way, $ack, $sent, $undone) = @_;
	$self->note('I', $id, $way, $ack, join(',', @$sent) || '-', join(',', @$undone) || '-');
	return;
}

sub outcome
{
	my ($self, $id, %is) = @_;
	$self->note('O', $id, @is{qw(outcome ack)},
		sprintf('%.6f %.6f %.6f', @is{qw(began replied true)}), $is{ticket} // 0);
	return;
}

# Calls with each transaction of a ledger, as a hash.
sub each_transaction
{
	my ($file, $call) = @_;
	my %open;
	open my $in, '<', $file or die "$file: $!";
	while (my $line = <$in>)
	{
		chomp $line;
		my ($kind, $id, @rest) = split / /, $line;
		if ($kind eq 'I')
		{
			my %t = (id => $id, way => $rest[0], ack => $rest[1], outcome => 'unknown');
			$t{numbers} = [ $rest[2] eq '-' ? () : split /,/, $rest[2] ];
			$t{undone} = [ $rest[3] eq '-' ? () : split /,/, $rest[3] ];
			$open{$id} = \%t;
			next;
		}
		my $t = delete $open{$id} // die "$file: outcome of $id, which was never sent";
		@$t{qw(outcome ack began replied true ticket)} = @rest;
		$call->($t);
	}
	close $in;
	$call->($_) foreach values %open;
	return;
}

sub files
{
	my ($dir) = @_;
	return sort glob "$dir/ledger_*";
}

1;
