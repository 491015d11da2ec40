# Indexes of attributes: built beside flushes, whatever happens to the builder, the server, the
# table and the database.
use strict;
use warnings;
use lib '.';
use EavCluster;
use Test::More;

# deadlock_timeout: longer than the worker needs to notice that a build is in the way; else the server
# may end who waits for it as part of a deadlock.
my $node = EavCluster->ready(
	'index',
	autovacuum => 'off',
	restart_after_crash => 'on',
	deadlock_timeout => '10s');
$node->wait_for_worker;

# Two tenants with the same attribute, whose name needs all kinds of quotes.
my $name = q(co'l\or "x" $1);
(my $quoted = $name) =~ s/'/''/g;
$node->ask(<<"SQL");
SELECT eav.register_tenant('one', 1), eav.register_tenant('two', 2);
SELECT eav.register_attribute(t, '$quoted', 'int', 'hot') FROM generate_series(1, 2) AS t;
SELECT eav.register_attribute(1, 'n', 'int', 'live');
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_int)
SELECT 1 + i % 2, i, '$quoted', i % 1000 FROM generate_series(1, 20000) AS i;
SQL
$node->flush;

sub index_is
{
	my ($attribute, $state, $what, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->wait_for("SELECT state = '$state' FROM eav.stat_attribute_indexes
		WHERE attribute_id = $attribute", 't', $db), $what);
}

sub builder_pid
{
	return $node->ask("SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'eav_ext index builder' AND query LIKE 'CREATE INDEX%'");
}

# A transaction that a build has to wait for, because of its snapshot; and one that has read the
# table, so that dropping an index waits for it as well.
sub hold_builds
{
	my ($db, $table) = @_;
	my $holder = $node->client($db);
	$holder->ask('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$holder->ask('SELECT count(*) FROM ' . ($table // 'pg_am'));
	return $holder;
}

# The rest of an index scan and of what the table itself says; the planner may choose neither.
sub index_is_right
{
	my ($tenant, $attribute, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $condition = "tenant_id = $tenant AND hot_attrs ? '$quoted'";
	my $key = "eav.value_key(hot_attrs -> '$quoted')";
	my $query = "SELECT entity_id FROM eav.entity_jsonb WHERE $condition
		AND $key >= eav.value_key('500') ORDER BY $key, entity_id";
	my $settings = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;';
	like($node->ask("$settings EXPLAIN (COSTS OFF) $query"),
		qr/^Index Scan using attribute_${attribute}_idx.*\n\s*Index Cond: [^\n]*$/,
		"$what: used, in its order, with nothing left to check");
	is($node->ask("$settings SELECT count(*), md5(string_agg(entity_id::text, ',')) FROM ($query) AS q"),
		$node->ask("SET enable_indexscan = off; SET enable_bitmapscan = off;
			SELECT count(*), md5(string_agg(entity_id::text, ',')) FROM ($query) AS q"),
		"$what: same rows");
	return;
}

# Under a load of flushes that change what is indexed.
my $load = $node->start_session(join '', map { <<"SQL" } 1 .. 300);
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_int)
SELECT 1 + i % 2, i, '$quoted', (i * $_) % 1000 FROM generate_series($_ * 50, $_ * 50 + 99) AS i;
SQL
is($node->ask("SELECT eav.create_attribute_index(1, '$quoted'), eav.create_attribute_index(2, '$quoted')"),
	'attribute_1_idx|attribute_2_idx', 'names of indexes');
index_is(1, 'valid', 'built under load');
index_is(2, 'valid', 'built under load, for the other tenant');
ok(EavCluster::finish_session($load), 'the load had no errors');
$node->flush;
$node->projection_is_right;
index_is_right(1, 1, 'tenant 1');
index_is_right(2, 2, 'tenant 2');

# Flushes go on while a build waits, and an administrator's cancel is not for ever.
is($node->ask("SELECT eav.drop_attribute_index(1, '$quoted')"), 't', 'drop');
ok($node->wait_for("SELECT count(*) FROM eav.stat_attribute_indexes WHERE attribute_id = 1", 0), 'dropped');
my $holder = hold_builds();
$node->ask("SELECT eav.create_attribute_index(1, '$quoted')");
index_is(1, 'building', 'a build waits for an old transaction');
my $before = $node->state_of('flushes');
$node->ask(EavCluster::insert_numbers(1, 10, 100, 3));
ok($node->wait_for("SELECT flushes > $before FROM eav.flush_state"), 'the worker flushes meanwhile');
$node->ask('SELECT pg_cancel_backend(' . builder_pid() . ')');
ok($node->wait_for("SELECT state = 'invalid' AND failures = 0 AND last_error LIKE 'canceling%'
	AND next_attempt_at > clock_timestamp() FROM eav.stat_attribute_indexes WHERE attribute_id = 1"),
	'a cancelled build is put off');
$node->ask("SELECT eav.create_attribute_index(1, '$quoted')");
index_is(1, 'building', 'asked for again, it is tried at once');

# The builder is killed, and with it all that the server had in memory.
my $pid = builder_pid();
kill 'KILL', $pid;
$holder->close;
ok($node->wait_for("SELECT pg_postmaster_start_time() IS NOT NULL"), 'the server is back');
index_is(1, 'valid', 'built after the builder was killed');

# The server is killed.
$node->ask("SELECT eav.drop_attribute_index(1, '$quoted')");
ok($node->wait_for("SELECT count(*) FROM eav.stat_attribute_indexes WHERE attribute_id = 1", 0), 'dropped again');
$holder = hold_builds();
$node->ask("SELECT eav.create_attribute_index(1, '$quoted')");
index_is(1, 'building', 'under way');
$node->stop('immediate');
$holder->close;
$node->start;
index_is(1, 'valid', 'built after the server was killed');
index_is_right(1, 1, 'after crashes');

# A shutdown does not wait for a build.
$node->ask("SELECT eav.drop_attribute_index(1, '$quoted')");
ok($node->wait_for("SELECT count(*) FROM eav.stat_attribute_indexes WHERE attribute_id = 1", 0), 'and again');
$holder = hold_builds();
$node->ask("SELECT eav.create_attribute_index(1, '$quoted')");
index_is(1, 'building', 'under way');
$node->restart;
$holder->close;
index_is(1, 'valid', 'built after a restart');

# No index for an attribute that leaves the documents, nor for a wish that is taken back while it is
# being fulfilled.
$holder = hold_builds('postgres', 'eav.entity_jsonb');
$node->ask("SELECT eav.drop_attribute_index(2, '$quoted')");
$node->ask("UPDATE eav.attributes SET projection = 'live' WHERE attribute_id = 1");
ok($node->wait_for("SELECT string_agg(state, ',') = 'unwanted,unwanted' FROM eav.stat_attribute_indexes"),
	'unwanted');
$holder->ask('COMMIT');
$holder->close;
ok($node->wait_for("SELECT count(*) FROM pg_class WHERE relname ~ '^attribute_[0-9]+_idx\$'", 0),
	'the indexes are gone');
$node->ask("UPDATE eav.attributes SET projection = 'hot' WHERE attribute_id = 1");
index_is(1, 'valid', 'and back');

# What always fails is not tried all the time, and does not keep others from their turn.
$node->ask(<<"SQL");
CREATE FUNCTION no_index() RETURNS event_trigger LANGUAGE plpgsql AS
\$\$ BEGIN RAISE EXCEPTION 'no index today'; END \$\$;
CREATE EVENT TRIGGER no_index ON ddl_command_start WHEN TAG IN ('CREATE INDEX')
EXECUTE FUNCTION no_index();
SELECT eav.create_attribute_index(2, '$quoted');
SQL
ok($node->wait_for("SELECT state = 'pending' AND failures = 1 AND last_error = 'no index today'
	AND next_attempt_at BETWEEN clock_timestamp() + '2 s' AND clock_timestamp() + '10 s'
	FROM eav.stat_attribute_indexes WHERE attribute_id = 2"), 'a failure is noted');
is($node->ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'eav_ext index builder'"), 0,
	'nobody waits for better times');
ok($node->wait_for("SELECT failures = 2 AND next_attempt_at > clock_timestamp() + '12 s'
	FROM eav.stat_attribute_indexes WHERE attribute_id = 2"), 'tried again, by itself');
$node->ask("DROP EVENT TRIGGER no_index; SELECT eav.create_attribute_index(2, '$quoted')");
index_is(2, 'valid', 'then it works');
is($node->ask('SELECT failures, last_error IS NULL FROM eav.attribute_indexes WHERE attribute_id = 2'),
	'0|t', 'and the failures are forgotten');

# A dump has the wishes, not the indexes.
$node->ask('CREATE DATABASE restored');
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '--format=custom', "--file=$dump", $node->connstr('postgres') ], 'dump');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--dbname', $node->connstr('restored'), $dump ], 'restore');
index_is(1, 'valid', 'built after a restore', 'restored');
index_is(2, 'valid', 'built after a restore, the other', 'restored');

# Who wants the database does not have to wait for a build in it.
sub start_slow_build
{
	$node->ask("SELECT eav.drop_attribute_index(1, '$quoted')", 'restored');
	$node->wait_for("SELECT count(*) FROM eav.stat_attribute_indexes WHERE attribute_id = 1", 0, 'restored');
	my $slow = hold_builds('restored');
	$node->ask("SELECT eav.create_attribute_index(1, '$quoted')", 'restored');
	index_is(1, 'building', 'under way', 'restored');
	return $slow;
}
$holder = start_slow_build();
my $dropper = $node->client('restored');
$dropper->send('DROP EXTENSION eav_ext CASCADE');
ok($node->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'eav_ext index builder'
	AND query LIKE 'CREATE INDEX%'", 0), 'the build gives way to DROP EXTENSION');
$holder->ask('COMMIT');
$holder->close;
my $error = $dropper->result->{error};
is($error && $error->{M}, undef, 'which succeeds');
$dropper->close;
ok($node->wait_for("SELECT count(*) FROM pg_extension WHERE extname = 'eav_ext'", 0, 'restored'), 'dropped');
ok($node->wait_for("SELECT count(*) FROM pg_stat_activity WHERE datname = 'restored'
	AND backend_type LIKE 'eav_ext%'", 0), 'nobody stays');

$node->ask('DROP DATABASE restored');
$node->ask('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--dbname', $node->connstr('restored'), $dump ], 'restore again');
index_is(1, 'valid', 'built again', 'restored');
# The old transaction must be in another database here: it would itself be in the way.
$node->ask("SELECT eav.drop_attribute_index(1, '$quoted')", 'restored');
$node->wait_for("SELECT count(*) FROM eav.stat_attribute_indexes WHERE attribute_id = 1", 0, 'restored');
$holder = hold_builds('restored');
$node->ask("SELECT eav.create_attribute_index(1, '$quoted')", 'restored');
index_is(1, 'building', 'under way', 'restored');
my $drop = $node->start_session('DROP DATABASE restored');
$holder->close;
ok(EavCluster::finish_session($drop), 'DROP DATABASE during a build');

done_testing();
