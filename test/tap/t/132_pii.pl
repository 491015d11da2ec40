# Values of personal attributes are in no file but those of staging, not in WAL, not in a dump; what is
# stored can be read with the key of the entity only, and an erasure takes that away from backups, too.
use strict;
use warnings;
use EavCluster;
use File::Find;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = EavCluster->ready('main', 'eav.flush_interval' => 20, 'wal_level' => 'replica');
$node->ask('CREATE EXTENSION pgcrypto');
$node->ask("SELECT eav.register_tenant('acme', 1)");
$node->ask("SELECT eav.register_attribute(1, 'secret_live', 'text', 'live'), eav.register_attribute(1, 'secret_none', 'text', 'none'),
	eav.register_attribute(1, 'open_live', 'text', 'live')");
$node->ask("SELECT eav.set_pii(1, 'secret_live'), eav.set_pii(1, 'secret_none')");

# Files of the server whose content matches, but for those of staging.
sub files_with
{
	my ($pattern) = @_;
	$node->ask('CHECKPOINT');
	my %staging = map { $_ => 1 } split /\n/, $node->ask(q(SELECT regexp_replace(pg_relation_filepath(relid), '^.*/', '')
		FROM pg_partition_tree('eav.entity_values_ingest') WHERE isleaf));
	my @found;
	find(
		{
			no_chdir => 1,
			wanted => sub {
				my ($name) = m{/([^/]+)$};
				return if !-f || $staging{$name};
				my $content = eval { slurp_file($_) } // return;
				push @found, $_ if $content =~ /$pattern/;
			}
		},
		map { $node->data_dir . "/$_" } qw(base pg_wal pg_xact));
	return @found;
}

# Through all doors, as rejects, and by a late value that loses.
$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value, observed_at) VALUES
	(1, 1, 'secret_live', 'hidden staged 1', now() - interval '1 min'), (1, 1, 'secret_none', 'hidden staged 2', now() - interval '1 min'),
	(1, 2, 'secret_live', 'hidden neighbour', now()), (1, 2, 'open_live', 'plain neighbour', now())");
$node->ask(q(SELECT eav.ingest('{"tenant_id": 1, "entity_id": 1, "attributes": {"secret_live": "hidden ring", "open_live": "plain ring"}}')));
$node->flush;
$node->ask(q(SELECT eav.ingest('{"tenant_id": 1, "entity_id": 1, "attributes": {"secret_none": "hidden last", "secret_live": "hidden gr\u00f6\u00dfer"}}')));
$node->flush;
$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value, observed_at) VALUES
	(1, 1, 'secret_live', 'hidden late', now() - interval '1 day'), (1, 1, 'secret_none', 'hidden late', now() - interval '1 day')");
$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value, observed_at) VALUES
	(1, 1, 'secret_live', 'hidden future', now() + interval '10 years')");
$node->ask(q(SELECT eav.ingest('{"tenant_id": 1, "entity_id": 1, "attributes": "hidden no object"}')));
$node->ask(q(SELECT eav.ingest('{"tenant_id": 1, "entity_id": 1, "observed_at": "hidden no time", "attributes": {"secret_live": "hidden event"}}')));
$node->ask(q(SELECT eav.ingest('{"tenant_id": 1, "entity_id": 1, "attributes": ["hidden no jsonb", 1e999999]}')));
$node->ask(q(SELECT eav.upsert_hot_attributes(1, 3, '{"secret_live": "hidden upsert", "secret_none": "hidden upsert"}')));
$node->flush;
$node->ask('SELECT eav.merge_rollups(), eav.refresh_stats()');

is($node->ask('SELECT count(*) FROM eav.entity_values_ts WHERE attribute_id <= 2'), 10, 'all of them are stored');
is($node->ask('SELECT count(*) FROM eav.ingest_rejects'), 4, 'and four rejects');
cmp_ok(scalar files_with('plain neighbour'), '>', 0, 'a value of another attribute is found in files');
is(join(' ', files_with('hidden')), '', 'a personal one is not, nor in WAL');
is($node->ask("SELECT eav.get_pii(1, 1) = '{\"secret_live\": \"hidden größer\", \"secret_none\": \"hidden last\"}'"), 't',
	'the newest are read in the clear');
is($node->ask("SELECT eav.get_pii(1, 3) ->> 'secret_none'"), 'hidden upsert', 'that of an upsert, too');
is($node->ask('SELECT eav.get_entity(1, 1)::text ~ $$"secret_live": "pii1:$$'), 't', 'documents show ciphertext');
$node->projection_is_right('the projection is what history says');
is($node->ask('SELECT count(DISTINCT value_text) FROM eav.entity_values_ts WHERE attribute_id <= 2'), 10, 'no two look alike');
is($node->ask("SELECT count(*) FROM eav.entity_values_ts h, LATERAL eav.decrypt_pii(1, 3 - h.entity_id, h.value_text) AS d
	WHERE attribute_id <= 2 AND h.entity_id IN (1, 2) AND d IS NOT NULL"), 0, 'what is of another entity is not read');
like($node->error_of("SELECT eav.decrypt_pii(1, 1, overlay(value_text PLACING CASE substr(value_text, 60, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM 60))
	FROM eav.entity_values_ts WHERE entity_id = 1 AND attribute_id = 1 LIMIT 1"), qr/has been changed/, 'nor what has been changed');

# A flush does not wait for a client who has just made the key of an entity.
my $client = $node->client;
$client->ask('BEGIN');
$client->ask(q(SELECT eav.upsert_hot_attributes(1, 4, '{"secret_none": "hidden open"}')));
$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value) VALUES (1, 5, 'secret_none', 'hidden other')");
$node->flush;
is($node->ask("SELECT eav.get_pii(1, 5) ->> 'secret_none'"), 'hidden other', 'flushes go on beside an open upsert');
$client->ask('COMMIT');

# A backup without keys, and one of the keys, kept for a short time only: the newest.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $dump = "$dir/all.sql";
my $keys = "$dir/keys.sql";
$node->command_ok([ 'pg_dump', '-f', $dump, '--exclude-table-data=eav.entity_keys', 'postgres' ], 'dump without keys');
unlike(slurp_file($dump), qr/hidden/, 'it shows no personal value');
my $id = $node->ask("SELECT eav.erase_entity(1, 1, 'ticket')");
ok($node->wait_for("SELECT count(*) FROM eav.audit_log WHERE erasure_id = $id AND state = 'completed'", 1), 'an entity is erased')
  or diag $node->ask('SELECT * FROM eav.stat_erasures');
is($node->ask('SELECT count(*) FROM eav.entity_keys WHERE entity_id = 1'), 0, 'its keys are gone');
$node->command_ok([ 'pg_dump', '-f', $keys, '--data-only', '--table=eav.entity_keys', 'postgres' ], 'dump of the keys');
$node->ask('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'restored', '-f', $dump ], 'the dump from before is restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'restored', '-f', $keys ], 'with the keys from afterwards');
is($node->ask('SELECT count(*) > 0 FROM eav.entity_values_ts WHERE entity_id = 1', 'restored'), 't', 'it has the values of the entity');
is($node->ask('SELECT count(*) FROM eav.entity_values_ts h WHERE entity_id = 1 AND attribute_id <= 2
	AND eav.decrypt_pii(1, 1, value_text) IS NOT NULL', 'restored'), 0, 'that nobody can read');
is($node->ask('SELECT eav.get_pii(1, 1)', 'restored'), '{}', 'by any function');
is($node->ask("SELECT eav.get_pii(1, 2) ->> 'secret_live'", 'restored'), 'hidden neighbour', 'its neighbour can be read');
done_testing();
