# Nothing of an erased entity, or tenant, is left in any table of the extension, and nothing of it
# comes back from what was open, staged or in the ring; its neighbours stay as they are, bit by bit.
# The tables are read from the catalog, so that a new one cannot be forgotten.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $person = 4711004711;
my $neighbour = 4711004712;
my $traces = "$person|marker|987654321";    # ids, names, texts, numbers

my $node = EavCluster->ready(
	'main',
	'eav.flush_interval' => 20,
	'eav.rollup_interval' => 100,
	'restart_after_crash' => 'on');
$node->ask($_) foreach <<'SQL', <<'SQL', <<'SQL';
-- Every row of every table of the extension, partitions and views included.
CREATE FUNCTION traces_of(pattern text) RETURNS TABLE (relation text, row_text text)
    LANGUAGE plpgsql AS $$
DECLARE part record;
BEGIN
    FOR part IN
        WITH RECURSIVE member AS (
            SELECT d.objid AS oid FROM pg_depend d
            JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'eav_ext'
            WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e'
            UNION SELECT i.inhrelid FROM member m JOIN pg_inherits i ON i.inhparent = m.oid)
        SELECT c.oid::regclass::text AS name FROM member m JOIN pg_class c USING (oid)
        WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
    LOOP
        RETURN QUERY EXECUTE format('SELECT %L, t::text FROM %s t WHERE t::text ~ %L',
                                    part.name, part.name, pattern);
    END LOOP;
