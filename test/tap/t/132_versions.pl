# Library and SQL of different versions: every entry point says so and does nothing, the worker waits,
# and shared memory of another version is not used. The other version of the library is this one under
# another name; other versions of the SQL are scripts that change the number.
use strict;
use warnings;

use EavCluster;
use EavInstallation;
use PostgreSQL::Test::Utils;
use Test::More;

my $installation = EavInstallation->copy;
my $library = slurp_file($installation->library);
my ($version) = slurp_file("$installation->{sharedir}/extension/eav_ext.control") =~ /^default_version = '(.*)'/m;
# As long as ours, so that they fit into the library.
(my $older = $version) =~ s/^\d/0/;
(my $newer = $version) =~ s/^\d/9/;

# Each changes a function, as all scripts do.
my $change = q(COMMENT ON FUNCTION eav.stage_flush(bigint) IS 'changed';
	REVOKE ALL ON FUNCTION eav.stage_flush(bigint) FROM PUBLIC;);
$installation->install_script("eav_ext--$version--$newer.sql", $change);
$installation->install_script("eav_ext--$newer--$version.sql", $change);
$installation->install_script("eav_ext--$version--asks.sql", 'SELECT eav._check_library();');

my $node = EavCluster->new('versions', install_path => $installation->path);
$node->init;
$node->start;
$node->ask('CREATE EXTENSION eav_ext CASCADE');
$node->register;
$node->ask(EavCluster::ingest_numbers(1, 100, 'durable'));
is($node->ask('SELECT eav._library_version()'), $version, 'the library tells its version');

# Entry points, as the catalog has them, with arguments of the right types.
my $entry_points = <<'SQL';
SELECT format('SELECT eav.%I(%s)', p.proname, (
    SELECT string_agg(format('%s::%s', CASE
        WHEN t.oid IN ('text'::regtype, 'name'::regtype) THEN '''x'''
        WHEN t.oid = 'jsonb'::regtype THEN '''{}'''
        WHEN t.oid = 'bytea'::regtype THEN '''\x'''
        WHEN t.oid = 'boolean'::regtype THEN 'false'
        WHEN t.oid = 'interval'::regtype THEN '''1s'''
        WHEN t.oid = 'timestamptz'::regtype THEN 'now()'
        WHEN t.oid = 'pg_snapshot'::regtype THEN '''3:3:'''
        WHEN t.typcategory = 'N' THEN '1'
        WHEN t.typcategory = 'A' THEN '''{}''' ELSE 'NULL' END, t.oid::regtype), ', ' ORDER BY a.place)
    FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, place) JOIN pg_type t ON t.oid = a.type))
