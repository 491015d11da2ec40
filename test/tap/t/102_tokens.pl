# Reading one's own writes on standbys that lag at random: with a token no read is stale, whichever way the
# write and the read have taken; and what waits for a token does not lie, hang, or resist.
use strict;
use warnings;
use EavStandby;
use Test::More;
use Time::HiRes qw(sleep time);

my $north = EavStandby->primary('north', 'eav.fallback_limit' => 1_000_000);
# One lags by the clock, the other is paused at random.
my $slow = $north->standby('slow', recovery_min_apply_delay => '40ms');
my $jerky = $north->standby('jerky');
$north->list_servers($north, $slow, $jerky);
$north->register;
$north->ask('CREATE TABLE note (id int PRIMARY KEY, round int) WITH (fillfactor = 50);
	INSERT INTO note SELECT i, 0 FROM generate_series(1, 50) AS i');
my %node = map { $_->name => $_ } $north, $slow, $jerky;
my %on = map { $_ => $node{$_}->client } keys %node;
ok(EavCluster::wait_until('both are ok', sub {
	return !grep { EavStandby::freshness($on{$_})->{state} ne 'ok'
		  || (EavStandby::lag_of($on{north}, $_) // { state => '' })->{state} ne 'ok' } qw(slow jerky);
}), 'both standbys are ok');
$node{$_}->replays_all_of($north) foreach qw(slow jerky);

# --- what a token is -----------------------------------------------------------------------------

sub token { return $on{north}->ask('SELECT eav.write_token()') }
my $token = token();
like($token, qr/^1-[0-9A-F]{1,16}$/, 'a token is short text');

subtest 'write_token()' => sub {
	my $p = $on{north};
	is($on{slow}->sqlstate('SELECT eav.write_token()'), '25006', 'is refused on a standby');
	my %writes = (
		'after a write' => [ 'UPDATE note SET round = round WHERE id = 1' ],
		'after a write in a savepoint' => [ 'SAVEPOINT s', 'UPDATE note SET round = round WHERE id = 1', 'RELEASE s' ],
		'after a write, in a savepoint' => [ 'UPDATE note SET round = round WHERE id = 1', 'SAVEPOINT s' ]);
	foreach my $what (sort keys %writes)
	{
		$p->ask($_) foreach 'BEGIN', @{ $writes{$what} };
		is($p->sqlstate('SELECT eav.write_token()'), '25001', "is refused in a transaction $what");
		$p->ask('ROLLBACK');
	}
	is($p->sqlstate('UPDATE note SET round = round WHERE id = 1 RETURNING eav.write_token()'), '25001', 'and in the statement itself');
	$p->ask($_) foreach 'BEGIN', 'SELECT count(*) FROM note';
	is($p->sqlstate('SELECT eav.write_token()'), '', 'but not in one that has only read');
	$p->ask('ROLLBACK');
	is($p->sqlstate('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT eav.write_token(); COMMIT'), '', 'at any isolation level');
};
subtest 'on the primary' => sub {
	my $p = $on{north};
	is($p->ask("SELECT eav.wait_for_token('" . token() . "', '0')"), 't', 'all tokens of its own have been reached');
	is($p->sqlstate(q(SELECT eav.wait_for_token('1-7FFFFFFFFFFFFFFF'))), '55000', 'one that lies ahead is an error');
	is($p->sqlstate(q(SELECT eav.wait_for_token('7-1'))), '55000', 'so is one of a timeline that has not begun');
	# Without synchronous_commit the token counts from the moment it is handed out.
	$p->ask('SET synchronous_commit = off');
	$p->ask('UPDATE note SET round = round WHERE id = 1');
	is($p->ask('SELECT eav.wait_for_token(eav.write_token())'), 't', 'not yet flushed');
	$p->ask('RESET synchronous_commit');
};
subtest 'bad input' => sub {
	foreach my $name (qw(north slow))
	{
		my $c = $on{$name};
		foreach my $bad ('', '-', '1', '1-', '-1', '1-0', '0-1', '1-G', '1--1', ' 1-1', '1-1 ', '1-1-1', '+1-1', '1-+1', '01-1', '1-01',
			'0x1-1', '1-0x1', '1/1', '100000000-1', '1-10000000000000000', 'A' x 1000, "1-1\n", 'x')
		{
			is($c->sqlstate("SELECT eav.wait_for_token('$bad', '0')"), '22023', "$name: '" . substr($bad, 0, 20) . "'");
			is($c->sqlstate("SELECT * FROM eav.route_read(after_token => '$bad')"), '22023', 'nor in route_read()');
		}
		is($c->sqlstate("SELECT eav.wait_for_token('$token', '-1 ms')"), '22023', "$name: a negative timeout");
		is($c->sqlstate("SELECT eav.wait_for_token('$token', '-1 month')"), '22023', 'by months');
		is($c->sqlstate("SELECT eav.wait_for_token(NULL)"), '22004', 'no token');
		is($c->sqlstate("SELECT eav.wait_for_token('$token', NULL)"), '22004', 'no timeout');
		is($c->ask("SELECT eav.wait_for_token(lower('$token'))"), 't', 'lower case is as good');
	}
	my $error = $on{slow}->query(q(SELECT eav.wait_for_token('nonsense')))->{error};
	like($error->{M}, qr/token/, 'the message says what is wrong');
};

# --- waiting ---------------------------------------------------------------------------------------

$on{north}->ask('UPDATE note SET round = round WHERE id = 1');
ok($slow->pause_replay, 'replay is paused');
$on{north}->ask('UPDATE note SET round = round + 1 WHERE id = 1');
my $ahead = token();
subtest 'timeouts' => sub {
	foreach my $timeout (0, 0.001, 0.3, 1.2)
	{
		my $before = time;
		is($on{slow}->ask("SELECT eav.wait_for_token('$ahead', '$timeout s')"), 'f', "$timeout s: not reached");
		my $lasted = time - $before;
		cmp_ok($lasted, '>=', $timeout, 'not before its time');
		cmp_ok($lasted, '<', $timeout + 1, 'nor long after');
	}
	my $before = time;
	is($on{slow}->ask("SELECT eav.wait_for_token('$ahead')"), 'f', 'without a timeout');
	cmp_ok(abs(time - $before - 5), '<', 1, 'it is 5 s');
	# A token of this moment, not of a commit: nothing has been written since.
	is($on{slow}->ask("SELECT eav.wait_for_token('$token', '0')"), 't', 'what has been replayed is known at once');
};
subtest 'what ends a wait' => sub {
	my $c = $on{slow};
	my $control = $slow->client;
	my $waits = sub {
		return EavCluster::wait_until('it waits', sub {
			return $control->ask('SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $c->pid) eq 'Extension'; });
	};
	foreach my $timeout ('50 s', '10000 years', '178000000 years', '1 month')
	{
		$c->send("SELECT eav.wait_for_token('$ahead', '$timeout')");
		if (!ok($waits->(), "it waits for $timeout")) { diag explain $c->result(1); next }
		$control->ask('SELECT pg_cancel_backend(' . $c->pid . ')');
		my $result = $c->result;
		is($result->{error} ? $result->{error}{C} : 'no error', '57014', 'a cancel ends it');
	}
	my $before = time;
	is($c->sqlstate("SET statement_timeout = '300ms'; SELECT eav.wait_for_token('$ahead', '50 s')"), '57014', 'statement_timeout');
	cmp_ok(time - $before, '<', 5, 'at once');
	$c->ask('RESET statement_timeout');
	is($c->ask('SELECT 1'), 1, 'the session lives on');
	my $victim = $slow->client;
	$victim->send("SELECT eav.wait_for_token('$ahead', '50 s')");
	$c = $victim;
	$waits->();
	$control->ask('SELECT pg_terminate_backend(' . $victim->pid . ')');
	is($victim->result->{error}{C}, '57P01', 'the end of the session');
	$control->close;
};
subtest 'a snapshot that does not move' => sub {
	my $c = $on{slow};
	$c->ask('BEGIN ISOLATION LEVEL REPEATABLE READ');
	is($c->sqlstate("SELECT eav.wait_for_token('$token', '0')"), '25001', 'is an error, also when the token has been reached');
	$c->ask('ROLLBACK');
	$c->ask('BEGIN');
	is($c->ask("SELECT eav.wait_for_token('$token', '0')"), 't', 'READ COMMITTED is not');
	$c->ask('COMMIT');
	is($on{north}->sqlstate("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT eav.wait_for_token('$token', '0')"), '25001', 'nor SERIALIZABLE on the primary');
	$on{north}->ask('ROLLBACK');
};
subtest 'many wait' => sub {
	my @waiters = map { $slow->client } 1 .. 8;
	$_->send("SELECT eav.wait_for_token('$ahead', '30 s')") foreach @waiters;
	$slow->resume_replay;
	is(join(' ', map { $_->result->{rows}[0][0] } @waiters), join(' ', ('t') x 8), 'all are told when it has been replayed');
	is($_->ask('SELECT round FROM note WHERE id = 1'), 1, 'and see it') foreach @waiters;
	$_->close foreach @waiters;
};

# What is removed on the primary while a statement waits may be what its snapshot could still see.
subtest 'who waits does not hold up replay' => sub {
	my $wait = sub {
		my ($statement) = @_;
		ok($slow->pause_replay, 'replay is paused');
		$on{north}->ask($_) foreach 'UPDATE note SET round = round + 1', 'VACUUM note';
		my $t = token();
		my $waiter = $slow->client;
		$waiter->send(sprintf $statement, $t);
		EavCluster::wait_until('it waits', sub {
			return $on{slow}->ask('SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $waiter->pid) eq 'Extension'; });
		my $before = time;
		$slow->resume_replay;
		my $result = $waiter->result;
		$waiter->close;
		is($result->{error} ? $result->{error}{M} : '', '', "no error: $statement");
		return ($result->{rows}[0][0], time - $before);
	};
	my ($said, $lasted) = $wait->(q(SELECT eav.wait_for_token('%s', '20 s')));
	is($said, 't', 'the token is reached');
	cmp_ok($lasted, '<', 5, 'soon');

	# This one has to keep its snapshot. It must not wait longer than it was told to, nor lie.
	($said, $lasted) = $wait->(q(SELECT eav.wait_for_token('%s', '2 s') FROM note WHERE id = 1));
	is($said, 'f', 'beside other reading the wait ends by its timeout');
	cmp_ok($lasted, '<', 4, 'in time');
	ok($slow->replays_all_of($north), 'and replay goes on');
};

# Positions as they fall: the end of a page, where the next record begins behind a header, and of a segment.
subtest 'no write follows' => sub {
	$north->set('eav.heartbeat_interval' => 0);
	my $p = $on{north};
	my $reached = sub {
		my ($what) = @_;
		my $t = token();
		my $before = time;
		is($on{jerky}->ask("SELECT eav.wait_for_token('$t', '10 s')"), 't', "$what: $t is reached");
		cmp_ok(time - $before, '<', 5, 'soon');
	};
	$reached->('any position');
	$p->ask('SELECT pg_switch_wal()');
	$reached->('a new segment');
	foreach my $turn (1 .. 3)
	{
		my $is_at_end = 0;
		foreach (1 .. 50)
		{
			my $left = 8192 - $p->ask('SELECT (pg_current_wal_insert_lsn() - $$0/0$$) % 8192');
			# Record header 24, long data header 5, message header 24, empty prefix 1.
			$left += 8192 - 24 if $left < 400;
			$p->ask(sprintf q(SELECT pg_logical_emit_message(false, '', repeat('x', %d))), $left - 54);
			my $offset = $p->ask('SELECT (pg_current_wal_insert_lsn() - $$0/0$$) % 8192');
			$is_at_end = $offset == 0 || $offset == 24 || $offset == 40;
			last if $is_at_end;
		}
		ok($is_at_end, 'the last record ends with its page');
		$reached->('the end of a page');
	}
	$north->set('eav.heartbeat_interval' => '1s');
};

# --- 1,000 rounds ----------------------------------------------------------------------------------

srand(my $seed = $ENV{EAV_SEED} // int rand 2**31);
note "EAV_SEED=$seed";
my $pauser = $node{jerky}->client;
my $is_pausing = 0;
sub shake
{
	if ($is_pausing)
	{
		return if !$pauser->result(0);
		$is_pausing = 0;
	}
	return if rand() > 0.15;
	# Paused now, and resumed by itself in the middle of what comes.
	$pauser->ask('SELECT pg_wal_replay_pause()');
	$pauser->send(sprintf 'SELECT pg_sleep(%.3f); SELECT pg_wal_replay_resume()', rand() < 0.1 ? rand 1 : rand 0.15);
	$is_pausing = 1;
	return;
}

my $writer = $north->client;
my (%went, @stale, %waited);
my $n = 100;
my $rounds = 1000;
foreach my $round (1 .. $rounds)
{
	# With and without rows being kept for readers of a standby.
	$jerky->set(hot_standby_feedback => $round == 1 ? 'on' : 'off') if ($round - 1) % ($rounds / 2) == 0;
	shake();
	my ($read, $expected);
	my $kind = rand;
	my $id = 1 + int rand 50;
	$writer->ask('SET synchronous_commit = ' . (rand() < 0.5 ? 'off' : 'on'));
	if ($kind < 0.5)
	{
		$writer->ask("UPDATE note SET round = $round WHERE id = $id");
		($read, $expected) = ("SELECT round FROM note WHERE id = $id", $round);
	}
	elsif ($kind < 0.8)
	{
		$writer->ask($_) foreach 'BEGIN', "UPDATE note SET round = $round WHERE id = $id", 'SAVEPOINT s',
		  "INSERT INTO note VALUES (1000 + $round, $round)", 'COMMIT';
		($read, $expected) = ("SELECT round FROM note WHERE id = 1000 + $round", $round);
	}
	elsif ($kind < 0.9)
	{
		$writer->ask("INSERT INTO note VALUES (1000 + $round, $round)");
		$writer->ask("DELETE FROM note WHERE id = 1000 + $round");
		($read, $expected) = ("SELECT count(*) FROM note WHERE id = 1000 + $round", 0);
	}
	else
	{
		$n++;
		$writer->ask(EavCluster::ingest_numbers($n, $n, 'durable'));
		($read, $expected) = ("SELECT count(*) FROM eav.entity_values_ts WHERE value_int = $n", 1);
	}
	my $t = (rand() < 0.5 ? $writer : $on{north})->ask('SELECT eav.write_token()');

	my ($where, $how);
	if (rand() < 0.5)
	{
		$where = rand() < 0.5 ? 'slow' : 'jerky';
		my $timeout = rand() < 0.2 ? '5ms' : '20s';
		my $result = $on{$where}->query("SELECT eav.wait_for_token('$t', '$timeout')");
		my $is_there = $result->{error} ? $result->{error}{M} : $result->{rows}[0][0];
		$waited{"$timeout $is_there"}++;
		last if $timeout eq '20s' && $is_there ne 't' && $waited{"$timeout $is_there"} > 2;
		($how, $where) = ('waited', $is_there eq 't' ? $where : 'north');
	}
	else
	{
		my $asked = (qw(north slow jerky))[ int rand 3 ];
		my $consistency = rand() < 0.5 ? 'bounded' : 'eventual';
		my $row = EavStandby::route($on{$asked}, "'$consistency', after_token => '$t'");
		($how, $where) = ("routed by $asked", $row->{node_id} // 'nowhere');
		if (!$on{$where})
		{
			push @stale, "round $round: no node: " . EavStandby::text_of($row);
			next;
		}
	}
	my $got = $on{$where}->ask($read);
	push @stale, "round $round, $how, token $t, read on $where: $got, not $expected: $read" if $got ne $expected;
	$went{"$how to $where"}++;
}
$pauser->result if $is_pausing;
is(EavStandby::some_of(@stale), '', '1,000 rounds without one stale read');
note join ', ', map { "$_ $went{$_}" } sort keys %went;
note join ', ', map { "$_ $waited{$_}" } sort keys %waited;
cmp_ok(($went{'routed by north to slow'} // 0) + ($went{'routed by north to jerky'} // 0), '>', 0, 'the router has sent some to standbys');
cmp_ok($waited{'20s t'}, '>', 200, 'many have waited');
is(join(', ', grep { /^20s/ && $_ ne '20s t' } sort keys %waited), '', 'none in vain');

# --- a token that nobody has reached ---------------------------------------------------------------

subtest 'route_read(after_token) while no standby has it' => sub {
	ok($_->pause_replay, 'paused') foreach $slow, $jerky;
	$on{north}->ask('UPDATE note SET round = 5000 WHERE id = 1');
	my $t = token();
	foreach my $asked (qw(north slow jerky))
	{
		my $row = EavStandby::route($on{$asked}, "after_token => '$t'");
		is($row->{node_id}, 'north', "$asked sends to the primary");
		isnt($row->{conninfo}, undef, 'and says how to connect');
		is($row->{degraded}, 'f', 'which is not degraded');
	}
	# What a client must not be given: a node that has not replayed it.
	my $row = EavStandby::route($on{slow}, "'eventual', read_path => 'near_real_time', after_token => '$t'");
	ok(!defined $row->{node_id} || $row->{node_id} eq 'north', 'also for a patient read path: ' . EavStandby::text_of($row));
	$_->resume_replay foreach $slow, $jerky;
	ok(EavCluster::wait_until('a standby is chosen', sub { (EavStandby::route($on{north}, "after_token => '$t'")->{node_id} // '') ne 'north' }),
		'once it has been replayed standbys are chosen again');
};

$_->close foreach values %on, $writer, $pauser;
EavStandby::log_tells_of_no_crash($north, $slow, $jerky);
$_->stop foreach $slow, $jerky, $north;
done_testing();
