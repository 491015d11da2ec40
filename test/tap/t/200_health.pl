# eav.health_check(): each check is seen ok, then not ok because of what it is for, then ok again; by a
# role that may do nothing but that.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;
use Time::HiRes qw(time);

my $node = EavCluster->ready('health',
	'eav.ring_size' => '256kB', 'autovacuum' => 'off', 'autovacuum_freeze_max_age' => 100000,
	'eav.breaker_open_time' => '1s', 'eav.breaker_close_time' => '1s', 'wal_level' => 'logical');
$node->wait_for_worker or BAIL_OUT('no worker');
$node->register;
$node->ask('CREATE ROLE watcher LOGIN IN ROLE eav_monitor');

# Column of a check, as the watcher sees it with settings of his own.
sub check
{
	my ($name, $column, %settings) = @_;
	my $set = join '', map { "SET $_ = '$settings{$_}'; " } sort keys %settings;
	return $node->ask("SET SESSION AUTHORIZATION watcher; $set
		SELECT $column FROM eav.health_check() WHERE check_name = '$name'");
}

sub becomes
{
	my ($name, $status, $why, %settings) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $last = '';
	return ok(EavCluster::wait_until("$name is $status", sub { ($last = check($name, 'status', %settings)) eq $status }),
		"$name is $status: $why") || diag $last . ': ' . check($name, 'detail', %settings);
}

# In a transaction that is rolled back.
sub would_be
{
	my ($sql, $name, $status, $why) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($node->ask("BEGIN; $sql; SELECT status FROM eav.health_check() WHERE check_name = '$name'; ROLLBACK"),
		$status, "$name is $status: $why");
}

sub all_is_ok
{
	my ($why) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $bad = q(SELECT string_agg(concat_ws(' ', check_name, status, detail), '; ') FROM eav.health_check() WHERE status <> 'ok');
	return ok($node->wait_for("SELECT NOT EXISTS (SELECT FROM eav.health_check() WHERE status <> 'ok')"), "all is ok: $why")
	  || diag $node->ask($bad);
}

all_is_ok('before a value');
$node->ask(EavCluster::insert_numbers(1, 10));
$node->flush;
all_is_ok('with some');

# --- who may, and what is told ---------------------------------------------------------------------

my @names = split /\n/, $node->ask('SELECT check_name FROM eav.health_check()');
my @told = slurp_file('../../docs/runbooks/health.md') =~ /^## `(\w+)`$/mg;
is_deeply(\@told, \@names, 'the runbook has a section for each check, in their order');
is($node->ask('SET SESSION AUTHORIZATION watcher; SELECT count(*), count(*) FILTER (WHERE status = $$unknown$$) FROM eav.health_check()'),
	@names . '|0', 'the watcher sees all of it');
like($node->error_of("SET SESSION AUTHORIZATION watcher; SELECT * FROM eav.$_"), qr/permission denied/, "and nothing of $_")
  foreach qw(entities attributes entity_values_ts ingest_rejects entity_jsonb tenants);
$node->ask('CREATE ROLE nobody LOGIN');
like($node->error_of('SET SESSION AUTHORIZATION nobody; SELECT * FROM eav.health_check()'), qr/permission denied/, 'nobody else does');

# --- the worker ------------------------------------------------------------------------------------

$node->worker_off;
becomes('worker', 'warning', 'switched off');
$node->worker_on;
becomes('worker', 'ok', 'on again');
$node->ask('SELECT pg_terminate_backend(eav._worker_pid())');
becomes('worker', 'critical', 'it has died');
becomes('worker', 'ok', 'it has come back');

# --- staging and flushes ---------------------------------------------------------------------------

my $holder = $node->hold_flushes;
$node->ask(EavCluster::insert_numbers(11, 210));
is(check('staging_backlog', 'status, value', 'eav.health_staging_rows' => 200), 'ok|200', 'what is staged is counted');
becomes('staging_backlog', 'warning', 'too much is staged', 'eav.health_staging_rows' => 199);
becomes('staging_backlog', 'critical', 'ten times too much', 'eav.health_staging_rows' => 19);
becomes('flush_delay', 'warning', 'it is not flushed', 'eav.health_flush_delay' => '1s');
becomes('flush_delay', 'critical', 'for long', 'eav.health_flush_delay' => '100ms');
$node->ask(EavCluster::insert_numbers(1001, 201000));
my $estimate = check('staging_backlog', 'value');
ok(abs($estimate - 200_200) < 10_000, "of much, some pages tell: about $estimate of 200200");
EavCluster::end_hold($holder);
becomes('flush_delay', 'ok', 'it has been flushed', 'eav.health_flush_delay' => '1s');
becomes('staging_backlog', 'ok', 'it has been flushed', 'eav.health_staging_rows' => 19);
is(check('staging_backlog', 'value'), '0', 'what is flushed and still there does not count');

my %soon = ('eav.health_transaction_age' => '1s');
my $client = $node->client;
$client->ask('BEGIN');
$client->ask(EavCluster::insert_numbers(1, 1));
becomes('staging_rotation', 'warning', 'a transaction that writes stays open', %soon);
becomes('transaction_age', 'warning', 'it is old', %soon);
$client->ask('COMMIT');
becomes('staging_rotation', 'ok', 'it has ended', %soon);
becomes('transaction_age', 'ok', 'it has ended', %soon);
$client->ask('BEGIN');
$client->ask('CREATE TABLE scratch ()');
$client->ask(q(PREPARE TRANSACTION 'forgotten'));
becomes('prepared_transactions', 'warning', 'one has been forgotten', %soon);
$client->ask(q(ROLLBACK PREPARED 'forgotten'));
becomes('prepared_transactions', 'ok', 'it is gone', %soon);

$client->ask('BEGIN');
$client->ask('SELECT FROM eav.entity_jsonb WHERE tenant_id = 1 AND entity_id = 1 FOR UPDATE');
$node->ask(EavCluster::insert_numbers(300001, 310050, 1));
becomes('flush_backlog', 'warning', 'a client holds a document');
$client->ask('COMMIT');
becomes('flush_backlog', 'ok', 'it lets go');

$node->ask(q(INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value)
	SELECT 1, 1, 'n', 'no number' FROM generate_series(1, 150)));
