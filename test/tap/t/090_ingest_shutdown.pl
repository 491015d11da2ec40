# Fast and smart shutdown under load, round after round: the door to the ring closes, the ring
# drains, and every value that was acknowledged is in history after the next start, once; no gap is
# recorded. Also when the worker is switched off, when flushes fail and what is in the ring has to move
# to staging, and when the ring is small. Only where the worker was dead at the stop a gap may be
# recorded, and then it covers what is missing. EAV_SEED=n repeats the plan.
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
	'eav.flush_interval' => 20,
	# Shorter than the stops of clients that wait for a flush that cannot be.
	'eav.durable_timeout' => 400,
	'eav.rotation_interval' => 1,
	shared_buffers => '32MB',
	max_wal_size => '512MB',
	log_min_messages => 'log');
$node->register;

my ($control, $round) = (undef, 0);
sub connect_control
{
	$control = EavClient->connect($node->host, $node->port) // die $EavClient::refused;
	return;
}
connect_control();

sub poll
{
	my ($sql, $expected) = @_;
	return EavCluster::wait_until($sql, sub { $control->ask($sql) eq ($expected // 't') });
}

# A flush fails with each error of such a class, and says nothing about the values.
$control->ask(<<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not today' USING ERRCODE = TG_ARGV[0];
END $$;
SQL
sub refuse
{
	my ($sqlstate) = @_;
	return $control->query("CREATE TRIGGER refuse BEFORE INSERT ON eav.entity_values_ts
		FOR EACH ROW EXECUTE FUNCTION refuse('$sqlstate')");
}

# What happens during the load before the stop, and what is put right after the start.
my %trouble = (
	'nothing special' => {},
	'before the door opens' => { early => 1 },
	'the worker is switched off' => {
		before_stop => sub {
			$control->ask('ALTER SYSTEM SET eav.worker_enabled = off');
			$control->ask('SELECT pg_reload_conf()');
			sleep rand 0.2;
		},
		# Seen by the next server.
		before_start => sub { $node->append_conf('postgresql.auto.conf', 'eav.worker_enabled = on') } },
	'the worker is terminated' => {
		worker_dies => 1,
		before_stop => sub { $control->ask('SELECT pg_terminate_backend(eav._worker_pid())') } },
	'flushes fail with 42501' => {
		before_load => sub { refuse('42501') },
		after_start => sub { $control->ask(EavCluster::drop_trigger('refuse', 'eav.entity_values_ts')) } },
	'flushes fail with 53100' => {
		before_load => sub { refuse('53100') },
		after_start => sub { $control->ask(EavCluster::drop_trigger('refuse', 'eav.entity_values_ts')) } },
	# An open transaction would end at the stop; a prepared one stays.
	'flushes wait for a lock' => {
		before_load => sub {
			$control->ask($_) foreach 'BEGIN', 'LOCK eav.entity_values_ts IN SHARE MODE',
			  q(PREPARE TRANSACTION 'holds history');
		},
		after_start => sub { $control->ask(q(COMMIT PREPARED 'holds history')) } });

my %sum;
sub stop_round
{
	my ($mode, $what, $ring_size, $next_ring_size) = @_;
	$round++;
	subtest "$round: $mode, $what, ring of $ring_size" => sub {
		my %do = %{ $trouble{$what} };
		my $gaps = $control->ask('SELECT count(*) FROM eav.ingest_gaps');
		$do{before_load}->() if $do{before_load};
		poll('SELECT is_open FROM eav.stat_ingest') if !$do{early};
		# Smart: the clients end by themselves, some time after the stop was asked for.
		my $load = EavLoad->start(
			node => $node,
			round => $round,
			producers => $producers,
			seconds => $mode eq 'smart' ? 0.35 + rand 0.4 : 30);
		sleep $do{early} ? rand 0.15 : 0.15 + rand 0.3;
		$do{before_stop}->() if $do{before_stop};
		$control->close;
		my $asked = time;
		ok($node->stop($mode, fail_ok => 1), 'the server stops') or BAIL_OUT('no stop');
		my $stopped = time;
		ok($load->wait_for_end, 'the producers have ended in order');
		$do{before_start}->() if $do{before_start};
		# The size of the ring at the next round.
		$node->append_conf('postgresql.auto.conf', "eav.ring_size = '$next_ring_size'");
		$node->start;
		connect_control();
		$do{after_start}->() if $do{after_start};
		$control->ask('SELECT eav.stage_flush()');
		my $verdict = $load->judge($control);
		my $missing = $verdict->{missing};
		my $new_gaps = $control->ask('SELECT count(*) FROM eav.ingest_gaps') - $gaps;
		if ($do{worker_dies})
		{
			my @bad = EavLoad::uncovered($control, @$missing);
			is(scalar @bad, 0, 'what is missing was accepted in a recorded gap')
			  or diag EavLoad::describe(@bad);
			is(@{ $verdict->{lost_durable} }, 0, 'nothing that was durable is missing')
			  or diag EavLoad::describe(@{ $verdict->{lost_durable} });
			note @$missing . " transactions lost, $new_gaps gaps";
			$sum{'lost with a dead worker'} += @$missing;
			$sum{'gaps with a dead worker'} += $new_gaps;
		}
		else
		{
			is(@$missing, 0, 'all that was acknowledged is there')
			  or diag EavLoad::describe(@$missing);
			is($new_gaps, 0, 'no gap is recorded');
			is(@{ $verdict->{torn} }, 0, 'transactions are there whole or not at all')
			  or diag EavLoad::describe(@{ $verdict->{torn} });
		}
		is("@{ $verdict->{doubled} }", '', 'nothing is there twice');
		is("@{ $verdict->{unexpected} }", '', 'nothing is there that was not committed');
		cmp_ok($verdict->{committed}, '>', 0, 'there was something to lose') if !$do{early};
		is($control->ask('SELECT pg_postmaster_start_time() < now() AND count(*) = 0
			FROM pg_prepared_xacts'), 't', 'nothing is left of the trouble');
		note EavLoad::summary($verdict), sprintf '; stop took %.2f s', $stopped - $asked;
		$sum{$_} += $verdict->{$_} foreach qw(committed durable in_ring spilled unknown_arrived);
	};
	return;
}

my @what = (
	('nothing special') x 22,
	('before the door opens') x 6,
	('the worker is switched off') x 8,
	('the worker is terminated') x 8,
	('flushes fail with 42501') x 4,
	('flushes fail with 53100') x 2,
	('flushes wait for a lock') x 2);
# Each trouble under both modes in turn.
my $turn = 0;
my @rounds = shuffle map { [ $turn++ % 2 ? 'smart' : 'fast', $_ ] } @what;
my @sizes = map { (qw(64MB 64MB 4MB 256kB))[ rand 4 ] } @rounds;
push @sizes, '64MB';
$sizes[0] = '64MB';    # what the server has been started with
foreach my $i (0 .. $#rounds)
{
	last if $ENV{EAV_ROUNDS} && $i >= $ENV{EAV_ROUNDS};
	stop_round(@{ $rounds[$i] }, $sizes[$i], $sizes[ $i + 1 ]);
}

# --- the worker is gone at the stop ----------------------------------------------------------------

# Without a worker nobody can empty the ring: a transaction that outlasts it leaves its values there.
subtest 'a stop without a worker' => sub {
	my $base = ++$round * $EavLoad::numbers_of_round;
	my @lost;
	foreach my $n ($base .. $base + 3)
	{
		poll('SELECT is_open FROM eav.stat_ingest');
		my $client = $node->client;
		$client->ask('BEGIN');
		my $ticket = $client->ask(EavCluster::ingest_numbers($n, $n));
		my $worker = $control->ask('SELECT pg_terminate_backend(pid), pid FROM eav.worker_status()');
		my ($pid) = $worker =~ /(\d+)$/;
		poll("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0);
		my $began = time;
		my $replied = $client->query('COMMIT')->{at};
		$_->close foreach $control, $client;
		$node->stop('fast');
		$node->start;
		connect_control();
		$control->ask('SELECT eav.stage_flush()');
		my $times = $control->ask("SELECT count(*) FROM eav.entity_values_ts WHERE value_int = $n");
		cmp_ok($times, '<=', 1, 'the value is not there twice');
		next if $times == 1;    # the next worker was quick
		push @lost, { began => $began, replied => $replied };
		is($control->sqlstate("SELECT eav.wait_flushed($ticket, '0')"), '55000', 'it is lost, as its ticket tells');
	}
	is(EavLoad::uncovered($control, @lost), 0, @lost . ' lost values were accepted in recorded gaps');
	cmp_ok(@lost, '>', 0, 'some were');
};

# --- the whole of it ---------------------------------------------------------------------------

ok(poll('SELECT is_open FROM eav.stat_ingest'), 'the door is open again');
ok(poll('SELECT slabs_in_use FROM eav.stat_ingest', '0'), 'no slab is left in use');
is($control->ask('SELECT count(*) - count(DISTINCT value_int) FROM eav.entity_values_ts'),
	0, 'nothing is there twice');
$node->projection_is_right;
foreach (qw(in_ring spilled durable))
{
	cmp_ok($sum{$_}, '>', 0, "$sum{$_} values $_");
}
note join ', ', map { "$_: $sum{$_}" } sort keys %sum;
my $log = slurp_file($node->logfile);
my $moved = () = $log =~ /moved values from the ring to staging/g;
cmp_ok($moved, '>', 5, "the ring moved to staging at $moved stops") if !$ENV{EAV_ROUNDS};
unlike($log, qr/PANIC|TRAP|signal \d+|was terminated by/, 'the log tells of no crash');
$control->close;

done_testing();
