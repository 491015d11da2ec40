# kill -9 under load, round after round: of a client's backend, of the flush worker, of the
# postmaster; and immediate stops. Afterwards no durable value is missing, nothing is there twice,
# and what was accepted only and is missing was accepted in a gap that eav.ingest_gaps tells.
# EAV_SEED=n repeats the plan.
#
# fsync is off, as in all tests: processes are killed here, and what they have written is in the
# page cache of the operating system, which lives on. What counts is whether it was written at all,
# so the WAL writer is kept from doing that by chance.
use strict;
use warnings;
use EavClient;
use EavCluster;
use EavLoad;
use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{EAV_SEED} // $ENV{SEED} // int(rand(1_000_000));
srand($seed);
note "seed $seed";

my $producers = 7;
my $node = EavCluster->ready(
	'main',
	'eav.durable_timeout' => 2000,
	'eav.rotation_interval' => 1,
	autovacuum => 'off',
	restart_after_crash => 'on',
	shared_buffers => '32MB',
	wal_buffers => '16MB',
	wal_writer_delay => '10s',
	wal_writer_flush_after => '1GB',
	log_min_messages => 'log');
$node->register;

my ($control, $round) = (undef, 0);
sub connect_control
{
	return EavCluster::wait_until('the server answers',
		sub { $control = EavClient->connect($node->host, $node->port) });
}
connect_control();