END $$
SQL
-- What an entity is, wherever it is.
CREATE FUNCTION all_of(tenant bigint, entity bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(line, E'\n' ORDER BY line) FROM (
        SELECT t::text FROM eav.entity_values_ts t WHERE tenant_id = tenant AND entity_id = entity
        UNION ALL SELECT t::text FROM eav.entity_jsonb t WHERE tenant_id = tenant AND entity_id = entity
        UNION ALL SELECT t::text FROM eav.entity_values_current t WHERE tenant_id = tenant AND entity_id = entity
        UNION ALL SELECT t::text FROM eav.entities t WHERE tenant_id = tenant AND entity_id = entity
        UNION ALL SELECT t::text FROM eav.ingest_rejects t
                  WHERE tenant_id = tenant AND payload::text ~ entity::text) AS l (line)
$$
SQL
-- Rollups that are not what history sums up to.
CREATE FUNCTION wrong_rollups() RETURNS TABLE (what text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM eav.merge_rollups();
    RETURN QUERY
    WITH hours AS MATERIALIZED (SELECT * FROM eav._computed_rollups()),
    expected AS (
        SELECT 'hour' AS unit, tenant_id, attribute_id, bucket, value_count::numeric, cleared_count::numeric,
               number_count::numeric, 0::numeric AS new_entities, min_value, max_value, round(sum_value, 6) AS sum_value,
               first_observed_at, last_observed_at, last_ingested_at FROM hours WHERE isfinite(bucket)
        UNION ALL
        SELECT 'day', tenant_id, attribute_id, date_trunc('day', bucket, 'UTC'), sum(value_count), sum(cleared_count),
               sum(number_count), sum(new_entities), min(min_value), max(max_value), round(sum(sum_value), 6),
               min(first_observed_at), max(last_observed_at), max(last_ingested_at) FROM hours GROUP BY 2, 3, 4),
    actual AS (
        SELECT 'hour', tenant_id, attribute_id, bucket, value_count::numeric, cleared_count::numeric,
               number_count::numeric, 0::numeric, min_value, max_value, round(sum_value, 6),
               first_observed_at, last_observed_at, last_ingested_at FROM eav.attribute_rollups
        UNION ALL
        SELECT 'day', tenant_id, attribute_id, bucket, value_count, cleared_count, number_count, new_entities,
               min_value, max_value, round(sum_value, 6), first_observed_at, last_observed_at, last_ingested_at
        FROM eav.attribute_rollups_daily)
    SELECT 'missing ' || e::text FROM (SELECT * FROM expected EXCEPT SELECT * FROM actual) AS e
    UNION ALL SELECT 'wrong ' || a::text FROM (SELECT * FROM actual EXCEPT SELECT * FROM expected) AS a;
END $$
SQL

sub traces
{
	my ($pattern) = @_;
	return $node->ask("SELECT string_agg(relation || ': ' || left(row_text, 200), E'\\n') FROM traces_of('$pattern')");
}

sub completed
{
	my ($id, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return 1 if ok($node->wait_for("SELECT EXISTS (SELECT FROM eav.audit_log
		WHERE erasure_id = $id AND state = 'completed')"), "$what completes");
	diag $node->ask('SELECT * FROM eav.stat_erasures');
	return 0;
}

# The files that tables of staging are in.
sub staging_has
{
	my ($pattern) = @_;
	$node->ask('CHECKPOINT');
	return grep { slurp_file($node->data_dir . "/$_") =~ /$pattern/ }
	  split /\n/, $node->ask(q(SELECT pg_relation_filepath(relid) FROM pg_partition_tree('eav.entity_values_ingest') WHERE isleaf));
}

my %types = (int => 987654321001, float => 987654321.125, numeric => '987654321.5', text => 'marker text',
	bool => 'true', timestamp => '2024-01-01T00:00:00Z', json => '{"k": "marker json"}');
my %others = (int => 5, float => 0.1, numeric => '7.5', text => 'other', bool => 'false',
	timestamp => '2025-01-01T00:00:00Z', json => '{"k": 1}');

# Values of an entity through all doors, in several hours and partitions.
sub plant
{
	my ($tenant, $entity, $name, $values, $last) = @_;
	my @sent;
	foreach my $projection (qw(hot live current none))
	{
		foreach my $type (sort keys %$values)
		{
			push @sent, map { "($tenant, $entity, '${type}_$projection', '$values->{$type}', now() - interval '$_ hours')" } 0, 1, 30;
		}
	}
	$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value, observed_at) VALUES "
		  . join ', ', @sent);
	$node->ask("SELECT eav.ingest('{\"tenant_id\": $tenant, \"entity\": \"$name\", \"attributes\":
		{\"text_live\": \"$last\", \"int_hot\": $values->{int}, \"float_none\": 0.30000000000000004}}')");
	$node->ask("SELECT eav.upsert_hot_attributes($tenant, $entity, '{\"text_hot\": \"$last\", \"text_current\": \"$last\", \"int_live\": null}')");
	# Rejects: of a value, of an event, and of an event that is no jsonb.
	$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value) VALUES ($tenant, $entity, 'int_hot', '$last')");
	$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value) VALUES ($tenant, '$name', 'int_hot', '$last')");
	$node->ask("SELECT eav.ingest('{\"tenant_id\": $tenant, \"entity\": \"$name\", \"attributes\": [\"$last\"]}')");
	$node->ask("SELECT eav.ingest('{\"tenant_id\": $tenant, \"entity_id\": $entity, \"attributes\": [1e999999]}')");
	$node->flush;
	# By the server's time: a partition of the past, and the default one.
	$node->ask("INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, ingested_at, attribute_id, value_text)
		SELECT $tenant, $entity, now() - interval '400 days', now() - interval '400 days', attribute_id, '$last'
		FROM eav.attributes WHERE tenant_id = $tenant AND name = 'text_none'");
	return;
}

sub register
{
	my ($tenant, $name) = @_;
	$node->ask("SELECT eav.register_tenant('$name', $tenant)");
	foreach my $projection (qw(hot live current none))
	{
		$node->ask("SELECT eav.register_attribute($tenant, '${_}_$projection', '$_', '$projection')") foreach sort keys %types;
	}
	return;
}

register(1, 'acme');
foreach my $entity ([ $person, 'marker-ext', \%types, 'marker last' ], [ $neighbour, 'other-ext', \%others, 'other last' ])
{
	my ($id, $name, $values, $last) = @$entity;
	$node->ask("SELECT eav.register_entity(1, '$name', 'person', $id)");
	plant(1, $id, $name, $values, $last);
}
$node->ask("SELECT eav.create_attribute_index(1, 'text_hot')");
$node->ask('SELECT eav.rebuild_rollups()');
$node->ask('SELECT eav.refresh_stats()');
foreach my $table (qw(entity_jsonb entity_values_current entities ingest_rejects
	attribute_rollups attribute_rollups_daily mv_entity_attribute_stats entity_values_ts_default))
{
	like(traces($traces), qr/^eav\.$table:/m, "planted in $table");
}
is($node->ask('SELECT * FROM wrong_rollups()'), '', 'rollups are right before');
my $before = $node->ask("SELECT all_of(1, $neighbour)");

subtest 'an entity, while others still write of it' => sub {
	my %open = map { $_ => $node->client } qw(stage ingest upsert hold reject);
	$open{$_}->ask('BEGIN') foreach keys %open;
	$open{stage}->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value) VALUES (1, $person, 'text_hot', 'marker staged')");
	$open{stage}->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value) VALUES (1, 'marker-ext', 'text_new', 'marker staged')");
	$open{ingest}->ask("SELECT eav.ingest('[{\"tenant_id\": 1, \"entity_id\": $person, \"attributes\": {\"text_hot\": \"marker ring\"}},
		{\"tenant_id\": 1, \"entity\": \"marker-ext\", \"attributes\": {\"text_hot\": \"marker ring\"}}]')");
	$open{upsert}->ask("SELECT eav.upsert_hot_attributes(1, $person, '{\"text_live\": \"marker upsert\", \"int_none\": 987654321002}')");
	# What a flush puts off, and what it rejects.
	$open{hold}->ask("SELECT FROM eav.entities WHERE entity_id = $person FOR UPDATE");
	$open{reject}->ask("SELECT eav.ingest('{\"tenant_id\": 1, \"entity\": \"marker-ext\", \"attributes\": 7}')");
	$node->ask("SELECT eav.ingest('{\"tenant_id\": 1, \"entity_id\": $person, \"attributes\": {\"text_live\": \"marker waits\"}}')");
	$node->wait_for('SELECT count(*) > 0 FROM eav.flush_backlog') or die 'nothing waits';

	my $id = $node->ask("SELECT eav.erase_entity(1, $person, 'ticket 1')");
	is($node->ask("SELECT eav.erase_entity(1, $person, 'again')"), $id, 'a second call finds the first');
	is($node->ask("SELECT count(*) FROM eav.audit_log WHERE erasure_id = $id"), 1, 'and leaves no second row');
	my $late = $node->client;
	is($late->sqlstate("SELECT eav.upsert_hot_attributes(1, $person, '{\"text_live\": \"marker late\"}')"),
		'55000', 'an upsert is refused');
	is($late->sqlstate("SELECT eav.register_entity(1, 'marker-ext')"), '55006', 'and so is a new registration');
	$node->ask("SELECT eav.ingest('{\"tenant_id\": 1, \"entity_id\": $person, \"attributes\": {\"text_live\": \"marker late\"}}')");
	sleep 1;
	$open{$_}->ask('COMMIT') foreach sort keys %open;
	completed($id, 'it');
	is(traces($traces), '', 'no table has a trace of it');
	is(scalar staging_has('marker|' . pack 'q', $person), 0, 'and no file of staging');
	is($node->ask('SELECT backlog FROM eav.flush_state'), 0, 'the backlog is counted right');
	is($node->ask("SELECT all_of(1, $neighbour)"), $before, 'the neighbour is as it was');
	is($node->ask('SELECT * FROM wrong_rollups()'), '', 'rollups are what the remaining history says');
	$node->projection_is_right('so is the projection');
	cmp_ok($node->ask('SELECT min(discarded) FROM eav.erased_subjects'), '>=', 2, 'what came later was counted');
	is($node->ask("SELECT string_agg(actor || ' ' || action || ' ' || state || ' ' || coalesce(reason, '-'), ', ' ORDER BY audit_id)
		FROM eav.audit_log WHERE erasure_id = $id"),
		join(', ', map { $node->ask('SELECT session_user') . " erase_entity $_" } 'requested ticket 1', 'completed -'),
		'the audit log has both steps');
};

subtest 'what arrives afterwards' => sub {
	$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value) VALUES (1, $person, 'int_hot', 'marker no number')");
	$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value) VALUES (1, 'marker-ext', 'marker attribute', 'marker')");
	$node->ask("SELECT eav.ingest('{\"tenant_id\": 1, \"entity\": \"marker-ext\", \"attributes\": [1e999999]}')");
	$node->ask("SELECT eav.ingest('{\"tenant_id\": 1, \"entity_id\": $person, \"attributes\": [\"marker\"]}')");
	$node->flush;
	is($node->ask("SELECT count(*) FROM traces_of('$traces') WHERE relation !~ 'entity_values_ingest'"), 0,
		'leaves no trace outside staging, not even as a reject');
	is($node->ask("SELECT eav.register_entity(1, 'marker-ext') <> $person"), 't', 'a new registration gets a new id');
	$node->ask("SELECT eav.ingest('{\"tenant_id\": 1, \"entity\": \"marker-ext\", \"attributes\": {\"text_hot\": \"marker new\"}}')");
	$node->flush;
	is($node->ask("SELECT hot_attrs FROM eav.entity_jsonb JOIN eav.entities USING (tenant_id, entity_id) WHERE external_id = 'marker-ext'"),
		'{"text_hot": "marker new"}', 'whose values are taken');
	$node->ask("SELECT eav.ingest('{\"tenant_id\": 1, \"entity_id\": $person, \"attributes\": {\"text_hot\": \"x\"}}')");
	$node->flush;
	is($node->ask("SELECT count(*) FROM eav.entity_values_ts WHERE entity_id = $person"), 0, 'the old id is still erased');
	is($node->ask("SELECT eav.register_entity(1, 'named', NULL, $person)"), $person, 'until it is named');
	$node->ask("SELECT eav.ingest('{\"tenant_id\": 1, \"entity_id\": $person, \"attributes\": {\"text_hot\": \"marker y\"}}')");
	$node->flush;
	is($node->ask("SELECT count(*) FROM eav.entity_values_ts WHERE entity_id = $person"), 1, 'then it is taken');
	foreach my $id ($person, $node->ask("SELECT entity_id FROM eav.entities WHERE external_id = 'marker-ext'"))
	{
		completed($node->ask("SELECT eav.erase_entity(1, $id, 'ticket 2')"), 'erased once more');
	}
	is(traces($traces), '', 'and leaves no trace again');
};

