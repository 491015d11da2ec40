# Rollups are merged by the worker, whatever happens to it or to its merges: nothing is counted
# twice or lost, flushes go on, and neither an old snapshot nor an idle client makes merges slow.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = EavCluster->ready(
	'main',
	'eav.flush_interval' => 20,
	'eav.rollup_interval' => 20,
	restart_after_crash => 'on',
	log_min_messages => 'warning');
$node->register;

# What the rollups count, whether merged or not, and what is in history.
my $counted = 'SELECT coalesce(sum(value_count), 0) FROM (SELECT value_count FROM eav.attribute_rollups
	UNION ALL SELECT value_count FROM eav.rollup_pending) AS r';
my $in_history = 'SELECT count(*) FROM eav.entity_values_ts';
my $number = 0;

sub send_values
{
	my ($count) = @_;
	my $from = $number + 1;
	$number += $count;
	$node->ask(EavCluster::insert_numbers($from, $number));
	return;
}

sub all_counted
{
	my ($name) = @_;
	ok($node->wait_for($in_history, $number), "$name: all values are in history");
	ok($node->wait_for('SELECT NOT EXISTS (SELECT FROM eav.rollup_pending)'), "$name: all is merged");
	is($node->ask($counted), $number, "$name: each value is counted once");
	return;
}

send_values(1000);
all_counted('at first');

# At rest: no transaction of ours gets an id.
$node->ask(q{ALTER SYSTEM SET eav.heartbeat_interval = 0});
$node->ask('SELECT pg_reload_conf()');
sleep 0.5;
my $xid = $node->ask('SELECT pg_snapshot_xmax(pg_current_snapshot())');
sleep 1;
is($node->ask('SELECT pg_snapshot_xmax(pg_current_snapshot())'), $xid, 'nothing happens at rest');

# kill -9 in the middle of it all: the whole server starts anew.
foreach my $round (1 .. 3)
{
	send_values(500) foreach 1 .. 5;
	$node->ask('SELECT eav.stage_flush()');
	sleep rand(0.05);
	kill 9, $node->worker_pid;
	ok($node->wait_for('SELECT 1', 1), "round $round: the server is there again");
	$node->wait_for('SELECT eav._worker_pid() IS NOT NULL');
	is($node->ask("SELECT ($counted) = ($in_history)"), 't', "round $round: rollups equal history");
}
$number = $node->ask($in_history);
all_counted('after crashes');

# A merge that fails is tried again; flushes do not wait for that.
$node->ask(q{
	CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no merge'; END$$;
	CREATE TRIGGER fail BEFORE INSERT ON eav.attribute_rollups FOR EACH STATEMENT EXECUTE FUNCTION fail()});
send_values(1000);
ok($node->wait_for($in_history, $number), 'flushes go on while merges fail');
ok($node->wait_for('SELECT count(*) > 0 FROM eav.rollup_pending'), 'and leave what is to be merged');
is($node->ask("SELECT ($counted) = ($in_history)"), 't', 'that is still counted');
$node->ask('DROP TRIGGER fail ON eav.attribute_rollups');
all_counted('after failures');

# Somebody who has the turn keeps no flush waiting.
my $holder = $node->session;
$holder->query_safe('BEGIN; SELECT eav.merge_rollups()');
send_values(1000);
ok($node->wait_for($in_history, $number), 'flushes go on while another transaction merges');
is($node->ask("SELECT ($counted) = ($in_history)"), 't', 'each value is counted once meanwhile');
$holder->query_safe('ROLLBACK');
all_counted('after a turn');

# Merges by hand of many sessions at the same time, beside those of the worker.
my @sessions = map { $node->session } 1 .. 4;
foreach my $round (1 .. 10)
{
	send_values(200);
	$_->query_safe('SELECT eav.stage_flush(), eav.merge_rollups()') foreach @sessions;
}
all_counted('many merges');
$_->quit foreach @sessions;

# An old snapshot: the worker empties pending for good, so that a merge never reads much of it.
$node->ask(q{ALTER TABLE eav.rollup_pending SET (autovacuum_enabled = off)});
$node->ask(q{SELECT count(eav.register_attribute(1, 'many' || n, 'int', 'none')) FROM generate_series(1, 2000) AS n});
my $write = q{
	INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int)
	SELECT 1, 1, attribute_id, 1 FROM eav.attributes WHERE name LIKE 'many%'};
my $session = $node->session;

sub pending_bytes
{
	return $session->query_safe(q{SELECT pg_relation_size('eav.rollup_pending')});
}

