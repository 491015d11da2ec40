# What a leaving worker has moved from the ring to staging is not durable yet: neither a ticket nor a
# commit that waits may say so before a flush has taken it from there.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;

$EavCluster::patience = 30;
my $node = EavCluster->ready('main', autovacuum => 'off', 'eav.flush_interval' => '60s');
$node->register;
my $control = $node->client;

sub open_door
{
	return EavCluster::wait_until('the door is open',
		sub { $control->ask('SELECT is_open FROM eav.stat_ingest') eq 't' });
}

open_door() or BAIL_OUT('the door stays closed');
my $ticket = $control->ask(EavCluster::ingest_numbers(1, 5));
is($ticket % 2, 0, 'values are in the ring');
is($control->ask("SELECT eav.wait_flushed($ticket, '0')"), 'f', 'and not flushed');

# A stop with the worker switched off: all that it may do is to move them.
$node->set('eav.worker_enabled' => 'off');
EavCluster::wait_until('the door is closed',
	sub { $control->ask('SELECT is_open FROM eav.stat_ingest') eq 'f' });
is($control->ask("SELECT eav.wait_flushed($ticket, '0')"), 'f', 'the worker does not flush them');
$node->stop('fast');
like(slurp_file($node->logfile), qr/has moved values from the ring to staging/, 'the ring moved to staging');
$node->start;
$control = $node->client;
is($node->ask('SELECT count(*) FROM eav.entity_values_ts'), 0, 'no flush has taken them');
is($control->ask("SELECT eav.wait_flushed($ticket, '0')"), 'f', 'and the ticket says so');
$node->flush;
is($node->ask('SELECT count(*) FROM eav.entity_values_ts'), 5, 'a flush takes them');
is($control->ask("SELECT eav.wait_flushed($ticket, '0')"), 't', 'and the ticket says so');
is($node->ask('SELECT count(*) FROM eav.ingest_gaps'), 0, 'nothing was lost');

# In one run of the server: the worker is terminated while another session holds the flush up, so that
# it moves them; then a commit that waits must not take released slabs for flushed values.
$node->set('eav.worker_enabled' => 'on');
open_door() or BAIL_OUT('the door stays closed');
$node->ask(
	'CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
	 $$ BEGIN RAISE EXCEPTION \'no\' USING ERRCODE = \'42501\'; END $$;
	 CREATE TRIGGER refuse BEFORE INSERT ON eav.entity_values_ts FOR EACH ROW EXECUTE FUNCTION refuse()');
$ticket = $control->ask(EavCluster::ingest_numbers(6, 10));
my $pid = $node->worker_pid;
$node->ask("SELECT pg_terminate_backend($pid)");
EavCluster::wait_until('the ring is empty',
	sub { $control->ask('SELECT slabs_in_use FROM eav.stat_ingest') eq '0' });
is($control->ask("SELECT eav.wait_flushed($ticket, '0')"), 'f', 'moved values are not flushed');
$node->ask('DROP FUNCTION refuse CASCADE');
is($control->ask("SELECT eav.wait_flushed($ticket, '30s')"), 't', 'until they are');
is($node->ask('SELECT count(*) FROM eav.entity_values_ts'), 10, 'in history');

# A transaction that is inside stays so while a worker leaves, and its next call goes to the ring as
# well. Its ticket is one of the present, whenever the next worker comes.
my $producer = $node->client;
$producer->ask('BEGIN');
$producer->ask(EavCluster::ingest_numbers(11, 12));
$pid = $node->worker_pid;
$node->ask("SELECT pg_terminate_backend($pid)");
EavCluster::wait_until('no worker runs', sub { ($control->ask('SELECT eav._worker_pid()') // '') eq '' });
$ticket = $producer->ask(EavCluster::ingest_numbers(13, 15));
is($ticket % 2, 0, 'the second call finds the ring, too');
$producer->ask('COMMIT');
is($control->ask("SELECT eav.wait_flushed($ticket, '30s')"), 't', 'its ticket says when the values are flushed');
is($node->ask('SELECT count(*) FROM eav.entity_values_ts'), 15, 'and they are');
$node->stop;
done_testing();
