# A producer: a process that writes through all doors, in the order and with the contents that follow
# from the seed, and keeps a ledger.
package Chaos::Producer;
use strict;
use warnings;
use Chaos::Ledger;
use Chaos::Random;
use EavClient;
use Time::HiRes qw(sleep time);

our $entities = 60;
# This one holds no values of producers, but those by which it is seen that values flow.
our $probed = 5000;
# Name, attribute_id, column of staging, and a value as JSON and as text for COPY.
our @attributes = (
	{ name => 'n', id => 1, column => 'value_int', json => sub { $_[0] } },
	{ name => 'state', id => 2, column => 'value_text', json => sub { "\"s$_[0]\"" }, copy => sub { "s$_[0]" } },
	{ name => 'note', id => 3, column => 'value_int', json => sub { $_[0] } },
	{ name => 'temp', id => 4, column => 'value_float', json => sub { $_[0] } },
	{ name => 'doc', id => 5, column => 'value_json', json => sub { "{\"n\":$_[0]}" } });
# As they are registered for the other tenant.
our $ids_of_tenant = 5;

# The number that a row of history is about, in SQL.
our $number = q(coalesce(value_int, value_float::bigint, substr(value_text, 2)::bigint, (value_json->>'n')::bigint));

sub register
{
	my ($client) = @_;
	foreach my $tenant (1, 2)
	{
		$client->ask("SELECT eav.register_tenant('tenant$tenant', $tenant)");
		my %type = (n => [qw(int live)], state => [qw(text hot)], note => [qw(int none)],
			temp => [qw(float current)], doc => [qw(json live)]);
		foreach my $a (@attributes)
		{
			my $id = $client->ask(sprintf q(SELECT eav.register_attribute(%d, '%s', '%s', '%s')),
				$tenant, $a->{name}, @{ $type{ $a->{name} } });
			die "$a->{name} is $id" if $id != $a->{id} + ($tenant - 1) * $ids_of_tenant;
		}
	}
	return;
}

sub new
{
	my ($class, %with) = @_;
	return bless {
		%with,
		next => $with{number} * $Chaos::Ledger::numbers + 1,
		id => 0,
		ledger => Chaos::Ledger->open_for($with{place}->dir, $with{number})
	}, $class;
}

# Until the run is over.
sub work
{
	my ($self) = @_;
	my $place = $self->{place};
	while (!$place->is_over)
	{
		my $client = $place->connect('primary');
		while ($client && !$place->is_over)
		{
			$place->rest_if_told("producer_$self->{number}");
			last if !$self->transaction($client);
			sleep rand $self->{pause};
		}
		$client->close if $client && !$client->{lost};
		$place->rest_if_told("producer_$self->{number}");
		sleep 0.05 if !$place->is_over;
	}
	return;
}

# --- contents --------------------------------------------------------------------------------

sub take { return $_[0]{next}++ }

