# Crashes under load: kill -9 of the postmaster, of a backend and of the worker, and an immediate
# stop. What was accepted is in history, whole transactions, once; or it is lost, and then it was
# accepted in a window that eav.ingest_gaps tells. History, projection and flush_state agree.
# What a flush by hand or an upsert has reported is never lost. SEED=n repeats the plan.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = $ENV{SEED} // int(rand(1_000_000));
srand($seed);
note "seed $seed";

my $node = EavCluster->ready(
	'main',
	'eav.flush_interval' => 20,
	'eav.rotation_interval' => 0,
	'restart_after_crash' => 'on');
$node->register;
$node->ask('CREATE TABLE sent (round int, lo bigint, hi bigint, began timestamptz, ended timestamptz)');

my $next = 1;
my $round = 0;
my $durable = 0;    # numbers below 0, reported as flushed
my $upserted = 0;

# Also what must outlive the crash.
sub write_durably
{
	my $number = -++$durable;
	$node->ask(EavCluster::insert_numbers($number, $number) . '; SELECT eav.stage_flush()');
	my $entity = 5000 + ++$upserted;
	$node->ask("SELECT eav.upsert_hot_attributes(1, $entity, '{\"state\": \"s$upserted\"}')");
	return;
}

# After kill -9 of the postmaster its children need a moment to notice.
sub start_again
{
	return EavCluster::wait_until('the server starts again',
		sub {
			return 1 if $node->start(fail_ok => 1);
			$node->stop('fast', fail_ok => 1);
			return 0;
		});
}

my %crash = (
	'kill -9 of the postmaster' => sub { $node->kill9; start_again(); },
	'immediate stop' => sub { $node->stop('immediate'); $node->start; },
	'kill -9 of a backend' => sub { kill 9, backend(q(query LIKE '%entity_values_ingest%')); },
	'kill -9 of the worker' => sub { kill 9, $node->worker_pid; });

