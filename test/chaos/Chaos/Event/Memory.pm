# The worker may not have more memory than it has, and a large batch waits for it.
package Chaos::Event::Memory;
use strict;
use warnings;
use Chaos::Producer;
use Chaos::Random;
use EavCluster;
use Time::HiRes qw(sleep);

sub limit
{
	my ($world, $pid, $bytes) = @_;
	$world->run_program('prlimit', "--pid=$pid", "--as=$bytes:");
	return;
}

sub starve
{
	my ($world, $with) = @_;
	my $node = $world->{primary};
	my $worker = $world->ask('SELECT eav._worker_pid()');
	my $size = (PostgreSQL::Test::Utils::slurp_file("/proc/$worker/status") =~ /^VmSize:\s+(\d+) kB/m)[0]
	  // die 'the worker is gone';
	my $position = $node->log_position;
	limit($world, $worker, 1024 * ($size + $with->{kilobytes}));
	my $is_noticed = eval {
		$world->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int)
			SELECT 1, $Chaos::Producer::probed, 1, i FROM generate_series(1, $with->{values}) i");
		EavCluster::wait_until('memory is short', sub { $node->log_since($position) =~ /\[$worker\] .*? 53200 ERROR: / })
		  or die 'a batch that needs more memory than there is does not fail';
		sleep $with->{seconds};
		1;
	};
	my $why = $@;
	limit($world, $worker, 'unlimited');
	die $why if !$is_noticed;
	$world->ask('SELECT pg_reload_conf()');    # ends the pause between failures
	$world->settle;
	my $now = $world->ask('SELECT eav._worker_pid()');
	die "the worker was $worker and is $now" if $now ne $worker;
	return;
}

sub events
{
	return if ! -r "/proc/$$/status";
	return {
		name => 'memory of the worker is limited', gaps => 0, run => \&starve,
		plan => sub { +{ kilobytes => Chaos::Random::whole(0, 2048), values => Chaos::Random::whole(60_000, 120_000),
			seconds => sprintf '%.1f', rand 2 } }
	};
}

1;
