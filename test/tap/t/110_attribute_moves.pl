# Attributes move between projections while values arrive through all doors, late ones included, and
# servers, workers and clients die in the middle. When the moves have ended, the projection is what
# history says, every value where its attribute has it. SEED=n repeats the plan.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = $ENV{SEED} // int(rand(1_000_000));
srand($seed);
note "seed $seed";

my $entities = 3000;
my %types = (
	a_int => 'int', a_text => 'text', a_float => 'float', a_bool => 'bool', a_numeric => 'numeric',
	a_json => 'json', b_int => 'int', b_text => 'text');
my @attributes = sort keys %types;
my @projections = qw(none current live hot);

my $node = EavCluster->ready(
	'main',
	'eav.flush_interval' => 20,
	'restart_after_crash' => 'on');
$node->ask("SELECT eav.register_tenant('acme', 1)");
$node->ask("SELECT eav.register_attribute(1, '$_', '$types{$_}', '" . pick(@projections) . "')")
  foreach @attributes;
# Now and then a value is late, or cleared.
$node->ask(<<"SQL");
CREATE FUNCTION some_value(type text) RETURNS text LANGUAGE sql VOLATILE AS \$\$
    SELECT CASE type WHEN 'bool' THEN (random() < 0.5)::text
                     WHEN 'text' THEN 'word ' || floor(random() * 50)
                     WHEN 'json' THEN jsonb_build_object('k', floor(random() * 9))::text
                     WHEN 'int' THEN floor(random() * 100)::text
                     ELSE (floor(random() * 1000) / 8)::text END
\$\$;
CREATE PROCEDURE stage(rounds integer) LANGUAGE plpgsql AS \$\$
BEGIN
    FOR i IN 1 .. rounds LOOP
        INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, observed_at, cleared, value)
        SELECT 1, 1 + floor(random() * $entities), s.name,
               clock_timestamp() - CASE WHEN random() < 0.2 THEN random() * interval '1 minute' ELSE '0' END,
               s.value IS NULL, s.value
        FROM (SELECT a.name, CASE WHEN random() < 0.95 THEN some_value(a.data_type) END AS value
              FROM eav.attributes a, generate_series(1, 20) WHERE a.name ~ '^[ab]_' ORDER BY random() LIMIT 100) AS s;
        COMMIT;
        IF i % 10 = 0 THEN
            PERFORM pg_sleep(0.01);
        END IF;
    END LOOP;
END
\$\$;
CREATE PROCEDURE upsert(rounds integer) LANGUAGE plpgsql AS \$\$
BEGIN
    FOR i IN 1 .. rounds LOOP
        FOR j IN 1 .. 1 + floor(random() * 3) LOOP
            BEGIN
                PERFORM eav.upsert_hot_attributes(1, 1 + floor(random() * $entities)::bigint,
                            (SELECT jsonb_object_agg(a.name, some_value(a.data_type))
                             FROM (SELECT * FROM eav.attributes
                                   WHERE data_type <> 'json' AND name ~ '^[ab]_'
                                   ORDER BY random() LIMIT 3) AS a));
            -- Two of us in opposite orders.
            EXCEPTION WHEN deadlock_detected THEN
            END;
        END LOOP;
        IF random() < 0.1 THEN
            PERFORM pg_sleep(random() * 0.3);
        END IF;
        IF random() < 0.1 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END
\$\$;
SQL

sub pick { return $_[ int rand @_ ]; }

# Any other projection, by the function for its direction.
sub change_some
{
	my @changed;
	foreach my $name (grep { rand() < 0.5 } @attributes)
	{
		my ($from) = $node->ask("SELECT projection FROM eav.attributes WHERE name = '$name'");
		my $to = pick(grep { $_ ne $from } @projections);
		my %rank = map { $projections[$_] => $_ } 0 .. $#projections;
		my $verb = $rank{$to} > $rank{$from} ? 'promote' : 'demote';
		$node->ask("SELECT eav.${verb}_attribute(1, '$name', '$to')");
		push @changed, "$name $from to $to";
	}
	return join ', ', @changed;
}

sub wait_for_moves
{
	return $node->wait_for('SELECT count(*) FROM eav.attribute_moves', 0);
}

