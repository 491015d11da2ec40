# Values are durable when the synchronous standby has them as well, if there is one: a promotion must
# not cost what eav.ingest() or eav.wait_flushed() has called durable. As with any commit, who sets
# synchronous_commit lower asks for less.
use strict;
use warnings;
use EavStandby;
use Test::More;
use Time::HiRes qw(time);

my $alpha = EavStandby->primary('alpha', 'eav.durable_timeout' => '1s');
my $beta = $alpha->standby('beta');
$alpha->register;
my $client = $alpha->client;

sub is_durable
{
	my ($number, %with) = @_;
	my $result = ($with{on} // $client)->query(EavCluster::ingest_numbers($number, $number, 'durable'));
	return 'error' if $result->{error} || !$result->{complete};
	return @{ $result->{notices} } ? "$result->{notices}[0]{C}: $result->{notices}[0]{D}" : 'yes';
}

sub on_beta { return $beta->ask("SELECT count(*) FROM eav.entity_values_ts WHERE value_int = $_[0]") }

is(is_durable(1), 'yes', 'without a synchronous standby nobody waits for one');
$alpha->set(synchronous_standby_names => 'beta');
ok($alpha->wait_for(q(SELECT sync_state = 'sync' FROM pg_stat_replication)), 'beta is synchronous');
is(is_durable(2), 'yes', 'it answers');

$beta->cut_off;
ok($alpha->wait_for('SELECT count(*) FROM pg_stat_replication', 0), 'beta hears nothing any more');
my $began = time;
like(is_durable(3), qr/^01000: .*synchronous standby/, 'a warning tells that the standby does not have it');
cmp_ok(time - $began, '>=', 0.9, 'after eav.durable_timeout');
cmp_ok(time - $began, '<', 20, 'and not much later');
is($client->ask('SELECT count(*) FROM eav.entity_values_ts WHERE value_int = 3'), 1, 'here it is flushed');
my $ticket = $client->ask(EavCluster::ingest_numbers(4, 4));
is($client->ask("SELECT eav.wait_flushed($ticket, '300 ms')"), 'f', 'wait_flushed() says no');
$client->ask('SET synchronous_commit = local');
is(is_durable(5), 'yes', 'synchronous_commit = local asks for this server only');
is($client->ask("SELECT eav.wait_flushed($ticket, '10 s')"), 't', 'also in wait_flushed()');
$client->ask('RESET synchronous_commit');

subtest 'a wait that is cancelled' => sub {
	$client->ask("SET eav.durable_timeout = '50 s'");
	$client->send(EavCluster::ingest_numbers(6, 6, 'durable'));
	$alpha->wait_for('SELECT count(*) FROM eav.entity_values_ts WHERE value_int = 6', 1);
	is($client->result(0.3), undef, 'waits');
	kill 'INT', $client->pid;
	my $result = $client->result;
	ok(!$result->{error}, 'is no error, for the values are committed');
	like($result->{notices}[0]{D}, qr/request of the user/, 'but a warning');
};
subtest 'waits that the standby ends' => sub {
	my $waiter = $alpha->client;
	$client->send(EavCluster::ingest_numbers(7, 7, 'durable'));
	$waiter->send("SELECT eav.wait_flushed($ticket, '50 s')");
	is($client->result(0.3), undef, 'they wait');
	$beta->follow($alpha);
	is($waiter->result->{rows}[0][0], 't', 'wait_flushed() says yes when it has the values');
	my $result = $client->result;
	is(scalar @{ $result->{notices} }, 0, 'and durable is without a warning');
	$waiter->close;
};

# What was durable survives a promotion without the primary.
$client->ask("SET eav.durable_timeout = '500 ms'");
my @promised = grep { is_durable($_) eq 'yes' } 10 .. 30;
is(scalar @promised, 21, 'values are durable again');
$beta->cut_off;
push @promised, grep { is_durable($_) eq 'yes' } 31 .. 33;
$client->close;
$alpha->stop('immediate');
$beta->promote;
is(join(' ', grep { on_beta($_) != 1 } @promised), '', 'all of them are there after a promotion');

EavStandby::log_tells_of_no_crash($alpha, $beta);
$_->stop foreach $alpha, $beta;
done_testing();
