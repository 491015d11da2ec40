# A reader: a process that checks all the time what a client may rely on. It complains when it does not
# hold.
#
#   on the primary   what was acknowledged as durable, or upserted, is there for the next statement, once;
#                    the newest value of an entity never goes back while a session lasts
#   on the standby   the same of a value once its token has arrived
#   on both          in one snapshot the projection of an entity is what its history says, and no value
#                    is in history twice
#
# What waits for a client's lock (eav.flush_backlog) is excused, and so are attributes that are being
# moved.
package Chaos::Reader;
use strict;
use warnings;
use Chaos::Ledger;
use Chaos::Oracle;
use Chaos::Producer;
use Chaos::Random;
use EavCluster;
use Time::HiRes qw(sleep time);

# Only this reader writes these entities.
my $own_entity = 9000;

sub new
{
	my ($class, %with) = @_;
	return bless {
		%with,
		next => $with{number} * $Chaos::Ledger::numbers + 1,
		entity => $own_entity + $with{number},
		ledger => Chaos::Ledger->open_for($with{place}->dir, $with{number}),
		checks => 0
	}, $class;
}

sub work
{
	my ($self) = @_;
	my $place = $self->{place};
	my $name = "reader_$self->{number}";
	while (!$place->is_over)
	{
		my $primary = $place->connect('primary');
		my $standby = $place->connect('standby');
		my %newest;
		while ($primary && !$place->is_over)
		{
			$place->rest_if_told($name);
			Chaos::Random::stream($self->{seed}, 'reader', $self->{number}, $self->{checks}++);
			if (!eval { $self->round($primary, $standby, \%newest); 1 })
			{
				$self->failed($@);
				last;
			}
			$standby = undef if $standby && $standby->{lost};
			$standby //= $place->connect('standby') if $self->{checks} % 20 == 0;
			sleep rand 0.2;
		}
		foreach my $client (grep { $_ && !$_->{lost} } $primary, $standby)
		{
			$client->close;
		}
		$place->rest_if_told($name);
		sleep 0.05;
	}
	$place->write_file("checks_$self->{number}", $self->{checks});
	return;
}

# A round ends early when a server is away or refuses, which is what happens here.
sub failed
{
	my ($self, $error) = @_;
	$self->complain($error) if $error ne "away\n";
	return;
}

sub complain
{
	my ($self, $text) = @_;
	$self->{place}->complain("reader $self->{number}", $text);
	return;
}

# Rows; ends the round when the server cannot answer for a reason that events give.
sub rows
{
	my ($client, $sql) = @_;
	my $result = $client->query($sql);
	die "away\n" if !$result->{complete} || $result->{error} && Chaos::Place::is_excused($result->{error});
	die "$result->{error}{C} $result->{error}{M}: $sql\n" if $result->{error};
	return @{ $result->{rows} };
}

sub round
{
	my ($self, $primary, $standby, $newest) = @_;
	my $kind = rand;
	if ($kind < 0.5) { $self->own_write($primary, $standby, $newest); }
	elsif ($kind < 0.7) { $self->newest_is_not_older($primary, $newest, 'primary'); }
	elsif ($kind < 0.85 && $standby) { $self->on_standby(sub { $self->newest_is_not_older($standby, $newest, 'standby') }); }
	elsif ($kind < 0.93) { $self->one_entity($primary, 'primary', some_entity()); }
	elsif ($standby) { $self->on_standby(sub { $self->one_entity($standby, 'standby', some_entity()) }); }
	return;
}

# The standby may be away while the primary goes on.
sub on_standby
{
	my ($self, $check) = @_;
	return 1 if eval { $check->(); 1 };
	$self->failed($@);
	return 0;
}

# --- read after write ---------------------------------------------------------------------------------