sub check
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_for_moves(), "$what: the moves end");
	ok(EavCluster::wait_until('the backlog is empty',
			sub { $node->flush; $node->ask('SELECT count(*) FROM eav.flush_backlog') == 0 }),
		"$what: nothing waits any more");
	is($node->ask('SELECT count(*) FROM eav.attributes WHERE moving_from IS NOT NULL'),
		0, "$what: no attribute is under way");
	$node->projection_is_right("$what: the projection is what history says");
	return;
}

my %trouble = (
	'nothing' => sub { },
	'the worker is killed' => sub { kill 9, $node->worker_pid; },
	'the worker is terminated' => sub { $node->ask('SELECT pg_terminate_backend(' . $node->worker_pid . ')'); },
	'the postmaster is killed' => sub {
		$node->kill9;
		EavCluster::wait_until('the server starts again',
			sub {
				return 1 if $node->start(fail_ok => 1);
				$node->stop('fast', fail_ok => 1);
				return 0;
			});
	},
	'an immediate stop' => sub { $node->stop('immediate'); $node->start; },
	'a goal that changes' => sub { note 'then ' . change_some(); });

# First the values that are there before any move.
$node->ask('CALL stage(100)');
$node->flush;

foreach my $round (1 .. 10)
{
	# Each once, then any.
	my @names = sort keys %trouble;
	my $name = $round <= @names ? $names[ $round - 1 ] : pick(@names);
	my @load = map { $node->start_session($_) } 'CALL stage(150)', 'CALL stage(150)', 'CALL upsert(100)',
	  'CALL upsert(100)';
	# Clients hold an entity and a current row for a while.
	push @load, $node->start_session("BEGIN; UPDATE eav.entity_jsonb SET updated_at = now()
		WHERE entity_id BETWEEN 10 AND 15; SELECT pg_sleep(0.7); COMMIT");
	push @load, $node->start_session("BEGIN; SELECT FROM eav.entity_values_current
		WHERE entity_id BETWEEN 20 AND 25 FOR UPDATE; SELECT pg_sleep(0.7); COMMIT");
	note "round $round: " . change_some();
	sleep rand 0.5;
	$trouble{$name}->();
	my $failed = grep { !eval { EavCluster::finish_session($_) } } @load;
	is($failed, 0, "round $round, $name: the clients are left alone") if $name !~ /kill|immediate/;
	EavCluster::wait_until('the server answers', sub { ($node->psql('postgres', 'SELECT'))[0] == 0 });
	$node->wait_for_worker;
	check("round $round, $name");
}
cmp_ok($node->ask("SELECT count(*) FROM eav.attribute_changes WHERE change = 'projection'"),
	'>', 10, 'changes are recorded');
# This is no test of standing still.
cmp_ok($node->ask("SELECT sum((details ->> 'values_moved')::bigint) FROM eav.attribute_changes"),
	'>', 10 * 1000, 'values have been moved');

subtest 'a transaction that read the registry before the change is waited for' => sub {
	$node->ask("SELECT eav.register_attribute(1, 'late', 'int', 'none')");
	my $client = $node->background_psql('postgres', on_error_stop => 1);
	$client->query_safe("BEGIN; SELECT eav.upsert_hot_attributes(1, 1, '{\"late\": 7}')");
	$node->ask("SELECT eav.promote_attribute(1, 'late', 'current')");
	$node->ask("SELECT eav.move_attributes()") for 1 .. 3;
	is($node->ask("SELECT phase FROM eav.stat_attribute_moves WHERE attribute = 'late'"),
		'waiting', 'it waits');
	$client->query_safe('COMMIT');
	$client->quit;
	check('afterwards');
	is($node->ask("SELECT value FROM eav.entity_values_current JOIN eav.attributes USING (attribute_id)
		WHERE name = 'late'"), 7, 'its value is there');
};

subtest 'a change that is not committed moves nothing' => sub {
	my $client = $node->background_psql('postgres', on_error_stop => 1);
	$client->query_safe("BEGIN; SELECT eav.demote_attribute(1, 'late', 'none')");
	is($client->query_safe('SELECT eav.move_attributes()'), 1, 'its own move does not begin');
	$client->query_safe('ROLLBACK');
	$client->quit;
	is($node->ask("SELECT value FROM eav.entity_values_current JOIN eav.attributes USING (attribute_id)
		WHERE name = 'late'"), 7, 'and the value stays');
};

subtest 'who sets another goal' => sub {
	$node->worker_off;
	$node->ask("SELECT eav.demote_attribute(1, 'late', 'none')");
	my ($first, $second, $mover) =
	  map { $node->background_psql('postgres', on_error_stop => 1) } 1 .. 3;
	my $phase = sub { $node->ask("SELECT phase FROM eav.stat_attribute_moves WHERE attribute = 'late'") };

	# The batch does not wait for him, and leaves the move alone.
	$first->query_safe("BEGIN; SELECT eav.promote_attribute(1, 'late', 'current')");
	$mover->query_safe("SET lock_timeout = '5s'");
	is($mover->query_safe('SELECT eav.move_attributes()'), 1, 'is not waited for');
	is($phase->(), 'waiting', 'and finds the move as it was');
	$first->query_safe('ROLLBACK');

	# Who has written before the first goal was set does not stand for those before the second.
	$first->query_safe("BEGIN; SELECT eav.upsert_hot_attributes(1, 1, '{\"late\": 8}')");
	$node->ask("SELECT eav.promote_attribute(1, 'late', 'live')");
	$mover->query_safe('SELECT eav.move_attributes()');
	is($phase->(), 'waiting', 'the first writer is waited for');
	$second->query_safe("BEGIN; SELECT eav.upsert_hot_attributes(1, 2, '{\"late\": 9}')");
	$node->ask("SELECT eav.demote_attribute(1, 'late', 'current')");
	$first->query_safe('COMMIT');
	$mover->query_safe('SELECT eav.move_attributes()') for 1 .. 3;
	is($phase->(), 'waiting', 'and then the second');
	$second->query_safe('COMMIT');
	$_->quit foreach $first, $second, $mover;
	$node->worker_on;
	check('afterwards');
};

subtest 'without a worker it is driven by hand' => sub {
	$node->worker_off;
	$node->ask("SELECT eav.demote_attribute(1, 'late', 'none')");
	ok(EavCluster::wait_until('the move has ended',
			sub { $node->ask('SELECT eav.move_attributes(500)') == 0 }), 'to its end');
	$node->worker_on;
	is($node->ask("SELECT count(*) FROM eav.entity_values_current JOIN eav.attributes USING (attribute_id)
		WHERE name = 'late'"), 0, 'the value has left');
	check('afterwards');
};

subtest 'the type of an attribute changes under load' => sub {
	$node->ask("SELECT eav.register_attribute(1, 'code', 'text', 'hot')");
	$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value)
		SELECT 1, e, 'code', CASE WHEN e % 10 = 0 THEN 'x' ELSE '' END || e FROM generate_series(1, $entities) e");
	$node->flush;
	like($node->error_of("SELECT eav.alter_attribute_type(1, 'code', 'int')"),
		qr/300 values of attribute "code" cannot be of type int/, 'values that do not fit are found');
	my @load = map { $node->start_session("CALL upsert(100)") } 1 .. 2;
	$node->ask("SELECT eav.alter_attribute_type(1, 'code', 'int', 'clear')");
	kill 9, $node->worker_pid;
	eval { IPC::Run::finish($_->{run}) } foreach @load;
	EavCluster::wait_until('the server answers', sub { ($node->psql('postgres', 'SELECT'))[0] == 0 });
	ok(wait_for_moves(), 'it ends');
	is($node->ask("SELECT count(*) FILTER (WHERE jsonb_typeof(hot_attrs -> 'code') = 'number'),
			count(*) FILTER (WHERE hot_attrs -> 'code' IS NOT NULL)
		FROM eav.entity_jsonb"),
		($entities - 300) . '|' . ($entities - 300), 'all that fit are numbers, the others are gone');
	is($node->ask("SELECT old_value, new_value, (details ->> 'values_failed')::int
		FROM eav.attribute_changes WHERE change = 'type'"), 'text|int|300', 'and it is recorded');
};

$node->stop;
done_testing();
