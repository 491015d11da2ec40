# What must hold when everything rests: the ledgers against history and rejects, the projection against
# history, the standby against the primary, and that nothing is left over anywhere.
package Chaos::Judgement;
use strict;
use warnings;
use Chaos::Files;
use Chaos::Logs;
use Chaos::Oracle;
use EavCluster;
use Test::More;
use Time::HiRes qw(sleep time);

my %meaning = (
	lost_durable => 'no durable value is missing',
	uncovered => 'accepted values are missing only within gaps that are recorded',
	doubled => 'no value is there twice',
	undone => 'what was rolled back is not there',
	torn => 'transactions are there whole or not at all',
	unexpected => 'nothing is there that nobody sent, and nothing right is rejected');

# Judges while the clients rest. False when something is wrong, else figures.
sub judge
{
	my ($world, $name, $clients) = @_;
	my $figure;
	subtest $name => sub {
		$world->{place}->pause;
		EavCluster::wait_until('the clients rest', sub { $world->{place}->resting == $clients })
		  or die 'the clients do not rest';
		$world->end_background;
		$world->settle;
		$figure = promises($world);
		left_over($world);
		$figure = undef if !Test::More->builder->is_passing;
		$world->{place}->go_on;
	};
	return $figure;
}

sub few
{
	my (@all) = @_;
	return join "\n", @all > 5 ? (@all[ 0 .. 4 ], '... ' . @all . ' in all') : @all;
}

sub promises
{
	my ($world) = @_;
	my $primary = $world->{primary};
	ok($primary->wait_for('SELECT count(*) FROM eav.attribute_moves', 0), 'the moves end');
	ok(EavCluster::wait_until('the backlog is empty', sub {
		$world->ask('SELECT eav.stage_flush()');
		return $world->ask('SELECT count(*) FROM eav.flush_backlog') == 0;
	}), 'nothing waits any more');
	is($primary->ask('SELECT backlog FROM eav.flush_state'), 0, 'and flush_state knows of no backlog');
	my ($finding, $figure) = Chaos::Oracle::judge(
		node => $primary, dir => $world->{place}->dir, lossy => $world->{lossy});
	is(few(@{ $finding->{$_} }), '', $meaning{$_}) foreach sort keys %meaning;
	$world->{missing} = $figure->{missing};
	is($primary->ask(EavCluster::projection_differences(entity_values_ts => "$Chaos::Oracle::history h")),
		'', 'the projection is what history says');
	ok($world->standby_follows, 'the standby has everything');
	my $digest = sprintf 'SELECT count(*), sum(hashtext(h::text)::bigint) FROM %s h', $Chaos::Oracle::history;
	is($world->{standby}->ask($digest), $primary->ask($digest), 'and the same history');
	$digest = 'SELECT count(*), sum(hashtext(p::text)::bigint) FROM eav.entity_jsonb p';
	is($world->{standby}->ask($digest), $primary->ask($digest), 'and the same documents');
	is(few($world->{place}->complaints), '', 'nobody has complained');
	note join ', ', map { "$_ $figure->{$_}" } sort keys %$figure;
	return $figure;
}

sub left_over
{
	my ($world) = @_;
	my $primary = $world->{primary};
	ok($primary->wait_for('SELECT slabs_in_use FROM eav.stat_ingest', 0), 'no slab is in use');
	ok($primary->wait_for(q(SELECT running AND state = 'idle' FROM eav.worker_status())), 'the worker is there and idle');
	# What has been dropped stays, empty, until the next checkpoint; on the standby until that is there.
	$primary->ask('CHECKPOINT');
	$world->standby_follows;
	$world->{standby}->ask('CHECKPOINT');
	foreach my $node ($world->nodes)
	{
		is(few(Chaos::Files::left_over($node, $world->{crashes}, $world->{excused})), '',
			'no file is left over on ' . $node->name);
	}
	is(few(Chaos::Logs::faults($world->{killed}, map { $_->logfile } $world->nodes)), '',
		'the logs tell of no crash but those that we have caused, and of no internal error');
	return;
}

1;
