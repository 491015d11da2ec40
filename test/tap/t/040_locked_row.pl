# A client that sits idle in a transaction with something locked that a flush needs delays
# nobody else; what concerns its row waits in the backlog and arrives when it ends, by COMMIT or
# ROLLBACK or death, and nothing arrives twice.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = EavCluster->ready('main', 'eav.worker_enabled' => 'off');
$node->register;
my $input = 0;

# Values by SQL: (entity, attribute, number or text).
sub feed
{
	my ($columns, @rows) = @_;
	$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, $columns) VALUES "
		  . join(', ', map { "(1, $_)" } @rows));
	$input += @rows;
	return;
}

# 200 other entities get number $n; a flush must project all of them at once.
sub feed_others
{
	my ($n) = @_;
	feed('entity_id, attribute_id, value_int', map { "$_, 1, $n" } 1001 .. 1200);
	return;
}

sub others_with
{
	my ($n) = @_;
	return $node->ask("SELECT count(*) FROM eav.entity_jsonb
		WHERE entity_id BETWEEN 1001 AND 1200 AND live_attrs @> '{\"n\": $n}'");
}

sub document
{
	my ($entity) = @_;
	return $node->ask("SELECT coalesce((SELECT (hot_attrs || live_attrs)::text
		FROM eav.entity_jsonb WHERE entity_id = $entity), 'none')");
}

my $round = 0;

