# Where reads are sent: every row of the budgets with replicas that are ok, lagging, stale and out; the
# breaker of a node that fails, lags, flaps; the cap on what falls back to the primary.
use strict;
use warnings;
use EavStandby;
use Test::More;
use Time::HiRes qw(sleep time);

my ($open_time, $close_time) = (2, 3);
my $hub = EavStandby->primary('hub', 'eav.breaker_open_time' => "${open_time}s", 'eav.breaker_close_time' => "${close_time}s");
my %node = (hub => $hub, map { $_ => $hub->standby($_) } qw(east west));
my @replicas = @node{qw(east west)};
$hub->list_servers(@node{qw(hub east west)});
my %on = map { $_ => $node{$_}->client } keys %node;
my $p = $on{hub};

sub goes { return EavStandby::route($p, $_[0]) }
sub is_replica { return ($_[0]{node_id} // '') =~ /^(east|west)$/ && $_[0]{source} eq 'replica' }
sub all_are_ok
{
	return EavCluster::wait_until('all are ok, and their breakers closed', sub {
		return !grep {
			my ($lag, $breaker) = (EavStandby::lag_of($p, $_), EavStandby::breaker($p, $_));
			!$lag || $lag->{state} ne 'ok' || !$breaker || $breaker->{state} ne 'closed'
			  || EavStandby::freshness($on{$_})->{state} ne 'ok';
		} qw(east west);
	});
}
# A route in words, as the tests compare it.
sub words
{
	my ($row) = @_;
	return join ' ', $row->{node_id} // 'nowhere', $row->{source}, $row->{consistency} // 'none', $row->{degraded} eq 't' ? 'degraded' : 'fine';
}
sub goes_to_replica
{
	my ($arguments, $consistency) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $row = goes($arguments);
	ok(is_replica($row) && $row->{degraded} eq 'f' && $row->{consistency} eq $consistency, "($arguments) goes to a replica: " . EavStandby::text_of($row));
	ok(defined $row->{conninfo} && defined $row->{lag_seconds}, 'with the way to connect, and its lag');
	return;
}
ok(all_are_ok(), 'all are ok');

# --- each read path ----------------------------------------------------------------------------------

# Edits nodes or budgets and returns when the router knows: a node that comes with them is listed.
sub edit
{
	my ($sql) = @_;
	my $listed = sub { defined EavStandby::lag_of($p, 'marker') };
	$p->ask("BEGIN; $sql; INSERT INTO eav.nodes (node_id, node_type) VALUES ('marker', 'olap'); COMMIT");
	EavCluster::wait_until('the edit is known', $listed) or die 'edits are not noticed';
	$p->ask(q(DELETE FROM eav.nodes WHERE node_id = 'marker'));
	EavCluster::wait_until('the marker is gone', sub { !$listed->() }) or die 'edits are not noticed';
	return;
}
edit(q(UPDATE eav.freshness_budget SET target_lag = '7 s', max_lag = '9 s' WHERE read_path = 'near_real_time'));

sub goes_to_primary_always
{
	foreach my $arguments (q('strong'), q(read_path => 'primary'), q('strong', read_path => 'replica'), q('strong', read_path => 'olap_dashboard'))
	{
		is(words(goes($arguments)), 'hub primary strong fine', "($arguments)");
	}
	return;
}
subtest 'replicas are ok' => sub {
	goes_to_primary_always();
	goes_to_replica('', 'bounded');
	goes_to_replica(q('eventual'), 'eventual');
	goes_to_replica(q(read_path => 'replica'), 'bounded');
	goes_to_replica(q(read_path => 'near_real_time'), 'eventual');
	goes_to_replica(q('bounded', '2 s'), 'bounded');
	# As no node of that kind is there.
	is(words(goes("read_path => '$_'")), 'hub primary strong fine', $_) foreach qw(stream olap_dashboard olap_historical cache);
	my %count;
	$count{ goes('')->{node_id} }++ foreach 1 .. 400;
	is(join(' ', sort keys %count), 'east west', 'the two take turns');
	cmp_ok(abs($count{east} - $count{west}), '<', 200, "evenly: $count{east} and $count{west}");
	foreach my $name (qw(east west))
	{
		is(EavStandby::route($on{$name})->{node_id}, $name, "$name stays with itself");
		is(words(EavStandby::route($on{$name}, q('strong'))), 'hub primary strong fine', 'and sends strong reads to the primary');
	}
};

ok($_->pause_replay, $_->name . ' is paused') foreach @replicas;
sub wait_for_lag
{
	my ($seconds) = @_;
	return EavCluster::wait_until("both lag by $seconds s", sub {
		return !grep { (EavStandby::lag_of($p, $_)->{lag_seconds} // 0) < $seconds } qw(east west) });
}
subtest 'replicas are lagging' => sub {
	ok(wait_for_lag(3.2), 'by more than 3 s');
	goes_to_primary_always();
	goes_to_replica('', 'bounded');
	goes_to_replica(q('eventual'), 'eventual');
	goes_to_replica(q(read_path => 'near_real_time'), 'eventual');
	my $row = goes(q('bounded', '1 s'));
	is(words($row), 'hub primary strong degraded', 'who wants less than 1 s is sent to the primary');
	like($row->{reason}, qr/limit/, "which says why: $row->{reason}");
	is(words(goes(q('bounded', '0'))), 'hub primary strong degraded', 'and who wants none at all');
	is(words(goes(q(max_lag => '100 ms', read_path => 'near_real_time'))), 'nowhere none none degraded', 'max_lag comes before the read path, its fallback stays');
	is(EavStandby::lag_of($p, $_)->{state}, 'lagging', "$_ is lagging, as we say") foreach qw(east west);
};
subtest 'replicas are stale for most' => sub {
	ok(wait_for_lag(5.2), 'by more than 5 s');
	goes_to_primary_always();
	is(words(goes('')), 'hub primary strong degraded', 'bounded reads go to the primary');
	is(words(goes(q(read_path => 'replica'))), 'hub primary strong degraded', 'by their path as well');
	ok(EavCluster::wait_until('it opens', sub { EavStandby::breaker($p, 'east')->{state} eq 'open' }), 'the breaker is open');
	goes_to_replica(q(read_path => 'near_real_time'), 'eventual');
	goes_to_replica(q('eventual'), 'eventual');
};
subtest 'replicas are stale for all' => sub {
	ok(wait_for_lag(9.2), 'by more than 9 s');
	goes_to_primary_always();
	is(words(goes('')), 'hub primary strong degraded', 'bounded reads go to the primary');
	is(words(goes(q('eventual'))), 'hub primary strong degraded', 'eventual ones, too');
	my $row = goes(q(read_path => 'near_real_time'));
	is(words($row), 'nowhere none none degraded', 'near_real_time aborts');
	like($row->{reason}, qr/\b60 s|1 min/, "and says when to try again: $row->{reason}");
};
$_->resume_replay foreach @replicas;
ok(all_are_ok(), 'resumed, all are ok');
edit(q(UPDATE eav.freshness_budget SET target_lag = '10 s', max_lag = '30 s' WHERE read_path = 'near_real_time'));

subtest 'nodes that report' => sub {
	$p->ask(q(INSERT INTO eav.nodes (node_id, node_type, conninfo) VALUES ('warehouse', 'olap', 'host=olap'),
		('indexer', 'stream', 'host=search'), ('pages', 'cache', 'host=redis')));
	# What has never reported is stale, and nothing else is there.
	ok(EavCluster::wait_until('it is known', sub { (goes(q(read_path => 'olap_dashboard'))->{node_id} // '') eq 'warehouse' }), 'a new node is known');
	is(words(goes(q(read_path => 'olap_dashboard'))), 'warehouse olap eventual degraded', 'one that has not reported is not taken for fresh');
	is(goes(q(read_path => 'olap_dashboard'))->{lag_seconds}, undef, 'its lag is not known');
	is(words(goes(q(read_path => 'cache'))), 'hub primary strong degraded', 'instead of such a cache the primary is read');

	foreach (
		[ warehouse => '1 min', olap_dashboard => 'warehouse olap eventual fine' ],
		[ warehouse => '10 min', olap_dashboard => 'warehouse olap eventual fine' ],
		[ warehouse => '20 min', olap_dashboard => 'warehouse olap eventual degraded', 'earlier time' ],
		[ warehouse => '20 min', olap_historical => 'warehouse olap eventual fine' ],
		[ warehouse => '47 h', olap_historical => 'warehouse olap eventual fine' ],
		[ warehouse => '50 h', olap_historical => 'warehouse olap eventual degraded', 'older data' ],
		[ indexer => '5 s', stream => 'indexer stream eventual fine' ],
		[ indexer => '60 s', stream => 'indexer stream eventual fine' ],
		[ indexer => '3 min', stream => 'indexer stream eventual degraded', 'incomplete' ],
		[ pages => '1 s', cache => 'hub primary strong degraded', 'limit' ])
	{
		my ($id, $age, $path, $expected, $reason) = @$_;
		$p->ask("SELECT eav.report_freshness('$id', clock_timestamp() - interval '$age')");
		my $row;
		# Its breaker may still be open for what it has reported before.
		ok(EavCluster::wait_until($expected, sub { words($row = goes("read_path => '$path'")) eq $expected }),
			"$path, $age behind: $expected") or diag EavStandby::text_of($row);
		like($row->{reason}, qr/$reason/, "it says: $row->{reason}") if $reason;
	}
	my @words;
	ok(EavCluster::wait_until('it is used', sub {
		$p->ask(q(SELECT eav.report_freshness('pages', clock_timestamp())));
		push @words, words(goes(q(read_path => 'cache')));
		return $words[-1] eq 'pages cache strong fine';
	}), 'a cache that has reported this moment is read') or diag join "\n", @words[ 0 .. 3 ];
	$p->ask(q(DELETE FROM eav.nodes WHERE node_type <> 'server'));
};
subtest 'nodes that are edited' => sub {
	$p->ask(q(UPDATE eav.nodes SET is_enabled = false WHERE node_id = 'east'));
	my $only = sub {
		my ($name) = @_;
		return EavCluster::wait_until("only $name is used", sub { !grep { goes('')->{node_id} ne $name } 1 .. 20 });
	};
	ok($only->('west'), 'a node that is not enabled is not used');
	ok(EavStandby::lag_of($p, 'east')->{state} eq 'ok', 'it is still measured');
	$p->ask(q(UPDATE eav.nodes SET is_enabled = true WHERE node_id = 'east'));
	$p->ask(q(UPDATE eav.nodes SET conninfo = NULL WHERE node_id = 'west'));
	ok($only->('east'), 'nor one without conninfo');
	edit(q(DELETE FROM eav.nodes WHERE node_id = 'west'));
	ok($only->('east'), 'nor one that is not listed');
	$p->ask(q(UPDATE eav.nodes SET is_enabled = false WHERE node_id = 'east'));
	ok($only->('hub'), 'without any other the primary is used');
	is(words(goes('')), 'hub primary strong fine', 'which is as it should be');
	$p->ask(q(DELETE FROM eav.nodes));
	ok(EavCluster::wait_until('none are known', sub { !defined goes('')->{conninfo} }), 'without any nodes');
	is(words(goes('')), 'hub primary strong fine', 'one stays where one is');
	$hub->list_servers(@node{qw(hub east west)});
	ok(EavCluster::wait_until('a replica is used', sub { is_replica(goes('')) }), 'and back');
	ok(all_are_ok(), 'all are ok');
};
subtest 'bad input' => sub {
	my %bad = (
		q('weird') => '22023', q('') => '22023', q('STRONG') => '22023', 'NULL' => '22004',
		q('bounded', '-1 s') => '22023', q('bounded', '-1 month') => '22023', q(read_path => 'no such path') => '42704',
		q(read_path => '') => '42704', q(after_token => 'nonsense') => '22023', q(after_token => '1-7FFFFFFFFFFFFFFF') => '55000');
	foreach my $arguments (sort keys %bad)
	{
		is($p->sqlstate("SELECT * FROM eav.route_read($arguments)"), $bad{$arguments}, "route_read($arguments)");
	}
	is($p->sqlstate(q(SELECT * FROM eav.route_read('bounded', '178000000 years'))), '', 'the longest interval is none of it');
	foreach my $function (qw(report_read_failure report_read_success))
	{
		is($p->sqlstate("SELECT eav.$function('nobody')"), '42704', "$function() of an unknown node");
		is($p->sqlstate("SELECT eav.$function(NULL)"), '22004', 'of null');
	}
};

# --- the breaker ---------------------------------------------------------------------------------------

sub fail_read { $p->ask("SELECT eav.report_read_failure('$_[0]')"); return }
sub succeed { $p->ask("SELECT eav.report_read_success('$_[0]')"); return }
sub breaker_of { return EavStandby::breaker($p, $_[0] // 'east') }
# 40 reads, each asked for on its own.
my $any = q(FROM generate_series(1, 40) AS i, LATERAL eav.route_read(CASE i % 2 WHEN 0 THEN 'bounded' ELSE 'eventual' END) AS r);

subtest 'failures open it' => sub {
	ok(EavCluster::wait_until('west knows east', sub { EavStandby::breaker($on{west}, 'east') }), 'all know all nodes again');
	is($p->ask(q(SELECT string_agg(node_id || ' ' || state || ' ' || cause || ' ' || failures, ', ' ORDER BY node_id)
		FROM eav.breaker_status() WHERE node_id <> 'hub')), 'east closed none 0, west closed none 0', 'each node has one');
	fail_read('east') foreach 1 .. 4;
	is(breaker_of()->{state} . breaker_of()->{failures}, 'closed4', 'four failures do not');
	succeed('east');
	is(breaker_of()->{failures}, 0, 'a success starts anew');
	fail_read('east') foreach 1 .. 4;
	is(breaker_of()->{state}, 'closed', 'four more do not');
	fail_read('east');
	my $opened = time;
	my $row = breaker_of();
	is("$row->{state} $row->{cause} $row->{failures}", 'open failures 5', 'five in a row do');
	is(breaker_of('west')->{state}, 'closed', 'it is the breaker of one node');
	is((EavStandby::breaker($on{west}, 'east') // { state => 'not known' })->{state}, 'closed', 'and of one server');

	# Open, half-open, closed: what happens to reads meanwhile.
	my (%to_east, %others, @states, %entered);
	while (time - $opened < 30)
	{
		my $before = breaker_of()->{state};
		my ($east, $all) = split /\|/, $p->ask("SELECT count(*) FILTER (WHERE r.node_id = 'east'), count(*) $any");
		my $state = breaker_of()->{state};
		if ($before eq $state) { $to_east{$state} += $east; $others{$state} += $all - $east; }
		else { $to_east{half_open} += $east if $state ne 'closed'; }
		if (!@states || $states[-1] ne $state) { push @states, $state; $entered{$state} = time; }
		last if $state eq 'closed';
		sleep 0.02;
	}
	is("@states", 'open half_open closed', 'it half-opens, then closes');
	is($to_east{open}, 0, 'open it lets no read through, also no patient ones');
	cmp_ok($entered{half_open} - $opened, '>=', $open_time - 0.1, 'it half-opens after eav.breaker_open_time');
	cmp_ok($entered{closed} - $opened, '>=', $close_time - 0.1, 'it closes after eav.breaker_close_time');
	my $half = $entered{closed} - $entered{half_open};
	cmp_ok($to_east{half_open}, '>=', 1, 'half-open it lets reads through');
	cmp_ok($to_east{half_open}, '<=', $half + 2, sprintf 'one in a second: %d in %.1f s', $to_east{half_open}, $half);
	cmp_ok($others{half_open}, '>', 50, 'all others go elsewhere');
	is(breaker_of()->{failures}, 0, 'closed, it has forgotten the failures');
	my ($east) = $p->ask("SELECT count(*) FILTER (WHERE r.node_id = 'east') $any");
	cmp_ok($east, '>', 5, 'and the node has its share again');
};
subtest 'a failure while half-open' => sub {
	fail_read('east') foreach 1 .. 5;
	foreach (1 .. 2)
	{
		ok(EavCluster::wait_until('it half-opens', sub { breaker_of()->{state} eq 'half_open' }), 'half-open');
		succeed('east');
		my $before = time;
		fail_read('east');
		my $row = breaker_of();
		is("$row->{state} $row->{cause}", 'open failures', 'one failure opens it again');
		# Failures while it is open do not hold it open for ever.
		fail_read('east') foreach 1 .. 20;
		ok(EavCluster::wait_until('it half-opens', sub { breaker_of()->{state} eq 'half_open' }), 'it half-opens again');
		cmp_ok(time - $before, '>=', $open_time - 0.1, 'after eav.breaker_open_time');
		cmp_ok(time - $before, '<', $open_time + 4, 'not much later');
	}
	ok(all_are_ok(), 'left alone it closes');
};
subtest 'a node that flaps' => sub {
	# More than it takes to be beyond 5 s again.
	$hub->set('eav.breaker_close_time' => '10s');
	my @states;
	my $look = sub {
		my $state = breaker_of()->{state};
		push @states, $state if !@states || $states[-1] ne $state;
		return $state;
	};
	$look->();
	foreach (1 .. 2)
	{
		$node{east}->pause_replay;
		ok(EavCluster::wait_until('it is open', sub { $look->() eq 'open' }), 'it lags: open');
		is(breaker_of()->{cause}, 'lag', 'for lag');
		my $west = 1;
		foreach (1 .. 50) { $west &&= goes('')->{node_id} eq 'west' }
		ok($west, 'bounded reads go to the other');
		$node{east}->resume_replay;
		ok(EavCluster::wait_until('it is half-open', sub { $look->() eq 'half_open' }), 'it has caught up: half-open');
	}
	ok(EavCluster::wait_until('it is closed', sub { $look->() eq 'closed' }), 'well for long enough: closed');
	is("@states", 'closed open half_open open half_open closed', 'it was never closed in between');
	$hub->set('eav.breaker_close_time' => "${close_time}s");
	ok(all_are_ok(), 'all are ok');
};
subtest 'a node that goes' => sub {
	(delete $on{west})->close;
	$node{west}->stop;
	my $stopped = time;
	ok(EavCluster::wait_until('it is open', sub { breaker_of('west')->{state} eq 'open' }), 'its breaker opens');
	cmp_ok(time - $stopped, '<', 4, 'within some heartbeats');
	is(breaker_of('west')->{cause}, 'lag', 'as its lag is not known');
	my $elsewhere = 1;
	foreach (1 .. 100) { $elsewhere &&= goes(q('eventual'))->{node_id} eq 'east' }
	ok($elsewhere, 'no read is sent there');
	my $rows = EavStandby::watch($open_time + 2, west => sub { breaker_of('west') });
	is(EavStandby::course_of($rows->{west}), 'open', 'it stays open as long as nothing is known');
	$node{west}->start;
	$on{west} = $node{west}->client;
	ok(all_are_ok(), 'back, it is closed after a while');
};

# --- all replicas are out --------------------------------------------------------------------------------

# Asks as fast as it can for so many seconds: how many reads go where.
sub hammer
{
	my ($client, $seconds, $arguments) = @_;
	$arguments //= '';
	$client->send(<<"SQL");
CREATE TEMP TABLE IF NOT EXISTS went (node text, reason text, count int, seconds float8);
TRUNCATE went;
DO \$\$
DECLARE
    began timestamptz := clock_timestamp();
    r record;
    asked int := 0; at_hub int := 0; elsewhere int := 0; nowhere int := 0; why text;
BEGIN
    WHILE clock_timestamp() < began + interval '$seconds s' LOOP
        SELECT * INTO r FROM eav.route_read($arguments);
        asked := asked + 1;
        IF r.node_id IS NULL THEN nowhere := nowhere + 1; why := r.reason;
        ELSIF r.node_id = 'hub' THEN at_hub := at_hub + 1;
        ELSE elsewhere := elsewhere + 1;
        END IF;
    END LOOP;
    INSERT INTO went VALUES ('hub', NULL, at_hub, extract(epoch FROM clock_timestamp() - began)), ('elsewhere', NULL, elsewhere, 0), ('nowhere', why, nowhere, 0);
END \$\$;
SELECT node, count, seconds, reason FROM went;
SQL
	return;
}
sub hammered
{
	my ($client) = @_;
	my $result = $client->result;
	die $result->{error}{M} if $result->{error};
	return { map { $_->[0] => { count => $_->[1], seconds => $_->[2], reason => $_->[3] } } @{ $result->{rows} } };
}
subtest 'all replicas are out' => sub {
	$hub->set('eav.fallback_limit' => 20, 'eav.breaker_open_time' => '1min');
	foreach my $name (qw(east west)) { fail_read($name) foreach 1 .. 5 }
	is(words(goes('')), 'hub primary strong degraded', 'bounded reads fall back to the primary');
	is(words(goes(q(read_path => 'near_real_time'))), 'nowhere none none degraded', 'near_real_time aborts');

	my @clients = map { $hub->client } 1 .. 2;
	hammer($_, 4) foreach @clients;
	my @went = map { hammered($_) } @clients;
	my $to_primary = $went[0]{hub}{count} + $went[1]{hub}{count};
	my $seconds = $went[0]{hub}{seconds};
	my $turned_away = $went[0]{nowhere}{count} + $went[1]{nowhere}{count};
	note sprintf '%d reads of %d in %.1f s went to the primary', $to_primary, $to_primary + $turned_away, $seconds;
	cmp_ok($to_primary, '<=', 20 * ($seconds + 1.5), 'no more than eav.fallback_limit per second, and one second of it at once');
	cmp_ok($to_primary, '>=', 20 * $seconds * 0.8, 'nor much less');
	cmp_ok($turned_away, '>', 1000, 'all others are turned away');
	is($went[0]{elsewhere}{count} + $went[1]{elsewhere}{count}, 0, 'none goes to a node that is out');
	like($went[0]{nowhere}{reason}, qr/too many/, "they are told why: $went[0]{nowhere}{reason}");
	hammer($clients[0], 1, q('strong'));
	is(hammered($clients[0])->{nowhere}{count}, 0, 'strong reads are not limited');
	$hub->set('eav.fallback_limit' => 0);
	hammer($clients[0], 1);
	is(hammered($clients[0])->{hub}{count}, 0, 'with a limit of 0 none falls back');
	$hub->set('eav.fallback_limit' => 1000, 'eav.breaker_open_time' => "${open_time}s");
	ok(all_are_ok(), 'in the end all are ok');
	hammer($clients[0], 2);
	my $went = hammered($clients[0]);
	is($went->{hub}{count} + $went->{nowhere}{count}, 0, 'and no read falls back');
	note sprintf '%.1f us per call, in PL/pgSQL', 1e6 * $went->{hub}{seconds} / $went->{elsewhere}{count};
	$_->close foreach @clients;
};

$_->close foreach values %on;
EavStandby::log_tells_of_no_crash(values %node);
$_->stop foreach @replicas, $hub;
done_testing();
