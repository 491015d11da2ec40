# eav.flush_memory bounds what the worker takes, whatever comes in one transaction: new entities, calls
# of eav.ingest(), new attributes, large values, what cannot be accepted or has to wait, and what has
# come while the worker was down. By VmHWM, the most that the process has ever had, less what it shares
# with others. The bound is generous: without the setting the first of these takes a gigabyte.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc' unless -r '/proc/self/status';

my $flush_memory = 16;    # MB
my $bound = 3 * $flush_memory + 60;

my $node = EavCluster->ready('main',
	'shared_buffers' => '16MB',
	'eav.ring_size' => '64MB',
	'eav.flush_memory' => "${flush_memory}MB",
	'fsync' => 'off',
	'autovacuum' => 'off');
my $shared = $node->ask("SELECT ceil(pg_size_bytes(current_setting('shared_memory_size')) / 1048576.0)");
$node->ask(q{
	SELECT eav.register_tenant('memory', 1);
	INSERT INTO eav.attributes (attribute_id, tenant_id, name, data_type, projection)
	VALUES (1, 1, 'n', 'int', 'live');
});
$node->wait_for_worker;
my $input = 0;

# In MB. Files that are mapped, the programs, count as well.
sub most_memory
{
	my $status = slurp_file('/proc/' . $node->worker_pid . '/status');
	my ($most) = $status =~ /^VmHWM:\s+(\d+) kB/m or die "no VmHWM in $status";
	return int($most / 1024);
}

sub arrives
{
	my ($what, $values, $sql) = @_;
	$node->ask($sql);
	$input += $values;
	local $EavCluster::patience = 300;
	ok($node->wait_for('SELECT flushed + rejected FROM eav.flush_state', $input), "$what: all of it arrives");
	my $most = most_memory() - $shared;
	cmp_ok($most, '<', $bound, "$what: the worker has taken $most MB beside the shared memory");
	return;
}

arrives('300,000 new entities in one transaction', 300_000, q{
	INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int)
	SELECT 1, i, 1, i FROM generate_series(1, 300000) AS i});

# One parcel is a quarter of the ring at most.
arrives('three calls of 100,000 values in one transaction', 300_000, q{
	SELECT eav.ingest(json_agg(json_build_object('tenant_id', 1, 'entity_id', e, 'attributes',
		(SELECT json_object_agg('x' || a, e + a) FROM generate_series(1, 50) AS a)))::text)
	FROM generate_series(1, 6000) AS e GROUP BY e % 3});

arrives('50,000 new attributes', 50_000, q{
	INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_int)
	SELECT 1, i % 100, 'a rather long name of attribute number ' || i, i FROM generate_series(1, 50000) AS i});

arrives('60 values of 1 MB', 60, q{
	INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_text)
	SELECT 1, i, 'large', repeat(md5(i::text), 32000) FROM generate_series(1, 60) AS i});

arrives('100,000 values of a tenant that there is not', 100_000, q{
	INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int)
	SELECT 99, i, 1, i FROM generate_series(1, 100000) AS i});

# Values that are moved: from documents to rows of their own, and out of history.
arrives('60 values of 1 MB that only go to history', 60, q{
	SELECT eav.register_attribute(1, 'archive', 'text', 'none');
	INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_text)
	SELECT 1, i, 'archive', repeat(md5(i::text), 32000) FROM generate_series(1, 60) AS i});
$node->ask(q{SELECT eav.demote_attribute(1, 'large', 'current'), eav.promote_attribute(1, 'archive', 'current')});
ok($node->wait_for('SELECT count(*) FROM eav.attribute_moves', 0), 'large values are moved');
is($node->ask('SELECT count(*) FROM eav.entity_values_current WHERE length(value::text) > 1000000'), 120,
	'and all are there');
my $most = most_memory() - $shared;
cmp_ok($most, '<', $bound, "large values are moved: the worker has taken $most MB beside the shared memory");

# They are in history, and their documents wait for the client.
my $client = $node->session;
$client->query_safe('BEGIN');
$client->query_safe('SELECT count(*) FROM (SELECT FROM eav.entity_jsonb WHERE entity_id <= 30000 FOR UPDATE) AS x');
arrives('30,000 values whose documents are held', 30_000, q{
	INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int)
	SELECT 1, i, 1, i FROM generate_series(1, 30000) AS i});
is($node->ask('SELECT backlog FROM eav.flush_state'), 30_000, 'they are in the backlog');
$client->query_safe('COMMIT');
$client->quit;
$node->ask('INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int) VALUES (1, 1, 1, 0)');
$input += 1;
ok($node->wait_for('SELECT backlog FROM eav.flush_state', 0), 'the backlog is worked off');
cmp_ok(most_memory() - $shared, '<', $bound, 'within the bound');

# Many transactions that have waited, in batches.
$node->worker_off;
$node->set('eav.flush_batch_values' => 2000);
$node->ask(q{DO $$
	BEGIN
		FOR i IN 1 .. 20000 LOOP
			INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int) VALUES (1, i, 1, i);
			COMMIT;
		END LOOP;
	END $$});
$node->worker_on;
arrives('20,000 transactions that have waited', 20_000, 'SELECT 1');

is($node->ask('SELECT count(*) FROM eav.entity_values_ts') + $node->ask('SELECT count(*) FROM eav.ingest_rejects'),
	$input, 'all values are in history or rejected, once');
is($node->ask(q{SELECT count(*) FROM eav.entity_jsonb p, eav.entity_values_ts h
	WHERE h.entity_id = p.entity_id AND h.attribute_id = 1 AND NOT p.live_attrs ? 'n'}), 0,
	'documents have them');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal \d+/, 'the log tells of no crash');
done_testing();
