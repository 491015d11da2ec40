# A disk that is full: the partition of the next hour lies on a file system of a few megabytes, and a
# file takes what is left of it. Where no file system can be mounted, a trigger says that the disk is
# full; the report tells so.
package Chaos::Event::Disk;
use strict;
use warnings;
use Chaos::Event::Clocks;
use Chaos::Event::Rebuilding;
use Chaos::Random;
use EavCluster;
use Time::HiRes qw(sleep);

sub move
{
	my ($world, $partition, $space) = @_;
	Chaos::Event::Rebuilding::insist($world, "ALTER TABLE $partition SET TABLESPACE $space");
	my $indexes = $world->ask("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '$partition'::regclass");
	Chaos::Event::Rebuilding::insist($world, "ALTER INDEX $_ SET TABLESPACE $space") foreach split /\n/, $indexes;
	return;
}

sub fill
{
	my ($file) = @_;
	open my $ballast, '>', $file or die "$file: $!";
	# By block: what is left is less than a page of a table.
	1 while syswrite $ballast, "\0" x 4096;
	close $ballast;
	return;
}

sub wait_for_failure
{
	my ($node, $position) = @_;
	EavCluster::wait_until('a flush fails', sub { $node->log_since($position) =~ / 53100 ERROR: / })
	  or die 'nothing fails on a full disk';
	return;
}

sub full_disk
{
	my ($world, $with) = @_;
	my $node = $world->{primary};
	my ($partition, $begins) = split /\|/, $world->ask('SELECT partition, lower FROM eav._history_partitions()
		WHERE lower > clock_timestamp() ORDER BY lower LIMIT 1');
	die 'there is no partition ahead' if !$begins;
	move($world, $partition, 'small');
	Chaos::Event::Clocks::leap($world, "'$begins'::timestamptz");
	$world->settle;
	my $position = $node->log_position;
	my $ballast = "$world->{disks}/" . $node->name . '/ballast';
	fill($ballast);
	wait_for_failure($node, $position);
	sleep $with->{seconds};
	unlink $ballast;
	$world->settle;
	move($world, $partition, 'pg_default');
	return;
}

sub full_by_trigger
{
	my ($world, $with) = @_;
	my $node = $world->{primary};
	my $position = $node->log_position;
	Chaos::Event::Rebuilding::insist($world, q(
		CREATE OR REPLACE FUNCTION chaos.full_disk() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN RAISE disk_full USING MESSAGE = ''no space left, says a trigger''; END';
		CREATE TRIGGER full_disk AFTER INSERT ON eav.entity_values_ts
			FOR EACH STATEMENT EXECUTE FUNCTION chaos.full_disk()));
	wait_for_failure($node, $position);
	sleep $with->{seconds};
	Chaos::Event::Rebuilding::insist($world, EavCluster::drop_trigger('full_disk', 'eav.entity_values_ts'));
	return;
}

sub events
{
	my ($class, $world) = @_;
	my $is_real = $world->{disks} && $world->{has_clock};
	return {
		name => $is_real ? 'a full disk' : 'a full disk (played by a trigger)',
		gaps => 0,
		run => $is_real ? \&full_disk : \&full_by_trigger,
		plan => sub { +{ seconds => sprintf '%.1f', Chaos::Random::between(0, 4) } }
	};
}

1;