becomes('rejects', 'warning', 'garbage arrives');
becomes('rejects', 'critical', 'much of it', 'eav.health_rejects' => 10);
would_be(q(UPDATE eav.ingest_rejects SET rejected_at = rejected_at - interval '11 minutes'), 'rejects', 'ok', 'it was long ago');
$node->ask('DELETE FROM eav.ingest_rejects');
becomes('rejects', 'ok', 'nothing is rejected');

# --- the ring --------------------------------------------------------------------------------------

my $spilled_at;
$holder = $node->hold_flushes;
$node->ask(EavCluster::ingest_numbers(400001 + 500 * $_, 400500 + 500 * $_)) foreach 0 .. 20;
like(check('ring', 'status'), qr/^(warning|critical)$/, 'ring: it is full') || diag check('ring', 'detail');
like(check('ring', 'detail'), qr/, the last within a minute/, 'and calls went elsewhere');
becomes('flush_delay', 'critical', 'what is in the ring waits, too', 'eav.health_flush_delay' => '50ms');
EavCluster::end_hold($holder);
$spilled_at = time;
becomes('flush_delay', 'ok', 'the ring is empty', 'eav.health_flush_delay' => '1s');

# --- partitions ------------------------------------------------------------------------------------

my $future = q(SELECT partition::text FROM eav._history_partitions() WHERE lower > now());
$node->worker_off;
$node->ask("DROP TABLE $_") foreach split /\n/, $node->ask($future);
becomes('future_partitions', 'warning', 'they have not been made');
my $present = $node->ask('SELECT partition::text FROM eav._history_partitions() WHERE upper IS NOT NULL');
$node->ask("ALTER TABLE eav.entity_values_ts DETACH PARTITION $present");
becomes('future_partitions', 'critical', 'there is none for the present');
is(check('default_partition', 'status'), 'ok', 'default_partition is ok: nothing has arrived');
$node->ask(EavCluster::insert_numbers(500001, 500020));
$node->flush;
is(check('default_partition', 'status, value'), 'warning|20', 'default_partition is warning: values are in it');
$node->ask("DELETE FROM eav.entity_values_ts_default");
$node->ask("DROP TABLE $present");
$node->ask('SELECT eav._extend_partitions(interval $$1 month$$, 4)');
becomes('future_partitions', 'ok', 'they have been made');
becomes('default_partition', 'ok', 'it is empty');
$node->worker_on;

# By hand in the catalog: a server has one pg_partman.
would_be(q(UPDATE pg_extension SET extversion = '6.0.1' WHERE extname = 'pg_partman'), 'pg_partman', 'critical', 'another version');
would_be(q(DELETE FROM part_config WHERE parent_table = 'eav.entity_values_ts'), 'pg_partman', 'warning', 'it knows nothing of us');
becomes('pg_partman', 'ok', 'as it is');
would_be(q(UPDATE pg_extension SET extversion = '0.9.0' WHERE extname = 'eav_ext'), 'version', 'critical', 'not updated');

# --- attributes ------------------------------------------------------------------------------------

$client->ask('BEGIN');
$client->ask(q(SELECT eav.upsert_hot_attributes(1, 77, '{"state": "a"}')));
$node->ask(q(SELECT eav.demote_attribute(1, 'state', 'current')));
becomes('attribute_moves', 'warning', 'one waits for a client', %soon);
$client->ask('COMMIT');
becomes('attribute_moves', 'ok', 'it is done', %soon);

$node->ask(q(SELECT eav.register_attribute(1, 'site', 'text', 'hot')));
$node->ask(<<'SQL');
CREATE FUNCTION no_index() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no index today'; END $$;
CREATE EVENT TRIGGER no_index ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION no_index();
SQL
$node->ask(q(SELECT eav.create_attribute_index(1, 'site')));
becomes('attribute_indexes', 'warning', 'one cannot be built');
$node->ask('DROP EVENT TRIGGER no_index');
becomes('attribute_indexes', 'ok', 'it has been built');

# --- replication -----------------------------------------------------------------------------------

