# What a run has done, as a section for docs/chaos.md: the file report.md of the run.
package Chaos::Report;
use strict;
use warnings;
use Chaos::Logs;
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(time);

sub new
{
	my ($class, %with) = @_;
	return bless { %with, began => time, events => {} }, $class;
}

sub happened
{
	my ($self, $name, $took, $settled) = @_;
	my $event = $self->{events}{$name} //= { times => 0, took => 0, settled => 0 };
	$event->{times}++;
	$event->{took} = $took if $took > $event->{took};
	$event->{settled} = $settled if $settled > $event->{settled};
	return;
}

sub finish
{
	my ($self, $figure) = @_;
	my $world = $self->{world};
	my $text = $self->text($figure);
	$world->{place}->write_file('report.md', $text);
	note $text;
	return;
}

sub text
{
	my ($self, $f) = @_;
	my $world = $self->{world};
	my $seconds = time - $self->{began};
	my ($version) = split / \(/, $world->ask('SELECT version()');
	my %events = %{ $self->{events} };
	my $events = 0;
	$events += $_->{times} foreach values %events;
	my $checks = 0;
	$checks += $world->{place}->read_file("checks_$_") || 0 foreach 91, 92;
	my %state = Chaos::Logs::sqlstates(map { $_->logfile } $world->nodes);
	my @lines = (
		sprintf('Seed %d, %.0f minutes, %s, %s: %d events, %d transactions with %d values, %.0f values per second.',
			$self->{seed}, $seconds / 60, $version, strftime('%Y-%m-%d', gmtime), $events, $f->{transactions}, $f->{values},
			$f->{values} / $seconds),
		'',
		'| values that were | | |', '| --- | ---: | --- |',
		"| durable | $f->{durable} | all there once, but $f->{lossy_durable} that a promotion without the last of the primary cost |",
		"| durable with their own commit (upserts) | $f->{commit} | all there once, but $f->{lossy_commit} of that kind |",
		"| accepted | $f->{accepted} | all there once, but $f->{missing} within the $f->{gaps} gaps that are recorded |",
		"| without a reply | $f->{unknown} | $f->{unknown_there} of them there, whole transactions |",
		"| rolled back | $f->{undone} | none there |",
		"| wrong | $f->{rejected} | all in eav.ingest_rejects (part of the above) |",
		'',
		"Readers checked $checks times; none complained. " . scalar(keys %{ $world->{excused} })
		  . ' files were left behind by PostgreSQL, of statements that a crash cut off.',
		'',
		'Errors in the logs of the servers by SQLSTATE: ' . join(', ', map { "$_ ($state{$_})" } sort keys %state) . '.',
		'',
		'| event | times | took at most, s | values flowed again after at most, s |', '| --- | ---: | ---: | ---: |',
		map { sprintf '| %s | %d | %.1f | %.1f |', $_, @{ $events{$_} }{qw(times took settled)} } sort keys %events);
	push @lines, '', 'Besides: ' . join('; ', summary(@{ $world->{notes} })) . '.' if @{ $world->{notes} };
	return join("\n", @lines) . "\n";
}

sub summary
{
	my %times;
	$times{$_}++ foreach @_;
	return map { $times{$_} > 1 ? "$_ ($times{$_} times)" : $_ } sort keys %times;
}

1;
