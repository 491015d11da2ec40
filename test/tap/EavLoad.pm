# Producers that use every way in at once and remember what was promised to them, and the judge who
# compares that with what has arrived.
#
# Each value is a number of its own, so that each can be told from all others. A producer is
# a process; it writes down each transaction in a file, with the moment at which the server's reply to
# the commit had been received. Tenant 1 has the attribute n; see EavCluster::register().
package EavLoad;
use strict;
use warnings;
use EavClient;
use POSIX ();
use Time::HiRes qw(sleep time);

our $numbers_of_round = 10_000_000;
my $numbers_of_producer = 1_000_000;
my $entities = 40;

# EavLoad->start(node => $node, round => $r, producers => 8, seconds => 0.5, ...): producers that
# work until the time is over or the server has gone. retry => 1: connects again when it is gone.
sub start
{
	my ($class, %with) = @_;
	my $node = $with{node};
	my $self = bless { %with, files => [], pids => [] }, $class;
	my ($host, $port) = ($node->host, $node->port);
	foreach my $number (0 .. $with{producers} - 1)
	{
		my $file = join '_', $node->basedir . '/load', $with{database} // 'postgres', $with{round}, $number;
		my $seed = int rand 2**31;
		my $pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			srand $seed;
			my $status = 1;
			eval {
				open my $log, '>', $file or die "$file: $!";
				produce({ %with, host => $host, port => $port, log => $log,
					next => $with{round} * $numbers_of_round + $number * $numbers_of_producer + 1 });
				CORE::close $log or die "$file: $!";
				$status = 0;
			};
			print STDERR $@ if $@;
			POSIX::_exit($status);    # no END block of the test
		}
		push @{ $self->{pids} }, $pid;
		push @{ $self->{files} }, $file;
	}
	return $self;
}

# True when all producers have ended in order.
sub wait_for_end
{
	my ($self) = @_;
	my $failed = 0;
	foreach my $pid (@{ $self->{pids} })
	{
		waitpid $pid, 0;
		$failed++ if $? != 0;
	}
	$self->{pids} = [];
	return !$failed;
}

# --- producers -------------------------------------------------------------------------------

sub produce
{
	my ($p) = @_;
	my $until = time + $p->{seconds};
	while (time < $until)
	{
		my $client = EavClient->connect($p->{host}, $p->{port}, $p->{database});
		while ($client && time < $until)
		{
			last if !transaction($p, $client);
			sleep rand $p->{pause} if $p->{pause};
		}
		$client->close if $client && !$client->{lost};
		last if !$p->{retry} && ($client || $EavClient::refused eq 'nobody listens');
		# What is refused now may be taken in a moment.
		sleep 0.02 if time < $until;
	}
	return;
}

# A call of eav.ingest() with some new numbers; adds these to @$list.
sub call
{
	my ($p, $ack, $list) = @_;
	my $kind = rand;
	my $events = $kind < 0.5 ? 1 : 1 + int rand 12;
	my @events;
	foreach (1 .. $events)
	{
		my $n = $p->{next}++;
		my $who = '"tenant_id":1,"entity_id":' . (1 + int rand $entities);
		if (rand() < 0.01)
		{
			# Refused when it is parsed, or when it is flushed.
			push @events, rand() < 0.5 ? "{$who,\"bad\":\"bad-$n-\",\"attributes\":{\"n\":1}}"
			  : "{$who,\"attributes\":{\"n\":\"bad-$n-\"}}";
			push @$list, "b$n";
		}
		else
		{
			push @events, "{$who,\"attributes\":{\"n\":$n}}";
			push @$list, $n;
		}
	}
	my $payload = $kind < 0.8 ? '[' . join(',', @events) . ']' : join ' ', @events;
	$payload = $events[0] if $events == 1;
	my $type = rand() < 0.1 && $payload !~ /\} \{/ ? '::jsonb' : '';
	return "SELECT ticket FROM eav.ingest('$payload'$type, '$ack')";
}