sub backend
{
	my ($where) = @_;
	my $pid;
	EavCluster::wait_until('there is a backend to kill',
		sub {
			$pid = $node->ask("SELECT pid FROM pg_stat_activity
				WHERE pid <> pg_backend_pid() AND $where LIMIT 1");
			return $pid ne '';
		}) or BAIL_OUT('no backend to kill');
	return $pid;
}

# How many staged values are committed and not flushed, or whether that compares.
sub waiting_values
{
	my ($compares) = @_;
	return "SELECT count(*) $compares FROM eav.entity_values_ingest
		WHERE NOT pg_visible_in_snapshot(xact, (SELECT snapshot FROM eav.flush_state))";
}

# One crash. $prepare may arrange for a special moment.
sub crash_round
{
	my ($how, $what, $prepare) = @_;
	my $name = ++$round . ": $how" . ($what ? ", $what" : '');
	subtest $name => sub {
		my $epoch = $node->state_of('epoch');
		my $gaps = $node->ask('SELECT count(*) FROM eav.ingest_gaps');
		my $started = $node->ask('SELECT pg_postmaster_start_time()');
		my @writers = map { $node->start_session(EavCluster::load_script(\$next, 4000)) } 1 .. 3;
		my $flushes = $node->state_of('flushes') + 3 + int rand 20;
		$node->wait_for("SELECT flushes >= $flushes FROM eav.flush_state");
		write_durably();
		$prepare->() if $prepare;
		sleep rand 0.3;
		$crash{$how}->();
		# psql ends when its server is gone.
		eval { IPC::Run::finish($_->{run}) } foreach @writers;
		EavCluster::wait_until('the server answers',
			sub { ($node->psql('postgres', 'SELECT'))[0] == 0 });
		note_what_was_sent(@writers);
		$node->wait_for("SELECT count(*) FROM eav.ingest_gaps", $gaps + 1);
		is($node->ask('SELECT count(*) FROM eav.ingest_gaps'), $gaps + 1, 'a gap is recorded, one');
		is($node->state_of('epoch'), $epoch + 1, 'the epoch grew by one');
		is($node->ask('SELECT epoch FROM eav.ingest_gaps ORDER BY gap_id DESC LIMIT 1'),
			$epoch + 1, 'the gap tells the epoch');
		ok($node->wait_for_worker, 'the worker is back');
		check();
	};
	return;
}

# What the writers know of their transactions.
sub note_what_was_sent
{
	my @rows = map {
		my ($lo, $hi, $began, $ended) = @$_;
		$ended = defined $ended ? "to_timestamp($ended)" : 'NULL::timestamptz';
		"($round, ${lo}::bigint, ${hi}::bigint, to_timestamp($began), $ended)";
	} map { EavCluster::sent_by($_) } @_;
	$node->ask('INSERT INTO sent VALUES ' . join ', ', @rows);
	return;
}

sub check
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->flush;
	$node->ask(<<'SQL');
DROP TABLE IF EXISTS arrived, outcome;
CREATE TABLE arrived AS SELECT value_int AS n FROM eav.entity_values_ts WHERE value_int > 0;
CREATE INDEX ON arrived (n);
CREATE TABLE outcome AS
SELECT s.*, s.hi - s.lo + 1 AS written,
       (SELECT count(*) FROM arrived WHERE n BETWEEN s.lo AND s.hi) AS arrived
FROM sent s;
SQL
	is($node->ask('SELECT count(*) FROM outcome WHERE arrived NOT IN (0, written)'),
		0, 'transactions are there whole or not at all');
	is($node->ask('SELECT count(*) - count(DISTINCT value_int) FROM eav.entity_values_ts
		WHERE value_int IS NOT NULL'), 0, 'nothing is there twice');
	is($node->ask('SELECT count(*) FROM arrived'), $node->ask('SELECT sum(arrived) FROM outcome'),
		'nothing is there that nobody sent');
	# The commit was some time between began and ended.
	is($node->ask(<<'SQL'), '', 'what is lost was accepted in a recorded gap');
SELECT format('%s..%s, accepted %s to %s; last gap %s', lo, hi, began::time, ended::time,
              (SELECT gap_start::time || ' to ' || gap_end::time
               FROM eav.ingest_gaps ORDER BY gap_id DESC LIMIT 1))
FROM outcome o
WHERE arrived = 0 AND ended IS NOT NULL
  AND NOT EXISTS (SELECT FROM eav.ingest_gaps g WHERE ended >= gap_start AND began <= gap_end)
ORDER BY lo LIMIT 5
SQL
	is($node->ask('SELECT count(*) FROM eav.entity_values_ts WHERE value_int < 0'),
		$durable, 'what a flush by hand has reported is there');
	is($node->ask(q(SELECT count(*) FROM eav.entity_jsonb WHERE hot_attrs->>'state' = 's' || entity_id - 5000)),
		$upserted, 'what an upsert has reported is there');
	is($node->history_count - $upserted, $node->state_of('flushed'),
		'flush_state has counted what is in history');
	is($node->ask('SELECT count(*) FROM eav.flush_backlog'), $node->state_of('backlog'),
		'and what is in the backlog');
	is($node->ask('SELECT count(*) FROM eav.ingest_rejects'), 0, 'nothing is rejected');
	$node->projection_is_right;
	note $node->ask("SELECT format('%s transactions, %s acknowledged, of these %s lost', count(*),
		count(ended), count(*) FILTER (WHERE ended IS NOT NULL AND arrived = 0))
		FROM outcome WHERE round = $round");
	return;
}

crash_round('kill -9 of the postmaster') foreach 1 .. 2;
crash_round('kill -9 of a backend');
crash_round('kill -9 of the worker');
crash_round('immediate stop');

# A flush that leaves much behind: what is lost was accepted long before it.
crash_round('kill -9 of the postmaster', 'after a flush that could not take all', sub {
	$node->worker_off;
	$node->wait_for(waiting_values('> 3000'));
	$node->ask('SELECT eav.stage_flush(1000)');
	$node->ask('ALTER SYSTEM SET eav.worker_enabled = on');    # seen by the next server
});

# A slow flush, held by a trigger while others commit: the next flush would have taken these.
$node->ask(<<'SQL');
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1);
    RETURN NULL;
END $$;
CREATE TRIGGER slow AFTER INSERT ON eav.entity_values_ts
    FOR EACH STATEMENT EXECUTE FUNCTION wait_for_the_test();
SQL
crash_round('immediate stop', 'right after a slow flush', sub {
	my $lock = $node->session;
	$lock->query_safe('SELECT pg_advisory_lock(1)');
	$node->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'eav_ext flush worker'
		AND wait_event = 'advisory'", 1);
	my $flushes = $node->state_of('flushes');
	# Values that commit during the flush.
	my $waiting = $node->ask(waiting_values(''));
	$node->wait_for(waiting_values("> $waiting + 300"));
	$lock->query_safe('SELECT pg_advisory_unlock(1)');
	$node->wait_for("SELECT flushes > $flushes FROM eav.flush_state");
	$lock->quit;
});
$node->ask(EavCluster::drop_trigger('slow', 'eav.entity_values_ts'));

my $lost = $node->ask('SELECT count(*) FROM outcome WHERE ended IS NOT NULL AND arrived = 0');
cmp_ok($lost, '>', 0, "the crashes came at moments that cost something ($lost transactions)");

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal 11/, 'the log tells of no other crash');

done_testing();