sub some_attribute { return Chaos::Random::pick(@attributes[ 0, 0, 0, 0 .. $#attributes ]) }

# Seconds before now, 0 for the present.
sub some_age { return rand() < 0.2 ? sprintf '%.3f', rand 60 : 0 }

sub event
{
	my ($self, $sent) = @_;
	my $who = '"tenant_id":' . (rand() < 0.8 ? 1 : 2) . ',';
	$who .= rand() < 0.1 ? '"entity":"device-' . Chaos::Random::whole(1, 300) . '"'
	  : '"entity_id":' . Chaos::Random::whole(1, $entities);
	my $age = some_age();
	$who .= sprintf ',"observed_at":%d', 1000 * ($self->{clock}->now - $age) if $age;
	my $n = $self->take;
	if (rand() < 0.01)
	{
		# Refused when it is parsed, or when it is flushed.
		push @$sent, "b$n";
		return rand() < 0.5 ? "{$who,\"bad\":\"bad-$n-\",\"attributes\":{\"n\":1}}"
		  : "{$who,\"attributes\":{\"n\":\"bad-$n-\"}}";
	}
	my %values;
	foreach (1 .. (rand() < 0.7 ? 1 : 3))
	{
		my $a = some_attribute();
		next if $values{ $a->{name} };
		push @$sent, $n;
		$values{ $a->{name} } = $a->{json}->($n);
		$n = $self->take;
	}
	return "{$who,\"attributes\":{" . join(',', map { "\"$_\":$values{$_}" } sort keys %values) . '}}';
}

sub call
{
	my ($self, $ack, $sent) = @_;
	my $kind = rand;
	my @events = map { $self->event($sent) } 1 .. ($kind < 0.4 ? 1 : Chaos::Random::whole(1, 12));
	my $payload = @events == 1 ? $events[0] : $kind < 0.7 ? '[' . join(',', @events) . ']' : join "\n", @events;
	my $type = rand() < 0.3 && $payload !~ /\n/ ? '::jsonb' : '';
	return { sql => "SELECT ticket FROM eav.ingest('$payload'$type, '$ack')", way => 'ring' };
}

# INSERT or COPY of some values of one attribute.
sub staged
{
	my ($self, $sent) = @_;
	my $a = some_attribute();
	my $tenant = rand() < 0.8 ? 1 : 2;
	my $attribute = $a->{id} + ($tenant - 1) * $ids_of_tenant;
	my $is_copy = rand() < 0.5;
	my @rows;
	foreach (1 .. Chaos::Random::whole(1, 12))
	{
		my $n = $self->take;
		my $entity = Chaos::Random::whole(1, $entities);
		if (rand() < 0.01 && $a->{name} eq 'n')
		{
			push @$sent, "b$n";
			push @rows, [ $tenant, $entity, $attribute, undef, "bad-$n-" ];
			next;
		}
		push @$sent, $n;
		push @rows, [ $tenant, $entity, $attribute, ($a->{copy} // $a->{json})->($n), undef ];
	}
	my $into = "eav.entity_values_ingest (tenant_id, entity_id, attribute_id, $a->{column}, value)";
	return {
		way => 'staging',
		sql => "COPY $into FROM STDIN",
		data => join '', map { join("\t", map { $_ // '\N' } @$_) . "\n" } @rows
	  }
	  if $is_copy;
	return {
		way => 'staging',
		sql => "INSERT INTO $into VALUES " . join ', ', map {
			my ($t, $e, $id, $value, $text) = map { defined ? "'$_'" : 'NULL' } @$_;
			"($t, $e, $id, $value, $text)"
		} @rows
	};
}

sub upsert
{
	my ($self, $sent) = @_;
	my %values;
	foreach (1 .. Chaos::Random::whole(1, 3))
	{
		my $a = some_attribute();
		next if $values{ $a->{name} };
		my $n = $self->take;
		push @$sent, $n;
		$values{ $a->{name} } = $a->{json}->($n);
	}
	return {
		way => 'upsert',
		sql => sprintf q(SELECT eav.upsert_hot_attributes(%d, %d, '{%s}')), rand() < 0.8 ? 1 : 2,
		Chaos::Random::whole(1, $entities), join ',', map { "\"$_\":$values{$_}" } sort keys %values
	};
}

# The statements of one transaction, by the seed; numbers go to @$sent and @$undone.
sub plan
{
	my ($self, $sent, $undone) = @_;
	my $ack = rand() < 0.2 ? 'durable' : 'accepted';
	my $kind = rand;
	return ($ack, '', $self->call($ack, $sent)) if $kind < 0.4;
	return ('accepted', '', $self->staged($sent)) if $kind < 0.6;
	return ('commit', '', $self->upsert($sent)) if $kind < 0.75;
	my @steps;
	foreach (1 .. Chaos::Random::whole(1, 4))
	{
		my $what = rand;
		if ($what < 0.15)
		{
			push @steps, { sql => 'SAVEPOINT s', way => '' },
			  rand() < 0.5 ? $self->call('accepted', $undone) : $self->staged($undone),
			  { sql => 'ROLLBACK TO s', way => '' };
			$steps[-2]{way} = '';
		}
		elsif ($what < 0.3) { push @steps, $self->staged($sent); }
		elsif ($what < 0.4) { push @steps, $self->upsert($sent); }
		else { push @steps, $self->call($ack, $sent); }
	}
	return ($ack, rand() < 0.1 ? 'ROLLBACK' : 'COMMIT', @steps);
}

# --- one transaction ----------------------------------------------------------------------------

# False when the connection is lost.
sub transaction
{
	my ($self, $client) = @_;
	my $id = ++$self->{id};
	Chaos::Random::stream($self->{seed}, 'producer', $self->{number}, $id);
	my (@sent, @undone);
	my ($ack, $end, @steps) = $self->plan(\@sent, \@undone);
	my $waits = rand() < 0.1;
	if ($end eq 'ROLLBACK')
	{
		push @undone, @sent;
		@sent = ();
	}
	my %ways = map { $_->{way} => 1 } grep { $_->{way} } @steps;
	my $way = keys %ways > 1 ? 'mixed' : (keys %ways)[0] // 'none';
	# ack durable is a promise about what eav.ingest() took.
	$ack = 'accepted' if $ack eq 'durable' && $way ne 'ring';
	$ack = 'commit' if $way eq 'upsert';
	$self->{ledger}->intend($id, $way, $ack, \@sent, \@undone);
	my %is = (outcome => 'undone', ack => $ack, began => $self->{clock}->now);
	@steps = ({ sql => 'BEGIN' }, @steps, { sql => $end }) if $end;
	my $is_open = 0;
	foreach my $i (0 .. $#steps)
	{
		$is_open = $end && $i < $#steps;
		my $result = defined $steps[$i]{data} ? $client->copy($steps[$i]{sql}, $steps[$i]{data})
		  : $client->query($steps[$i]{sql});
		my $commits = $i == $#steps && $end ne 'ROLLBACK';
		$is{ack} = 'accepted' if $is{ack} eq 'durable' && grep { $_->{C} eq '01000' } @{ $result->{notices} };
		$is{ticket} = $result->{rows}[0][0] if @{ $result->{rows} } && $steps[$i]{way} && $steps[$i]{way} eq 'ring';
		if ($result->{error} || !@{ $result->{tags} })
		{
			# What ends the session may come after the commit.
			$is{outcome} = 'unknown' if $commits && !($result->{error} && $result->{error}{S} eq 'ERROR');
			$self->{place}->complain("producer $self->{number}",
				"$result->{error}{C} $result->{error}{M}: $steps[$i]{sql}")
			  if $result->{error} && !Chaos::Place::is_excused($result->{error});
			last;
		}
		$is{outcome} = 'committed' if $commits && $result->{tags}[0] ne 'ROLLBACK';
		last if !$result->{complete};
	}
	@is{qw(replied true)} = ($self->{clock}->now, time);
	# Whether the values are safe can be asked for as well.
	if ($waits && $is{outcome} eq 'committed' && $way eq 'ring' && $is{ticket} && !$client->{lost})
	{
		my $result = $client->query("SELECT eav.wait_flushed($is{ticket}, '3 s')");
		$is{ack} = 'durable' if !$end && @{ $result->{rows} } && ($result->{rows}[0][0] // '') eq 't';
		$self->{place}->complain("producer $self->{number}", "$result->{error}{C} $result->{error}{M}: wait_flushed")
		  if $result->{error} && $result->{error}{C} ne '55000' && !Chaos::Place::is_excused($result->{error});
	}
	elsif (!$client->{lost} && $is_open)
	{
		$client->query('ROLLBACK');
	}
	$self->{ledger}->outcome($id, %is);
	return !$client->{lost};
}

1;
