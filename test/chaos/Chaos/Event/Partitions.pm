# Partitions that come and go: by maintenance, by a change of the configuration, and by hand. What a
# dropped partition held is kept in chaos.dropped, in the transaction that drops it.
package Chaos::Event::Partitions;
use strict;
use warnings;
use Chaos::Event::Clocks;
use Chaos::Event::Rebuilding;
use Chaos::Random;

my $past = q(upper <= clock_timestamp() - interval '1 minute');

sub oldest
{
	my ($world) = @_;
	return $world->ask("SELECT partition FROM eav._history_partitions() WHERE $past ORDER BY lower LIMIT 1");
}

# There is one when an hour has ended a while ago.
sub past_partition
{
	my ($world) = @_;
	my $oldest = oldest($world);
	return $oldest if $oldest || !$world->{has_clock};
	Chaos::Event::Clocks::leap($world);
	$world->{clock}->step(61);
	$world->settle;
	return oldest($world);
}

sub drop_oldest
{
	my ($world) = @_;
	my $partition = past_partition($world) or return;
	Chaos::Event::Rebuilding::insist($world, "BEGIN; LOCK TABLE eav.entity_values_ts IN ACCESS EXCLUSIVE MODE;
		INSERT INTO chaos.dropped SELECT * FROM $partition; DROP TABLE $partition; COMMIT");
	return;
}

# The same as a retention does it: what has expired goes with the next maintenance.
sub expire
{
	my ($world) = @_;
	past_partition($world) or return;
	Chaos::Event::Rebuilding::insist($world, "BEGIN; LOCK TABLE eav.entity_values_ts IN ACCESS EXCLUSIVE MODE;
		SELECT eav.configure_partitions('1 hour', 3, '1 hour');
		INSERT INTO chaos.dropped SELECT h.* FROM eav.entity_values_ts h JOIN eav._history_partitions() p
			ON p.partition = h.tableoid WHERE p.upper <= now() - interval '1 hour';
		SELECT eav.run_maintenance(); SELECT eav.configure_partitions('1 hour', 3); COMMIT");
	my $left = $world->ask(q(SELECT count(*) FROM eav.entity_values_ts JOIN chaos.dropped d USING (tenant_id, entity_id, attribute_id, ingested_at, observed_at)));
	die "$left values of a partition that has expired are still there" if $left;
	return;
}

# Partitions of the future hold nothing; they come again.
sub drop_future
{
	my ($world, $with) = @_;
	my @names = split /\n/, $world->ask('SELECT partition FROM eav._history_partitions() WHERE lower > clock_timestamp() ORDER BY lower DESC');
	my @gone = grep { defined } @names[ 0 .. $with->{count} - 1 ];
	Chaos::Event::Rebuilding::insist($world, 'BEGIN; LOCK TABLE eav.entity_values_ts IN ACCESS EXCLUSIVE MODE; '
		. join('', map { "DROP TABLE $_; " } @gone) . 'COMMIT');
	Chaos::Event::Rebuilding::insist($world, 'SELECT eav.run_maintenance()');
	my $count = $world->ask('SELECT count(*) FROM eav._history_partitions() WHERE lower > clock_timestamp()');
	die "$count partitions are ahead" if $count < 3;
	return;
}

sub configure
{
	my ($world, $with) = @_;
	Chaos::Event::Rebuilding::insist($world, "SELECT eav.configure_partitions('$with->{interval}', $with->{premake})");
	Chaos::Event::Rebuilding::insist($world, 'SELECT eav.run_maintenance()');
	Chaos::Event::Rebuilding::insist($world, q(SELECT eav.configure_partitions('1 hour', 3)));
	return;
}

sub maintain
{
	my ($world, $with) = @_;
	Chaos::Event::Rebuilding::insist($world, 'SELECT eav.run_maintenance()') foreach 1 .. $with->{times};
	return;
}

sub events
{
	return (
		{ name => 'the oldest partition is dropped', gaps => 0, run => \&drop_oldest },
		{ name => 'partitions expire', gaps => 0, run => \&expire },
		{
			name => 'partitions ahead are dropped and come again', gaps => 0, run => \&drop_future,
			plan => sub { +{ count => Chaos::Random::whole(1, 3) } }
		},
		{
			name => 'partitions are configured', gaps => 0, run => \&configure,
			plan => sub { +{ interval => Chaos::Random::pick('2 hours', '1 day', '1 hour'), premake => Chaos::Random::whole(1, 6) } }
		},
		{
			name => 'maintenance by hand', gaps => 0, run => \&maintain,
			plan => sub { +{ times => Chaos::Random::whole(1, 5) } }
		});
}

1;