sub rounds
{
	my ($count) = @_;
	my $largest = 0;
	foreach (1 .. $count)
	{
		$session->query_safe($write);
		$session->query_safe('SELECT eav.stage_flush()');
		$number += 2000;
		$node->wait_for('SELECT NOT EXISTS (SELECT FROM eav.rollup_pending)')
		  or die 'the worker does not merge';
		my $bytes = pending_bytes();
		$largest = $bytes if $bytes > $largest;
	}
	return $largest;
}
$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM eav.attributes');
my $largest = rounds(40);
cmp_ok($largest, '<', 1.5 * 1024 * 1024, "under an old snapshot, pending had at most $largest bytes");
$holder->query_safe('COMMIT');

# A client that has written and sits idle keeps it from being emptied; nobody waits for him.
$holder->query_safe(q{BEGIN; SELECT eav.upsert_hot_attributes(1, 77, '{"many1": 5}')});
rounds(20);
is($node->ask("SELECT ($counted) = ($in_history)"), 't', 'each value is counted once under an idle client');
$holder->query_safe('COMMIT');
$number++;
rounds(1);
ok( $node->wait_for(q{SELECT pg_relation_size('eav.rollup_pending') < 1024 * 1024}),
	'pending is emptied when he has ended');

# A client who merges much and stays in his transaction keeps nobody from writing.
$node->ask(q{ALTER SYSTEM SET eav.rollup_interval = '1h'});
$node->ask('SELECT pg_reload_conf()');
foreach (1 .. 8)
{
	$session->query_safe($write);
	$session->query_safe('SELECT eav.stage_flush()');
	$number += 2000;
}
cmp_ok(pending_bytes(), '>', 1024 * 1024, 'there is much to merge');
$holder->query_safe('BEGIN; SELECT eav.merge_rollups()');
send_values(1000);
ok($node->wait_for($in_history, $number), 'flushes go on while he stays');
$holder->query_safe('COMMIT');
is($node->ask($counted), $number, 'his value is counted');
$holder->quit;

# Much is merged in parts, with flushes between them: a value that arrives during the first part,
# which waits for it, is in history while much is still to be merged.
$node->ask(q{
	CREATE TABLE part (number serial, has_new_value bool, pending bigint);
	CREATE FUNCTION note_part() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		WHILE NOT EXISTS (SELECT FROM public.part)
			AND NOT EXISTS (SELECT FROM eav.entity_values_ingest WHERE entity_id = 98765) LOOP
			PERFORM pg_sleep(0.01);
		END LOOP;
		INSERT INTO public.part (has_new_value, pending) VALUES (
			EXISTS (SELECT FROM eav.entity_values_ts WHERE tenant_id = 1 AND entity_id = 98765),
			(SELECT count(*) FROM eav.rollup_pending));
		RETURN NULL;
	END$$});
foreach (1 .. 80)
{
	$session->query_safe($write);
	$session->query_safe('SELECT eav.stage_flush()');
	$number += 2000;
}
$node->ask(q{CREATE TRIGGER part AFTER INSERT ON eav.attribute_rollups FOR EACH STATEMENT EXECUTE FUNCTION note_part()});
my $notes = $session->query_safe('SELECT count(*) FROM eav.rollup_pending');
cmp_ok($notes, '>', 150_000, "$notes rows are to be merged");
$node->ask(q{ALTER SYSTEM SET eav.rollup_interval = 20});
$node->ask('SELECT pg_reload_conf()');
ok($node->wait_for(q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'}), 'a part is being merged');
$node->set('eav.worker_enabled' => 'off');
$session->query_safe(q{
	INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_int) VALUES (1, 98765, 'many1', 9)});
$number++;
ok($node->wait_for('SELECT count(*) FROM part', 1), 'the part ends');
ok($node->wait_for(q{SELECT wait_event = 'Extension' FROM pg_stat_activity WHERE backend_type = 'eav_ext flush worker'}),
	'a worker that is switched off in the midst of it sleeps');
$node->set('eav.worker_enabled' => 'on');
all_counted('much at once');
$node->ask('DROP TRIGGER part ON eav.attribute_rollups');
is($node->ask('SELECT has_new_value FROM part WHERE number = 1'), 'f', 'the value was not there in the first part');
is($node->ask('SELECT bool_or(has_new_value) FROM part WHERE pending > 5000'), 't', 'and it was before the last');
$session->quit;

is($node->ask("SELECT ($counted) = ($in_history)"), 't', 'in the end as well');
my $sums = q{SELECT md5(string_agg(r::text, ',' ORDER BY r::text)) FROM (
	SELECT r::text FROM eav.attribute_rollups r UNION ALL SELECT d::text FROM eav.attribute_rollups_daily d) AS r (r)};
$node->ask('SELECT eav.merge_rollups()');
my $before = $node->ask($sums);
$node->ask('SELECT eav.rebuild_rollups()');
is($node->ask($sums), $before, 'and nothing is to be corrected');

done_testing();
