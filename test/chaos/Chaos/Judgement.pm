# What must hold when everything rests: the ledgers against history and rejects, the projection against
# history, and that nothing is left over anywhere.
package Chaos::Judgement;
use strict;
use warnings;
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

sub interim
{
	my ($world, $clients, $round) = @_;
	$world->{place}->pause;
	EavCluster::wait_until('the clients rest', sub { $world->{place}->resting == $clients })
	  or die 'the clients do not rest';
	my $is_well = 1;
	subtest 'after round ' . ($round + 1) => sub { $is_well = everything($world) };
	$world->{place}->go_on;
	return $is_well;
}

sub final
{
	my ($world, $report, $pids) = @_;
	$world->{place}->pause;
	EavCluster::wait_until('the clients rest', sub { $world->{place}->resting == @$pids })
	  or die 'the clients do not rest';
	subtest 'at the end' => sub { $report->{figures} = everything($world, 1) };
	return;
}

sub few
{
	my (@all) = @_;
	return join "\n", @all > 5 ? (@all[ 0 .. 4 ], '... ' . @all . ' in all') : @all;
}

sub everything
{
	my ($world) = @_;
	my $primary = $world->{primary};
	$world->end_background;
	$world->settle;
	ok($primary->wait_for('SELECT count(*) FROM eav.attribute_moves', 0), 'the moves end');
	ok(EavCluster::wait_until('the backlog is empty', sub {
		$world->ask('SELECT eav.stage_flush()');
		return $world->ask('SELECT count(*) FROM eav.flush_backlog') == 0;
	}), 'nothing waits any more');
	my ($finding, $figure) = Chaos::Oracle::judge(
		node => $primary, dir => $world->{place}->dir, lossy => $world->{lossy});
	my $is_well = 1;
	foreach my $kind (sort keys %meaning)
	{
		$is_well = 0 if !is(few(@{ $finding->{$kind} }), '', $meaning{$kind});
	}
	$is_well = 0 if !is($primary->ask(EavCluster::projection_differences(entity_values_ts => "$Chaos::Oracle::history h")),
		'', 'the projection is what history says');
	is($primary->ask('SELECT backlog FROM eav.flush_state'), 0, 'and flush_state knows of no backlog');
	ok($primary->wait_for('SELECT slabs_in_use FROM eav.stat_ingest', 0), 'no slab is in use');
	ok($primary->wait_for(q(SELECT running AND state = 'idle' FROM eav.worker_status())), 'the worker is idle');
	is(few($world->{place}->complaints), '', 'nobody has complained');
	note join ', ', map { "$_ $figure->{$_}" } sort keys %$figure;
	return $is_well && $figure;
}

1;