FROM pg_proc p
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'eav_ext'
WHERE p.probin IS NOT NULL AND p.prorettype <> 'trigger'::regtype AND p.provolatile <> 'i'
AND p.proname NOT IN ('_library_version', 'start_worker')
ORDER BY 1
SQL
sub everything_refuses
{
	my ($sql, $hint) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $library_version = $node->ask('SELECT eav._library_version()');
	my $expected = qr/ERROR:  55000: extension eav_ext is of version \Q$sql\E, and its library of version \Q$library_version\E\n.*HINT:  $hint/s;
	my @statements = split /\n/, $node->ask($entry_points);
	push @statements, 'UPDATE eav.tenants SET name = name', EavCluster::insert_numbers(1000, 1000);
	cmp_ok(scalar @statements, '>', 30, 'there are many entry points');
	foreach my $statement (@statements)
	{
		like($node->error_of("\\set VERBOSITY verbose\n$statement"), $expected, "refused: $statement");
	}
	return;
}
sub worker_waits
{
	my ($position, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(EavCluster::wait_until('the worker waits',
			sub { $node->log_since($position) =~ /flush worker waits: the extension is of version/ }), $name);
}

# The SQL becomes newer under a server that runs. What is in staging waits.
my $position = $node->log_position;
$node->ask(EavCluster::insert_numbers(101, 200) . "; ALTER EXTENSION eav_ext UPDATE TO '$newer'");
worker_waits($position, 'the worker waits for another library');
like($node->log_since($position), qr/flush worker leaves: the extension is of another version now/, 'and it said why it left');
everything_refuses($newer, 'Restart the server');
my $session = $node->session;
like($session->query('SELECT eav._library_version()'), qr/\Q$version\E/, 'a session that goes on');
$node->ask("ALTER EXTENSION eav_ext UPDATE TO '$version'");
ok($node->wait_for('SELECT count(*) = 200 FROM eav.entity_values_ts'), 'the worker goes on when they are the same again');
is($session->query('SELECT flushed FROM eav.stage_flush()'), 0, 'and so does the session');
$session->quit;
$node->numbers_are([ [ 1, 200 ] ], 'nothing is lost or doubled');

# An update that asks first is refused as a whole.
like($node->error_of("ALTER EXTENSION eav_ext UPDATE TO 'asks'"), qr/extension eav_ext is of version asks, and its library of version/,
	'a script asks whether the library is that of its version');
is($node->ask("SELECT extversion FROM pg_extension WHERE extname = 'eav_ext'"), $version, 'and nothing has changed');
ok($node->wait_for_worker, 'the worker runs');

# A library that is older than the SQL, and one that is newer: in place before the server starts.
foreach my $case ([ $older, 'Restart the server' ], [ $newer, 'Run ALTER EXTENSION eav_ext UPDATE' ])
{
	my ($name, $hint) = @$case;
	$node->stop;
	$installation->put($installation->library, $library);
	$installation->rename_library($version, $name);
	$position = $node->log_position;
	$node->start;
	worker_waits($position, "the worker of library $name waits");
	everything_refuses($version, $hint);
	like($node->error_of('INSERT INTO eav.entity_values_ingest (slot, tenant_id, entity_id, attribute_id, value_int) VALUES (0, 1, 1, 1, 0)'),
		qr/HINT:  $hint/, 'not even with a slot of its own');
	is($node->ask('SELECT count(*) FROM eav.entity_values_ts'), 200, 'it has written nothing');
	is(scalar(() = $node->log_since($position) =~ /flush worker waits/g), 1, 'it said once that it waits');
	ok($node->error_of('DROP DATABASE IF EXISTS nothing') eq '', 'the server answers');
}
$node->stop;
$installation->put($installation->library, $library);
$node->start;
ok($node->wait_for_worker, 'with its own library the worker runs');
$node->ask(EavCluster::ingest_numbers(201, 300, 'durable'));
$node->numbers_are([ [ 1, 300 ] ], 'and all is there');

# Without preload each session loads what is on disk. The first has made the shared memory.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$node->ask('SELECT eav.start_worker()');
$node->wait_for_worker;
my $old_session = $node->session;
like($old_session->query('SELECT count(*) FROM eav.stat_ingest'), qr/1/, 'a session that has loaded the library');
$installation->rename_library($version, $newer);
$node->ask("UPDATE pg_extension SET extversion = '$newer' WHERE extname = 'eav_ext'; $change");
like($node->error_of("\\set VERBOSITY verbose\nSELECT * FROM eav.stat_ingest"),
	qr/ERROR:  55000: another version of the library of eav_ext is in use on this server.*HINT:  Restart the server/s,
	'a session with another library does not use its shared memory');
like($node->error_of("SELECT * FROM eav.ingest('[{\"tenant_id\": 1, \"entity_id\": 1, \"attributes\": {\"n\": 1}}]')"),
	qr/another version of the library/, 'nor does a producer');
$position = $node->log_position;
$old_session->query('SELECT eav.stage_flush()');
like($old_session->{stderr}, qr/extension eav_ext is of version \Q$newer\E, and its library of version \Q$version\E/,
	'the other session does no harm');
$old_session->quit;
$node->restart;
$node->ask('SELECT eav.start_worker()');
ok($node->wait_for_worker, 'after a restart the worker runs with the new library');
$node->ask(EavCluster::insert_numbers(301, 400));
ok($node->wait_for('SELECT count(*) = 400 FROM eav.entity_values_ts'), 'and flushes');
$node->numbers_are([ [ 1, 400 ] ], 'and all is there');

# A released version that is installed now works after the update.
$installation->put($installation->library, $library);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'eav_ext'");
$node->restart;
SKIP:
{
	skip EavCluster::release_refused(), 3 if EavCluster::release_refused();
	$node->ask('CREATE DATABASE released');
	$node->ask("CREATE EXTENSION eav_ext VERSION '1.0.0' CASCADE", 'released');
	like($node->error_of('SELECT eav.stage_flush()', 'released'), qr/HINT:  Run ALTER EXTENSION eav_ext UPDATE/,
		'an old version that is newly installed is of no use');
	$node->ask('ALTER EXTENSION eav_ext UPDATE', 'released');
	ok($node->wait_for_worker('released'), 'until it is updated');
	$node->register('released');
	$node->ask(EavCluster::ingest_numbers(1, 10, 'durable'), 'released');
	$node->numbers_are([ [ 1, 10 ] ], 'then it works', 'released');
}
$node->stop;
done_testing();
