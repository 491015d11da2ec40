# The life of the flush worker: when it is there, what it survives, when it goes for good.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = EavCluster->ready('main', 'eav.maintenance_interval' => 1);
$node->register;
my $next = 1;

# A value goes in, and the worker, which may have to be started again first, brings it to history.
sub values_flow
{
	my ($name, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $number = $next++;
	$node->ask(EavCluster::insert_numbers($number, $number), $db);
	return ok(
		$node->wait_for("SELECT count(*) FROM eav.entity_values_ts WHERE value_int = $number", 1, $db),
		$name);
}

# --- what it looks like ----------------------------------------------------------------------

ok($node->wait_for_worker, 'CREATE EXTENSION starts the worker');
is($node->ask("SELECT a.backend_type, a.application_name, a.datname
		FROM pg_stat_activity a WHERE pid = eav._worker_pid()"),
	'eav_ext flush worker|eav_ext flush worker|postgres', 'pg_stat_activity tells what it is');
is($node->ask('SELECT pid = eav._worker_pid(), backend_type, started_at < now() FROM eav.worker_status()'),
	't|eav_ext flush worker|t', 'so does worker_status()');
is($node->ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'eav_ext launcher'"),
	1, 'a preloaded library has a launcher');
values_flow('values flow');
is($node->ask('SELECT eav.start_worker()'), 'f', 'start_worker() does nothing while one is running');

# --- signals -----------------------------------------------------------------------------------

sub comes_back_after
{
	my ($what, $signal) = @_;
	my $pid = $node->worker_pid;
	$signal->($pid);
	ok($node->wait_for("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0), "$what ends the worker");
	ok($node->wait_for("SELECT running AND pid <> $pid FROM eav.worker_status()"), 'and it comes back');
	values_flow('with all it has to do');
	return;
}
comes_back_after('SIGTERM', sub { kill 'TERM', shift });
comes_back_after('pg_terminate_backend()', sub { $node->ask('SELECT pg_terminate_backend(' . shift() . ')') });

my $pid = $node->worker_pid;
foreach (1 .. 5)
{
	$node->ask("SELECT pg_cancel_backend($pid)");
	values_flow('pg_cancel_backend() does not stop it');
}
is($node->worker_pid, $pid, 'nor end it');

$node->set('eav.flush_interval' => '50s');
$node->ask(EavCluster::insert_numbers($next, $next));
++$next;
$node->set('eav.flush_interval' => '100ms');
values_flow('SIGHUP ends a long interval at once');

$pid = $node->worker_pid;
$node->worker_off;
my $flushes = $node->state_of('flushes');
$node->ask(EavCluster::insert_numbers($next, $next));
++$next;
# It does not work, but it looks whether it is needed.
my $looked = "SELECT state_change FROM pg_stat_activity WHERE pid = $pid";
foreach (1 .. 2)
{
	my $before = $node->ask($looked);
	EavCluster::wait_until('the worker has looked around', sub { $node->ask($looked) ne $before });
}
is($node->state_of('flushes'), $flushes, 'eav.worker_enabled = off stops the flushes');
is($node->worker_pid, $pid, 'the worker stays');
$node->worker_on;
values_flow('on again, they go on');

# --- one at most ---------------------------------------------------------------------------------

my @sessions = map { $node->start_session(join "\n", ('SELECT eav.start_worker();') x 40, '') } 1 .. 4;
kill 'TERM', $node->worker_pid;
my $most = 0;
EavCluster::wait_until('the sessions are done', sub {
	# One that finds another at work leaves before it has a state.
	my $count = $node->worker_count("state IS NOT NULL AND datname = 'postgres'");
	$most = $count if $count > $most;
	$_->{run}->pump_nb foreach grep { $_->{run}->pumpable } @sessions;
	return !grep { $_->{run}->pumpable } @sessions;
});
EavCluster::finish_session($_) foreach @sessions;
cmp_ok($most, '<=', 1, 'start_worker() from all sides: never two workers');
ok($node->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'eav_ext flush worker'", 1),
	'one is there in the end');

# --- databases -----------------------------------------------------------------------------------

sub create_database
{
	my ($db) = @_;
	$node->ask("CREATE DATABASE $db");
	$node->ask('CREATE EXTENSION eav_ext CASCADE', $db);
	$node->register($db);
	$node->wait_for_worker($db) or BAIL_OUT("no worker in $db");
	return $node->ask("SELECT oid FROM pg_database WHERE datname = '$db'");
}

my %dropped;
foreach my $how ('', 'WITH (FORCE)', '', 'WITH (FORCE)')
{
	my $oid = create_database('gone');
	values_flow('the worker of another database works', 'gone');
	$dropped{$oid} = "DROP DATABASE gone $how";
	is($node->error_of($dropped{$oid}), '', "$dropped{$oid} with the worker at work");
}
my $busy = create_database('busy');
my $load = $node->start_session(
	join("\n", (EavCluster::insert_numbers(1, 20000) . ';') x 10, ''), 'busy');
EavCluster::finish_session($load);
$dropped{$busy} = 'DROP DATABASE busy';
is($node->error_of($dropped{$busy}), '', 'DROP DATABASE with the worker busy');

create_database('model');
values_flow('a model database works', 'model');
is($node->error_of('CREATE DATABASE copy TEMPLATE model'), '', 'CREATE DATABASE ... TEMPLATE beside the worker');
is($node->error_of('CREATE DATABASE copy_of_files TEMPLATE model STRATEGY file_copy'), '', 'also file by file');
ok($node->wait_for_worker('model'), 'its worker comes back');
$node->ask('SELECT pg_reload_conf()');    # the launcher looks now, not in a minute
foreach my $db ('copy', 'copy_of_files')
{
	ok($node->wait_for_worker($db), "the launcher starts a worker for $db");
	values_flow('values flow there', $db);
	$node->projection_is_right(undef, $db);
}
is($node->error_of('ALTER DATABASE copy RENAME TO renamed'), '', 'ALTER DATABASE ... RENAME waits for the worker');
ok($node->wait_for_worker('renamed'), 'the worker is back in the renamed database');
is($node->error_of('ALTER DATABASE renamed SET TABLESPACE pg_default'), '', 'ALTER DATABASE ... SET TABLESPACE');

# --- the extension -------------------------------------------------------------------------------

foreach my $how ('CASCADE', 'and again')
{
	is($node->error_of('DROP EXTENSION eav_ext CASCADE', 'model'), '', 'DROP EXTENSION beside the worker');
	ok($node->wait_for("SELECT count(*) FROM pg_stat_activity
			WHERE datname = 'model' AND backend_type = 'eav_ext flush worker'", 0), 'the worker leaves');
	is($node->error_of('DROP SCHEMA IF EXISTS eav CASCADE; CREATE EXTENSION eav_ext CASCADE', 'model'),
		'', 'CREATE EXTENSION');
	$node->register('model');
	ok($node->wait_for_worker('model'), 'the worker follows');
	values_flow('values flow again', 'model');
}
is($node->error_of('BEGIN; DROP EXTENSION eav_ext CASCADE; DROP SCHEMA IF EXISTS eav CASCADE;
	CREATE EXTENSION eav_ext; COMMIT', 'model'), '', 'both in one transaction');
$node->register('model');
ok($node->wait_for_worker('model'), 'the worker is there');
values_flow('values flow again', 'model');
$node->ask('CREATE DATABASE undone');
is($node->error_of('BEGIN; CREATE EXTENSION eav_ext CASCADE; ROLLBACK', 'undone'), '', 'CREATE EXTENSION rolled back');
ok($node->wait_for("SELECT count(*) FROM pg_stat_activity
		WHERE datname = 'undone' AND backend_type = 'eav_ext flush worker'", 0), 'leaves no worker');

# --- the log -------------------------------------------------------------------------------------

my $log = slurp_file($node->logfile);
foreach my $oid (sort keys %dropped)
{
	unlike($log, qr/FATAL:  database $oid does not exist/, "$dropped{$oid}: its worker ended for good");
}
unlike($log, qr/PANIC|TRAP|signal 11/, 'the log tells of no crash');
$node->stop;

# --- without preload, and without a free slot ------------------------------------------------------

$node = EavCluster->ready('plain', shared_preload_libraries => '');
$node->register;
ok($node->wait_for_worker, 'without preload CREATE EXTENSION starts the worker as well');
values_flow('which works');
comes_back_after('SIGTERM', sub { kill 'TERM', shift });
$node->restart;
is($node->worker_count, 0, 'after a restart nobody starts it');
is($node->ask('SELECT eav.start_worker()'), 't', 'but start_worker()');
values_flow('does');
$node->stop;

$node = EavCluster->ready('full', max_worker_processes => 2, extension => 0);
my ($status, $out, $err) = $node->psql('postgres', 'CREATE EXTENSION eav_ext CASCADE');
is($status, 0, 'CREATE EXTENSION succeeds when all process slots are taken');
like($err, qr/WARNING:  the flush worker was not started/, 'and says that there is no worker');
like($node->error_of('\set VERBOSITY verbose
	SELECT eav.start_worker()'), qr/ERROR:  53000/, 'start_worker() raises 53000');
$node->register;
$node->ask(EavCluster::insert_numbers(1, 100));
is($node->flush, 100, 'flushes by hand work');
$node->stop;

done_testing();