# A client does $lock and stays; values for its entity ($columns, $row) and 200 others are flushed
# twice; the client ends with $end.
sub client_holds
{
	my ($what, $lock, $end, $columns, $row, %expect) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $n = ++$round;
	subtest "$what, then $end" => sub {
		my $client = $node->session;
		$client->query_safe('BEGIN');
		$client->query_safe($lock);

		feed($columns, $row);
		feed_others($n);
		my $before = $node->state_of('flushes');
		my $flush = $node->ask('SELECT flushed, projected, rejected FROM eav.stage_flush()');
		is(others_with($n), 200, "one flush has projected the 200 other entities ($flush)");
		is($node->state_of('flushes'), $before + 1, 'it was one flush');
		cmp_ok($node->state_of('backlog'), '>=', $expect{waiting} // 1,
			'the backlog keeps what waits for the client');
		is($node->ask('SELECT count(*) FROM eav.flush_backlog'),
			$node->state_of('backlog'), 'the counter agrees with the table');
		is($node->history_count, $input - ($expect{unresolved} // 0),
			$expect{unresolved} ? 'history has all but what has no id yet' : 'history has everything');

		feed_others($n + 1000);
		$node->flush;
		is(others_with($n + 1000), 200, 'so has the next flush, with the client still there');

		if ($end eq 'death')
		{
			my $pid = $client->query_safe('SELECT pg_backend_pid()');
			$node->ask("SELECT pg_terminate_backend($pid)");
			$node->wait_for("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", '0');
		}
		else
		{
			$client->query_safe($end);
		}
		$node->flush;
		is($node->ask('SELECT count(*) FROM eav.flush_backlog'), 0, 'the backlog is empty');
		is($node->state_of('backlog'), 0, 'and counts nothing');
		is($node->ask($expect{query}), $expect{$end}, 'the value has arrived') if $expect{query};
		$input += $expect{by_client}{$end} // 0;
		$node->input_is_output($input, 'nothing is lost, nothing doubled');
		$node->projection_is_right;
		eval { $client->quit };
	};
	return;
}

feed('entity_id, attribute_id, value_int', map { "$_, 1, 0" } 1 .. 20);
feed_others(0);
$node->flush;
is($node->history_count, $input, 'values are there to begin with');

# An existing row of the projection.
my $entity = 0;
foreach my $end ('COMMIT', 'ROLLBACK', 'death')
{
	foreach my $lock (
		'SELECT FROM eav.entity_jsonb WHERE entity_id = %d FOR UPDATE',
		'SELECT FROM eav.entity_jsonb WHERE entity_id = %d FOR SHARE',
		'UPDATE eav.entity_jsonb SET updated_at = now() WHERE entity_id = %d')
	{
		++$entity;
		my $value = 7000 + $entity;
		my $sql = sprintf $lock, $entity;
		client_holds(
			"$sql", $sql, $end,
			'entity_id, attribute_id, value_int', "$entity, 1, $value",
			query => "SELECT live_attrs->>'n' FROM eav.entity_jsonb WHERE entity_id = $entity",
			$end => $value);
	}
}

# An entity that an uncommitted upsert is just creating: the key is taken in entities and in
# entity_jsonb, and nobody can see by whom.
my $new = 50;
foreach my $end ('COMMIT', 'ROLLBACK', 'death')
{
	++$new;
	client_holds(
		"upsert of new entity $new",
		"SELECT eav.upsert_hot_attributes(1, $new, '{\"state\": \"on\"}')",
		$end,
		'entity_id, attribute_id, value_int', "$new, 1, 1",
		query => "SELECT hot_attrs || live_attrs FROM eav.entity_jsonb WHERE entity_id = $new",
		COMMIT => '{"n": 1, "state": "on"}',
		ROLLBACK => '{"n": 1}',
		death => '{"n": 1}',
		by_client => { COMMIT => 1 });
}

# An upsert of an existing entity.
client_holds(
	'upsert of an entity', "SELECT eav.upsert_hot_attributes(1, 15, '{\"state\": \"off\"}')",
	'COMMIT', 'entity_id, attribute_id, value_int', '15, 1, 15',
	query => 'SELECT hot_attrs || live_attrs FROM eav.entity_jsonb WHERE entity_id = 15',
	COMMIT => '{"n": 15, "state": "off"}',
	by_client => { COMMIT => 1 });

# Names that are being registered.
foreach my $end ('COMMIT', 'ROLLBACK')
{
	my $suffix = lc $end;
	client_holds(
		'register_entity of the name that values carry',
		"SELECT eav.register_entity(1, 'device-$suffix', 'meter')", $end,
		'entity, attribute_id, value_int', "'device-$suffix', 1, 5",
		unresolved => 1,
		query => "SELECT entity_type IS NULL, value FROM eav.entities
			JOIN eav.entity_values USING (tenant_id, entity_id) WHERE entities.external_id = 'device-$suffix'",
		COMMIT => 'f|5',
		ROLLBACK => 't|5');
	client_holds(
		'register_attribute of the name that values carry',
		"SELECT eav.register_attribute(1, 'attribute-$suffix', 'text', 'hot')", $end,
		'entity_id, attribute, value', "16, 'attribute-$suffix', '42'",
		unresolved => 1,
		query => "SELECT data_type, is_inferred, value FROM eav.attributes a
			JOIN eav.entity_values USING (data_type, attribute_id) WHERE name = 'attribute-$suffix'",
		COMMIT => 'text|f|42',
		ROLLBACK => 'int|t|42');
	client_holds(
		'register_entity of the number that values carry',
		"SELECT eav.register_entity(1, 'numbered-$suffix', NULL, 90 + length('$suffix'))", $end,
		'entity_id, attribute_id, value_int', '90 + ' . length($suffix) . ', 1, 5',
		waiting => 0);
}

# An attribute about to widen, whose row is locked.
feed('entity_id, attribute, value', "17, 'level', '1'");
$node->flush;
client_holds(
	'SELECT FOR UPDATE of an attribute that must widen',
	"SELECT FROM eav.attributes WHERE name = 'level' FOR UPDATE", 'COMMIT',
	'entity_id, attribute, value', "17, 'level', '1.5'",
	unresolved => 1,
	query => "SELECT live_attrs->>'level' FROM eav.entity_jsonb WHERE entity_id = 17",
	COMMIT => '1.5');

# A client that registers a whole fleet in one transaction, while the fleet sends already.
foreach my $lock (
	"INSERT INTO eav.entities (tenant_id, external_id)
		SELECT 1, 'fleet-' || i FROM generate_series(1, 3000) AS i",
	"SELECT count(eav.upsert_hot_attributes(1, 200000 + i, '{\"note\": 1}'))
		FROM generate_series(1, 3000) AS i")
{
	my $upsert = $lock =~ /upsert/;
	my $n = ++$round;
	my $client = $node->session;
	$client->query_safe('BEGIN');
	$client->query_safe($lock);
	feed($upsert ? 'entity_id, attribute_id, value_int' : 'entity, attribute_id, value_int',
		map { $upsert ? 200000 + $_ . ', 1, 3' : "'fleet-$_', 1, 3" } 1 .. 3000);
	feed_others($n);
	my $took = $node->ask('SELECT elapsed FROM eav.stage_flush()');
	is(others_with($n), 200, 'one flush serves the others beside 3000 entities that wait');
	cmp_ok($node->ask("SELECT interval '$took' < interval '1 s'"), 'eq', 't',
		"and has not waited a moment for each of them ($took)");
	$client->query_safe('COMMIT');
	$client->quit;
	$input += 3000 if $upsert;
	$node->flush;
	is($node->ask('SELECT count(*) FROM eav.flush_backlog'), 0, 'they arrive when the client ends');
	$node->input_is_output($input);
	$node->projection_is_right;
}

# The worker comes back to the backlog by itself, also when nothing else happens.
$node->worker_on;
my $client = $node->session;
$client->query_safe('BEGIN');
$client->query_safe('SELECT FROM eav.entity_jsonb WHERE entity_id = 18 FOR UPDATE');
feed('entity_id, attribute_id, value_int', '18, 1, 1818');
ok($node->wait_for('SELECT backlog FROM eav.flush_state', 1), 'the worker keeps the value of a locked row');
feed_others(4711);
ok($node->wait_for("SELECT count(*) FROM eav.entity_jsonb WHERE live_attrs \@> '{\"n\": 4711}'", 200),
	'and serves the others');
$client->query_safe('ROLLBACK');
ok($node->wait_for("SELECT live_attrs->>'n' FROM eav.entity_jsonb WHERE entity_id = 18", 1818),
	'a transaction that wrote nothing has ended, and the value arrives');
is($node->state_of('backlog'), 0, 'the backlog is empty');
$client->quit;
$node->input_is_output($input);
$node->projection_is_right;

done_testing();
