# The two ways of a value, through the ring and through staging, and that they make no difference:
# a ring that is full, one that there is none of, a server that has not preloaded the library. Each
# committed value is in history once, in the order of arrival where that decides; also with flushes
# that are rolled back, cut short or terminated. EAV_SEED=n repeats a plan.
use strict;
use warnings;
use EavCluster;
use EavLoad;
use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{EAV_SEED} // $ENV{SEED} // int(rand(1_000_000));
srand($seed);
note "seed $seed";

my ($node, $control);
my $next = 1;
my $round = 0;

sub use_node
{
	($node) = @_;
	$control = $node->client;
	return;
}
sub poll
{
	my ($sql, $expected) = @_;
	return EavCluster::wait_until("$sql is " . ($expected // 't'),
		sub { $control->ask($sql) eq ($expected // 't') });
}
# A call with the next number.
sub one
{
	my ($ack) = @_;
	my $n = $next++;
	return EavCluster::ingest_numbers($n, $n, $ack);
}
sub stat_of { return $control->ask("SELECT $_[0] FROM eav.stat_ingest") }
sub arrived
{
	my ($from, $to) = @_;
	return $control->ask("SELECT count(*) || ' ' || count(DISTINCT value_int) FROM eav.entity_values_ts
		WHERE value_int BETWEEN $from AND $to");
}
sub no_crash
{
	unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal \d+/, 'the log tells of no crash');
	return;
}

# Producers at work while $meanwhile runs; afterwards everything is there, once.
sub load_is_right
{
	my ($seconds, $meanwhile) = @_;
	my $load = EavLoad->start(node => $node, round => ++$round, producers => 5, seconds => $seconds);
	my $until = time + $seconds;
	$meanwhile->() while time < $until;
	ok($load->wait_for_end, 'the producers have ended in order');
	$control->ask('SELECT eav.stage_flush()');
	my $verdict = $load->judge($control);
	is(@{ $verdict->{missing} }, 0, 'all that was committed is there')
	  or diag EavLoad::describe(@{ $verdict->{missing} });
	is("@{ $verdict->{doubled} }", '', 'nothing is there twice');
	is("@{ $verdict->{unexpected} }", '', 'nothing is there that was not committed');
	is($verdict->{unknown}, 0, 'every commit had its reply');
	note EavLoad::summary($verdict);
	return $verdict;
}

# --- a full ring -----------------------------------------------------------------------------------

use_node(
	EavCluster->ready(
		'small',
		'eav.ring_size' => '128kB',
		'eav.flush_interval' => '20ms',
		'eav.durable_timeout' => '200ms',
		'eav.rotation_interval' => 0,
		'eav.flush_batch_values' => 100));
$node->register;
poll('SELECT is_open FROM eav.stat_ingest');
my $slabs = stat_of('slabs');
cmp_ok($slabs, '>=', 16, "128 kB are $slabs slabs");

subtest 'a full ring spills' => sub {
	my $holder = $node->hold_flushes;
	my $from = $next;
	my $client = $node->client;
	my ($in_ring, $spilled) = (0, 0);
	foreach (1 .. $slabs + 24)
	{
		my $ticket = $client->ask(one());
		$ticket % 2 ? $spilled++ : $in_ring++;
	}
	is("$in_ring $spilled", "$slabs 24", 'as much as fits goes through the ring, the rest through staging');
	is(stat_of('slabs_in_use, slabs_high_water'), "$slabs|$slabs", 'stat_ingest says so');
	is(stat_of('calls, events, "values", spilled_calls, spilled_values'), join('|', ($slabs + 24) x 3, 24, 24), 'and counts');
	my $result = $client->query(one('durable'));
	is($result->{notices}[0]{C}, '01000', 'a durable one that spills is accepted as well');
	is(arrived($from, $next - 1), '0 0', 'nothing is there yet');
	EavCluster::end_hold($holder);
	ok(poll("SELECT count(*) FROM eav.entity_values_ts WHERE value_int >= $from", $slabs + 25), 'all arrive');
	is(arrived($from, $next - 1), join(' ', ($slabs + 25) x 2), 'once');
	ok(poll('SELECT slabs_in_use FROM eav.stat_ingest', 0), 'the ring is empty');
	is($client->ask(one()) % 2, 0, 'and takes values again');
};

subtest 'a call too large for the ring' => sub {
	my $from = $next;
	my $client = $node->client;
	# A quarter of the ring is 32 kB.
	my $wide = sub {
		sprintf q(SELECT ticket FROM eav.ingest('{"tenant_id": 1, "entity_id": 1,
			"attributes": {"n": %d, "state": "%s"}}')), $next++, 'x' x $_[0];
	};
	is($client->ask($wide->(20_000)) % 2, 0, '20 kB fit');
	is($client->ask($wide->(50_000)) % 2, 1, '50 kB do not');
	$client->ask('BEGIN');
	is($client->ask($wide->(10)) % 2, 0, 'in a transaction: a small one fits');
	is($client->ask($wide->(50_000)) % 2, 1, 'a large one does not');
	is($client->ask($wide->(10)) % 2, 1, 'and after it, the others follow it');
	$client->ask('COMMIT');
	ok(poll("SELECT count(*) FROM eav.entity_values_ts WHERE value_int >= $from", 5), 'all arrive');
};

subtest 'load with a small ring' => sub {
	my $verdict = load_is_right(2, sub {
		my $holder = $node->hold_flushes;
		sleep rand 0.2;
		EavCluster::end_hold($holder);
		sleep rand 0.05;
	});
	cmp_ok($verdict->{$_}, '>', 0, "$verdict->{$_} values $_") foreach qw(in_ring spilled);
};

# --- order -------------------------------------------------------------------------------------------

# Transactions one after the other, by two sessions, on all ways; of equal observed_at the later wins.
sub json
{
	my ($entity, $n, $more) = @_;
	return sprintf q(SELECT ticket FROM eav.ingest('{"tenant_id": 1, "entity_id": %d,
		"observed_at": "2026-01-01T00:00:00Z", "attributes": {%s "n": %d}}')), $entity, $more // '', $n;
}
my @ways = (
	\&json,
	sub { json(@_, '"state": "' . ('x' x 50_000) . '",') },
	sub {
		sprintf q(INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, observed_at, value_int)
			VALUES (1, %d, 1, '2026-01-01 00:00:00Z', %d)), @_;
	});

my $entities = 1001;    # no entity has a part in two tests

sub order_is_right
{
	my ($name, $transaction, $is_one_flush) = @_;
	subtest $name => sub {
		my @sessions = map { $node->client } 1 .. 2;
		my @entities = ($entities .. $entities + 9);
		$entities += 10;
		my %sent = map { $_ => [] } @entities;
		my %how;
		my $holder = $node->hold_flushes;
		foreach (1 .. 150)
		{
			my $session = $sessions[ rand 2 ];
			$transaction->(sub {
				my $way = int $_[0];
				my $entity = $_[1] // $entities[ rand @entities ];
				my $n = $next++;
				push @{ $sent{$entity} }, $n;
				my $ticket = $session->ask($ways[$way]->($entity, $n));
				$how{$n} = $way == 2 ? 'inserted' : $ticket % 2 ? 'spilled' : 'in the ring';
			}, $session, \@entities);
			next if $is_one_flush || rand() > 0.07;
			# Some are flushed before the others come.
			EavCluster::end_hold($holder);
			$holder = $node->hold_flushes;
		}
		# All that has come, by the one whose turn it is.
		$holder->ask('SELECT eav.stage_flush()') if $is_one_flush;
		EavCluster::end_hold($holder);
		$control->ask('SELECT eav.stage_flush()');
		my $wrong = 0;
		foreach my $entity (@entities)
		{
			my $history = $control->ask("SELECT string_agg(value_int::text, ' ' ORDER BY ingested_at)
				FROM eav.entity_values_ts WHERE entity_id = $entity AND attribute_id = 1");
			my $newest = $control->ask("SELECT live_attrs->>'n' FROM eav.entity_jsonb WHERE entity_id = $entity");
			next if $history eq "@{ $sent{$entity} }" && $newest eq $sent{$entity}[-1];
			$wrong++ and next;
			my @history = split / /, $history;
			my ($i) = grep { $history[$_] != $sent{$entity}[$_] } 0 .. $#history;
			my @there = map { $history[$_] // 'nothing' } ($i // @history) - 1 .. ($i // @history) + 3;
			diag "entity $entity, order in history: ", join ', ', map {
				"$_ " . ($how{$_} // '') . ' at ' . $control->ask("SELECT ingested_at::time
					FROM eav.entity_values_ts WHERE value_int = $_")
			} grep { /\d/ } @there;
			diag "newest $newest";
		}
		is($wrong, 0, 'history and projection have them in the order of arrival');
		$_->close foreach @sessions;
	};
	return;
}
sub one_way
{
	my ($send, $session) = @_;
	my $way = int rand @ways;
	$session->ask('BEGIN');
	$send->($way) foreach 1 .. 1 + int rand 3;
	$session->ask('COMMIT');
	return;
}

foreach my $batch (100_000, 100)
{
	$node->set('eav.flush_batch_values' => $batch);
	order_is_right("order of transactions on different ways, batches of $batch", sub {
		my ($send) = @_;
		$send->(rand @ways);
	});
	order_is_right("order within transactions, one way each, batches of $batch", \&one_way);
	# Within such a transaction each entity has one value: only the order between them is certain.
	order_is_right("order of transactions that use several ways, batches of $batch", sub {
		my ($send, $session, $entities) = @_;
		$session->ask('BEGIN');
		$send->(rand @ways, $_) foreach (shuffle @$entities)[ 0 .. int rand 4 ];
		$session->ask('COMMIT');
	});
}

order_is_right('order in a flush of many pieces', \&one_way, 1);

# Parcels do not stand in the order of their transactions then.
subtest 'an old transaction comes last, in a flush of many pieces' => sub {
	my $first = $next;
	my ($old, $young) = map { $node->client } 1 .. 2;
	my $holder = $node->hold_flushes;
	$old->ask('BEGIN');
	$old->ask($ways[2]->(2001, $next++));
	$young->ask($ways[0]->(2002, $next++)) foreach 1 .. 50;
	$old->ask($ways[0]->(2001, $next++)) foreach 1 .. 150;
	$old->ask('COMMIT');
	$young->ask($ways[2]->(2002, $next++)) foreach 1 .. 60;
	$holder->ask(q(SET statement_timeout = '60s'));
	is($holder->ask('SELECT flushed FROM eav.stage_flush()'), $next - $first, 'one flush takes all');
	EavCluster::end_hold($holder);
	my $in_order = 'SELECT bool_and(in_order) FROM (SELECT value_int > lag(value_int, 1, 0::bigint) OVER (ORDER BY ingested_at) AS in_order
		FROM eav.entity_values_ts WHERE attribute_id = 1 AND entity_id =';
	is($control->ask("$in_order $_) AS v"), 't', "the values of entity $_ are in order") foreach 2001, 2002;
	$_->close foreach $old, $young;
};

# --- flushes of all kinds --------------------------------------------------------------------------------

my @flush = (
	['SELECT eav.stage_flush()'],
	[ 'BEGIN', 'SELECT eav.stage_flush()', 'ROLLBACK' ],
	[ 'BEGIN', 'SELECT eav.stage_flush()', 'SELECT eav.stage_flush()', 'COMMIT' ],
	[ 'BEGIN', 'SAVEPOINT s', 'SELECT eav.stage_flush()', 'ROLLBACK TO s', 'COMMIT' ],
	[ 'BEGIN', 'SAVEPOINT s', 'SELECT eav.stage_flush()', 'ROLLBACK TO s', 'SELECT eav.stage_flush()', 'COMMIT' ],
	[ 'BEGIN', 'SELECT eav.stage_flush(7)', 'SAVEPOINT s', 'SELECT eav.stage_flush(20)',
		'RELEASE s', 'SAVEPOINT t', 'SELECT eav.stage_flush()', 'ROLLBACK TO t', 'COMMIT' ],
	['SELECT eav.stage_flush(1)'],
	['SELECT eav.stage_flush(50)'],
	[ 'BEGIN', 'SELECT eav.stage_flush()', 'SELECT 1 / 0', 'COMMIT' ]);
foreach my $worker ('on', 'off')
{
	subtest "flushes of all kinds, worker $worker" => sub {
		# Without the worker the door is closed, and what was in the ring remains there for a while.
		my $flusher = $node->client;
		my $ended = 0;
		my $at_work = 1;
		load_is_right(3, sub {
			$node->set('eav.worker_enabled' => 'off') if $at_work && $worker eq 'off';
			$at_work = 0;
			if (rand() < 0.1)
			{
				# The end of a backend amid a flush leaves all where it was.
				$flusher->ask('BEGIN');
				$flusher->ask('SELECT eav.stage_flush()');
				$control->ask('SELECT pg_terminate_backend(' . $flusher->pid . ')');
				$flusher = $node->client;
				$ended++;
			}
			else { $flusher->query($_) foreach @{ $flush[ rand @flush ] }; }
		});
		cmp_ok($ended, '>', 0, "$ended flushes were terminated");
		$node->set('eav.worker_enabled' => 'on');
		ok(poll('SELECT is_open FROM eav.stat_ingest'), 'the door is open');
		ok(poll('SELECT slabs_in_use FROM eav.stat_ingest', 0), 'the ring is empty');
		is($control->ask('SELECT count(*) FROM eav.ingest_gaps'), 0, 'no gap is recorded');
	};
}
subtest 'workers that are terminated again and again' => sub {
	load_is_right(5, sub {
		$control->ask('SELECT pg_terminate_backend(eav._worker_pid())');
		sleep 0.2;
	});
	ok(poll('SELECT is_open FROM eav.stat_ingest'), 'the door is open');
	ok(poll('SELECT slabs_in_use FROM eav.stat_ingest', 0), 'the ring is empty');
	is($control->ask('SELECT count(*) FROM eav.ingest_gaps'), 0, 'no gap is recorded');
};
$node->projection_is_right;
no_crash();
$node->stop;

# --- no ring ------------------------------------------------------------------------------------------------

foreach my $how ('no preload', 'eav.ring_size = 0')
{
	use_node(
		EavCluster->ready(
			$how eq 'no preload' ? 'plain' : 'none',
			$how eq 'no preload' ? (shared_preload_libraries => '') : ('eav.ring_size' => 0),
			'eav.flush_interval' => '20ms'));
	$node->register;
	$node->wait_for_worker;
	subtest $how => sub {
		my $client = $node->client;
		my $ticket = $client->ask(EavCluster::ingest_numbers(1, 3));
		is($ticket % 2, 1, 'values go through staging');
		is($client->ask("SELECT eav.wait_flushed($ticket)"), 't', 'wait_flushed() waits for them');
		is(arrived(1, 3), '3 3', 'and then they are there');
		is($client->query(EavCluster::ingest_numbers(4, 4, 'durable'))->{notices}[0], undef,
			'durable without a warning');
		is(arrived(4, 4), '1 1', 'and it is there');
		$client->ask($_) foreach 'BEGIN READ ONLY', EavCluster::ingest_numbers(5, 5, 'durable'), 'COMMIT';
		is(arrived(5, 5), '1 1', 'also in a read-only transaction');
		is(stat_of('calls, events, "values", rejected, spilled_calls, spilled_values'), '3|5|5|0|3|5',
			'stat_ingest counts');
		is(stat_of('is_open, slabs, slabs_in_use, slabs_high_water'), 'f|0|0|0', 'and tells of no ring');

		my $holder = $node->hold_flushes;
		$ticket = $client->ask(EavCluster::ingest_numbers(6, 6));
		is($client->ask("SELECT eav.wait_flushed($ticket, '0.2 s')"), 'f', 'wait_flushed() tells that the time is over');
		$client->ask(q(SET eav.durable_timeout = '200ms'));
		is($client->query(EavCluster::ingest_numbers(7, 7, 'durable'))->{notices}[0]{C}, '01000', 'so does durable');
		$client->ask('RESET eav.durable_timeout');
		EavCluster::end_hold($holder);
		is($client->ask("SELECT eav.wait_flushed($ticket)"), 't', 'later it is there');
		is($client->sqlstate("BEGIN; SELECT eav.ingest('[]'); PREPARE TRANSACTION 'p'"), '',
			'PREPARE TRANSACTION after a call without an event');
		$client->ask(q(COMMIT PREPARED 'p'));
		is($client->sqlstate(sprintf q(BEGIN; SELECT eav.ingest('%s'); PREPARE TRANSACTION 'p'), EavCluster::event(8)),
			'0A000', 'and after one with, which is refused as with a ring');
		$client->ask('ROLLBACK');
		load_is_right(1.5, sub { $control->ask('SELECT eav.stage_flush()'); sleep rand 0.1; });

		# A stop has nothing to lose here.
		foreach my $mode ('fast', 'smart')
		{
			my $load = EavLoad->start(node => $node, round => ++$round, producers => 5,
				seconds => $mode eq 'smart' ? 0.6 : 30);
			sleep 0.3;
			$_->close foreach $client, $control;
			$node->stop($mode);
			ok($load->wait_for_end, "$mode stop");
			$node->start;
			use_node($node);
			$client = $node->client;
			$control->ask('SELECT eav.stage_flush()');
			my $verdict = $load->judge($control);
			is(@{ $verdict->{missing} }, 0, 'all that was committed is there')
			  or diag EavLoad::describe(@{ $verdict->{missing} });
			is("@{ $verdict->{doubled} }@{ $verdict->{unexpected} }", '', 'once, and nothing else');
			is($control->ask('SELECT count(*) FROM eav.ingest_gaps'), 0, 'no gap is recorded');
		}
		if ($how eq 'no preload')
		{
			is($node->worker_count, 0, 'after the start there is no worker');
			$client->ask(q(SET eav.durable_timeout = '200ms'));
			is($client->query(EavCluster::ingest_numbers(9, 9, 'durable'))->{notices}[0]{C}, '01000',
				'durable ends with a warning then');
			$client->ask('RESET eav.durable_timeout');
			$client->send(EavCluster::ingest_numbers(10, 10, 'durable'));
			poll("SELECT count(*) FROM pg_stat_activity WHERE pid = @{[ $client->pid ]} AND wait_event_type = 'Extension'", 1);
			$control->ask('SELECT eav.stage_flush()');
			is(@{ $client->result->{notices} }, 0, 'or is served by a flush by hand');
			$control->ask('SELECT eav.start_worker()');
			is($client->query(EavCluster::ingest_numbers(11, 11, 'durable'))->{notices}[0], undef,
				'or by start_worker()');
		}
		is($control->ask('SELECT count(*) - count(DISTINCT value_int) FROM eav.entity_values_ts'), 0, 'nothing is there twice');
		$node->projection_is_right;
	};
	no_crash();
	$node->stop;
}

done_testing();
