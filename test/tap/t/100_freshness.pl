# How fresh a standby says it is while it streams: idle, paused, resumed; what it says on both sides;
# nodes that report themselves; what is refused.
use strict;
use warnings;
use EavStandby;
use Test::More;
use Time::HiRes qw(time);

my $north = EavStandby->primary('north', 'eav.breaker_open_time' => '3s', 'eav.breaker_close_time' => '4s');
my $south = $north->standby('south');
$north->list_servers($north, $south);
my ($on_north, $on_south) = map { $_->client } $north, $south;

# The three places where one learns how far south lags.
my %views = (
	'freshness() of the standby' => sub { EavStandby::freshness($on_south) },
	'check_replication_lag() of the standby' => sub { EavStandby::lag_of($on_south, 'south') },
	'check_replication_lag() of the primary' => sub { EavStandby::lag_of($on_north, 'south') });

sub all_views_say_ok
{
	return EavCluster::wait_until('all say ok', sub {
		return !grep { my $row = $views{$_}->(); !$row || $row->{state} ne 'ok' } keys %views;
	});
}
ok(all_views_say_ok(), 'the standby is ok in all views');

# --- what is said --------------------------------------------------------------------------------

subtest 'the primary of itself' => sub {
	my $row = EavStandby::freshness($on_north);
	is("$row->{node_id} $row->{source} $row->{state}", 'north primary ok', 'it is the primary');
	is($row->{lag_seconds}, 0, 'without lag');
	is("$row->{consistency} $row->{badge}", 'strong real-time', 'strong, and in real time');
	is($on_north->ask('SELECT abs(extract(epoch FROM clock_timestamp() - data_timestamp)) < 1 FROM eav.freshness()'),
		't', 'its data is of now');
	$row = EavStandby::lag_of($on_north, 'north');
	is("$row->{node_type} $row->{state} $row->{lag_seconds} $row->{measured_by}", 'primary ok 0 self', 'it is in its list');
};
subtest 'the standby of itself' => sub {
	my $row = EavStandby::freshness($on_south);
	is("$row->{node_id} $row->{source} $row->{state} $row->{consistency}", 'south replica ok bounded', 'it is a replica');
	is($on_south->ask(q(SELECT clock_timestamp() - data_timestamp BETWEEN '0' AND '2 s' FROM eav.freshness())),
		't', 'its data is of less than two heartbeats ago');
	$row = EavStandby::lag_of($on_south, 'south');
	is("$row->{node_type} $row->{measured_by}", 'replica heartbeat', 'it is in its list');
	like($row->{lag_bytes}, qr/^\d+$/, 'with bytes');
	is(EavStandby::lag_of($on_south, 'north')->{node_type}, 'primary', 'it knows who the primary is');
};
subtest 'the primary of the standby' => sub {
	my $row = EavStandby::lag_of($on_north, 'south');
	is("$row->{node_type} $row->{measured_by}", 'replica walsender', 'it is a replica');
	like($row->{lag_bytes}, qr/^\d+$/, 'with bytes');
	is($on_north->ask(q(SELECT clock_timestamp() - sampled_at BETWEEN '0' AND '3 s'
		FROM eav.check_replication_lag() WHERE node_id = 'south')), 't', 'and seen a moment ago');
};
subtest 'a standby that is not in eav.nodes' => sub {
	$on_north->ask(q(DELETE FROM eav.nodes WHERE node_id = 'south'));
	foreach my $view (sort keys %views)
	{
		ok(EavCluster::wait_until('it is listed', sub { my $row = $views{$view}->(); $row && $row->{state} eq 'ok' }), $view);
	}
	$north->list_servers($south);
};
subtest 'headers' => sub {
	foreach (
		[ $on_north, qw(north primary strong) ],
		[ $on_south, qw(south replica bounded) ])
	{
		my ($client, @expected) = @$_;
		my %header = map { $_->[0] => $_->[1] } @{ $client->query(q(
			SELECT h.key, h.value FROM jsonb_array_elements(eav.freshness_headers()) AS o, jsonb_each_text(o) AS h))->{rows} };
		is(join(' ', @header{qw(X-Data-Node X-Data-Source X-Consistency-Level)}), "@expected", 'who answers');
		like($header{'X-Data-Lag-Seconds'}, qr/^\d+(\.\d+)?$/, 'how far it lags');
		like($header{'X-Data-Freshness'}, qr/^(real-time|near-real-time)$/, 'the badge');
		like($header{'X-Data-Timestamp'}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$/, 'as of when');
	}
	is($on_north->ask('SELECT bool_and((SELECT count(*) FROM jsonb_object_keys(o)) = 1)
		FROM jsonb_array_elements(eav.freshness_headers()) AS o'), 't', 'each header is an object of its own');
	is($on_south->ask(q(SELECT eav.freshness_headers('replica') @> '[{"X-Data-Node": "south"}]')), 't', 'for a read path');
	is($on_south->sqlstate(q(SELECT eav.freshness_headers('no such path'))), '42704', 'an unknown read path is an error');
};

# --- idle ----------------------------------------------------------------------------------------

my $seen = EavStandby::watch(30, %views);
subtest 'idle for 30 s' => sub {
	foreach my $view (sort keys %views)
	{
		my @rows = @{ $seen->{$view} };
		cmp_ok(scalar @rows, '>', 100, "$view: " . @rows . ' answers');
		is(EavStandby::course_of(\@rows), 'ok', 'the standby is ok all the time');
		my @far = map { EavStandby::text_of($_) } grep { $_->{lag_seconds} >= 2 } @rows;
		is(EavStandby::some_of(@far), '', 'its lag stays under two heartbeats');
		is(EavStandby::some_of(map { EavStandby::flaws_of($_, 3, 5) } @rows), '', 'no answer contradicts itself');
	}
};

# --- paused, and resumed ---------------------------------------------------------------------------

my $before = time;
ok($south->pause_replay, 'replay is paused');
my $paused = time;
my %routes = (
	'the primary routes' => sub { EavStandby::route($on_north) },
	'the standby routes' => sub { EavStandby::route($on_south) });
my %breakers = (
	'breaker on the primary' => sub { EavStandby::breaker($on_north, 'south') },
	'breaker on the standby' => sub { EavStandby::breaker($on_south, 'south') });
my $while_paused = EavStandby::watch(9, %views, %routes, %breakers);
foreach my $view (sort keys %views)
{
	subtest "paused, by $view" => sub {
		my @rows = @{ $while_paused->{$view} };
		is(EavStandby::course_of(\@rows), 'ok lagging stale', 'ok, then lagging, then stale');
		is(EavStandby::some_of(map { EavStandby::flaws_of($_, 3, 5) } @rows), '', 'no answer contradicts itself');

		# What has been replayed was sent up to a heartbeat earlier.
		my @wrong = grep {
			my ($least, $most) = ($_->{asked} - $paused, $_->{at} - $before + 1);
			$least > 3 && ($_->{lag_seconds} < 0.8 * $least || $_->{lag_seconds} > 1.2 * $most);
		} @rows;
		is(EavStandby::some_of(map { sprintf 'after %.3f s: %s', $_->{at} - $paused, EavStandby::text_of($_) } @wrong),
			'', 'the lag is the time since the pause');
		my @growing = grep { $_->{asked} - $paused > 3 } @rows;
		my $growth = EavStandby::growth_of(@growing);
		cmp_ok(abs($growth - 1), '<=', 0.2, sprintf 'it grows with the clock: %.3f', $growth);
		my @steps = grep { abs($_ - 1) > 0.2 }
		  map { EavStandby::growth_of(@growing[ $_ * 10, $_ * 10 + 10 ]) } 0 .. $#growing / 10 - 1;
		is("@steps", '', 'all the time');
	};
}
subtest 'paused, by the router' => sub {
	foreach my $who (sort keys %routes)
	{
		my @rows = @{ $while_paused->{$who} };
		is(EavStandby::course_of(\@rows, 'node_id'), 'south north', "$who to the standby as long as it is within 5 s");
		is($rows[-1]{degraded}, 't', 'the answer says that it is not what was asked for');
		my @late = grep { $_->{node_id} eq 'south' && $_->{asked} - $paused > 6.5 } @rows;
		is(EavStandby::some_of(map { EavStandby::text_of($_) } @late), '', 'not longer');
	}
	foreach my $who (sort keys %breakers)
	{
		my @rows = @{ $while_paused->{$who} };
		is(EavStandby::course_of(\@rows), 'closed open', "$who: opens");
		is($rows[-1]{cause}, 'lag', 'for its lag');
	}
};

my $resumed = time;
$south->resume_replay;
my $after = EavStandby::watch(
	sub {
		my ($rows) = @_;
		return !grep { !@{ $rows->{$_} } || $rows->{$_}[-1]{state} ne 'closed' } keys %breakers;
	},
	%views, %breakers);
subtest 'resumed' => sub {
	foreach my $view (sort keys %views)
	{
		my @rows = @{ $after->{$view} };
		like(EavStandby::course_of(\@rows), qr/^((stale|unknown) )?ok$/, "$view: ok again");
		is(EavStandby::some_of(map { EavStandby::flaws_of($_, 3, 5) } @rows), '', 'no answer contradicts itself');
		my ($ok) = grep { $_->{state} eq 'ok' } @rows;
		cmp_ok($ok->{at} - $resumed, '<', 4, 'within some heartbeats');
	}
	foreach my $who (sort keys %breakers)
	{
		my @rows = @{ $after->{$who} };
		is(EavStandby::course_of(\@rows), 'open half_open closed', "$who: half-opens, then closes");
		cmp_ok($rows[-1]{at} - $resumed, '>=', 3.9, 'not before the lag has been small for eav.breaker_close_time');
		my ($half) = grep { $_->{state} eq 'half_open' } @rows;
		ok(defined $half->{changes_at}, 'half-open, it says when it closes');
	}
};

# --- nodes that report themselves --------------------------------------------------------------

$on_north->ask(q(INSERT INTO eav.nodes (node_id, node_type) VALUES ('warehouse', 'olap'), ('silent', 'olap')));
sub report
{
	my ($as_of, $node_id) = @_;
	return $on_north->sqlstate(sprintf q(SELECT eav.report_freshness('%s', %s)), $node_id // 'warehouse', $as_of);
}
subtest 'report_freshness()' => sub {
	ok(EavCluster::wait_until('it is listed', sub { EavStandby::lag_of($on_north, 'silent') }), 'a new node is listed');
	my $row = EavStandby::lag_of($on_north, 'silent');
	is("$row->{node_type} $row->{state}", 'olap unknown', 'what has not reported is unknown');
	is($row->{lag_seconds}, undef, 'without lag');

	foreach ([ 120, 'ok' ], [ 600, 'lagging' ], [ 1200, 'stale' ], [ 30, 'ok' ])
	{
		my ($seconds, $state) = @$_;
		is(report("clock_timestamp() - interval '$seconds s'"), '', "complete up to $seconds s ago");
		ok(EavCluster::wait_until("it is $state", sub {
			$row = EavStandby::lag_of($on_north, 'warehouse');
			return $row && $row->{state} eq $state && abs($row->{lag_seconds} - $seconds) < 5;
		}), "it is $state, with that lag");
		is($row->{measured_by}, 'report', 'by its own report');
		is(EavStandby::some_of(EavStandby::flaws_of($row, 300, 900)), '', 'no contradiction');
	}
	my $rows = EavStandby::watch(2, warehouse => sub { EavStandby::lag_of($on_north, 'warehouse') });
	cmp_ok(abs(EavStandby::growth_of(@{ $rows->{warehouse} }) - 1), '<=', 0.2, 'the lag grows with the clock');

	is(report(q(clock_timestamp() + interval '2 s')), '', 'a clock that is ahead a little');
	$rows = EavStandby::watch(3, warehouse => sub { EavStandby::lag_of($on_north, 'warehouse') });
	my @lags = map { $_->{lag_seconds} } grep { $_->{lag_seconds} < 20 } @{ $rows->{warehouse} };
	cmp_ok(scalar @lags, '>', 10, 'is taken');
	is(scalar(grep { $_ < 0 } @lags), 0, 'and yields no negative lag');
	is(report('clock_timestamp()'), '', 'a good report repairs it');
	is($on_north->ask(q(SELECT node_type || ' ' || (wal_lsn IS NULL) FROM eav.replication_heartbeat WHERE node_id = 'warehouse')),
		'olap true', 'it has a row among the heartbeats');

	is($on_north->sqlstate('BEGIN'), '', 'a report that is rolled back');
	my $old = EavStandby::lag_of($on_north, 'warehouse')->{lag_seconds};
	report(q(clock_timestamp() - interval '5000 s'));
	$on_north->ask('ROLLBACK');
	$on_north->ask('SELECT eav.heartbeat()');
	ok(EavCluster::wait_until('it is forgotten', sub { EavStandby::lag_of($on_north, 'warehouse')->{lag_seconds} < 60 }),
		'counts for nothing');
};
subtest 'bad reports' => sub {
	is(report('now()', 'nobody'), '42704', 'an unknown node');
	like($on_north->query(q(SELECT eav.report_freshness('nobody', now())))->{error}{M}, qr/"nobody"/, 'whose name is told');
	is(report('now()', 'south'), '42809', 'a server, whose lag is measured');
	is(report(q(now() + interval '1 year')), '22008', 'a time far ahead');
	is(report(q('infinity')), '22008', 'infinity');
	is(report(q('-infinity')), '22008', 'minus infinity');
	is(report('NULL'), '22004', 'null');
	is($on_north->sqlstate('SELECT eav.report_freshness(NULL, now())'), '22004', 'null for the node');
	is($on_south->sqlstate(q(SELECT eav.report_freshness('warehouse', now()))), '25006', 'on a standby');
};
subtest 'reports survive a restart' => sub {
	is(report(q(clock_timestamp() - interval '100 s')), '', 'a report');
	$on_north->close;
	$north->restart;
	$on_north = $north->client;
	ok(EavCluster::wait_until('it is known', sub {
		my $row = EavStandby::lag_of($on_north, 'warehouse');
		return $row && $row->{state} eq 'ok' && $row->{lag_seconds} >= 100;
	}), 'is known afterwards');
	ok(all_views_say_ok(), 'and the standby is ok again in all views');
};

# --- nodes and budgets that are edited -------------------------------------------------------------

subtest 'edits take effect' => sub {
	my $row;
	$on_north->ask(q(UPDATE eav.freshness_budget SET target_lag = '10 s', max_lag = '20 s' WHERE read_path = 'olap_dashboard'));
	ok(EavCluster::wait_until('it is stale', sub { EavStandby::lag_of($on_north, 'warehouse')->{state} eq 'stale' }), 'a budget');
	$on_north->ask(q(UPDATE eav.nodes SET read_path = 'olap_historical' WHERE node_id = 'warehouse'));
	ok(EavCluster::wait_until('it is ok', sub { EavStandby::lag_of($on_north, 'warehouse')->{state} eq 'ok' }), 'the read path of a node');
	$on_north->ask(q(DELETE FROM eav.nodes WHERE node_id = 'warehouse'));
	ok(EavCluster::wait_until('it is gone', sub { !EavStandby::lag_of($on_north, 'warehouse') }), 'a deleted node');
	$on_north->ask(q(UPDATE eav.nodes SET replication_name = 'another' WHERE node_id = 'south'));
	ok(EavCluster::wait_until('it is not found', sub { EavStandby::lag_of($on_north, 'south')->{state} eq 'unknown' }),
		'a replication name that no standby has');
	$on_north->ask(q(UPDATE eav.nodes SET replication_name = 'south' WHERE node_id = 'south'));
	ok(all_views_say_ok(), 'and the right one');

	$on_north->ask(q(INSERT INTO eav.nodes (node_id, node_type, read_path) VALUES ('typo', 'olap', 'olap_dashbord')));
	ok(EavCluster::wait_until('it is listed', sub { $row = EavStandby::lag_of($on_north, 'typo') }), 'a node with a read path that is not there');
	report('clock_timestamp()', 'typo');
	ok(EavCluster::wait_until('it says so', sub { (EavStandby::lag_of($on_north, 'typo')->{detail} // '') =~ /read_path/ }), 'says so');
	$on_north->ask(q(DELETE FROM eav.nodes WHERE node_id = 'typo'));

	# The standby judges by the replicated table.
	$on_north->ask(q(UPDATE eav.freshness_budget SET target_lag = '0', max_lag = '0.0005 s' WHERE read_path = 'replica'));
	ok(EavCluster::wait_until('it is stale', sub { EavStandby::freshness($on_south)->{state} eq 'stale' }), 'a budget, on the standby');
	is(EavStandby::freshness($on_south)->{badge}, 'stale', 'with the badge');
	is(EavStandby::freshness($on_south)->{consistency}, 'eventual', 'and no bound');
	$on_north->ask(q(UPDATE eav.freshness_budget SET target_lag = '3 s', max_lag = '5 s' WHERE read_path = 'replica'));
	ok(all_views_say_ok(), 'and back');
};
subtest 'bad nodes and budgets' => sub {
	my %budgets = (
		'target above max' => q('3 s', '2 s', 'bounded', 'primary'),
		'a negative target' => q('-1 s', '2 s', 'bounded', 'primary'),
		'negative both' => q('-3 s', '-2 s', 'bounded', 'primary'),
		'an unknown consistency' => q('1 s', '2 s', 'linearizable', 'primary'),
		'an unknown fallback' => q('1 s', '2 s', 'bounded', 'pray'));
	foreach my $what (sort keys %budgets)
	{
		is($on_north->sqlstate("INSERT INTO eav.freshness_budget
			(read_path, node_type, target_lag, max_lag, consistency, fallback) VALUES ('x', 'replica', $budgets{$what})"),
			'23514', $what);
	}
	is($on_north->sqlstate(q(UPDATE eav.freshness_budget SET target_lag = '1 h' WHERE read_path = 'replica')), '23514',
		'an update that puts the target above max');
	is($on_north->sqlstate(q(INSERT INTO eav.nodes (node_id, node_type) VALUES ('x', 'toaster'))), '23514', 'an unknown type of node');
	is($on_north->sqlstate(q(INSERT INTO eav.nodes (node_id) VALUES (''))), '23514', 'a node without a name');
	is($on_north->sqlstate(q(INSERT INTO eav.nodes (node_id) VALUES ('south'))), '23505', 'a node that exists');
	is($on_north->sqlstate(q(INSERT INTO eav.nodes (node_id) SELECT 'n' || i FROM generate_series(1, 40) AS i)), '54000', 'too many nodes');
	foreach my $conninfo ('host=a password=h1dden', q(host=a password = 'h1dden'), 'postgresql://ann:h1dden@a/db',
		'postgres://ann:h1dden@a:5432,b:5432/db', 'postgresql://ann:h1dden?@a/db', 'postgresql://a/db?password=h1dden',
		'postgresql://a/db?p%61ssword=h1dden', 'host=a sslpassword=h1dden')
	{
		my $error = $on_north->query("INSERT INTO eav.nodes (node_id, conninfo) VALUES ('x', \$\$$conninfo\$\$)")->{error};
		is($error ? $error->{C} : 'taken', '23514', "refused: $conninfo");
		unlike(join(' ', values %{ $error // {} }), qr/h1dden/, 'the error does not show the password');
		$on_north->ask(q(DELETE FROM eav.nodes WHERE node_id = 'x'));
	}
	foreach my $conninfo ('host=a port=5432 passfile=/etc/pgpass', 'postgresql://ann@a:5432/db?sslmode=require', 'postgresql://a:5432,b:5432/db')
	{
		is($on_north->sqlstate("INSERT INTO eav.nodes (node_id, conninfo) VALUES ('x', \$\$$conninfo\$\$);
			DELETE FROM eav.nodes WHERE node_id = 'x'"), '', "taken: $conninfo");
	}
};

$_->close foreach $on_north, $on_south;
EavStandby::log_tells_of_no_crash($north, $south);
$_->stop foreach $south, $north;
done_testing();
