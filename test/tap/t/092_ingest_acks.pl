# What eav.ingest() promises: 'durable' waits at commit, and what a cancel, a timeout, the end of the
# session or of the server make of such a wait; wait_flushed(); group commit; flushes that
# nobody waits for. And what a call leaves behind: no slab, no transaction id.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# The worker does nothing by itself for a minute: what comes sooner was asked for.
my $quick = 20;    # seconds; far less than a minute, on any machine
my $node = EavCluster->ready(
	'main',
	autovacuum => 'off',
	'eav.flush_interval' => '60s',
	# They take transaction ids.
	'eav.heartbeat_interval' => 0,
	'eav.rollup_interval' => '1h',
	'eav.durable_timeout' => '50s',
	'eav.ring_size' => '1MB',
	# Nobody writes out the WAL by chance.
	wal_writer_delay => '10s',
	wal_writer_flush_after => '1GB');
$node->register;
my $control = $node->client;
my $next = 1;

sub poll
{
	my ($sql, $expected) = @_;
	return EavCluster::wait_until("$sql is " . ($expected // 't'),
		sub { $control->ask($sql) eq ($expected // 't') });
}
sub arrived
{
	my ($from, $to) = @_;
	return $control->ask('SELECT count(*) FROM eav.entity_values_ts
		WHERE value_int BETWEEN ' . $from . ' AND ' . ($to // $from));
}
sub arrives { return poll("SELECT count(*) FROM eav.entity_values_ts WHERE value_int = $_[0]", 1) }
sub stat_of { return $control->ask("SELECT $_[0] FROM eav.stat_ingest") }

# True when the client sleeps in a wait for durability.
sub is_waiting
{
	my ($client) = @_;
	return poll('SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $client->pid, 'Extension');
}
sub is_alive
{
	my ($client) = @_;
	return $client->ask('SELECT 1') eq '1';
}

# A large value, so that the ring does not take the call.
my $large = 'x' x 400_000;
sub large_event
{
	my ($number) = @_;
	return sprintf '{"tenant_id": 1, "entity_id": 1, "attributes": {"n": %d, "state": "%s"}}', $number, $large;
}

# The same through the ring, spilled, and spilled by a transaction that has written before: with
# and without a transaction id.
my %payload = (
	'through the ring' => sub { EavCluster::event($_[0]) },
	'spilled' => \&large_event);
my @ways = sort keys %payload;

sub ingest
{
	my ($way, $number, $ack) = @_;
	return sprintf q(SELECT ticket FROM eav.ingest('%s', '%s')), $payload{$way}->($number), $ack // 'accepted';
}

my $created = time;
poll('SELECT is_open FROM eav.stat_ingest');
cmp_ok(time - $created, '<', $quick, 'CREATE EXTENSION opens the door, whatever eav.flush_interval');
my $client = $node->client;

# --- durable -------------------------------------------------------------------------------------

foreach my $way (@ways)
{
	subtest "durable, $way" => sub {
		my $before = time;
		foreach (1 .. 5)
		{
			my $n = $next++;
			my $spilled = stat_of('spilled_calls');
			my $result = $client->query(ingest($way, $n, 'durable'));
			is(arrived($n), 1, 'the value is there when the statement has returned');
			is($result->{error} // @{ $result->{notices} }, 0, 'without a warning');
			is(stat_of('spilled_calls') - $spilled, $way eq 'spilled' ? 1 : 0, $way);
		}
		foreach my $begin ('BEGIN', 'BEGIN READ ONLY', 'BEGIN ISOLATION LEVEL SERIALIZABLE')
		{
			my ($first, $second) = ($next++, $next++);
			$client->ask($begin);
			$client->ask(ingest($way, $first, 'durable'));
			$client->ask(ingest($way, $second));
			is(arrived($first, $second), 0, "$begin: not before the commit");
			$client->ask('COMMIT');
			is(arrived($first, $second), 2, 'all of the transaction is there after it');
		}
		cmp_ok(time - $before, '<', $quick, 'the worker does not wait for eav.flush_interval');
	};

	subtest "the wait is at the end of the commit, $way" => sub {
		my $n = $next++;
		my $holder = $node->hold_flushes;
		$client->ask('BEGIN');
		ok($client->ask(ingest($way, $n, 'durable')), 'the call returns while no flush can run');
		$client->send('COMMIT');
		ok(is_waiting($client), 'the commit waits');
		is($client->result(0.2), undef, 'and does not return');
		EavCluster::end_hold($holder);
		my $result = $client->result;
		is("@{ $result->{tags} }", 'COMMIT', 'until the flush is over');
		is(@{ $result->{notices} }, 0, 'without a warning');
		is(arrived($n), 1, 'then the value is there');
	};

	# What may end a wait before its time.
	my %end = (
		'a cancel' => sub { $control->ask("SELECT pg_cancel_backend($_[0])") },
		'eav.durable_timeout' => sub { });
	foreach my $how (sort keys %end)
	{
		foreach my $in_transaction (0, 1)
		{
			my $where = $in_transaction ? 'in a transaction' : 'in autocommit';
			subtest "$how during the wait, $way, $where" => sub {
				my $n = $next++;
				my $holder = $node->hold_flushes;
				my $timeouts = stat_of('timeouts');
				my $limit = $how eq 'a cancel' ? '50s' : '300ms';
				$client->ask("SET eav.durable_timeout = '$limit'");
				my $began = time;
				if ($in_transaction)
				{
					$client->ask('BEGIN');
					$client->ask(ingest($way, $n, 'durable'));
					$client->send('COMMIT');
				}
				else { $client->send(ingest($way, $n, 'durable')); }
				if ($how eq 'a cancel')
				{
					is_waiting($client);
					$began = time;
				}
				$end{$how}->($client->pid);
				my $result = $client->result;
				my $lasted = time - $began;
				cmp_ok($lasted, '>=', 0.3, 'not before its time') if $how ne 'a cancel';
				cmp_ok($lasted, '<', $quick, 'it ends then');
				is($result->{error}, undef, 'no error')
				  or diag explain $result->{error};
				is("@{ $result->{tags} }", $in_transaction ? 'COMMIT' : 'SELECT 1',
					'the reply is that of a success');
				is(scalar @{ $result->{notices} }, 1, 'one notice');
				is("$result->{notices}[0]{S} $result->{notices}[0]{C}", 'WARNING 01000', 'a warning');
				like($result->{notices}[0]{M}, qr/accepted and not yet durable/, 'which says what is');
				ok(is_alive($client), 'the session lives on');
				is(arrived($n), 0, 'the value is not there yet');
				is(stat_of('timeouts'), $timeouts + 1, 'stat_ingest counts it');
				EavCluster::end_hold($holder);
				ok(arrives($n), 'it arrives later');
				$client->ask('RESET eav.durable_timeout');
			};
		}
	}

	subtest "the end of the session during the wait, $way" => sub {
		my $n = $next++;
		my $victim = $node->client;
		my $holder = $node->hold_flushes;
		$victim->ask('BEGIN');
		$victim->ask(ingest($way, $n, 'durable'));
		$victim->send('COMMIT');
		is_waiting($victim);
		$control->ask('SELECT pg_terminate_backend(' . $victim->pid . ')');
		my $result = $victim->result;
		ok(poll('SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $victim->pid, 0), 'it ends');
		# It is not told of an error as if nothing had been committed.
		is(grep({ $_->{C} eq '01000' } @{ $result->{notices} }), 1, 'the warning came');
		is(arrived($n), 0, 'the value is not there yet');
		EavCluster::end_hold($holder);
		ok(arrives($n), 'it was committed, and arrives');
	};

	subtest "no worker, $way" => sub {
		my ($n, $later) = ($next++, $next++);
		$node->set('eav.worker_enabled' => 'off');
		poll('SELECT NOT is_open FROM eav.stat_ingest');
		$client->ask(q(SET eav.durable_timeout = '200ms'));
		my $result = $client->query(ingest($way, $n, 'durable'));
		is(scalar @{ $result->{notices} }, 1, 'a warning');
		is($result->{error}, undef, 'no error');
		$client->ask('RESET eav.durable_timeout');
		$client->send(ingest($way, $later, 'durable'));
		is_waiting($client);
		$control->ask('SELECT eav.stage_flush()');
		is(@{ $client->result->{notices} }, 0, 'a flush by hand serves who waits as well');
		is(arrived($n, $later), 2, 'both are there');
		$node->worker_on;
		poll('SELECT is_open FROM eav.stat_ingest');
	};
}

subtest 'transactions that do not commit do not wait' => sub {
	my $holder = $node->hold_flushes;
	my $n = $next++;
	my $waits = stat_of('waits');
	foreach my $way (@ways)
	{
		$client->ask($_) foreach 'BEGIN', ingest($way, $n, 'durable'), 'ROLLBACK';
		$client->ask($_) foreach 'BEGIN', 'SAVEPOINT s', ingest($way, $n, 'durable'), 'ROLLBACK TO s', 'COMMIT';
	}
	is(stat_of('waits'), $waits, 'nobody has waited');
	EavCluster::end_hold($holder);
	$control->ask('SELECT eav.stage_flush()');
	is(arrived($n), 0, 'and nothing arrives');
};

subtest 'commits within a statement' => sub {
	my ($kept, $undone, $chained) = ($next++, $next++, $next++);
	$client->ask(sprintf q(DO $$ BEGIN
			PERFORM eav.ingest('%s', 'durable');
			COMMIT;
			ASSERT (SELECT count(*) FROM eav.entity_values_ts WHERE value_int = %d) = 1;
			PERFORM eav.ingest('%s', 'durable');
			ROLLBACK;
		END $$), EavCluster::event($kept), $kept, EavCluster::event($undone));
	is(arrived($kept, $undone), 1, 'COMMIT and ROLLBACK in a DO block');
	$client->ask($_) foreach 'BEGIN', ingest('through the ring', $chained, 'durable'), 'COMMIT AND CHAIN';
	is(arrived($chained), 1, 'COMMIT AND CHAIN');
	$client->ask('ROLLBACK');
};

# Only the transaction itself keeps the flush away that it would wait for.
subtest 'a transaction that holds the flush lock itself' => sub {
	my $n = $next++;
	$client->ask($_) foreach 'BEGIN', ingest('through the ring', $n, 'durable'), 'SELECT eav.stage_flush()';
	my $began = time;
	$client->query('COMMIT');
	cmp_ok(time - $began, '<', $quick, 'does not wait for its own end');
	$control->ask('SELECT eav.stage_flush()');
	is(arrived($n), 1, 'and the value is there after the next flush');
};

# --- wait_flushed() --------------------------------------------------------------------------------

foreach my $way (@ways)
{
	subtest "wait_flushed(), $way" => sub {
		my $ticket = $client->ask(ingest($way, $next++));
		my $began = time;
		is($client->ask("SELECT eav.wait_flushed($ticket)"), 't', 'true when it is flushed');
		cmp_ok(time - $began, '<', 5, 'at once: the worker is woken');
		is(arrived($next - 1), 1, 'and then it is there');
		is($client->ask("SELECT eav.wait_flushed($ticket, '0')"), 't', 'also later');
		is($control->ask("SELECT eav.wait_flushed($ticket, '0')"), 't', 'and in another session');

		my $holder = $node->hold_flushes;
		my $n = $next++;
		$ticket = $client->ask(ingest($way, $n));
		is($client->ask("SELECT eav.wait_flushed($ticket, '0')"), 'f', 'false at once with timeout 0');
		$began = time;
		is($client->ask("SELECT eav.wait_flushed($ticket, '300 ms')"), 'f', 'false when the time is over');
		cmp_ok(time - $began, '>=', 0.3, 'not sooner');
		cmp_ok(time - $began, '<', $quick, 'nor much later');
		$client->send("SELECT eav.wait_flushed($ticket, '1 hour')");
		is_waiting($client);
		$control->ask('SELECT pg_cancel_backend(' . $client->pid . ')');
		is($client->result->{error}{C}, '57014', 'it can be cancelled');
		$client->ask(q(SET statement_timeout = '200ms'));
		is($client->sqlstate("SELECT eav.wait_flushed($ticket, '1 hour')"), '57014', 'statement_timeout ends it');
		$client->ask('RESET statement_timeout');
		my $victim = $node->client;
		$victim->send("SELECT eav.wait_flushed($ticket, '1 hour')");
		is_waiting($victim);
		$control->ask('SELECT pg_terminate_backend(' . $victim->pid . ')');
		is($victim->result->{error}{C}, '57P01', 'and its session terminated');
		$client->send("SELECT eav.wait_flushed($ticket, '1 hour')");
		is_waiting($client);
		EavCluster::end_hold($holder);
		is($client->result->{rows}[0][0], 't', 'true as soon as a flush can run');
		is(arrived($n), 1, 'and then it is there');

		foreach my $end ('ROLLBACK', 'ROLLBACK TO s; COMMIT')
		{
			$client->ask($_) foreach 'BEGIN', 'SAVEPOINT s';
			$ticket = $client->ask(ingest($way, $next++));
			is($client->sqlstate("SAVEPOINT t; SELECT eav.wait_flushed($ticket, '0')"),
				'55000', 'an error in the transaction itself');
			$client->ask('ROLLBACK TO t');
			$client->ask($_) foreach split /; /, $end;
			is($client->ask("SELECT eav.wait_flushed($ticket)"), 't', "$end: nothing to wait for");
		}

		$client->ask('BEGIN');
		$n = $next++;
		$ticket = $client->ask(ingest($way, $n));
		is($control->ask("SELECT eav.wait_flushed($ticket, '100 ms')"), 'f', 'false while its transaction is open');
		$client->ask('COMMIT');
		is($control->ask("SELECT eav.wait_flushed($ticket)"), 't', 'true after its commit');
		is(arrived($n), 1, 'and it is there');
	};
}
is($client->ask('SELECT eav.wait_flushed(NULL)'), '', 'null for null');
is($client->sqlstate("SELECT eav.wait_flushed($_)"), '22023', "$_ is no ticket") foreach 0, -1;
my $some_ticket = $client->ask(ingest('through the ring', $next++));
is($client->sqlstate("SELECT eav.wait_flushed($some_ticket, '-1 ms')"), '22023', 'a negative timeout');

# --- one flush for all who wait ------------------------------------------------------------------------

$control->ask('CREATE SEQUENCE bench_numbers START 1000000 CACHE 100');
my $payload = q(format('{"tenant_id": 1, "entity_id": 1, "attributes": {"n": %s}}', nextval('bench_numbers')));
sub bench
{
	my ($name, $clients, $transactions, $script) = @_;
	my $all = $clients * $transactions;
	my $flushes = $node->state_of('flushes');
	$node->pgbench("-n -c $clients -j 2 -t $transactions", 0, [qr{processed: $all/$all}], [qr{^$}],
		$name, { "092_script_" . $next++ => $script });
	return $node->state_of('flushes') - $flushes;
}
my %waits = (
	'durable' => "SELECT eav.ingest($payload, 'durable');\n",
	'wait_flushed()' => "SELECT ticket FROM eav.ingest($payload) \\gset\n"
	  . "SELECT 1 / eav.wait_flushed(:ticket, '30s')::int;\n");
foreach my $how (sort keys %waits)
{
	my $calls = 8 * 50;
	my $before = arrived(1000000, 2000000);
	my $flushes = bench("$how by 8 clients", 8, 50, $waits{$how});
	cmp_ok($flushes, '<', $calls, "$how: $flushes flushes for $calls calls by 8 clients");
	is(arrived(1000000, 2000000) - $before, $calls, 'and all are there');
}

# --- flushes that nobody waits for commit asynchronously -----------------------------------------------

# With a synchronous commit the WAL would be on disk before anybody can see what was flushed. The
# WAL writer may wake up once, and a checkpoint come by; so most of the time will do.
my ($unwritten, $written) = (0, 0);
$node->set('eav.flush_interval' => '10ms');
foreach (1 .. 20)
{
	my $n = $next++;
	$client->ask(ingest('through the ring', $n));
	arrives($n);
	$unwritten++ if $control->ask('SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()') eq 't';
}
cmp_ok($unwritten, '>=', 15, "nobody waits: $unwritten of 20 flushes are not written out when they can be seen");
foreach (1 .. 20)
{
	$client->ask(ingest('through the ring', $next++, 'durable'));
	$written++ if $control->ask('SELECT pg_current_wal_insert_lsn() = pg_current_wal_flush_lsn()') eq 't';
}
cmp_ok($written, '>=', 15, "durable: $written of 20 are");
$written = 0;
foreach (1 .. 20)
{
	my $ticket = $client->ask(ingest('through the ring', $next++));
	arrives($next - 1);
	$client->ask("SELECT eav.wait_flushed($ticket)");
	$written++ if $control->ask('SELECT pg_current_wal_insert_lsn() = pg_current_wal_flush_lsn()') eq 't';
}
cmp_ok($written, '>=', 15, "wait_flushed() writes out a flush that has been: $written of 20");
$node->set('eav.flush_interval' => '59s');

# --- slabs ------------------------------------------------------------------------------------------------

subtest 'nothing keeps a slab' => sub {
	$control->ask('SELECT eav.stage_flush()');
	ok(poll('SELECT slabs_in_use FROM eav.stat_ingest', 0), 'none is in use');
	my $n = $next++;
	my $small = ingest('through the ring', $n);
	# 50 kB: several slabs.
	my $medium = sprintf q(SELECT eav.ingest('{"tenant_id": 1, "entity_id": 1, "attributes": {"n": %d, "state": "%s"}}')),
	  $n, 'x' x 50_000;
	my %left = (
		'ROLLBACK' => sub { $_[0]->ask('ROLLBACK') },
		'COMMIT after an error' => sub { $_[0]->query('SELECT 1 / 0'); $_[0]->ask('COMMIT') },
		'ROLLBACK TO SAVEPOINT' => sub { $_[0]->ask('ROLLBACK TO s'); $_[0]->ask('COMMIT') },
		'an error in a savepoint' => sub {
			$_[0]->query('SELECT 1 / 0');
			$_[0]->ask('ROLLBACK TO s');
			$_[0]->ask('COMMIT');
		},
		'PREPARE TRANSACTION' => sub { is($_[0]->sqlstate(q(PREPARE TRANSACTION 'p')), '0A000', 'is refused') },
		'a cancelled statement' => sub {
			$_[0]->send("$small, pg_sleep(1000)");
			poll('SELECT wait_event FROM pg_stat_activity WHERE pid = ' . $_[0]->pid, 'PgSleep');
			$control->ask('SELECT pg_cancel_backend(' . $_[0]->pid . ')');
			is($_[0]->result->{error}{C}, '57014', 'is cancelled');
			$_[0]->ask('ROLLBACK');
		},
		'a terminated backend' => sub { $control->ask('SELECT pg_terminate_backend(' . $_[0]->pid . ')') },
		'a backend terminated at work' => sub {
			$_[0]->send("$small, pg_sleep(1000)");
			poll('SELECT wait_event FROM pg_stat_activity WHERE pid = ' . $_[0]->pid, 'PgSleep');
			$control->ask('SELECT pg_terminate_backend(' . $_[0]->pid . ')');
		},
		'a client that hangs up' => sub { $_[0]->close },
		'a client that vanishes' => sub { close $_[0]{socket} },
		'an exception in PL/pgSQL' => sub {
			$_[0]->ask('DO $$ BEGIN BEGIN PERFORM * FROM (' . $small . ') AS s; RAISE division_by_zero;
				EXCEPTION WHEN division_by_zero THEN NULL; END; END $$');
			$_[0]->ask('ROLLBACK TO s');
			$_[0]->ask('COMMIT');
		},
		'a commit that fails' => sub {
			$_[0]->ask('INSERT INTO checked_late VALUES (1), (1)');
			is($_[0]->sqlstate('COMMIT'), '23505', 'fails');
		},
		'idle_in_transaction_session_timeout' => sub {
			$_[0]->ask(q(SET idle_in_transaction_session_timeout = '50ms'));
		});
	$control->ask('CREATE TABLE checked_late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
	foreach my $how (sort keys %left)
	{
		my $victim = $node->client;
		$victim->ask($_) foreach 'BEGIN', 'SAVEPOINT s', $small, 'SAVEPOINT t', $medium, 'RELEASE t', $small;
		cmp_ok(stat_of('slabs_in_use'), '>=', 9, "$how: a transaction holds slabs");
		$left{$how}->($victim);
		ok(poll('SELECT slabs_in_use FROM eav.stat_ingest', 0), 'and leaves none');
	}
	$control->ask('SELECT eav.stage_flush()');
	is(arrived($n), 0, 'nothing of all that was published');
	$client->ask($_) foreach 'BEGIN', $small, $medium, 'COMMIT';
	cmp_ok(stat_of('slabs_in_use'), '>=', 8, 'committed values hold slabs');
	$control->ask('SELECT eav.stage_flush()');
	ok(poll('SELECT slabs_in_use FROM eav.stat_ingest', 0), 'until they are flushed');
	is(arrived($n), 2, 'these were');
};

# --- transaction ids ----------------------------------------------------------------------------------------

subtest 'the ring needs no transaction ids' => sub {
	my $holder = $node->hold_flushes;
	my $spilled = stat_of('spilled_calls');
	$client->ask($_) foreach 'BEGIN READ ONLY', ingest('through the ring', $next++, 'accepted');
	is($client->ask('SELECT pg_current_xact_id_if_assigned()'), '', 'a read-only transaction has none after a call');
	$client->ask('COMMIT');
	my $before = $control->ask('SELECT pg_snapshot_xmax(pg_current_snapshot())');
	# In tens: each call takes one of 128 slabs.
	foreach (1 .. 10)
	{
		$node->pgbench('-n -c 4 -j 2 -t 25', 0, [qr{processed: 100/100}], [qr{^$}], '100 transactions',
			{ '092_no_xid_' . $next++ =>
				  q(SELECT eav.ingest('{"tenant_id": 1, "entity_id": 7, "attributes": {"note": 1}}');) });
		is($control->ask('SELECT pg_snapshot_xmax(pg_current_snapshot())'), $before, 'none was assigned');
		is(stat_of('spilled_calls'), $spilled, 'all went through the ring');
		EavCluster::end_hold($holder);
		$control->ask('SELECT eav.stage_flush()');
		$holder = $node->hold_flushes;
		$before = $control->ask('SELECT pg_snapshot_xmax(pg_current_snapshot())');
	}
	EavCluster::end_hold($holder);
	is($control->ask('SELECT count(*) FROM eav.entity_values_ts WHERE attribute_id = 3'), 1000,
		'all 1000 have arrived');
};

$node->projection_is_right;
is($control->ask('SELECT count(*) FROM eav.ingest_rejects'), 0, 'nothing was rejected');

# --- the end of the server during a wait ------------------------------------------------------------------------

subtest 'kill -9 of the postmaster during waits' => sub {
	my $holder = $node->hold_flushes;
	my @waiting = map {
		my $one = $node->client;
		$one->ask('BEGIN');
		# With a transaction id.
		$one->ask(EavCluster::insert_numbers($next, $next)) if $_ % 2;
		$next++;
		$one->ask(ingest($ways[ $_ / 2 ], $next++, 'durable'));
		$one->send('COMMIT');
		is_waiting($one);
		$one;
	} 0 .. 3;
	push @waiting, $node->client;
	my $ticket = $client->ask(ingest('through the ring', $next++));
	$waiting[-1]->send("SELECT eav.wait_flushed($ticket, '1 hour')");
	is_waiting($waiting[-1]);
	$node->kill9;
	foreach my $one (@waiting)
	{
		my $result = $one->result;
		ok($one->{lost}, 'the session ends');
		is("@{ $result->{tags} }", '', 'and does not say that the values are durable')
		  if !grep { $_->{C} eq '01000' } @{ $result->{notices} };
	}
	ok(EavCluster::wait_until('the server starts again', sub {
			return 1 if $node->start(fail_ok => 1);
			$node->stop('fast', fail_ok => 1);
			return 0;
		}), 'the server starts again');
	$control = $node->client;
	ok(poll('SELECT count(*) FROM eav.ingest_gaps', 1), 'and tells of a gap');
	is($control->sqlstate("SELECT eav.wait_flushed($ticket, '0')"), '55000', 'a ticket from before raises 55000');
};

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal \d+/, 'the log tells of no crash');

done_testing();