subtest 'a tenant' => sub {
	register(2, 'marker tenant');
	$node->ask("SELECT eav.register_entity(2, 'marker-ext', 'person', $person)");
	plant(2, $person, 'marker-ext', \%types, 'marker last');
	$node->ask('SELECT eav.refresh_stats()');
	$node->ask("SELECT eav.create_attribute_index(2, 'int_hot')");
	$node->ask("SELECT eav.rename_attribute(2, 'text_hot', 'marker renamed')");
	$node->ask(q(CREATE ROLE acme_app LOGIN IN ROLE eav_reader, eav_writer; SELECT eav.grant_tenant('acme_app', 2);
		CREATE ROLE acme_other));
	my $pin = $node->client;
	my %open = map { $_ => $node->client } qw(stage ingest upsert register);
	$open{$_}->ask('BEGIN') foreach keys %open;
	$open{stage}->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value) VALUES (2, 'marker new', 'marker', 'marker')");
	$open{ingest}->ask("SELECT eav.ingest('{\"tenant_id\": 2, \"entity\": \"marker other\", \"attributes\": {\"marker\": 1}}')");
	$open{upsert}->ask("SELECT eav.upsert_hot_attributes(2, $person, '{\"marker upsert\": \"marker\"}')");
	$open{register}->ask("SELECT eav.register_entity(2, 'marker registered')");
	my $id = $node->ask("SELECT eav.erase_tenant(2, 'end of contract')");
	my $late = $node->client;
	is($late->sqlstate("SELECT eav.register_tenant('marker tenant')"), '55006', 'the name is not given away meanwhile');
	sleep 1;
	$pin->ask("BEGIN; SELECT eav.grant_tenant('acme_other', 1)");
	$open{$_}->ask('COMMIT') foreach sort keys %open;
	ok($node->wait_for("SELECT last_error ~ 'could not obtain lock' FROM eav.stat_erasures"), 'a client who pins a role is not waited for');
	$pin->ask('COMMIT');
	completed($id, 'it');
	is(traces($traces), '', 'no table has a trace of it');
	is($node->ask("SELECT string_agg(c.relname || ' ' || n, ', ' ORDER BY c.relname) FROM (
		SELECT 'eav.' || relname AS relname FROM pg_class WHERE relnamespace = 'eav'::regnamespace AND relkind IN ('r', 'p', 'm')
		AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'tenant_id')) AS c,
		LATERAL (SELECT (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ' || c.relname || ' WHERE tenant_id = 2', false, true, '')))[1]::text::int AS n) AS x
		WHERE n > 0"), 'eav.audit_log 2, eav.erased_subjects 1', 'no row has its number but the log and the tombstone');
	is($node->ask("SELECT all_of(1, $neighbour)"), $before, 'the neighbour is as it was');
	is($node->ask('SELECT * FROM wrong_rollups()'), '', 'rollups are what the remaining history says');
	$node->ask("SELECT eav.ingest('{\"tenant_id\": 2, \"entity\": \"marker later\", \"attributes\": {\"marker\": 1}}')");
	$node->ask("SELECT eav.ingest('{\"tenant_id\": 2, \"entity\": \"marker later\", \"attributes\": 1}')");
	$node->flush;
	is($node->ask("SELECT count(*) FROM traces_of('$traces') WHERE relation !~ 'entity_values_ingest'"), 0, 'what arrives later leaves none');
	ok($node->wait_for("SELECT count(*) = 0 FROM pg_indexes WHERE tablename = 'entity_jsonb' AND indexdef LIKE '%int_hot%'"), 'its index goes');
	like($node->error_of("SELECT eav.grant_tenant('acme_app', 2)"), qr/tenant 2 does not exist/, 'nobody can be pinned to it');
	is($node->ask("SELECT eav.register_tenant('marker tenant', 2)"), 2, 'the number can be given out again');
	is($node->ask('SET SESSION AUTHORIZATION acme_app; SELECT eav.current_tenant() IS NULL, count(*) FROM eav.tenants'), 't|0',
		'to others than those of whom it was');
	like($node->error_of("SET SESSION AUTHORIZATION acme_app; SELECT eav.set_tenant($_)"), qr/permission denied for tenant $_/,
		'who cannot choose either') foreach 1, 2;
	$node->ask("SELECT eav.grant_tenant('acme_app', 1)");
	is($node->ask('SET SESSION AUTHORIZATION acme_app; SELECT eav.current_tenant()'), 1, 'until they are pinned anew');
	$node->ask("SELECT eav.ingest('{\"tenant_id\": 2, \"entity\": \"a\", \"attributes\": {\"b\": 1}}')");
	$node->flush;
	is($node->ask('SELECT count(*) FROM eav.entity_values_ts WHERE tenant_id = 2'), 1, 'and its values are taken');
};

# Retention has taken history, but for some rows that arrived late. Rollups of tenant 3 are not what
# history says from here on.
subtest 'where history has expired' => sub {
	$node->ask("SELECT eav.register_tenant('retention', 3), eav.register_attribute(3, 'n', 'int', 'none')");
	my $day = '2021-03-04';
	my $insert = sub {
		my ($entity, @values) = @_;
		$node->ask('INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_int, observed_at) VALUES '
			  . join ', ', map { "(3, $entity, 'n', $_->[1], '$_->[0]+00')" } @values);
		$node->flush;
		return;
	};
	my $rollups = sub {
		my ($table) = @_;
		return $node->ask("SELECT string_agg(format('%s %s: %s to %s, sum %s, %s to %s', to_char(bucket AT TIME ZONE 'UTC', 'MM-DD HH24'),
			value_count, min_value, max_value, sum_value, to_char(first_observed_at AT TIME ZONE 'UTC', 'HH24:MI'),
			to_char(last_observed_at AT TIME ZONE 'UTC', 'HH24:MI')), E'\n' ORDER BY bucket)
			FROM eav.$table WHERE tenant_id = 3 AND isfinite(bucket) AND bucket < now() - interval '2 days'");
	};
	# Of others, in hours that the entity has nothing in, less in, as much in, and more in.
	$insert->(8, map { ["$day 0$_:10", 10 + $_], ["$day 0$_:50", 20 + $_] } 1 .. 4);
	$insert->(8, ['2021-03-06 05:10', 15]);
	$node->ask('DELETE FROM eav.entity_values_ts WHERE tenant_id = 3');
	$insert->(8, ["$day 03:20", 14], ["$day 04:20", 17]);
	# One with a wrong clock, the hour of which is its alone; the last to be sent today.
	$insert->($person, ['2015-01-01 00:30', 5], ["$day 02:30", 19], ["$day 03:10", 13], ["$day 04:05", 1], ["$day 04:55", 99], [$node->ask(q(SELECT now() AT TIME ZONE 'UTC')), 2]);
	$node->ask('SELECT eav.merge_rollups()');
	is($rollups->('attribute_rollups'), <<'ROWS' =~ s/\n\z//r, 'hours before');
01-01 00 1: 5 to 5, sum 5, 00:30 to 00:30
03-04 01 2: 11 to 21, sum 32, 01:10 to 01:50
03-04 02 3: 12 to 22, sum 53, 02:10 to 02:50
03-04 03 4: 13 to 23, sum 63, 03:10 to 03:50
03-04 04 5: 1 to 99, sum 155, 04:05 to 04:55
03-06 05 1: 15 to 15, sum 15, 05:10 to 05:10
ROWS
	completed($node->ask("SELECT eav.erase_entity(3, $person, 'ticket')"), 'it');
	is($rollups->('attribute_rollups'), <<'ROWS' =~ s/\n\z//r, 'only what may have been of the entity is taken from hours');
03-04 01 2: 11 to 21, sum 32, 01:10 to 01:50
03-04 02 2: 12 to 22, sum 34, 02:10 to 02:50
03-04 03 3: 14 to 23, sum 50, 03:20 to 03:50
03-04 04 3: 17 to 17, sum 55, 04:20 to 04:20
03-06 05 1: 15 to 15, sum 15, 05:10 to 05:10
ROWS
	is($rollups->('attribute_rollups_daily'), <<'ROWS' =~ s/\n\z//r, 'and from days');
03-04 00 10: 11 to 23, sum 171, 01:10 to 04:20
03-06 00 1: 15 to 15, sum 15, 05:10 to 05:10
ROWS
};

done_testing();
