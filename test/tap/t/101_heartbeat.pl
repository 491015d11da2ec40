# Heartbeats: who writes them, what they leave behind in days, also while old snapshots are held, who
# hears them, and what is known where none is written.
use strict;
use warnings;
use EavStandby;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $north = EavStandby->primary('north', wal_level => 'logical');
my $on_north = $north->client;
# Before anybody reads the slots, so that they have missed something.
$on_north->ask(q(SELECT pg_create_logical_replication_slot('search', 'test_decoding')));
my $south = $north->standby('south', hot_standby_feedback => 'on', wal_receiver_status_interval => '1s',
	max_standby_streaming_delay => '30s');
$north->list_servers($north, $south);
my $on_south = $south->client;

my $own_row = q(FROM eav.replication_heartbeat WHERE node_id = 'north');
sub bytes
{
	my ($client) = @_;
	return $client->ask(q(SELECT pg_total_relation_size('eav.replication_heartbeat')));
}
sub standby_is_ok
{
	return EavCluster::wait_until('the standby is ok', sub {
		return EavStandby::freshness($on_south)->{state} eq 'ok'
		  && (EavStandby::lag_of($on_north, $south->name) // { state => 'missing' })->{state} eq 'ok';
	});
}

# --- the worker's, and by hand -------------------------------------------------------------------

subtest 'the worker sends heartbeats' => sub {
	ok(standby_is_ok(), 'the standby hears them');
	my @from = split /\|/, $on_north->ask("SELECT write_sequence, extract(epoch FROM clock_timestamp()) $own_row");
	$on_north->ask('SELECT pg_sleep(6)');
	my @to = split /\|/, $on_north->ask("SELECT write_sequence, extract(epoch FROM clock_timestamp()) $own_row");
	my ($count, $seconds) = map { $to[$_] - $from[$_] } 0, 1;
	cmp_ok(abs($count / $seconds - 1), '<=', 0.3, sprintf 'one a second: %d in %.1f s', $count, $seconds);
	is($on_north->ask("SELECT node_type, clock_timestamp() - last_heartbeat < '2.5 s',
		pg_wal_lsn_diff(pg_current_wal_insert_lsn(), wal_lsn) BETWEEN 0 AND 1000000 $own_row"), 'primary|t|t', 'its row');
	is($on_south->ask("SELECT count(*) $own_row"), 1, 'is on the standby as well');
	$north->set('eav.heartbeat_interval' => '200ms');
	my $from = $on_north->ask("SELECT write_sequence $own_row");
	$on_north->ask('SELECT pg_sleep(3)');
	cmp_ok($on_north->ask("SELECT write_sequence $own_row") - $from, '>=', 8, 'a shorter interval takes effect');
	$north->set('eav.heartbeat_interval' => '1h');
	$on_north->ask('SELECT pg_sleep(0.5)');
	$from = $on_north->ask("SELECT write_sequence $own_row");
	$on_north->ask('SELECT pg_sleep(2)');
	is($on_north->ask("SELECT write_sequence $own_row"), $from, 'so does a longer one');
	my $before = time;
	$north->set('eav.heartbeat_interval' => '1s');
	ok(EavCluster::wait_until('the next one', sub { $on_north->ask("SELECT write_sequence $own_row") > $from }), 'and back');
	cmp_ok(time - $before, '<', 10, 'without waiting for an hour');
};
subtest 'eav.heartbeat() by hand' => sub {
	my $from = $on_north->ask("SELECT write_sequence $own_row");
	my ($id, $seconds, $sequence, $lsn) = split /\|/,
	  $on_north->ask('SELECT node_id, extract(epoch FROM clock_timestamp() - last_heartbeat), write_sequence, wal_lsn FROM eav.heartbeat()');
	is($id, 'north', 'of this node');
	cmp_ok($seconds, '<', 1, 'of now');
	cmp_ok($sequence, '>', $from, 'the next one');
	like($lsn, qr{^[0-9A-F]+/[0-9A-F]+$}, 'with the position');
	my $error = $on_south->query('SELECT eav.heartbeat()')->{error};
	is($error->{C}, '25006', 'refused on a standby');

	# The worker must not wait for it.
	my $holder = $north->client;
	$holder->ask($_) foreach 'BEGIN', 'SELECT eav.heartbeat()';
	my $number = 5_000_000;
	$north->register;
	$on_north->ask(EavCluster::insert_numbers($number, $number + 10));
	ok($north->wait_for("SELECT count(*) FROM eav.entity_values_ts WHERE value_int >= $number", 11),
		'the worker goes on flushing while a client holds the row');
	is($on_north->ask(q(SET statement_timeout = '5s'; SELECT count(*) FROM eav.heartbeat())), 1, 'another call does not wait');
	$on_north->ask('RESET statement_timeout');
	$holder->ask('ROLLBACK');
	$from = $on_north->ask("SELECT write_sequence $own_row");
	ok($north->wait_for("SELECT write_sequence > $from $own_row"), 'then the heartbeats go on');
	$holder->close;
	ok(standby_is_ok(), 'and the standby is ok');
};

# --- slots ---------------------------------------------------------------------------------------

subtest 'a logical slot hears heartbeats as messages' => sub {
	my $messages = $on_north->query(q(SELECT data FROM pg_logical_slot_get_changes('search', NULL, NULL)
		WHERE data LIKE 'message:%'))->{rows};
	cmp_ok(scalar @$messages, '>', 3, 'there are some');
	like($messages->[-1][0], qr/prefix: eav\.heartbeat/, 'with the prefix');
	like($messages->[-1][0], qr/north/, 'and the name of the node');
	is($on_north->ask(q(SELECT count(*) FROM pg_create_logical_replication_slot('pgout', 'pgoutput'))), 1, 'a slot of pgoutput');
	$on_north->ask('CREATE PUBLICATION everything FOR ALL TABLES');
	$on_north->ask('SELECT eav.heartbeat()');
	cmp_ok($on_north->ask(q(SELECT count(*) FROM pg_logical_slot_get_binary_changes('pgout', NULL, NULL,
		'proto_version', '1', 'publication_names', 'everything', 'messages', 'true')
		WHERE get_byte(data, 0) = ascii('M') AND position('eav.heartbeat'::bytea IN data) > 0)), '>', 0, 'gets it, too');
	$on_north->ask($_) foreach 'DROP PUBLICATION everything', q(SELECT pg_drop_replication_slot('pgout'));
	# What is rolled back has not been sent.
	$on_north->ask(q(SELECT count(*) FROM pg_logical_slot_get_changes('search', NULL, NULL)));
	$north->set('eav.heartbeat_interval' => 0);
	$on_north->ask(q(SELECT count(*) FROM pg_logical_slot_get_changes('search', NULL, NULL)));
	$on_north->ask($_) foreach 'BEGIN', 'SELECT eav.heartbeat()', 'ROLLBACK';
	my $said = $on_north->ask(q(SELECT string_agg(data, ' ') FROM pg_logical_slot_get_changes('search', NULL, NULL)));
	unlike($said, qr/transactional: 0.*eav\.heartbeat/, 'a heartbeat that is rolled back is none');
	$north->set('eav.heartbeat_interval' => '1s');
};
subtest 'a slot as a node' => sub {
	my $row;
	my $slot = sub { EavStandby::lag_of($on_north, 'search') };
	ok(EavCluster::wait_until('it is listed', sub { $row = $slot->() }), 'it is listed without a row in eav.nodes');
	is("$row->{node_type} $row->{measured_by}", 'stream slot', 'as a stream');
	$on_north->ask(q(UPDATE eav.freshness_budget SET target_lag = '3 s', max_lag = '5 s' WHERE read_path = 'stream'));
	$on_north->ask(q(INSERT INTO eav.nodes (node_id, node_type, replication_name, conninfo)
		VALUES ('indexer', 'stream', 'search', 'host=search'), ('phantom', 'stream', 'no_such_slot', 'host=x')));
	$slot = sub { EavStandby::lag_of($on_north, 'indexer') };
	ok(EavCluster::wait_until('it has its name', sub { $row = $slot->() }), 'eav.nodes gives it a name');
	ok(EavCluster::wait_until('phantom', sub { ($row = EavStandby::lag_of($on_north, 'phantom')) && $row->{state} eq 'unknown' }),
		'a slot that is not there is unknown');

	my $before = time;
	$on_north->ask(q(SELECT count(*) FROM pg_logical_slot_get_changes('search', NULL, NULL)));
	my $read = time;
	my $seen = EavStandby::watch(8, indexer => $slot);
	my @rows = grep { $_->{asked} - $read > 1.5 } @{ $seen->{indexer} };
	is(EavStandby::course_of(\@rows), 'ok lagging stale', 'unread it is lagging, then stale');
	is(EavStandby::some_of(map { EavStandby::flaws_of($_, 3, 5) } @rows), '', 'no contradiction');
	my @growing = grep { $_->{asked} - $read > 3 } @rows;
	my $growth = EavStandby::growth_of(@growing);
	cmp_ok(abs($growth - 1), '<=', 0.2, sprintf 'its lag grows with the clock: %.3f', $growth);
	my @wrong = grep { $_->{lag_seconds} < 0.8 * ($_->{asked} - $read) || $_->{lag_seconds} > 1.2 * ($_->{at} - $before + 1) } @growing;
	is(EavStandby::some_of(map { sprintf 'after %.3f s: %s', $_->{at} - $read, EavStandby::text_of($_) } @wrong), '',
		'it is the time since it was read');
	cmp_ok($rows[-1]{lag_bytes}, '>', 0, 'it has bytes to read');

	$on_north->ask(q(SELECT count(*) FROM pg_logical_slot_get_changes('search', NULL, NULL)));
	ok(EavCluster::wait_until('it has caught up', sub { ($row = $slot->())->{state} eq 'ok' }), 'read, it is ok');
	my @lags = map { $_->{lag_seconds} } grep { $_->{asked} - $read > 1.5 } @{
		EavStandby::watch(4, indexer => sub {
			$on_north->ask(q(SELECT count(*) FROM pg_logical_slot_get_changes('search', NULL, NULL)));
			return $slot->();
		})->{indexer} };
	# The worker looks at it once per heartbeat, and what it sees then was written one heartbeat earlier.
	my @wrong_lags = grep { $_ >= 3 || $_ < 0 } @lags;
	is("@wrong_lags", '', 'while it is read its lag stays small');
	$on_north->ask(q(SELECT pg_drop_replication_slot('search')));
	ok(EavCluster::wait_until('the slot is gone', sub { ($row = $slot->()) && $row->{state} eq 'unknown' }), 'dropped, it is unknown');
	$on_north->ask(q(DELETE FROM eav.nodes WHERE node_type = 'stream'));
};

# --- days ----------------------------------------------------------------------------------------

# Three days, one a second. eav.heartbeat() writes as the worker does. The worker, which keeps the table
# small, looks at it once in a batch here, not once for each.
my $days = 3;
my $heartbeats = $days * 24 * 60 * 60;
my $batch = 5000;
sub write_heartbeats
{
	my ($count, $pause) = @_;
	$pause = $pause ? "PERFORM pg_sleep($pause);" : '';
	my $writer = $north->client;
	$writer->ask('SET synchronous_commit = off');
	my $before = time;
	my $most = 0;
	for (my $done = 0; $done < $count; $done += $batch)
	{
		$writer->ask("DO \$\$ BEGIN FOR i IN 1 .. $batch LOOP PERFORM eav.heartbeat(); COMMIT; $pause END LOOP; END \$\$");
		my $sequence = $writer->ask("SELECT write_sequence $own_row");
		my $bytes = bytes($writer);
		$most = $bytes if $bytes > $most;
		EavCluster::wait_until('the worker has sent one', sub { $writer->ask("SELECT write_sequence $own_row") > $sequence }) or die 'no heartbeats';
	}
	$writer->close;
	note sprintf '%d heartbeats in %.1f s, at most %d bytes', $count, time - $before, $most;
	return $most;
}
sub updates
{
	my ($row) = $on_north->query(q(SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
		WHERE relid = 'eav.replication_heartbeat'::regclass))->{rows};
	return @{ $row->[0] };
}
$north->set('eav.heartbeat_interval' => '100ms');
# Feedback of one second ago would keep what is written in a second.
$south->set(hot_standby_feedback => 'off');
ok($north->wait_for('SELECT count(backend_xmin) FROM pg_stat_replication', 0), 'no snapshot is held');
subtest 'heartbeats are HOT updates' => sub {
	my ($all, $hot) = updates();
	# Not so fast that the snapshot of any short statement keeps hundreds of them.
	my $most = write_heartbeats($batch, 0.001);
	ok(EavCluster::wait_until('they are counted', sub { (updates())[0] - $all >= $batch }), 'they are updates');
	my ($all_now, $hot_now) = updates();
	cmp_ok(($hot_now - $hot) / ($all_now - $all), '>=', 0.99, 'nearly all of them HOT');
	# With the map of free space, once it has more than some pages.
	cmp_ok($most, '<=', 12 * 8192, "table and index stay at a few pages: $most bytes");
	ok(standby_is_ok(), 'the standby is ok');
};

# What an old snapshot keeps alive is given back.
my $bound = 2 * 1024 * 1024;
my %holders = (
	'a snapshot on the primary' => sub { $north->client },
	'a snapshot on the standby' => sub { $south->client });
foreach my $who (sort keys %holders)
{
	subtest "$days days with $who" => sub {
		$south->set(hot_standby_feedback => $who =~ /standby/ ? 'on' : 'off');
		my $holder = $holders{$who}->();
		$holder->ask($_) foreach 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT count(*) FROM eav.tenants';
		if ($who =~ /standby/)
		{
			ok($north->wait_for('SELECT count(backend_xmin) FROM pg_stat_replication', 1), 'the primary knows of the snapshot');
		}
		my $most = write_heartbeats($heartbeats);
		cmp_ok($most, '<=', $bound, "table and index never exceed 2 MB: $most bytes");
		ok(EavCluster::wait_until('the standby is ok', sub { EavStandby::freshness($on_south)->{state} eq 'ok' }),
			'the standby still measures');
		my $seen = EavStandby::watch(4, south => sub { EavStandby::freshness($on_south) });
		is(EavStandby::course_of($seen->{south}), 'ok', 'and is ok');
		is(scalar(grep { $_->{lag_seconds} >= 2 } @{ $seen->{south} }), 0, 'with a lag under two heartbeats');
		is($holder->ask('SELECT count(*) FROM eav.tenants'), 1, 'the snapshot is still there');
		$holder->ask('COMMIT');
		$holder->close;
	};
}

$north->set('eav.heartbeat_interval' => '1s');
ok(standby_is_ok(), 'without snapshots all is well');

# --- no heartbeats -----------------------------------------------------------------------------------

$_->close foreach $on_north, $on_south;
EavStandby::log_tells_of_no_crash($north, $south);
$_->stop foreach $south, $north;

$north = EavStandby->primary('mute', 'eav.heartbeat_interval' => 0);
$south = $north->standby('deaf', 'eav.heartbeat_interval' => '1s');
$north->list_servers($north, $south);
($on_north, $on_south) = map { $_->client } $north, $south;
subtest 'a standby that has never heard a heartbeat' => sub {
	$south->replays_all_of($north);
	is($on_south->ask('SELECT count(*) FROM eav.replication_heartbeat'), 0, 'none has been written');
	my $ends = EavStandby::watch(5,
		freshness => sub { EavStandby::freshness($on_south) },
		lag => sub { EavStandby::lag_of($on_south, 'deaf') });
	foreach my $view (sort keys %$ends)
	{
		is(EavStandby::course_of($ends->{$view}), 'unknown', "$view: unknown all the time");
		is(scalar(grep { defined $_->{lag_seconds} } @{ $ends->{$view} }), 0, 'without a lag');
	}
	is(EavStandby::course_of($ends->{freshness}, 'badge'), 'stale', 'the badge is stale');
	is($on_south->ask(q(SELECT eav.freshness_headers() @> '[{"X-Data-Lag-Seconds": "unknown"}]')), 't', 'the header says so');
	foreach my $path ('', q('eventual'), q(read_path => 'near_real_time'))
	{
		my $row = EavStandby::route($on_south, $path);
		isnt($row->{node_id} // '', 'deaf', "route_read($path) does not choose it: " . EavStandby::text_of($row));
	}
	ok(!grep({ $_->{cause} ne 'none' } EavStandby::breaker($on_south, 'deaf')), 'its breaker is not open for that');
	is($on_north->ask(q(SELECT bool_and(state = 'ok') FROM eav.check_replication_lag() WHERE node_id = 'mute')), 't',
		'the primary is ok all the same');
};
subtest 'the first heartbeat' => sub {
	$on_north->ask('SELECT eav.heartbeat()');
	ok(EavCluster::wait_until('it is heard', sub { EavStandby::freshness($on_south)->{state} ne 'unknown' }), 'one by hand is heard');
	$north->set('eav.heartbeat_interval' => '1s');
	ok(standby_is_ok(), 'with the setting on, all is well');
};

$_->close foreach $on_north, $on_south;
EavStandby::log_tells_of_no_crash($north, $south);
$_->stop foreach $south, $north;
done_testing();
