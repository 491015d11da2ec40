# eav.ingest() and what happens to databases, extensions and servers around it: more databases than the
# ring has room for, databases that are dropped and copied, extensions that are dropped and created
# anew, with values in the ring; another encoding; a standby and its promotion. EAV_SEED=n repeats a
# plan.
use strict;
use warnings;
use EavCluster;
use EavLoad;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{EAV_SEED} // $ENV{SEED} // int(rand(1_000_000));
srand($seed);
note "seed $seed";

# What comes sooner than a minute was not waited for.
my $quick = 20;
$EavCluster::patience = 30;
my $node = EavCluster->ready(
	'main',
	autovacuum => 'off',
	extension => 0,
	'eav.flush_interval' => '60s',
	'eav.ring_size' => '4MB',
	'eav.ring_databases' => 2);
my $control = $node->client;

sub poll
{
	my ($client, $sql, $expected) = @_;
	return EavCluster::wait_until("$sql is " . ($expected // 't'),
		sub { $client->ask($sql) eq ($expected // 't') });
}

# A database with the extension and tenant 1.
sub create
{
	my ($db) = @_;
	$control->ask("CREATE DATABASE $db") if $db ne 'postgres';
	create_extension($db);
	return;
}
sub create_extension
{
	my ($db) = @_;
	$node->ask('CREATE EXTENSION eav_ext CASCADE', $db);
	$node->register($db);
	$node->wait_for_worker($db) or BAIL_OUT("no worker in $db");
	return;
}
# eav.ingest() of one number; returns the ticket, whose lowest bit is set when it was spilled.
sub ingest
{
	my ($client, $n, $ack) = @_;
	return $client->ask(EavCluster::ingest_numbers($n, $n, $ack));
}
sub is_spilled { return $_[0] % 2 }
sub numbers
{
	my ($db) = @_;
	return $node->ask("SELECT string_agg(value_int::text, ' ' ORDER BY value_int) FROM eav.entity_values_ts
		WHERE attribute_id = 1", $db);
}
# Opening the door takes the worker a moment.
sub wait_for_ring { return poll($_[0], 'SELECT is_open FROM eav.stat_ingest') }

# --- more databases than queues ---------------------------------------------------------------------

create('postgres');
wait_for_ring($control);
subtest 'more databases than eav.ring_databases' => sub {
	create('second');
	my $second = $node->client('second');
	wait_for_ring($second);
	create('third');
	my $third = $node->client('third');
	ok(!is_spilled(ingest($control, 1)), 'the first uses the ring');
	ok(!is_spilled(ingest($second, 2)), 'the second, too');
	ok(is_spilled(ingest($third, 3)), 'the third one does without');
	is($third->ask('SELECT is_open FROM eav.stat_ingest'), 'f', 'and says so');
	my $began = time;
	is(@{ $third->query(EavCluster::ingest_numbers(4, 4, 'durable'))->{notices} }, 0, 'durable works there');
	is($third->ask('SELECT eav.wait_flushed(' . ingest($third, 5) . ')'), 't', 'and wait_flushed()');
	cmp_ok(time - $began, '<', $quick, 'at once');
	is($_->ask('SELECT eav.wait_flushed(' . ingest($_, 6) . ')'), 't', 'also in the others') foreach $control, $second;
	is(numbers('postgres'), '1 6', 'each has its values');
	is(numbers('second'), '2 6', 'each has its values');
	is(numbers('third'), '3 4 5', 'each has its values');
	is($third->ask('SELECT calls, spilled_calls FROM eav.stat_ingest'), '3|3', 'and its figures');
	is($second->ask('SELECT calls, spilled_calls FROM eav.stat_ingest'), '2|0', 'and its figures');
	$_->close foreach $second, $third;
};

subtest 'a stop with load in all of them' => sub {
	my $round = 0;
	foreach my $mode ('fast', 'smart', 'fast', 'smart')
	{
		$round++;
		my %load = map {
			$_ => EavLoad->start(node => $node, database => $_, round => $round, producers => 2,
				seconds => $mode eq 'smart' ? 0.6 : 30)
		} qw(postgres second third);
		sleep 0.2 + rand 0.2;
		$control->close;
		$node->stop($mode);
		ok($load{$_}->wait_for_end, "$mode stop, $_: the producers have ended") foreach sort keys %load;
		$node->start;
		foreach my $db (sort keys %load)
		{
			my $client = $node->client($db);
			$client->ask('SELECT eav.stage_flush()');
			my $verdict = $load{$db}->judge($client);
			is(@{ $verdict->{missing} }, 0, "$db: all is there")
			  or diag EavLoad::describe(@{ $verdict->{missing} });
			is("@{ $verdict->{doubled} }@{ $verdict->{unexpected} }", '', 'once, and nothing else');
			is($client->ask('SELECT count(*) FROM eav.ingest_gaps'), 0, 'no gap is recorded');
			cmp_ok($verdict->{committed}, '>', 0, EavLoad::summary($verdict));
			$client->close;
		}
		$control = $node->client;
	}
};

# --- databases that have no extension ---------------------------------------------------------------

subtest 'databases without the extension take no place' => sub {
	my $other = EavCluster->ready('other', extension => 0, 'eav.ring_databases' => 1);
	$other->ask("CREATE DATABASE $_") foreach qw(app bare);
	$other->ask('CREATE EXTENSION eav_ext CASCADE', 'app');
	foreach (1 .. 3)
	{
		$other->restart;
		ok($other->wait_for('SELECT is_open FROM eav.stat_ingest', 't', 'app'), 'the only one that has it uses the ring');
	}
	$other->stop;
};

# --- databases that go -----------------------------------------------------------------------------------

# A restart gives the doors away anew.
$control->close;
$node->ask("DROP DATABASE $_") foreach qw(second third);
$node->restart;
$control = $node->client;
wait_for_ring($control);

foreach my $how ('', 'WITH (FORCE)')
{
	subtest "DROP DATABASE $how" => sub {
		foreach my $turn (1 .. 3)
		{
			create('gone');
			my $client = $node->client('gone');
			wait_for_ring($client);
			ok(!is_spilled(ingest($client, 100)), "turn $turn: the new database gets the place of the dropped one");
			my $left = $client->ask('SELECT slabs_in_use FROM eav.stat_ingest');
			cmp_ok($left, '>', 0, 'values are in the ring');
			$client->close;
			my $began = time;
			is($control->sqlstate("DROP DATABASE gone $how"), '', 'it is dropped with them');
			cmp_ok(time - $began, '<', $quick, 'at once');
		}
		create('gone');
		my $client = $node->client('gone');
		wait_for_ring($client);
		is(numbers('gone'), '', 'a new database of that name does not have them');
		ok(poll($control, 'SELECT slabs_in_use FROM eav.stat_ingest', 0), 'nothing of them is left in the ring');
		$client->close;
		$control->ask('DROP DATABASE gone WITH (FORCE)');
	};
}

# Somebody has parcels in his hands when the database goes.
subtest 'DROP DATABASE WITH (FORCE) under load' => sub {
	foreach my $turn (1 .. 3)
	{
		create('gone');
		my $client = $node->client('gone');
		wait_for_ring($client);
		$client->close;
		my $load = EavLoad->start(node => $node, database => 'gone', round => 50 + $turn,
			producers => 4, seconds => 30);
		sleep 0.2 + rand 0.2;
		is($control->sqlstate('DROP DATABASE gone WITH (FORCE)'), '', 'it is dropped');
		# What they are told is not in order.
		$load->wait_for_end;
	}
	create('gone');
	my $client = $node->client('gone');
	ok(wait_for_ring($client), 'the next one gets the place in the ring');
	ok(poll($control, 'SELECT slabs_in_use FROM eav.stat_ingest', 0), 'no slab is left in use');
	is(numbers('gone'), '', 'it is empty');
	$client->close;
	$control->ask('DROP DATABASE gone');
};

# --- extensions that go ----------------------------------------------------------------------------------

create('model');
$control->close;
$node->restart;
$control = $node->client;
$node->wait_for_worker('model');
foreach my $how ('with a worker', 'without')
{
	subtest "DROP EXTENSION $how" => sub {
		my $client = $node->client('model');
		wait_for_ring($client);
		ok(!is_spilled(ingest($client, 200)), 'values are in the ring');
		my $holder = $node->client('model');
		$holder->ask($_) foreach 'BEGIN', 'DROP EXTENSION eav_ext CASCADE', 'ROLLBACK';
		$holder->close;
		is($client->ask('SELECT eav.wait_flushed(' . ingest($client, 201) . ')'), 't', 'rolled back, it loses nothing');
		like(numbers('model'), qr/\b200 201\b/, 'all is there');
		ingest($client, 202);
		if ($how eq 'without')
		{
			$node->set('eav.worker_enabled' => 'off');
			poll($client, 'SELECT NOT is_open FROM eav.stat_ingest');
		}
		cmp_ok($client->ask('SELECT slabs_in_use FROM eav.stat_ingest'), '>', 0, 'values are in the ring');
		is($client->sqlstate('DROP EXTENSION eav_ext CASCADE; DROP SCHEMA IF EXISTS eav CASCADE'), '', 'it is dropped');
		$node->set('eav.worker_enabled' => 'on');
		# Without leaving time to the old worker.
		create_extension('model');
		ok(wait_for_ring($client), 'the new one opens the door again');
		ok(!is_spilled(ingest($client, 203)), 'and uses the ring');
		$client->ask('SELECT eav.stage_flush()');
		is(numbers('model'), '203', 'it does not get what was sent to the old one');
		ok(poll($client, 'SELECT slabs_in_use FROM eav.stat_ingest', 0), 'nothing is left in the ring');
		is($client->ask('SELECT count(*) FROM eav.ingest_gaps'), 0, 'no gap is recorded');
		$client->close;
	};
}
subtest 'DROP and CREATE EXTENSION in one transaction' => sub {
	my $client = $node->client('model');
	wait_for_ring($client);
	ok(!is_spilled(ingest($client, 210)), 'values are in the ring');
	my $other = $node->client('model');
	$other->ask('BEGIN; DROP EXTENSION eav_ext CASCADE; DROP SCHEMA IF EXISTS eav CASCADE;
		CREATE EXTENSION eav_ext; COMMIT');
	$node->register('model');
	$node->wait_for_worker('model');
	ok(wait_for_ring($client), 'the door is open');
	is($client->ask('SELECT eav.wait_flushed(' . ingest($client, 211) . ')'), 't', 'a session from before uses the new one');
	is(numbers('model'), '211', 'which does not get what was sent to the old one');
	# Otherwise a stop without a worker would not be known to have lost something.
	ok(poll($client, 'SELECT ring IS NOT NULL FROM eav.staging_epoch'), 'and soon knows that its ring is in use');
	ok(poll($client, 'SELECT slabs_in_use FROM eav.stat_ingest', 0), 'nothing is left in the ring');
	$_->close foreach $client, $other;
};

# --- copies ------------------------------------------------------------------------------------------------

subtest 'CREATE DATABASE ... TEMPLATE' => sub {
	my $n = 300;
	foreach my $strategy ('wal_log', 'file_copy')
	{
		my $client = $node->client('model');
		wait_for_ring($client);
		ok(!is_spilled(ingest($client, ++$n)), 'values are in the ring');
		ok(is_spilled($client->ask(sprintf q(SELECT ticket FROM eav.ingest(
			'{"tenant_id": 1, "entity_id": 1, "attributes": {"n": %d, "state": "%s", "more": "%s"}}')),
			++$n, ('x' x 900_000) x 2)), 'and in staging') if $strategy eq 'wal_log';
		$client->close;
		my $began = time;
		is($control->sqlstate("CREATE DATABASE copy TEMPLATE model STRATEGY $strategy"), '', "$strategy: it is copied");
		cmp_ok(time - $began, '<', $quick, 'at once');
		$control->ask('SELECT pg_reload_conf()');    # the launcher looks now, not in a minute
		ok($node->wait_for_worker($_), "$_ has a worker") foreach qw(copy model);
		$node->ask('SELECT eav.stage_flush()', $_) foreach qw(copy model);
		my $all = join ' ', 301 .. $n;
		like(numbers($_), qr/\b$all$/, "$_ has all values") foreach qw(model copy);
		is($node->ask('SELECT count(*) FROM eav.ingest_gaps', $_), 0, "no gap in $_") foreach qw(copy model);
		my ($copy, $model) = map { $node->client($_) } qw(copy model);
		# Two databases have a place in the ring.
		ok(is_spilled(ingest($copy, 400)), 'the copy goes without the ring');
		ok(wait_for_ring($model), 'the model uses it');
		ingest($model, ++$n);
		$_->ask('SELECT eav.stage_flush()') foreach $copy, $model;
		like(numbers('model'), qr/ $n$/, 'each goes on with its own values');
		like(numbers('copy'), qr/ 400$/, 'each goes on with its own values');
		$_->close foreach $copy, $model;
		is($control->sqlstate('DROP DATABASE copy'), '', 'the copy is dropped');
	}
};
$control->ask('DROP DATABASE model');

# --- encodings ----------------------------------------------------------------------------------------------

subtest 'a database in LATIN1' => sub {
	$control->ask(q(CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0));
	create_extension('latin');
	my $client = $node->client('latin');
	foreach my $call (
		q('{"tenant_id": 1, "entity_id": 1, "attributes": {"n": 1}}'),
		q('[]', 'durable'), q('[]'::jsonb), q('\x5b5d'::bytea))
	{
		my $result = $client->query("SELECT eav.ingest($call)");
		is($result->{error}{C}, '0A000', "$call is refused");
		like($result->{error}{M}, qr/UTF8/, 'and the message says why');
		like($result->{error}{D}, qr/LATIN1/, 'and the detail');
	}
	$client->ask(EavCluster::insert_numbers(1, 3));
	$client->ask('SELECT eav.stage_flush()');
	is(numbers('latin'), '1 2 3', 'INSERT works there');
	$client->close;
	$control->ask('DROP DATABASE latin');
};
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal \d+/, 'the log tells of no crash');
$control->close;
$node->stop;

# --- a standby -------------------------------------------------------------------------------------------------

subtest 'a standby' => sub {
	my $primary = EavCluster->new('primary');
	$primary->init(allows_streaming => 1);
	$primary->append_conf('postgresql.conf', "eav.flush_interval = 50ms\nautovacuum = off");
	$primary->start;
	$primary->ask('CREATE EXTENSION eav_ext CASCADE');
	$primary->register;
	$primary->backup('copy');
	my $standby = EavCluster->new('standby');
	$standby->init_from_backup($primary, 'copy', has_streaming => 1);
	$standby->start;
	my $client = $primary->client;
	wait_for_ring($client);
	my $ticket = ingest($client, 1, 'durable');
	$primary->wait_for_catchup($standby);

	my $reader = $standby->client;
	is($reader->ask('SELECT count(*) FROM eav.entity_values_ts WHERE value_int = 1'), 1, 'what was flushed is replicated');
	foreach my $ack ('accepted', 'durable')
	{
		my $result = $reader->query(EavCluster::ingest_numbers(2, 2, $ack));
		is($result->{error}{C}, '25006', "$ack: eav.ingest() is an error");
		like($result->{error}{M} . ($result->{error}{D} // ''), qr/recovery|standby/, 'which says why');
	}
	is($reader->sqlstate("BEGIN READ ONLY; SELECT eav.ingest('[]')"), '25006', 'in each transaction');
	$reader->ask('ROLLBACK');
	is($reader->sqlstate("SELECT eav.wait_flushed($ticket, '0')"), '25006', 'wait_flushed() as well');
	is($reader->sqlstate('SELECT * FROM eav.stat_ingest'), '', 'stat_ingest can be read');
	is($reader->ask('SELECT slabs_in_use FROM eav.stat_ingest'), 0, 'and no slab was taken');

	# A value that does not reach the standby.
	my $holder = $primary->hold_flushes;
	my $lost = ingest($client, 3);
	$primary->stop('immediate');
	$standby->promote;
	# The session has been there as long as it was a standby.
	ok(wait_for_ring($reader), 'after the promotion the door opens');
	ok(!is_spilled(ingest($reader, 4)), 'and eav.ingest() works');
	my $result = $reader->query(EavCluster::ingest_numbers(5, 5, 'durable'));
	is_deeply([ $result->{error}, @{ $result->{notices} } ], [undef], 'durable, too');
	is($reader->ask('SELECT string_agg(value_int::text, $$ $$ ORDER BY value_int) FROM eav.entity_values_ts'),
		'1 4 5', 'the values are there');
	is($reader->ask('SELECT count(*) FROM eav.ingest_gaps'), 1, 'a gap is recorded');
	is($reader->sqlstate("SELECT eav.wait_flushed($_, '0')"), '55000', 'tickets of the old primary raise 55000')
	  foreach $ticket, $lost;
	$standby->projection_is_right;
	unlike(slurp_file($_->logfile), qr/PANIC|TRAP|signal \d+/, 'the log tells of no crash') foreach $primary, $standby;
};

done_testing();