sub staged
{
	my ($p, $list) = @_;
	my $from = $p->{next};
	my $to = $from + int rand 12;
	$p->{next} = $to + 1;
	push @$list, $from .. $to;
	return EavCluster::insert_numbers($from, $to, $entities);
}

# One transaction, and its line in the log. False when the connection is lost.
sub transaction
{
	my ($p, $client) = @_;
	my $kind = rand;
	my $is_durable = rand() < ($p->{durable} // 0.15);
	my $ack = $is_durable ? 'durable' : 'accepted';
	my (@list, @undone, @ways, @sql);
	my $ends = 'COMMIT';
	if ($kind < 0.35) { @ways = 'ring'; @sql = call($p, $ack, \@list); }
	elsif ($kind < 0.5) { @ways = 'staging'; @sql = staged($p, \@list); $is_durable = 0; }
	else
	{
		$ends = 'ROLLBACK' if rand() < 0.1;
		@sql = 'BEGIN' . (rand() < 0.3 ? ' READ ONLY' : '');
		foreach (1 .. 1 + int rand 4)
		{
			if ($sql[0] eq 'BEGIN' && rand() < 0.1) { push @ways, 'staging'; push @sql, staged($p, \@list); }
			elsif (rand() < 0.15)
			{
				push @sql, 'SAVEPOINT s', call($p, 'accepted', \@undone), 'ROLLBACK TO s';
			}
			else { push @ways, 'ring'; push @sql, call($p, rand() < 0.5 ? $ack : 'accepted', \@list); }
		}
		# Some of the calls may have drawn the other ack.
		$is_durable = grep { /'durable'\)$/ } @sql;
		# It is no promise about what was inserted.
		$is_durable = 0 if grep { $_ eq 'staging' } @ways;
		push @sql, $ends;
	}
	my $began = time;
	my ($outcome, $replied, $ticket, $warned) = ('undone', 0, 0, 0);
	foreach my $i (0 .. $#sql)
	{
		my $result = $client->query($sql[$i]);
		my $is_end = $i == $#sql && $ends eq 'COMMIT';
		$warned ||= grep { $_->{C} eq '01000' } @{ $result->{notices} };
		$ticket = $result->{rows}[0][0] if @{ $result->{rows} };
		if ($result->{error} || !@{ $result->{tags} })
		{
			# An error that ends the session may come after the commit.
			$outcome = 'unknown' if $is_end && !($result->{error} && $result->{error}{S} eq 'ERROR');
			warn "$result->{error}{C}: $result->{error}{M}: $sql[$i]\n"
			  if $result->{error} && $result->{error}{C} !~ /^57P|^53300/;
			last;
		}
		if ($is_end)
		{
			($outcome, $replied) = ('committed', $result->{at});
			# COMMIT of a transaction that has failed.
			die "reply $result->{tags}[0] to $sql[$i]" if $result->{tags}[0] !~ /^(COMMIT|SELECT|INSERT)/;
		}
		last if !$result->{complete};
	}
	my %ways = map { $_ => 1 } @ways;
	print { $p->{log} } join(' ', $outcome, keys %ways == 1 ? $ways[0] : 'mixed',
		$is_durable && !$warned ? 'durable' : 'accepted',
		sprintf('%.6f %.6f', $began, $replied), $ticket // 0, join ',', @list), "\n"
	  if @list;
	print { $p->{log} } join(' ', 'undone ring accepted 0 0 0', join ',', @undone), "\n" if @undone;
	return !$client->{lost};
}

# --- the judge ---------------------------------------------------------------------------------

# What the producers have written: transactions as hashes.
sub transactions
{
	my ($self) = @_;
	my @all;
	foreach my $file (@{ $self->{files} })
	{
		open my $log, '<', $file or die "$file: $!";
		while (<$log>)
		{
			chomp;
			my %t;
			(@t{qw(outcome way ack began replied ticket)}, my $list) = split / /;
			$t{numbers} = [ split /,/, $list ];
			push @all, \%t;
		}
		CORE::close $log;
	}
	return @all;
}

# Compares what was promised with history and rejects, as a client sees them after a flush. Returns a
# hash: {missing}: transactions that were acknowledged and are not (wholly) there; {doubled},
# {unexpected}: numbers; {torn}: transactions of one way that are there in part; figures.
sub judge
{
	my ($self, $client, @transactions) = @_;
	@transactions = $self->transactions if !@transactions;
	my $low = $self->{round} * $numbers_of_round;
	my $high = $low + $numbers_of_round;
	my %times;
	$times{ $_->[0] }++ foreach @{
		$client->query("SELECT value_int FROM eav.entity_values_ts
			WHERE value_int >= $low AND value_int < $high")->{rows} };
	foreach my $row (@{ $client->query("SELECT payload FROM eav.ingest_rejects
		WHERE payload::text LIKE '%bad-$self->{round}_______-%'")->{rows} })
	{
		my ($n) = $row->[0] =~ /bad-(\d+)-/;
		$times{"b$n"}++;
	}
	my %verdict = (missing => [], doubled => [], unexpected => [], torn => [], lost_durable => [],
		arrived => 0, committed => 0, durable => 0, unknown => 0, unknown_arrived => 0, spilled => 0,
		in_ring => 0);
	@{ $verdict{doubled} } = sort grep { $times{$_} > 1 } keys %times;
	my %known;
	foreach my $t (@transactions)
	{
		my @numbers = @{ $t->{numbers} };
		$known{$_} = 1 foreach @numbers;
		my $there = grep { $times{$_} } @numbers;
		$verdict{arrived} += $there;
		if ($t->{outcome} eq 'undone')
		{
			push @{ $verdict{unexpected} }, grep { $times{$_} } @numbers;
			next;
		}
		push @{ $verdict{torn} }, $t if $there > 0 && $there < @numbers && $t->{way} ne 'mixed';
		if ($t->{outcome} eq 'unknown')
		{
			$verdict{unknown} += @numbers;
			$verdict{unknown_arrived} += $there;
			next;
		}
		$verdict{committed} += @numbers;
		$verdict{durable} += @numbers if $t->{ack} eq 'durable';
		$verdict{ $t->{ticket} % 2 ? 'spilled' : 'in_ring' } += @numbers if $t->{way} eq 'ring';
		next if $there == @numbers;
		$t->{there} = $there;
		push @{ $verdict{missing} }, $t;
		push @{ $verdict{lost_durable} }, $t if $t->{ack} eq 'durable';
	}
	push @{ $verdict{unexpected} }, sort grep { !$known{$_} } keys %times;
	return \%verdict;
}

# Of the missing transactions those that no row of ingest_gaps covers, by the time of the reply. (One
# that was read only after the next start was sent before the stop.)
sub uncovered
{
	my ($client, @missing) = @_;
	my $gaps = $client->query('SELECT extract(epoch FROM gap_start), extract(epoch FROM gap_end)
		FROM eav.ingest_gaps')->{rows};
	return grep {
		my $t = $_;
		!grep { $t->{replied} >= $_->[0] && ($t->{replied} <= $_->[1] || $t->{began} <= $_->[1]) } @$gaps;
	} @missing;
}

sub describe
{
	my (@transactions) = @_;
	return join "\n", map {
		sprintf '%s %s %s: began %.6f, reply %.6f, ticket %s, %s of %s there: %s', @$_{qw(outcome way ack
		  began replied ticket)}, $_->{there} // '?', scalar @{ $_->{numbers} },
		  join ',', @{ $_->{numbers} }[ 0 .. ($#{ $_->{numbers} } > 5 ? 5 : $#{ $_->{numbers} }) ];
	} @transactions[ 0 .. ($#transactions > 4 ? 4 : $#transactions) ];
}

sub summary
{
	my ($v) = @_;
	return "$v->{committed} acknowledged ($v->{durable} durable, $v->{in_ring} through the ring, "
	  . "$v->{spilled} spilled), $v->{arrived} arrived, "
	  . "$v->{unknown_arrived} of $v->{unknown} without a reply";
}

1;
