# Roles that change: a standby is promoted, another follows it, the old primary comes back. Nothing is
# edited, all follow by themselves. And standbys whose databases and extensions come and go.
use strict;
use warnings;
use EavStandby;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $alpha = EavStandby->primary('alpha', 'eav.breaker_open_time' => '1s', 'eav.breaker_close_time' => '2s');
my $beta = $alpha->standby('beta');
my $gamma = $alpha->standby('gamma');
$alpha->list_servers($alpha, $beta, $gamma);
$alpha->register;
$alpha->ask('CREATE TABLE note (id int PRIMARY KEY)');
my %node = map { $_->name => $_ } $alpha, $beta, $gamma;
my %on = map { $_ => $node{$_}->client } keys %node;

# What everybody must say when so and so are what.
sub all_say
{
	my (%role) = @_;
	my ($primary) = grep { $role{$_} eq 'primary' } keys %role;
	my $said = '';
	my $is_right = EavCluster::wait_until('roles are as they should', sub {
		$said = '';
		foreach my $name (sort keys %role)
		{
			my $row = EavStandby::freshness($on{$name});
			$said .= "$name says of itself: " . EavStandby::text_of($row) . "\n"
			  if "$row->{node_id} $row->{source} $row->{state}" ne "$name $role{$name} ok"
			  || $row->{consistency} ne ($role{$name} eq 'primary' ? 'strong' : 'bounded');
			$row = EavStandby::lag_of($on{$primary}, $name) // { node_type => 'missing' };
			$said .= "$primary says of $name: " . EavStandby::text_of($row) . "\n"
			  if $row->{node_type} ne $role{$name} || $row->{state} ne 'ok';
			$row = EavStandby::lag_of($on{$name}, $primary) // { node_type => 'missing' };
			$said .= "$name says of $primary: " . EavStandby::text_of($row) . "\n" if $row->{node_type} ne 'primary';
			$row = EavStandby::route($on{$name}, q('strong'));
			$said .= "$name routes strong: " . EavStandby::text_of($row) . "\n"
			  if ($row->{node_id} // '') ne $primary || $row->{source} ne 'primary' || !defined $row->{conninfo};
			$row = EavStandby::route($on{$name});
			$said .= "$name routes: " . EavStandby::text_of($row) . "\n"
			  if ($role{ $row->{node_id} // '' } // '') ne 'replica' || $row->{source} ne 'replica' || $row->{degraded} ne 'f';
		}
		return $said eq '';
	});
	diag $said;
	return $is_right;
}

ok(all_say(alpha => 'primary', beta => 'replica', gamma => 'replica'), 'alpha is the primary');
$on{alpha}->ask('INSERT INTO note VALUES (1)');
my $old_token = $on{alpha}->ask('SELECT eav.write_token()');
like($old_token, qr/^1-/, 'its tokens are of timeline 1');
$node{$_}->replays_all_of($alpha) foreach qw(beta gamma);
my $old_sequence = $on{alpha}->ask('SELECT max(write_sequence) FROM eav.replication_heartbeat');

# --- beta is promoted ------------------------------------------------------------------------------

subtest 'the primary fails' => sub {
	# Failures that the new primary has counted as a standby.
	$on{beta}->ask(q(SELECT eav.report_read_failure('gamma'))) foreach 1 .. 6;
	is(EavStandby::breaker($on{beta}, 'gamma')->{state}, 'open', 'beta keeps a breaker for gamma');
	my $waiter = $beta->client;
	my $control = $beta->client;
	my ($timeline, $position) = split /-/, $old_token;
	$waiter->send(sprintf q(SELECT eav.wait_for_token('1-%X', '50 s')), hex($position) + 0x10000000);
	(delete $on{alpha})->close;
	$alpha->stop('immediate');
	foreach my $name (qw(beta gamma))
	{
		ok(EavCluster::wait_until("$name knows", sub { EavStandby::is_out(EavStandby::freshness($on{$name})) }), "$name knows that it hears nothing");
	}
	my $before = time;
	$beta->promote;
	$beta->wait_for('SELECT NOT pg_is_in_recovery()');
	my $result = $waiter->result;
	is($result->{error} ? $result->{error}{C} : $result->{rows}[0][0], '55000', 'who waits for a token of the old primary is told');
	cmp_ok(time - $before, '<', 20, 'and not at the end of the timeout');
	$_->close foreach $waiter, $control;
};
subtest 'beta is the primary' => sub {
	ok(EavCluster::wait_until('it is', sub {
		my $row = EavStandby::freshness($on{beta});
		return "$row->{source} $row->{state} $row->{lag_seconds} $row->{consistency}" eq 'primary ok 0 strong';
	}), 'it says so');
	my $row = EavStandby::route($on{beta}, q('strong'));
	is($row->{node_id}, 'beta', 'strong reads stay there');
	$row = EavStandby::route($on{beta});
	is($row->{node_id}, 'beta', 'and all others, as there is no replica: ' . EavStandby::text_of($row));
	my $own = q(FROM eav.replication_heartbeat WHERE node_id = 'beta' AND node_type = 'primary');
	ok($beta->wait_for("SELECT clock_timestamp() - last_heartbeat < '2 s' $own"), 'its worker writes heartbeats');
	is($on{beta}->ask("SELECT write_sequence > $old_sequence $own"), 't', 'whose numbers go on');
	ok($beta->wait_for(q(SELECT node_type = 'replica' FROM eav.replication_heartbeat WHERE node_id = 'alpha')), 'the old primary is none in the table');
	foreach my $name (qw(alpha gamma))
	{
		ok(EavCluster::wait_until("$name is unknown", sub { EavStandby::lag_of($on{beta}, $name)->{state} eq 'unknown' }), "$name is not known there");
	}
	$on{beta}->ask(EavCluster::insert_numbers(1, 100));
	ok($beta->wait_for('SELECT count(*) FROM eav.entity_values_ts', 100), 'staging is flushed');
	ok($beta->wait_for('SELECT is_open FROM eav.stat_ingest'), 'the ring is open');
	$on{beta}->ask(EavCluster::ingest_numbers(101, 110, 'durable'));
	is($on{beta}->ask('SELECT count(*) FROM eav.entity_values_ts'), 110, 'and eav.ingest() works');
};
subtest 'tokens of the old primary' => sub {
	is($on{beta}->sqlstate("SELECT eav.wait_for_token('$old_token')"), '55000', 'raise on the new one');
	is($on{beta}->sqlstate("SELECT * FROM eav.route_read(after_token => '$old_token')"), '55000', 'also in route_read()');
	my $error = $on{beta}->query("SELECT eav.wait_for_token('$old_token')")->{error};
	like($error->{M} . ($error->{D} // ''), qr/timeline/, 'and say why');
};
my $new_token = $on{beta}->ask('SELECT eav.write_token()');
like($new_token, qr/^2-/, 'its tokens are of timeline 2');
subtest 'gamma has not heard of it' => sub {
	ok(EavStandby::is_out(EavStandby::freshness($on{gamma})), 'it is not fresh');
	is($on{gamma}->ask("SELECT eav.wait_for_token('$new_token', '300 ms')"), 'f', 'it does not claim to have a token of the new timeline');
	# Even one whose position it has long passed.
	is($on{gamma}->ask(q(SELECT eav.wait_for_token('2-1', '300 ms'))), 'f', 'not even an early one');
	my $row = EavStandby::route($on{gamma}, "after_token => '$new_token'");
	isnt($row->{node_id} // '', 'gamma', 'it routes no such read to itself');
};

$gamma->follow($beta);
my $followed = time;
ok(all_say(beta => 'primary', gamma => 'replica'), 'gamma follows beta');
note sprintf 'after %.1f s', time - $followed;
subtest 'tokens on a standby that follows' => sub {
	is($on{gamma}->ask("SELECT eav.wait_for_token('$new_token', '20 s')"), 't', 'those of the new primary are reached');
	is($on{gamma}->sqlstate("SELECT eav.wait_for_token('$old_token')"), '55000', 'those of the old one raise');
	foreach my $n (2 .. 60)
	{
		$on{beta}->ask("INSERT INTO note VALUES ($n)");
		my $t = $on{beta}->ask('SELECT eav.write_token()');
		if ($on{gamma}->ask("SELECT eav.wait_for_token('$t', '20 s')") ne 't'
			|| $on{gamma}->ask("SELECT count(*) FROM note WHERE id = $n") ne '1')
		{
			fail("row $n, token $t");
			last;
		}
	}
	ok(EavCluster::wait_until('it has closed', sub { EavStandby::breaker($on{beta}, 'gamma')->{state} eq 'closed' }),
		'the breaker that beta had as a standby closes by itself');
};

# --- the old primary comes back ------------------------------------------------------------------------

subtest 'alpha comes back as a standby' => sub {
	# Up to version 15 pg_rewind learns the timeline of the source from its last checkpoint.
	$on{beta}->ask('CHECKPOINT');
	# A clean end is what it needs of the target; nobody takes what that writes before.
	$alpha->start;
	$alpha->stop('fast');
	my @rewind = ('pg_rewind', '--target-pgdata', $alpha->data_dir, '--source-server', $beta->connstr('postgres'), '--no-sync');
	my $conf = slurp_file($alpha->data_dir . '/postgresql.conf');
	command_ok(\@rewind, 'pg_rewind');
	unlink $alpha->data_dir . '/postgresql.conf';
	$alpha->append_conf('postgresql.conf', $conf);
	# It came with the settings of beta.
	unlink $alpha->data_dir . '/postgresql.auto.conf';
	$alpha->append_conf('postgresql.conf', q(primary_conninfo = ') . $beta->connstr . q('));
	$alpha->set_standby_mode;
	$alpha->start;
	$on{alpha} = $alpha->client;
	ok(all_say(alpha => 'replica', beta => 'primary', gamma => 'replica'), 'all know its new role');
	is($on{alpha}->sqlstate("SELECT eav.wait_for_token('$old_token')"), '55000', 'it refuses its own old tokens');
	is($on{alpha}->ask("SELECT eav.wait_for_token('" . $on{beta}->ask('SELECT eav.write_token()') . "', '20 s')"), 't', 'and knows the new ones');
};
subtest 'and back again, in order' => sub {
	$alpha->replays_all_of($beta);
	(delete $on{beta})->close;
	$beta->stop('fast');
	$alpha->promote;
	$alpha->wait_for('SELECT NOT pg_is_in_recovery()');
	$gamma->follow($alpha);
	$beta->append_conf('postgresql.conf', q(primary_conninfo = ') . $alpha->connstr . q('));
	$beta->set_standby_mode;
	$beta->start;
	$on{beta} = $beta->client;
	ok(all_say(alpha => 'primary', beta => 'replica', gamma => 'replica'), 'all know the roles');
	like($on{alpha}->ask('SELECT eav.write_token()'), qr/^3-/, 'timeline 3');
	is($on{alpha}->ask(q(SELECT count(*) FROM eav.replication_heartbeat WHERE node_type = 'primary')), 1, 'there is one primary in the table');
};

# --- databases and extensions that come and go ------------------------------------------------------------

sub worker_count
{
	my ($node, $db) = @_;
	return $node->worker_count("datname = '$db'");
}
$alpha->ask('CREATE DATABASE more');
$alpha->ask('CREATE EXTENSION eav_ext CASCADE', 'more');
$beta->replays_all_of($alpha);
$beta->ask('SELECT pg_reload_conf()');    # the launcher looks now, not in a minute
subtest 'a second database' => sub {
	ok($beta->wait_for(q(SELECT state = 'ok' FROM eav.freshness()), 't', 'more'), 'the standby measures in it as well');
	is($beta->ask('SELECT count(*) FROM eav.nodes', 'more'), 0, 'with nodes of its own');
	like($beta->ask('SELECT coalesce(node_id, $$none$$) FROM eav.route_read()', 'more'), qr/^(beta|none)$/, 'and routes');
};
subtest 'DROP EXTENSION on the primary' => sub {
	my $client = $beta->client('more');
	is($alpha->error_of('DROP EXTENSION eav_ext CASCADE; DROP SCHEMA IF EXISTS eav CASCADE', 'more'), '', 'it is dropped');
	ok($beta->replays_all_of($alpha), 'the standby replays it');
	is($client->sqlstate('SELECT * FROM eav.freshness()'), '3F000', 'its functions are gone there');
	ok($beta->wait_for(q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'eav_ext flush worker'
		AND datname = 'more' AND query IS DISTINCT FROM 'looking for the extension'), 0), 'its worker has nothing more to do');
	is($alpha->error_of('CREATE EXTENSION eav_ext CASCADE', 'more'), '', 'created again');
	$beta->replays_all_of($alpha);
	$beta->ask('SELECT pg_reload_conf()');
	ok($beta->wait_for(q(SELECT state = 'ok' FROM eav.freshness()), 't', 'more'), 'it is measured again');
	is($client->sqlstate('SELECT * FROM eav.freshness()'), '', 'also by a session from before');
	$client->close;
};
subtest 'DROP DATABASE on the primary' => sub {
	is(worker_count($beta, 'more'), 1, 'the standby has a worker in it');
	my $before = time;
	is($alpha->error_of('DROP DATABASE more'), '', 'it is dropped');
	ok($beta->replays_all_of($alpha), 'the standby replays it');
	cmp_ok(time - $before, '<', 20, 'without waiting for its worker');
	is($beta->ask(q(SELECT count(*) FROM pg_database WHERE datname = 'more')), 0, 'it is gone there');
	ok(all_say(alpha => 'primary', beta => 'replica', gamma => 'replica'), 'in the other database all go on');
	is($beta->worker_count, 1, 'one worker is left');
};

# --- without preload ------------------------------------------------------------------------------------------

subtest 'a standby that has not preloaded the library' => sub {
	(delete $on{gamma})->close;
	$gamma->append_conf('postgresql.conf', q(shared_preload_libraries = ''));
	$gamma->restart;
	my $client = $gamma->client;
	$client->ask('SELECT pg_sleep(2)');
	my $row = EavStandby::freshness($client);
	is("$row->{node_id} $row->{source} $row->{state} $row->{badge}", 'gamma replica unknown stale', 'it does not know how fresh it is');
	is($row->{lag_seconds}, undef, 'without a lag');
	$row = EavStandby::lag_of($client, 'gamma');
	ok(!$row || $row->{state} eq 'unknown', 'nor in its list');
	foreach my $arguments ('', q('strong'), q('eventual'), q(read_path => 'near_real_time'))
	{
		$row = EavStandby::route($client, $arguments);
		isnt($row->{node_id} // '', 'gamma', "route_read($arguments) does not choose it: " . EavStandby::text_of($row));
	}
	my $t = $on{alpha}->ask('SELECT eav.write_token()');
	is($client->ask("SELECT eav.wait_for_token('$t', '20 s')"), 't', 'wait_for_token() works');
	is($client->sqlstate('SELECT eav.write_token()'), '25006', 'write_token() is refused as on any standby');
	is($client->sqlstate('SELECT eav.freshness_headers()'), '', 'headers are given');
	is($client->sqlstate('SELECT * FROM eav.breaker_status()'), '', 'and the state of breakers');
	$client->close;
	is($on{alpha}->ask(q(SELECT state FROM eav.check_replication_lag() WHERE node_id = 'gamma')), 'ok', 'the primary measures it all the same');
};

# --- an extension that comes later ----------------------------------------------------------------------------

subtest 'CREATE EXTENSION after the standby has started' => sub {
	$alpha->ask('CREATE DATABASE later');
	$beta->replays_all_of($alpha);
	$alpha->ask('CREATE EXTENSION eav_ext CASCADE', 'later');
	local $EavCluster::patience = 80;
	my $before = time;
	ok($beta->wait_for(q(SELECT state = 'ok' FROM eav.freshness()), 't', 'later'), 'the standby measures after a while');
	note sprintf 'after %.1f s', time - $before;
};

# A worker may be started just as the drop is replayed, which it says once.
my @tries = slurp_file($beta->logfile) =~ /FATAL:  database \d+ does not exist/g;
cmp_ok(scalar @tries, '<=', 1, 'no worker tries again and again to enter the dropped database');

$_->close foreach values %on;
EavStandby::log_tells_of_no_crash($alpha, $beta, $gamma);
$_->stop foreach $gamma, $beta, $alpha;
done_testing();