sub own_write
{
	my ($self, $primary, $standby, $newest) = @_;
	my $n = $self->{next}++;
	my $is_upsert = rand() < 0.3;
	my ($way, $ack) = $is_upsert ? qw(upsert commit) : qw(ring durable);
	$self->{ledger}->intend($n, $way, $ack, [$n], []);
	my %is = (outcome => 'undone', ack => $ack, began => $self->{clock}->now);
	# Times of its own, which grow whatever the clock does.
	my $observed = 1_767_225_600_000 + $n % $Chaos::Ledger::numbers;
	my $result = $primary->query($is_upsert
		? "SELECT eav.upsert_hot_attributes(1, $self->{entity}, '{\"n\": $n}', to_timestamp($observed / 1000.0))"
		: "SELECT ticket FROM eav.ingest('{\"tenant_id\": 1, \"entity_id\": $self->{entity}, \"observed_at\": $observed,"
		  . " \"attributes\": {\"n\": $n}}', 'durable')");
	$is{ack} = 'accepted' if !$is_upsert && grep { $_->{C} eq '01000' } @{ $result->{notices} };
	if ($result->{error} ? $result->{error}{S} ne 'ERROR' : !@{ $result->{tags} }) { $is{outcome} = 'unknown'; }
	elsif (!$result->{error}) { $is{outcome} = 'committed'; }
	@is{qw(replied true)} = ($self->{clock}->now, time);
	$self->{ledger}->outcome($n, %is);
	die "$result->{error}{C} $result->{error}{M}: own write\n"
	  if $result->{error} && !Chaos::Place::is_excused($result->{error});
	die "away\n" if $is{outcome} ne 'committed' || !$result->{complete};
	return if $is{ack} eq 'accepted';

	$newest->{primary} = $n if $self->is_there($primary, $n, 'primary');
	return if !$standby;
	my $token = (rows($primary, 'SELECT eav.write_token()'))[0][0];
	$self->on_standby(sub {
		my $waited = $standby->query("SELECT eav.wait_for_token('$token', '2 s')");
		die "away\n" if !$waited->{complete} || $waited->{error} && $waited->{error}{C} =~ /^55000|^25006/;
		return if $waited->{error} || $waited->{rows}[0][0] ne 't';
		$self->is_there($standby, $n, 'standby');
	});
	return;
}

# Whether it has been looked at: what waits for somebody who holds a row is not in the document yet.
sub is_there
{
	my ($self, $client, $n, $where) = @_;
	# The clock may have gone on by more than an hour, and the partition may have gone.
	my $times_sql = join ' + ', map {
		"(SELECT count(*) FROM $_ WHERE tenant_id = 1 AND attribute_id = 1 AND entity_id = $self->{entity}
			AND value_int = $n AND ingested_at > now() - interval '4 hours')"
	} qw(eav.entity_values_ts chaos.dropped);
	my ($row) = rows($client, "SELECT $times_sql,
		eav.get_entity(1, $self->{entity})->>'n',
		(SELECT count(*) FROM eav.flush_backlog WHERE tenant_id = 1 AND entity_id = $self->{entity})");
	my ($times, $value, $waiting) = @$row;
	return 0 if $waiting;
	# A partition was dropped after the snapshot, while the statement waited for its lock.
	$times = (rows($client, "SELECT $times_sql"))[0][0] if $times == 0;
	$self->complain("on the $where $n is durable and $times times in history") if $times != 1;
	$self->complain("on the $where $n is durable and the document has " . ($value // 'null'))
	  if ($value // 'null') ne $n;
	return 1;
}

sub newest_is_not_older
{
	my ($self, $client, $newest, $where) = @_;
	my ($row) = rows($client, "SELECT eav.get_entity(1, $self->{entity})->>'n'");
	my $value = $row->[0] // 0;
	my $before = $newest->{$where} // 0;
	$self->complain("on the $where the newest value was $before and is $value") if $value < $before;
	$newest->{$where} = $value;
	return;
}

# --- one entity in one snapshot -------------------------------------------------------------------------

sub some_entity { return (Chaos::Random::whole(1, 2), Chaos::Random::whole(1, $Chaos::Producer::entities)) }

sub one_entity
{
	my ($self, $client, $where, $tenant, $entity) = @_;
	my $of = sub { return "(SELECT * FROM $_[0] WHERE tenant_id = $tenant AND entity_id = $entity)" };
	my $history = $of->($Chaos::Oracle::history . ' h');
	# The lock comes first: a partition that is dropped after the snapshot would be missed.
	rows($client, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
	rows($client, 'LOCK TABLE ONLY eav.entity_values_ts IN ACCESS SHARE MODE');
	my ($excuse) = rows($client, "SELECT (SELECT count(*) FROM eav.flush_backlog b WHERE tenant_id = $tenant AND entity_id = $entity)
		+ (SELECT count(*) FROM eav.attributes WHERE moving_from IS NOT NULL)");
	my @differences = rows($client, EavCluster::projection_differences(
		entity_values_ts => "$history h",
		entity_jsonb => $of->('eav.entity_jsonb'),
		entity_values_current => $of->('eav.entity_values_current')));
	my @doubled = rows($client, "SELECT number, count(*) FROM (SELECT $Chaos::Producer::number AS number FROM $history h) h
		GROUP BY number HAVING count(*) > 1 LIMIT 5");
	rows($client, 'COMMIT');
	$self->complain("on the $where, entity $tenant $entity: " . join '; ', map { $_->[0] } @differences)
	  if @differences && !$excuse->[0];
	$self->complain("on the $where, entity $tenant $entity: $_->[0] is there $_->[1] times") foreach @doubled;
	return;
}

1;
