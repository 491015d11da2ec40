# The judge: compares what the ledgers say was promised with what is there. It knows nothing of the
# extension but its tables.
#
#   durable, commit   there once; may be missing only when a standby was promoted that had not received
#                     everything from a primary that was lost, and the gap of that promotion covers it
#   accepted          there once, or missing and covered by a row of eav.ingest_gaps
#   undone            not there
#   unknown           there once or not at all
#
# A transaction of one way is there as a whole or not at all. A number is there when a row of history,
# or of a partition that was dropped (its rows are kept in chaos.dropped, in the transaction that drops
# it), has it; one with a b when eav.ingest_rejects has it.
package Chaos::Oracle;
use strict;
use warnings;
use Chaos::Ledger;
use Chaos::Producer;

our $history = '(SELECT * FROM eav.entity_values_ts UNION ALL SELECT * FROM chaos.dropped)';

# How often each number is there: by kind (value or reject) and producer, two bits a number; and how
# many numbers there are of each.
sub counts
{
	my ($node) = @_;
	my %times = (value => {}, reject => {});
	my %numbers = (value => {}, reject => {});
	my @unreadable;
	my $take = sub {
		my ($kind, $number) = @_;
		my $producer = int $number / $Chaos::Ledger::numbers;
		my $bits = \($times{$kind}{$producer} //= '');
		my $place = $number % $Chaos::Ledger::numbers;
		my $is = vec $$bits, $place, 2;
		vec($$bits, $place, 2) = $is + 1 if $is < 3;
		$numbers{$kind}{$producer}++ if !$is;
	};
	each_row($node, "SELECT coalesce($Chaos::Producer::number, 0) FROM $history h WHERE entity_id <> $Chaos::Producer::probed", sub {
		$take->('value', $_[0]) if $_[0];
		push @unreadable, 'a row of history without a number' if !$_[0];
	});
	# A value that is right has no business among the rejects.
	each_row($node, q(SELECT replace(payload::text, E'\n', ' ') FROM eav.ingest_rejects), sub {
		if ($_[0] =~ /bad-(\d+)-/) { $take->('reject', $1); }
		else { push @unreadable, "rejected: $_[0]"; }
	});
	return (\%times, \%numbers, @unreadable);
}

# Row by row: there are millions.
sub each_row
{
	my ($node, $sql, $call) = @_;
	open my $rows, '-|', 'psql', '-XAtqc', "COPY ($sql) TO STDOUT", $node->connstr('postgres') or die "psql: $!";
	while (my $row = <$rows>)
	{
		chomp $row;
		$call->($row);
	}
	close $rows or die "$sql: psql ended with $?";
	return;
}

sub gaps
{
	my ($node) = @_;
	my @gaps;
	each_row($node, 'SELECT gap_id, extract(epoch FROM gap_start), extract(epoch FROM gap_end), reason FROM eav.ingest_gaps', sub {
		my %gap;
		@gap{qw(id start end reason)} = split /\t/, $_[0];
		push @gaps, \%gap;
	});
	return @gaps;
}

# judge(node => $node, dir => $ledgers, lossy => \@gap_ids): lossy are gaps of promotions that may
# cost durable values. Returns findings, lists of text by kind, and figures.
sub judge
{
	my (%with) = @_;
	my ($times, $numbers, @unreadable) = counts($with{node});
	my @gaps = gaps($with{node});
	my %is_lossy = map { $_ => 1 } @{ $with{lossy} };
	my %finding = map { $_ => [] } qw(lost_durable uncovered doubled undone torn unexpected);
	my %figure = map { $_ => 0 } qw(transactions values committed durable commit accepted undone unknown
	  unknown_there missing lossy_durable lossy_commit rejected);
	my %claimed;
	$finding{unexpected} = \@unreadable;
	my $times_of = sub {
		my ($number) = @_;
		my ($kind, $n) = $number =~ /^(b?)(\d+)$/;
		return vec $times->{ $kind ? 'reject' : 'value' }{ int $n / $Chaos::Ledger::numbers } // '',
		  $n % $Chaos::Ledger::numbers, 2;
	};
	foreach my $file (Chaos::Ledger::files($with{dir}))
	{
		my ($producer) = $file =~ /(\d+)$/;
		Chaos::Ledger::each_transaction($file, sub {
			my ($t) = @_;
			my @numbers = @{ $t->{numbers} };
			$figure{transactions}++;
			$figure{values} += @numbers;
			my %there = map { $_ => $times_of->($_) } @numbers, @{ $t->{undone} };
			foreach my $number (grep { $there{$_} } keys %there)
			{
				$claimed{ $number =~ /^b/ ? 'reject' : 'value' }{$producer}++;
				push @{ $finding{doubled} }, "$number: " . describe($t) if $there{$number} > 1;
			}
			push @{ $finding{undone} }, map { "$_: " . describe($t) } grep { $there{$_} }
			  @{ $t->{undone} }, $t->{outcome} eq 'undone' ? @numbers : ();
			if ($t->{outcome} eq 'undone')
			{
				$figure{undone} += @numbers;
				return;
			}
			my $there = grep { $there{$_} } @numbers;
			$figure{rejected} += grep { /^b/ && $there{$_} } @numbers;
			push @{ $finding{torn} }, "$there of " . @numbers . ' are there: ' . describe($t)
			  if $there && $there < @numbers && $t->{way} ne 'mixed';
			if ($t->{outcome} eq 'unknown')
			{
				$figure{unknown} += @numbers;
				$figure{unknown_there} += $there;
				return;
			}
			$figure{committed} += @numbers;
			$figure{ $t->{ack} } += @numbers;
			return if $there == @numbers;
			my @covering = grep { covers($_, $t) } @gaps;
			if ($t->{ack} eq 'accepted')
			{
				$figure{missing} += @numbers - $there;
				push @{ $finding{uncovered} }, describe($t) if !@covering;
			}
			elsif (grep { $is_lossy{ $_->{id} } } @covering) { $figure{"lossy_$t->{ack}"} += @numbers - $there; }
			else { push @{ $finding{lost_durable} }, describe($t); }
		});
	}
	# What nobody has written down.
	foreach my $kind (qw(value reject))
	{
		foreach my $producer (sort keys %{ $numbers->{$kind} })
		{
			my $more = $numbers->{$kind}{$producer} - ($claimed{$kind}{$producer} // 0);
			push @{ $finding{unexpected} }, "$more ${kind}s of producer $producer that it has not sent" if $more;
		}
	}
	$figure{gaps} = @gaps;
	return (\%finding, \%figure);
}

# Whether values that were accepted some time between question and reply may be lost in this gap. The
# clock may have been set meanwhile.
sub covers
{
	my ($gap, $t) = @_;
	my ($from, $to) = sort { $a <=> $b } $t->{began}, $t->{replied};
	return $to >= $gap->{start} && $from <= $gap->{end};
}

sub describe
{
	my ($t) = @_;
	my @numbers = @{ $t->{numbers} };
	return sprintf 'transaction %s, %s, %s %s, %s to %s, ticket %s, %d values: %s', @$t{qw(id way outcome ack)},
	  map({ $_ ? sprintf '%.6f', $_ : 'never' } @$t{qw(began replied)}), $t->{ticket} // 0, scalar @numbers,
	  join ',', @numbers[ 0 .. ($#numbers > 5 ? 5 : $#numbers) ];
}

1;
