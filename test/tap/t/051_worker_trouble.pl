# What goes wrong around the worker, and what it makes of it: triggers that fail, settings of the
# database, restarts under load; and that an idle worker leaves no trace.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = EavCluster->ready('main', autovacuum => 'off');
$node->register;
my $next = 1;
my $input = 0;

sub feed
{
	my ($count) = @_;
	my ($from, $to) = ($next, $next + $count - 1);
	$next = $to + 1;
	$input += $count;
	$node->ask(EavCluster::insert_numbers($from, $to, 50));
	return;
}

# All that went in is in history or in rejects.
sub settled
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->wait_for('SELECT (SELECT count(*) FROM eav.entity_values_ts)
		+ (SELECT count(*) FROM eav.ingest_rejects)', $input), $name);
}

sub rejects { return $node->ask('SELECT count(*) FROM eav.ingest_rejects') }

sub make_trigger
{
	my ($table, $event, $body) = @_;
	$node->ask("CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN $body RETURN NEW; END \$\$;
		CREATE OR REPLACE TRIGGER trouble $event ON $table FOR EACH ROW EXECUTE FUNCTION trouble()");
	return;
}

sub drop_trigger
{
	my ($table) = @_;
	$node->ask(EavCluster::drop_trigger('trouble', $table));
	return;
}

sub replay
{
	my ($count) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->ask('SELECT eav.replay_rejects()'), $count, "$count rejects are replayed");
	ok($node->wait_for('SELECT count(*) FROM eav.entity_values_ts', $input), 'and arrive');
	is(rejects(), 0, 'none is left');
	return;
}

feed(100);
settled('values flow');

# --- triggers ----------------------------------------------------------------------------------

my $history = 'eav.entity_values_ts';
make_trigger($history, 'BEFORE INSERT',
	"IF NEW.value_int % 100 = 7 THEN RAISE EXCEPTION 'no sevens' USING ERRCODE = '22000'; END IF;");
feed(2000);
settled('a trigger on history that fails for some values');
is(rejects(), 20, 'these are rejected, their neighbours are not');
is($node->ask('SELECT DISTINCT sqlstate, reason FROM eav.ingest_rejects'),
	'22000|no sevens', 'the reason is what the trigger said');
$node->projection_is_right;
drop_trigger($history);
replay(20);

make_trigger($history, 'BEFORE INSERT', "RAISE EXCEPTION 'nothing today';");
feed(1000);
settled('a trigger that always fails');
is(rejects(), 1000, 'rejects everything');
drop_trigger($history);
feed(1000);
settled('without it values flow');
replay(1000);

# An error that says nothing about the value: the flush is tried again until it succeeds.
make_trigger($history, 'BEFORE INSERT', "RAISE EXCEPTION 'out of space' USING ERRCODE = 'disk_full';");
my $position = $node->log_position;
feed(1000);
ok(EavCluster::wait_until('the worker has failed twice',
		sub { (() = $node->log_since($position) =~ /ERROR:  out of space/g) >= 2 }),
	'a full disk makes the flush fail, and it is tried again');
ok($node->wait_for('SELECT running FROM eav.worker_status()'), 'worker_status() still knows the worker');
is($node->ask('SELECT eav.start_worker()'), 'f', 'no second one is started');
ok($node->wait_for("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'eav_ext flush worker'", 1),
	'there is one worker');
is(rejects(), 0, 'nothing is rejected for it');
drop_trigger($history);
$node->ask('SELECT pg_reload_conf()');    # ends the pause between failures
settled('all values arrive when there is space again');
is(rejects(), 0, 'none was rejected');

my $projection = 'eav.entity_jsonb';
make_trigger($projection, 'BEFORE INSERT OR UPDATE',
	"IF NEW.entity_id = 13 THEN RAISE EXCEPTION 'not 13'; END IF;");