sub poll
{
	my ($sql, $expected) = @_;
	return EavCluster::wait_until($sql, sub { $control->ask($sql) eq ($expected // 't') });
}

sub kill_one_of
{
	my ($where) = @_;
	my $pid;
	EavCluster::wait_until('there is somebody to kill', sub {
		$pid = $control->ask("SELECT pid FROM pg_stat_activity WHERE $where
			AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1");
		return $pid ne '';
	}) or BAIL_OUT('nobody to kill');
	kill 9, $pid;
	return;
}

# After kill -9 of the postmaster its children need a moment to notice.
sub start_again
{
	return EavCluster::wait_until('the server starts again', sub {
		return 1 if $node->start(fail_ok => 1);
		$node->stop('fast', fail_ok => 1);
		return 0;
	});
}

my $clients = q(backend_type = 'client backend' AND state IS NOT NULL);
my %crash = (
	'a backend' => sub { kill_one_of($clients) },
	'a backend at work' => sub { kill_one_of("$clients AND state = 'active'") },
	'a backend in a transaction' => sub { kill_one_of("$clients AND state = 'idle in transaction'") },
	'the worker' => sub { kill_one_of(q(backend_type = 'eav_ext flush worker')) },
	'the worker in a flush' =>
	  sub { kill_one_of(q(backend_type = 'eav_ext flush worker' AND state = 'active')) },
	'the postmaster' => sub { $node->kill9; start_again(); },
	'immediate stop' => sub { $node->stop('immediate'); $node->start; });

# What goes on besides. Slow flushes make it likely that one is under way; a held one that much has
# been accepted and is not flushed, and that durable waits end with a warning.
my $holder;
my %circumstance = (
	'' => {},
	'slow flushes' => {
		before => sub {
			$control->ask('CREATE TRIGGER slow AFTER INSERT ON eav.entity_values_ts
				FOR EACH STATEMENT EXECUTE FUNCTION be_slow()');
		},
		after => sub { $control->ask(EavCluster::drop_trigger('slow', 'eav.entity_values_ts')) } },
	'a held flush' => {
		during => sub {
			$holder = EavClient->connect($node->host, $node->port);
			$holder->ask('BEGIN');
			$holder->ask('SELECT eav.stage_flush()');
		} });
$control->ask('CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END $$');

my %sum = (lost => 0);
sub crash_round
{
	my ($victim, $what) = @_;
	my $interval = (10, 10, 50, 200, 1000)[ rand 5 ];
	my $name = ++$round . ": $victim" . ($what ? ", $what" : '') . ", flushes every $interval ms";
	subtest $name => sub {
		my %do = %{ $circumstance{$what} };
		$control->ask("ALTER SYSTEM SET eav.flush_interval = $interval");
		$control->ask('SELECT pg_reload_conf()');
		poll('SELECT is_open FROM eav.stat_ingest');
		my $gaps = $control->ask('SELECT count(*) FROM eav.ingest_gaps');
		my $epoch = $control->ask('SELECT epoch FROM eav.flush_state');
		my $ticket = $control->ask(q(SELECT ticket FROM eav.ingest(
			'{"tenant_id": 1, "entity_id": 1, "attributes": {"note": 1}}')));
		$do{before}->() if $do{before};
		my $load = EavLoad->start(
			node => $node,
			round => $round,
			producers => $producers,
			seconds => 30,
			durable => (0.02, 0.1, 0.3)[ rand 3 ]);
		sleep 0.15 + rand 0.2;
		$do{during}->() if $do{during};
		sleep 0.05 + rand 0.2;
		$crash{$victim}->();
		ok($load->wait_for_end, 'the producers have ended in order');
		connect_control() or BAIL_OUT('the server does not come back');
		$do{after}->() if $do{after};
		$control->ask('SELECT eav.stage_flush()');

		my $verdict = $load->judge($control);
		my $missing = $verdict->{missing};
		is(@{ $verdict->{lost_durable} }, 0, 'no durable value is missing')
		  or diag EavLoad::describe(@{ $verdict->{lost_durable} });
		is("@{ $verdict->{doubled} }", '', 'nothing is there twice');
		is("@{ $verdict->{unexpected} }", '', 'nothing is there that was not committed');
		is(@{ $verdict->{torn} }, 0, 'transactions are there whole or not at all')
		  or diag EavLoad::describe(@{ $verdict->{torn} });
		is($control->ask('SELECT count(*) FROM eav.ingest_gaps'), $gaps + 1, 'one gap is recorded');
		is($control->ask('SELECT epoch FROM eav.flush_state'), $epoch + 1, 'the epoch grew by one');
		my @uncovered = EavLoad::uncovered($control, @$missing);
		is(scalar @uncovered, 0, 'what is missing was accepted in a recorded gap')
		  or diag EavLoad::describe(@uncovered);

		my ($some) = shuffle grep { $_->{ticket} } $load->transactions;
		foreach my $old ($ticket, $some ? $some->{ticket} : ())
		{
			is($control->sqlstate("SELECT eav.wait_flushed($old, '0')"),
				'55000', 'a ticket from before the crash tells of it');
		}
		ok(poll('SELECT running FROM eav.worker_status()'), 'the worker is there');
		ok(poll('SELECT is_open FROM eav.stat_ingest'), 'the door is open');
		is($control->sqlstate(sprintf q(SELECT * FROM eav.ingest('%s', 'durable')),
				'{"tenant_id": 1, "entity_id": 1, "attributes": {"note": 1}}'),
			'', 'values flow');
		ok(poll('SELECT slabs_in_use FROM eav.stat_ingest', '0'), 'no slab is left in use');
		note EavLoad::summary($verdict), '; ', scalar @$missing, ' transactions lost';
		$sum{$_} += $verdict->{$_} foreach qw(committed durable in_ring spilled unknown_arrived);
		$sum{lost} += @$missing;
		undef $holder;
	};
	return;
}

my @rounds = (
	[ 'a backend', '' ], [ 'a backend', '' ], [ 'a backend', 'slow flushes' ],
	[ 'a backend', 'a held flush' ],
	[ 'a backend at work', '' ], [ 'a backend at work', '' ], [ 'a backend at work', '' ],
	[ 'a backend at work', 'slow flushes' ], [ 'a backend at work', 'a held flush' ],
	[ 'a backend in a transaction', '' ], [ 'a backend in a transaction', '' ],
	[ 'a backend in a transaction', 'slow flushes' ],
	[ 'the worker', '' ], [ 'the worker', '' ], [ 'the worker', '' ],
	[ 'the worker', 'a held flush' ], [ 'the worker', 'slow flushes' ],
	[ 'the worker in a flush', '' ], [ 'the worker in a flush', '' ],
	[ 'the worker in a flush', '' ], [ 'the worker in a flush', 'slow flushes' ],
	[ 'the worker in a flush', 'slow flushes' ],
	[ 'the postmaster', '' ], [ 'the postmaster', '' ], [ 'the postmaster', '' ],
	[ 'the postmaster', '' ], [ 'the postmaster', '' ], [ 'the postmaster', 'slow flushes' ],
	[ 'the postmaster', 'slow flushes' ], [ 'the postmaster', 'a held flush' ],
	[ 'immediate stop', '' ], [ 'immediate stop', '' ], [ 'immediate stop', 'slow flushes' ],
	[ 'immediate stop', 'a held flush' ]);
foreach my $what (shuffle @rounds)
{
	last if $ENV{EAV_ROUNDS} && $round >= $ENV{EAV_ROUNDS};
	crash_round(@$what);
}

# --- the whole of it ---------------------------------------------------------------------------

$control->ask('SELECT eav.stage_flush()');
is($control->ask('SELECT count(*) - count(DISTINCT value_int) FROM eav.entity_values_ts
	WHERE attribute_id = 1'), 0, 'nothing is there twice');
$node->projection_is_right;
cmp_ok($sum{lost}, '>', 0, "the crashes came at moments that cost something ($sum{lost} transactions)");
foreach (qw(in_ring durable))
{
	cmp_ok($sum{$_}, '>', 0, "$sum{$_} values $_");
}
note join ', ', map { "$_: $sum{$_}" } sort keys %sum;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal (?!9\b)\d+/, 'the log tells of no other crash');
$control->close;

done_testing();
