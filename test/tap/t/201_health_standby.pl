# eav.health_check() on a standby and about one: replay that stands still, a standby that is gone.
use strict;
use warnings;
use EavStandby;
use Test::More;

my $hub = EavStandby->primary('hub', 'eav.breaker_open_time' => '1s', 'eav.breaker_close_time' => '1s');
my $east = $hub->standby('east');
$hub->list_servers($hub, $east);
$hub->register;
$hub->ask(EavCluster::insert_numbers(1, 10));
$hub->flush;
$hub->ask('CREATE ROLE watcher LOGIN IN ROLE eav_monitor');
$east->replays_all_of($hub);

sub becomes
{
	my ($node, $name, $status, $why) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->wait_for("SET SESSION AUTHORIZATION watcher;
		SELECT status FROM eav.health_check() WHERE check_name = '$name'", $status),
		$node->name . ": $name is $status: $why");
}
sub all_is_ok
{
	my ($node, $why) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->wait_for(q(SELECT NOT EXISTS (SELECT FROM eav.health_check() WHERE status <> 'ok'))), $node->name . ": all is ok: $why")
	  || diag $node->ask(q(SELECT check_name, status, detail FROM eav.health_check() WHERE status <> 'ok'));
}

all_is_ok($_, 'at first') foreach $hub, $east;
is($east->ask('SELECT count(*) FROM eav.health_check()'), $hub->ask('SELECT count(*) FROM eav.health_check()'),
	'a standby has the same checks');

$east->pause_replay;
becomes($hub, 'replica_lag', 'critical', 'replay stands still');
becomes($east, 'replica_lag', 'critical', 'replay stands still');
$east->resume_replay;
all_is_ok($_, 'replay goes on') foreach $hub, $east;

$east->ask('SELECT pg_terminate_backend(eav._worker_pid())');
becomes($east, 'worker', 'warning', 'nobody measures the lag');
becomes($east, 'worker', 'ok', 'somebody does again');

$east->stop;
becomes($hub, 'replica_lag', 'critical', 'the standby is gone');
$east->start;
all_is_ok($hub, 'it is back');
$_->stop foreach $east, $hub;
done_testing();
