# A crash after the clock has been set: the gap covers what had been accepted since the last flush, by
# whichever clock.
use strict;
use warnings;
use EavStandby;
use Test::More;
use Time::HiRes qw(sleep);

plan skip_all => $EavStandby::no_clock if !EavStandby::clock_library();

my $node = EavStandby->primary('main', clock => 0);
$node->register;
my $offset = 0;
my $next = 1;

# Values are accepted and not flushed, the clock is set, values are accepted again, and the server
# crashes. It starts again after a while.
sub crash
{
	my ($name, $step, $pause) = @_;
	subtest $name => sub {
		my $client = $node->client;
		$client->ask(EavCluster::ingest_numbers($next, $next, 'durable'));
		my $holder = $node->hold_flushes;
		my @accepted;
		foreach my $round (1, 2)
		{
			my $began = $client->ask('SELECT clock_timestamp()');
			$client->ask(EavCluster::ingest_numbers(++$next, $next));
			push @accepted, [ $next, $began, $client->ask('SELECT clock_timestamp()') ];
			sleep 0.2;
			$node->set_clock($offset += $step) if $round == 1;
		}
		my $gaps = $node->ask('SELECT count(*) FROM eav.ingest_gaps');
		$node->stop('immediate');
		sleep $pause;
		$node->start;
		$node->wait_for('SELECT count(*) FROM eav.ingest_gaps', $gaps + 1);
		my ($gap) = $node->ask('SELECT max(gap_id) FROM eav.ingest_gaps');
		foreach my $value (@accepted)
		{
			my ($number, $began, $replied) = @$value;
			is($node->ask("SELECT count(*) FROM eav.entity_values_ts WHERE value_int = $number"), 0, "$number is lost");
			is($node->ask("SELECT gap_start <= '$replied' AND gap_end >= '$began' FROM eav.ingest_gaps WHERE gap_id = $gap"),
				't', 'within the gap')
			  or diag "$began to $replied; " . $node->ask("SELECT gap_start, gap_end FROM eav.ingest_gaps WHERE gap_id = $gap");
		}
		is($node->ask("SELECT gap_end - gap_start < interval '1 minute' FROM eav.ingest_gaps WHERE gap_id = $gap"), 't',
			'which is not larger than need be');
		$next++;
	};
	return;
}

crash('the clock is right', 0, 0);
crash('the clock is set back by much', -20, 0);
crash('the clock is set back by less than the crash takes', -2, 3);
crash('the clock is set ahead', 20, 0);
crash('the clock is right again', 0, 0);

# What was known of the clock is of another start of the machine: only that the clock is behind is known.
$node->ask(q(UPDATE eav.flush_state SET boot_id = gen_random_uuid(), snapshot_at = clock_timestamp() + interval '1 hour'));
my $last = $node->ask('SELECT snapshot_at FROM eav.flush_state');
$node->stop('immediate');
$node->start;
$node->wait_for(q(SELECT gap_end > now() + interval '10 minutes' FROM eav.ingest_gaps ORDER BY gap_id DESC LIMIT 1));
is($node->ask("SELECT gap_start <= now() AND gap_end > '$last' FROM eav.ingest_gaps ORDER BY gap_id DESC LIMIT 1"), 't',
	'after a start of the machine with a clock that is behind the gap reaches beyond the last flush');

$node->stop;
done_testing();