feed(500);
settled('a trigger on the projection that fails for one entity');
is(rejects(), 10, 'its values are rejected');
is($node->ask("SELECT count(*) FROM eav.entity_jsonb p WHERE entity_id <> 13 AND live_attrs->'n' <>
		(SELECT to_jsonb(max(value_int)) FROM eav.entity_values_ts v WHERE v.entity_id = p.entity_id)"),
	0, 'the other entities are up to date');
$node->projection_is_right;
drop_trigger($projection);
replay(10);
$node->projection_is_right;

# A value that is in history and waits for its locked projection row, where a trigger fails then.
my $client = $node->session;
$client->query_safe('BEGIN');
$client->query_safe('SELECT FROM eav.entity_jsonb WHERE entity_id = 13 FOR UPDATE');
feed(50);
$node->wait_for('SELECT backlog FROM eav.flush_state', 1);
make_trigger($projection, 'BEFORE INSERT OR UPDATE',
	"IF NEW.entity_id = 13 THEN RAISE EXCEPTION 'not 13'; END IF;");
$client->query_safe('ROLLBACK');
$client->quit;
$node->flush;
settled('a value of the backlog that a trigger refuses counts once');
drop_trigger($projection);
$node->ask('SELECT eav.replay_rejects()');
ok($node->wait_for('SELECT backlog = 0 AND NOT EXISTS (SELECT FROM eav.ingest_rejects) FROM eav.flush_state'),
	'without the trigger nothing is left over');
feed(50);
settled('and values flow');
$node->projection_is_right;

# --- settings of the database and of roles -------------------------------------------------------

my %harm = (
	default_transaction_read_only => 'on',
	default_transaction_isolation => 'serializable',
	default_transaction_deferrable => 'on',
	search_path => 'nowhere',
	statement_timeout => '1ms',
	lock_timeout => '1ms',
	idle_in_transaction_session_timeout => '1ms',
	row_security => 'off',
	session_replication_role => 'replica',
	synchronous_commit => 'on',
	timezone => 'Asia/Kathmandu',
	datestyle => 'German',
	intervalstyle => 'sql_standard',
	bytea_output => 'escape',
	extra_float_digits => '-15',
	standard_conforming_strings => 'off',
	temp_file_limit => '0',
	work_mem => '64kB',
	plan_cache_mode => 'force_generic_plan',
	enable_indexscan => 'off',
	'eav.flush_batch_values' => '100');
my $pid = $node->worker_pid;
foreach my $name (sort keys %harm)
{
	my $value = $name eq 'search_path' ? $harm{$name} : "'$harm{$name}'";
	$node->ask("ALTER DATABASE postgres SET $name = $value", 'template1');
}
kill 'TERM', $pid;
$node->wait_for("SELECT count(*) FROM pg_locks WHERE objsubid = 25974 AND pid <> $pid", 1, 'template1');
{
	local $ENV{PGOPTIONS} = '-c default_transaction_read_only=off -c statement_timeout=0'
	  . ' -c lock_timeout=0 -c session_replication_role=origin';
	feed(1000);
	$node->ask('ALTER DATABASE postgres RESET ALL');
}
settled('harmful settings of the database do not reach the worker');
is(rejects(), 0, 'nothing is rejected for them');
$node->projection_is_right;

# --- a worker that rests rests -----------------------------------------------------------------------

sub ticks_of
{
	my ($process) = @_;
	my @fields = split / /, slurp_file("/proc/$process/stat") =~ s/.*\) //sr;
	return $fields[11] + $fields[12];
}

SKIP:
{
	skip 'there is no /proc', 1 if !-r "/proc/$$/stat";
	$node->worker_off;
	$node->ask('SELECT eav.heartbeat()');
	my $before = ticks_of($node->worker_pid);
	$node->ask('SELECT pg_sleep(2)');
	cmp_ok(ticks_of($node->worker_pid) - $before, '<', 50, 'a worker that rests does not spin when it is asked for something');
	$node->worker_on;
}

# --- the extension comes while the worker leaves for want of it -----------------------------------

$node->ask('CREATE DATABASE late');
foreach my $round (1 .. 3)
{
	# A worker that rests looks once a second; here it looks while the transaction is under way.
	$node->worker_off;
	my $creator = $node->client('late');
	$creator->ask('DROP EXTENSION IF EXISTS eav_ext CASCADE');
	my $seen = $node->log_position;
	$creator->ask('BEGIN');
	$creator->ask('CREATE EXTENSION eav_ext CASCADE');
	if ($round > 1)
	{
		EavCluster::wait_until('the worker leaves',
			sub { $node->log_since($seen) =~ /flush worker leaves/ });
	}
	$creator->ask('COMMIT');
	ok($node->wait_for_worker('late'), "a worker runs after CREATE EXTENSION, round $round");
	$creator->close;
}
$node->worker_on;
$node->ask('DROP DATABASE late WITH (FORCE)');