$node->ask(q(SELECT pg_create_physical_replication_slot('abandoned', true)));
becomes('replication_slots', 'warning', 'one is inactive');
$node->ask(q(SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 12)));
becomes('replication_slots', 'critical', 'it keeps much', 'eav.health_slot_size' => '1MB');
$node->set('max_slot_wal_keep_size' => '1MB');
$node->ask(q(SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 40)));
$node->ask('SELECT pg_switch_wal()');
$node->ask('CHECKPOINT');
becomes('replication_slots', 'critical', 'it is lost');
like(check('replication_slots', 'detail'), qr/ 1 lost or about to be/, 'and counted');
$node->ask(q(SELECT pg_drop_replication_slot('abandoned')));
becomes('replication_slots', 'ok', 'it is gone');

$node->ask(q(INSERT INTO eav.nodes (node_id, node_type) VALUES ('warehouse', 'olap')));
becomes('replica_lag', 'critical', 'nothing is known of a node');
$node->ask(q(SELECT eav.report_freshness('warehouse', now() - interval '6 minutes')));
becomes('replica_lag', 'warning', 'it lags');
$node->ask(q(SELECT eav.report_freshness('warehouse', now())));
becomes('replica_lag', 'ok', 'it has caught up');
becomes('breakers', 'ok', 'it is read from');
$node->ask(q(SELECT eav.report_read_failure('warehouse') FROM generate_series(1, 5)));
becomes('breakers', 'critical', 'reads fail');
becomes('breakers', 'ok', 'after a while');
$node->ask(q(DELETE FROM eav.nodes WHERE node_id = 'warehouse'));

# --- the server ------------------------------------------------------------------------------------

is(check('disk_space', 'status', 'eav.health_disk_free' => 0), 'ok', 'disk_space is ok: nothing need be free');
like(check('disk_space', 'status', 'eav.health_disk_free' => 100), qr/^(warning|critical)$/, 'disk_space is not: all is wanted');

# The server freezes by itself when it has to, unless a transaction keeps it from doing so.
$client->ask('BEGIN');
$client->ask('SELECT pg_current_xact_id()');
$node->ask(<<'SQL');
CREATE TEMPORARY TABLE burnt (n int);
DO $$ BEGIN FOR i IN 1 .. 130000 LOOP
    BEGIN INSERT INTO burnt VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END;
END LOOP; END $$;
SQL
becomes('xid_age', 'warning', 'nothing has been frozen');
like(check('xid_age', 'detail'), qr/the oldest of eav are those of eav\./, 'and it tells where');
$client->ask('COMMIT');
$node->ask('VACUUM (FREEZE)');
becomes('xid_age', 'ok', 'it has been');

# --- locks -----------------------------------------------------------------------------------------

$client->ask('BEGIN');
$client->ask("LOCK TABLE $_ IN ACCESS EXCLUSIVE MODE")
  foreach qw(eav.flush_state eav.ingest_rejects eav.ingest_gaps eav.attribute_moves eav.attribute_indexes
  eav.partition_policy eav.entity_values_ingest eav.entity_values_ts part_config);
my $began = time;
my $locked = $node->ask(q(SELECT count(*), count(*) FILTER (WHERE status = 'unknown') FROM eav.health_check()));
ok(time - $began < 5, 'a lock on every table does not stop it');
like($locked, qr/^\d+\|(?!0)\d+$/, "some is not known: $locked");
is((split /\|/, $locked)[0], scalar @names, 'and no row is missing');
is(check('staging_backlog', 'status, detail'), 'unknown|a lock could not be had within 10 ms', 'it says why');
is(check('xid_age', 'status'), 'ok', 'what needs no such lock is known');
$client->ask('ROLLBACK');
$client->close;

# --- a crash ---------------------------------------------------------------------------------------

$node->stop('immediate');
$node->start;
$node->wait_for_worker;
becomes('ingest_gaps', 'critical', 'the server has crashed');
would_be(q(UPDATE eav.ingest_gaps SET detected_at = detected_at - interval '2 hours'), 'ingest_gaps', 'warning', 'a while ago');
$node->ask(q(UPDATE eav.ingest_gaps SET detected_at = detected_at - interval '25 hours'));
becomes('ingest_gaps', 'ok', 'long ago');
all_is_ok('in the end');

# The ring is remembered for a minute; a restart forgets it, which has happened here.
ok($spilled_at, 'the ring was full');
$node->stop;

# --- without preload -------------------------------------------------------------------------------

my $plain = EavCluster->ready('plain', shared_preload_libraries => '');
$plain->wait_for_worker;
$plain->register;
$plain->ask(EavCluster::insert_numbers(1, 10));
$plain->flush;
ok($plain->wait_for(q(SELECT NOT EXISTS (SELECT FROM eav.health_check() WHERE status <> 'ok'))), 'all is ok without preload')
  || diag $plain->ask(q(SELECT check_name, detail FROM eav.health_check() WHERE status <> 'ok'));
is($plain->ask(q(SELECT detail FROM eav.health_check() WHERE check_name = 'ring')), 'the server has no ring', 'there is no ring');
$plain->stop;

done_testing();
