# Freshness where servers are not as one would like them: too few processes for many databases, tables
# and triggers of somebody else, clocks that are set back, a cascade with a delay and a wrong clock, two
# standbys of one name, a router that has not looked yet.
use strict;
use warnings;
use EavStandby;
use Test::More;
use Time::HiRes qw(sleep time);

subtest 'more databases than processes, on a standby' => sub {
	my $north = EavStandby->primary('crowded', max_worker_processes => 5, extension => 0);
	$north->ask("CREATE DATABASE db$_") foreach 1 .. 8;
	$north->ask('CREATE EXTENSION eav_ext CASCADE', 'db8');
	my $south = $north->standby('crowded_south');
	ok($south->wait_for("SELECT state FROM eav.freshness()", 'ok', 'db8'),
		'the database that has the extension is measured');
	my $before = $south->log_position;
	$south->ask('SELECT pg_sleep(5)');
	unlike($south->log_since($before), qr/background worker .* exited/, 'no worker comes and goes all the time');
	$_->stop('fast') foreach $south, $north;
};

subtest 'tables of somebody else' => sub {
	my $node = EavCluster->ready('theirs', 'eav.heartbeat_interval' => '200ms');
	$node->ask(<<'SQL');
CREATE ROLE bob;
GRANT USAGE ON SCHEMA eav TO bob;
ALTER TABLE eav.replication_heartbeat OWNER TO bob;
ALTER TABLE eav.nodes OWNER TO bob;
ALTER TABLE eav.freshness_budget OWNER TO bob;
CREATE TABLE seen (who text, deferred boolean);
GRANT ALL ON seen TO bob;
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    INSERT INTO public.seen VALUES (current_user, TG_NAME = 'later');
    RETURN NULL;
END $$;
CREATE TRIGGER now AFTER UPDATE ON eav.replication_heartbeat FOR EACH ROW EXECUTE FUNCTION see();
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON eav.replication_heartbeat
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();
SQL
	ok($node->wait_for('SELECT count(*) > 4 FROM seen WHERE deferred'), 'deferred triggers of heartbeats run');
	is($node->ask('SELECT DISTINCT who FROM seen'), 'bob', 'with the rights of the owner of the table');
	$node->ask('ALTER TABLE eav.freshness_budget ALTER node_type DROP NOT NULL;
		ALTER TABLE eav.freshness_budget ALTER max_lag DROP NOT NULL;
		UPDATE eav.freshness_budget SET node_type = NULL, max_lag = NULL');
	my $pid = $node->worker_pid;
	$node->ask('SELECT eav.heartbeat()');
	ok(EavCluster::wait_until('the budgets are read', sub {
		return $node->error_of("SELECT eav.route_read(read_path => 'replica')") =~ /does not exist/;
	}), 'budgets that make no sense are not there');
	is($node->worker_pid, $pid, 'and do the worker no harm');
	$node->stop('fast');
};

subtest 'the fallback is limited before the worker has looked' => sub {
	my $node = EavCluster->ready('blind');
	$node->append_conf('postgresql.conf', "eav.worker_enabled = off\neav.fallback_limit = 2");
	$node->stop('immediate');
	$node->start;
	my $answers = $node->ask(q(SELECT DISTINCT r.source, r.degraded, r.reason
		FROM generate_series(1, 50) AS i, LATERAL eav.route_read(max_lag => make_interval(secs => 5 + 0 * i)) r ORDER BY 1));
	like($answers, qr/^none\|t\|.*too many/m, 'most reads get no node');
	like($answers, qr/^primary\|t\|/m, 'some are sent to the primary, degraded');
	is($node->ask("SELECT source, degraded FROM eav.route_read('strong')"), 'primary|f', 'strong ones always');
	$node->stop('fast');
};

SKIP:
{
	skip $EavStandby::no_clock, 1 if !EavStandby::clock_library();
	subtest 'clocks' => sub {
		my $north = EavStandby->primary('north', clock => 0);

		# A cascade whose middle is behind, and whose last one replays late.
		my $middle = $north->standby('middle', clock => -5);
		my $last = $middle->standby('last', recovery_min_apply_delay => '7s');
		my $on = $last->client;
		EavCluster::wait_until('the last one is measured',
			sub { ($on->ask('SELECT lag_seconds FROM eav.freshness()') || 0) > 6.95 });
		# The delay counts by the clock of the primary, which is that of the last one.
		my @lags;
		foreach (1 .. 30)
		{
			push @lags, $on->ask('SELECT coalesce(lag_seconds, 99) FROM eav.freshness()');
			sleep 0.1;
		}
		is(scalar(grep { $_ < 6.9 } @lags), 0, "a delay of 7 s is not hidden by a clock 5 s behind: @lags[0 .. 2]");
		$last->stop('fast');
		$middle->stop('fast');

		# The primary's clock is set back.
		my $south = $north->standby('south');
		ok($north->wait_for("SELECT state FROM eav.check_replication_lag() WHERE node_id = 'south'", 'ok'), 'all is well');
		$north->set_clock(-60);
		my $sequence = $north->ask('SELECT max(write_sequence) FROM eav.replication_heartbeat');
		my $patience = time + 10;
		my $now = $sequence;
		while ($now < $sequence + 3 && time < $patience)
		{
			sleep 0.2;
			$now = $north->ask('SELECT max(write_sequence) FROM eav.replication_heartbeat');
		}
		cmp_ok($now, '>=', $sequence + 3, 'heartbeats go on when the clock is set back by a minute');
		$north->register;
		$north->ask(EavCluster::insert_numbers(1, 10));
		$patience = time + 10;
		sleep 0.2 while $north->history_count < 10 && time < $patience;
		is($north->history_count, 10, 'and so do flushes');
		ok($north->wait_for("SELECT state FROM eav.check_replication_lag() WHERE node_id = 'south'", 'ok'), 'the standby is well');
		$south->stop('fast');
		$north->stop('fast');
	};
}

subtest 'two standbys of one name' => sub {
	my $north = EavStandby->primary('twins', wal_sender_timeout => '1s');
	my @south = map { $north->standby("twin_$_", cluster_name => 'twin', 'eav.node_id' => "twin_$_",
		primary_conninfo => $north->connstr . " application_name=twin") } 1 .. 2;
	$north->ask("INSERT INTO eav.nodes (node_id, conninfo) VALUES ('twin', 'host=twin')");
	my $rows = "SELECT count(*) FROM eav.check_replication_lag() WHERE node_id LIKE 'twin%' AND node_type = 'replica'";
	ok($north->wait_for($rows, 2), 'both are there');
	# One may be a connection that has broken off; 60 s and wal_sender_timeout later it is not.
	local $EavCluster::patience = 120;
	ok($north->wait_for("SELECT state || ': ' || detail FROM eav.check_replication_lag() WHERE node_id = 'twin'",
			'unknown: several standbys have this name'), 'which one a client would reach, nobody can say');
	is($north->ask('SELECT source FROM eav.route_read()'), 'primary', 'so none is read');
	$_->stop('fast') foreach @south, $north;
};

done_testing();
