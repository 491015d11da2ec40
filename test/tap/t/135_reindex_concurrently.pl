# Indexes are replaced (REINDEX CONCURRENTLY) and dropped while entities are read: an index that was
# looked up is there when it is opened. Sessions that knew the old ones, in transactions that have
# begun before; and for a while, as fast as both go.
use strict;
use warnings;
use EavCluster;
use Test::More;
use Time::HiRes qw(time);

my $node = EavCluster->ready('main', 'fsync' => 'off', 'autovacuum' => 'off');
$node->wait_for_worker;
$node->ask(q{
	SELECT eav.register_tenant('reindex', 1);
	SELECT eav.register_attribute(1, 'h', 'int', 'hot'), eav.register_attribute(1, 'l', 'int', 'live'),
		eav.register_attribute(1, 'c', 'int', 'current'), eav.register_attribute(1, 'n', 'int', 'none');
	SELECT eav.register_entity(1, 'e' || n, NULL, n) FROM generate_series(1, 50) AS n;
	INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_int)
	SELECT 1, e, a, e FROM generate_series(1, 50) AS e, unnest('{h,l,c,n}'::text[]) AS a;
});
$node->flush;
$node->ask(q{SELECT eav.create_attribute_index(1, 'h')});
ok($node->wait_for(q{SELECT count(*) FROM pg_index i WHERE i.indexrelid::regclass::text ~ '^eav.attribute_[0-9]+_idx$' AND i.indisvalid}, 1),
	'an attribute has an index');

my %reads = (
	get_entity => q{SELECT eav.get_entity(1, 7)},
	get_entities => q{SELECT count(*) FROM eav.get_entities(1, ARRAY[7, 8]::bigint[])},
	'get_entities, by name' => q{SELECT count(*) FROM eav.get_entities(1, ARRAY['e7', 'e8'])},
	'find, indexed' => q{SELECT count(*) FROM eav.find_entities(1, '$.h == 7')},
	'find, current' => q{SELECT count(*) FROM eav.find_entities(1, '$.c == 7')},
	'find, live' => q{SELECT count(*) FROM eav.find_entities(1, '$.l == 7')},
	'find, all' => q{SELECT count(*) FROM eav.find_entities(1, NULL)},
	entity_history => q{SELECT count(*) FROM eav.entity_history(1, 7, 'h')},
	upsert => q{SELECT eav.upsert_hot_attributes(1, 7, '{"h": 7, "c": 7}')});
my @tables = qw(attributes entities entity_jsonb entity_values_current tenants tenant_grants entity_values_ts);

# Each in a session that knows the old indexes.
foreach my $name (sort keys %reads)
{
	my $client = $node->client;
	my $expected = $client->ask($reads{$name});
	$client->ask('BEGIN');
	$client->ask('SELECT');
	$node->ask("REINDEX TABLE CONCURRENTLY eav.$_") foreach @tables;
	is($client->sqlstate($reads{$name}) // '', '', "$name: after REINDEX CONCURRENTLY");
	$client->ask('ROLLBACK');
	is($client->ask($reads{$name}), $expected, "$name: the result is the same");
	$client->close;
}

my $builder = $node->start_session(join ";\n", map { "REINDEX TABLE CONCURRENTLY eav.$tables[$_ % @tables]" } 1 .. 300);
my %failed;
my $calls = 0;
my $until = time + 15;
my $client = $node->client;
while (time < $until)
{
	foreach my $name (sort keys %reads)
	{
		my $state = $client->sqlstate($reads{$name});
		$failed{"$name $state"}++ if $state;
		$calls++;
	}
}
is(join(', ', map { "$_: $failed{$_} times" } sort keys %failed), '', "no call fails, of $calls");
$client->close;
ok(EavCluster::finish_session($builder), 'all indexes were replaced meanwhile');
$node->stop;
done_testing();
