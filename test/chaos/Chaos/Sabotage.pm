# Shows that judge and readers can find something: harms a database whose run has ended, in each way that
# they look for, and lets them look again.
package Chaos::Sabotage;
use strict;
use warnings;
use Chaos::Files;
use Chaos::Ledger;
use Chaos::Logs;
use Chaos::Oracle;
use Chaos::Place;
use Chaos::Producer;
use Chaos::Reader;
use EavCluster;
use Test::More;

sub harm
{
	my ($world) = @_;
	my $node = $world->{primary};
	my @gaps = Chaos::Oracle::gaps($node);
	my %victim;
	foreach my $file (Chaos::Ledger::files($world->{place}->dir))
	{
		Chaos::Ledger::each_transaction($file, sub {
			my ($t) = @_;
			my @numbers = grep { !/^b/ } @{ $t->{numbers} };
			my $kind = $t->{outcome} eq 'committed' ? $t->{ack} : $t->{outcome};
			$victim{undone} //= $t->{undone}[0] if @{ $t->{undone} } && $t->{undone}[0] !~ /^b/;
			return if $kind !~ /^(?:durable|commit|accepted)$/ || @numbers < 2 || $t->{way} eq 'mixed'
			  || grep { Chaos::Oracle::covers($_, $t) } @gaps;
			# The first is lost as a whole, of the second a part, of the third a value is doubled.
			push @{ $victim{$kind} }, \@numbers if @{ $victim{$kind} // [] } < 3;
		});
	}
	my @gone = map { (@{ $_->[0] }, $_->[1][0]) } @victim{qw(durable accepted commit)};
	$node->ask('DELETE FROM eav.entity_values_ts WHERE ' . one_of(@gone));
	$node->ask('DELETE FROM chaos.dropped WHERE ' . one_of(@gone));
	$node->ask('INSERT INTO eav.entity_values_ts SELECT * FROM ' . "$Chaos::Oracle::history h WHERE " . one_of($victim{durable}[2][0]));
	foreach my $number ($victim{undone}, 99 * $Chaos::Ledger::numbers + 1)
	{
		$node->ask("INSERT INTO eav.entity_values_ts (tenant_id, entity_id, attribute_id, observed_at, value_int)
			VALUES (1, 1, 3, now(), $number)");
	}
	$node->ask(q(UPDATE eav.entity_jsonb SET live_attrs = live_attrs || '{"n": -1}' WHERE tenant_id = 1 AND entity_id = 2));
	return $victim{durable}[2][0];
}

sub one_of { return "$Chaos::Producer::number IN (" . join(',', @_) . ')' }

# What a reader complains about then, one line each.
sub complaints
{
	my ($world, $doubled) = @_;
	my $dir = $world->{place}->dir . '/sabotage';
	mkdir $dir;
	my $place = Chaos::Place->new($dir);
	my $reader = Chaos::Reader->new(place => $place, clock => $world->{clock}, number => 93, seed => 1);
	my $client = $world->client;
	$reader->is_there($client, 1, 'primary');
	$reader->newest_is_not_older($client, { primary => 1 }, 'primary');
	my ($tenant, $entity) = split /\|/, $client->ask('SELECT tenant_id, entity_id FROM '
		. "$Chaos::Oracle::history h WHERE " . one_of($doubled) . ' LIMIT 1');
	$reader->one_entity($client, 'primary', $tenant, $entity);
	$reader->one_entity($client, 'primary', 1, 2);
	$client->close;
	return join "\n", $place->complaints;
}

sub subtest_of
{
	my ($world) = @_;
	subtest 'the judge finds what is wrong' => sub {
		my $node = $world->{primary};
		my $doubled = harm($world);
		my ($finding) = Chaos::Oracle::judge(node => $node, dir => $world->{place}->dir, lossy => $world->{lossy});
		cmp_ok(scalar @{ $finding->{$_} }, '>', 0, "$_: " . ($finding->{$_}[0] // '')) foreach sort keys %$finding;
		isnt($node->ask(EavCluster::projection_differences(entity_values_ts => "$Chaos::Oracle::history h")), '',
			'a document that was changed');
		my $complaints = complaints($world, $doubled);
		like($complaints, $_, "a reader: $_") foreach qr/1 is durable and 0 times in history/, qr/the document has null/,
		  qr/the newest value was 1 and is 0/, qr/$doubled is there 2 times/, qr/entity 1 2: .*(?:missing|wrong)/;

		# A gap that nobody noted.
		my @gaps = Chaos::Oracle::gaps($node);
		if (@gaps)
		{
			my $before = @{ $finding->{uncovered} };
			$node->ask('DELETE FROM eav.ingest_gaps');
			($finding) = Chaos::Oracle::judge(node => $node, dir => $world->{place}->dir, lossy => $world->{lossy});
			my $is_needed = $world->{missing} > 0;
			cmp_ok(scalar @{ $finding->{uncovered} }, $is_needed ? '>' : '>=', $before, 'gaps that are not recorded');
		}

		my ($directory) = $node->ask(q(SELECT 'base/' || oid FROM pg_database WHERE datname = 'postgres'));
		my $stray = $node->data_dir . "/$directory/99999999";
		PostgreSQL::Test::Utils::append_to_file($stray, 'stray');
		like(join("\n", Chaos::Files::left_over($node, [], {})), qr/99999999/, 'a file that nobody owns');
		unlink $stray;
		my $log = $world->{place}->dir . '/log';
		PostgreSQL::Test::Utils::append_to_file($log, "2026 [7] postmaster 00000 LOG:  server process (PID 8) was terminated by signal 11\n"
			. "2026 [7] postmaster 00000 LOG:  server process (PID 9) was terminated by signal 9\n"
			. "2026 [7] client backend XX000 ERROR:  cache lookup failed\n2026 [7] x 00000 PANIC:  x\n");
		is(scalar(Chaos::Logs::faults({}, $log)), 4, 'each bad line of a log');
		is(scalar(Chaos::Logs::faults({ 9 => 1 }, $log)), 3, 'but not a process that we have killed');
	};
	return;
}

1;