# --- a value that is too much for the server -----------------------------------------------------------

# More elements than the server makes jsonb of, which it says by an internal error: the value is
# rejected, and others are flushed.
$node->set('eav.max_value_bytes' => '64MB');
$node->ask(q{SELECT eav.register_attribute(1, 'elements', 'json', 'none');
	INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value)
	VALUES (1, 1, 'elements', '[' || repeat('1,', 17000000) || '1]')});
$input++;
feed(10);
settled('too many elements do not stop the flush');
is($node->ask('SELECT sqlstate FROM eav.ingest_rejects'), '54000', 'the value is rejected');
$node->ask('TRUNCATE eav.ingest_rejects');
$input--;
$node->set('eav.max_value_bytes' => '1MB');

# --- restarts --------------------------------------------------------------------------------------

my $known = $node->ask('SELECT (SELECT epoch FROM eav.flush_state), count(*) FROM eav.ingest_gaps');
my @lost;
foreach my $mode ('fast', 'smart', 'fast')
{
	my @writers = map { $node->start_session(EavCluster::load_script(\$next, 400)) } 1 .. 3;
	$node->wait_for('SELECT flushes >= ' . ($node->state_of('flushes') + 3) . ' FROM eav.flush_state');
	$node->worker_off if $mode eq 'fast';    # so that staging is full
	$node->stop($mode);
	eval { IPC::Run::finish($_->{run}) } foreach @writers;
	$node->start;
	my $in_staging = $node->ask('SELECT count(*) FROM eav.entity_values_ingest
		WHERE NOT pg_visible_in_snapshot(xact, (SELECT snapshot FROM eav.flush_state))');
	cmp_ok($in_staging, '>', 0, "$mode restart with $in_staging values in staging") if $mode eq 'fast';
	$node->worker_on;
	$node->flush;
	my @sent = map { EavCluster::sent_by($_) } @writers;
	my %there = map { $_ => 1 } split /\n/, $node->ask('SELECT value_int FROM eav.entity_values_ts');
	push @lost, grep { defined $_->[3] && !$there{ $_->[0] } } @sent;
	is(scalar @lost, 0, "$mode restart under load: " . @sent . ' transactions, no acknowledged one is lost');
	is($node->ask('SELECT count(*) - count(DISTINCT value_int) FROM eav.entity_values_ts'),
		0, 'none is there twice');
}
is($node->ask('SELECT (SELECT epoch FROM eav.flush_state), count(*) FROM eav.ingest_gaps'),
	$known, 'clean restarts record no gap');
$node->projection_is_right;

# --- an idle worker ----------------------------------------------------------------------------------

$node->set('eav.flush_interval' => '10ms');
$node->wait_for_worker;
$node->ask('CHECKPOINT');
my $trace = 'SELECT pg_snapshot_xmax(pg_current_snapshot()), pg_current_wal_insert_lsn()';
my $watch = $node->session;
my ($before, $after);
# Other processes may write something now and then: one quiet stretch of 50 ticks will do.
foreach (1 .. 10)
{
	$before = $watch->query_safe($trace);
	$watch->query_safe('SELECT pg_sleep(0.5)');
	$after = $watch->query_safe($trace);
	last if $before eq $after;
}
is($after, $before, 'an idle worker uses no transaction id and writes no WAL');

# A commit beside work of the worker that comes to nothing is not taken for that work: heartbeats
# wait for a lock, and nothing else happens.
$node->set('eav.heartbeat_interval' => '20ms');
my $locker = $node->session;
$locker->query_safe('BEGIN; LOCK TABLE eav.replication_heartbeat');
foreach my $round (1 .. 5)
{
	$watch->query_safe(q{SELECT pg_sleep(1.5)});
	my $sent = $node->ask('SELECT count(*) FROM eav.entity_values_ts');
	feed(1);
	ok($node->wait_for("SELECT count(*) > $sent FROM eav.entity_values_ts"), "a lone commit is flushed, round $round");
}
$locker->query_safe('COMMIT');
$locker->quit;
$watch->quit;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal 11/, 'the log tells of no crash');

done_testing();
