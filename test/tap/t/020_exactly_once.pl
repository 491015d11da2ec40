# Every committed value is in history exactly once, and no other is: writers that commit out of
# order, roll back, use savepoints, prepare transactions and stay open across flushes and
# rotations; flushes by the worker and by hand, some of them rolled back; VACUUM of all kinds.
#
# The numbers that must arrive follow from the scripts alone. SEED=n repeats a run.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} // int(rand(1_000_000));
srand($seed);
note "seed $seed";

my $writers = 8;
my $transactions = 34;    # of each writer
my $node = EavCluster->ready(
	'main',
	'eav.rotation_interval' => 0,
	'eav.flush_interval' => 10,
	'eav.flush_batch_values' => 3000);
$node->register;
$node->ask(<<'SQL');
CREATE TABLE run (done boolean NOT NULL);
INSERT INTO run VALUES (false);
CREATE TABLE rotations (slot bigint);

-- Keeps a transaction open until flushes have passed it by, or the others have no more work.
CREATE FUNCTION stay_open(how_many bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    target bigint := how_many + (SELECT flushes FROM eav.flush_state);
    patience timestamptz := clock_timestamp() + interval '1 s';
BEGIN
    WHILE clock_timestamp() < patience AND target > (SELECT flushes FROM eav.flush_state) LOOP
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;

-- Flushes until the writers have ended; every fourth one is rolled back, some are two in one
-- transaction. Counts how often the leaf for new rows changed.
CREATE PROCEDURE flush_on() LANGUAGE plpgsql AS $$
DECLARE
    last bigint := -1;
    slot bigint;
BEGIN
    LOOP
        PERFORM eav.stage_flush(CASE WHEN random() < 0.5 THEN 1 + (random() * 5000)::bigint END);
        IF random() < 0.25 THEN
            ROLLBACK;
        ELSE
            IF random() < 0.2 THEN
                PERFORM eav.stage_flush();
            END IF;
            COMMIT;
        END IF;
        SELECT last_value INTO slot FROM eav.staging_slot_seq;
        IF slot <> last THEN
            INSERT INTO rotations VALUES (slot);
            COMMIT;
            last := slot;
        END IF;
        EXIT WHEN (SELECT done FROM run);
        COMMIT;
    END LOOP;
END $$;
SQL

# --- the scripts ---------------------------------------------------------------------------

my $next = 1;         # the next free number
my @committed;        # ranges that must be in history
my @prepared;         # [name, ranges]: ended by the main script, in random order
my %did;

# Steps of one transaction; returns SQL and the ranges that count when it commits.
sub some_steps
{
	my ($depth) = @_;
	my ($sql, @ranges) = ('');
	foreach (1 .. 1 + int rand 3)
	{
		my $kind = rand;
		if ($kind < 0.25 && $depth < 3)
		{
			my ($inner, @inner) = some_steps($depth + 1);
			$sql .= "SAVEPOINT s;\n$inner";
			if (rand() < 0.5)
			{
				$sql .= "ROLLBACK TO s;\nRELEASE s;\n";
				$did{'savepoints rolled back'}++;
			}
			else
			{
				$sql .= "RELEASE s;\n";
				push @ranges, @inner;
				$did{'savepoints released'}++;
			}
		}
		else
		{
			my $copies = $kind < 0.5;
			my ($from, $to) = ($next, $next + int(rand($copies ? 400 : 2000)));
			$next = $to + 1;
			push @ranges, [ $from, $to ];
			$sql .=
			  $copies
			  ? EavCluster::copy_numbers($from, $to, 300)
			  : EavCluster::insert_numbers($from, $to, 300) . ";\n";
		}
		if (rand() < 0.08)
		{
			$sql .= 'SELECT stay_open(' . (1 + int rand 30) . ");\n";
			$did{'stayed open'}++;
		}
	}
	return ($sql, @ranges);
}

sub writer_script
{
	my ($writer) = @_;
	my $script = '';
	foreach my $number (1 .. $transactions)
	{
		my ($sql, @ranges) = some_steps(0);
		my $level = ('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')[ rand 4 ];
		$script .= "BEGIN ISOLATION LEVEL $level;\n$sql";
		my $end = rand;
		if ($end < 0.2)
		{
			$script .= "ROLLBACK;\n";
			$did{'rolled back'}++;
		}
		elsif ($end < 0.25 && @prepared < 9)
		{
			my $name = "p${writer}_$number";
			$script .= "PREPARE TRANSACTION '$name';\n";
			push @prepared, [ $name, @ranges ];
			$did{'prepared'}++;
		}
		else
		{
			$script .= "COMMIT;\n";
			push @committed, @ranges;
			$did{'committed'}++;
		}
	}
	return $script;
}

my @scripts = map { writer_script($_) } 1 .. $writers;

my $vacuum = join "\n", (map {
	"VACUUM eav.entity_values_ingest_$_;
	 VACUUM FREEZE eav.entity_values_ingest, eav.entity_jsonb, eav.flush_state;
	 ANALYZE eav.entity_values_ingest, eav.entity_values_ts;
	 REINDEX TABLE eav.entity_jsonb;
	 CLUSTER eav.entities USING entities_pkey;
	 SELECT pg_sleep(0.1);"
} (0, 1, 2) x 5), '';

# What wants a leaf for itself queues behind open transactions, and everybody else behind it: so
# it gives up soon, and is done where it was lucky; later and later, for a slow machine.
my $patience = 100;
my $vacuum_full = join "\n", '\set ON_ERROR_STOP 0', (map {
	$patience += 20;
	"SET lock_timeout = '${patience}ms';
	 VACUUM FULL eav.entity_values_ingest_$_;
	 SELECT 'full' FROM pg_class
	 WHERE oid = 'eav.entity_values_ingest_$_'::regclass AND relfilenode <> oid;
	 VACUUM FULL eav.flush_state;
	 SELECT pg_sleep(0.2);"
} (0, 1, 2) x 20), '';

# --- the run -------------------------------------------------------------------------------

my @flushers = map { $node->start_session("CALL flush_on();\n") } 1 .. 2;
my @sessions = map { $node->start_session($_) } @scripts;
my @vacuums = map { $node->start_session($_) } $vacuum, $vacuum_full;

# Prepared transactions end while the others go on, the last ones after all else.
my $finished = 0;
my @open = sort { rand() <=> 0.5 } @prepared;
while (@open > 2)
{
	my $name = $open[0][0];
	$node->wait_for("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '$name'", '1')
	  or BAIL_OUT("$name is not prepared");
	end_prepared(shift @open);
}
foreach my $session (@sessions)
{
	$finished += EavCluster::finish_session($session);
}
is($finished, $writers, "$writers writers ended without an error");
is(scalar(grep { EavCluster::finish_session($_) } @vacuums),
	2, 'VACUUM, FREEZE, CLUSTER and REINDEX ran meanwhile');
like(slurp_file($vacuums[1]{output}), qr/full/, 'VACUUM FULL has rewritten leaves meanwhile');
$node->ask('UPDATE run SET done = true');
my $flushed = grep { EavCluster::finish_session($_) } @flushers;
is($flushed, 2, 'flushes by hand beside the worker ran without an error');

my $in_history = join ' ', map { "$_->[0]..$_->[1]" } @committed;
$node->flush;
$node->numbers_are(\@committed, 'history has every committed value once, with transactions still prepared');
end_prepared($_) foreach @open;
$node->flush;
$node->numbers_are(\@committed, 'values of prepared transactions come when these have ended');

note join ', ', map { "$_ $did{$_}" } sort keys %did;
my $total = 0;
$total += $_->[1] - $_->[0] + 1 foreach @committed;
cmp_ok($total, '>', 100_000, "$total values were committed of " . ($next - 1) . ' written');
$node->input_is_output($total);
$node->projection_is_right;

my $rotations = $node->ask('SELECT count(*) FROM rotations');
cmp_ok($rotations, '>', 2, "every leaf took new rows in turn while all this ran ($rotations rotations seen)");
# What was rolled back last is forgotten with the next value.
$node->worker_off;
$node->ask(EavCluster::insert_numbers(0, 0));
$node->flush foreach 1 .. 4;
cmp_ok($node->staging_bytes, '<', 8 * 1024 * 1024, 'the leaves have been emptied');
my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected/, 'nobody met a deadlock');
unlike($log, qr/eav_ext flush worker.*ERROR|PANIC|TRAP/, 'the worker met no error');

sub end_prepared
{
	my ($transaction) = @_;
	my ($name, @ranges) = @$transaction;
	if (rand() < 0.7)
	{
		$node->ask("COMMIT PREPARED '$name'");
		push @committed, @ranges;
	}
	else
	{
		$node->ask("ROLLBACK PREPARED '$name'");
	}
	return;
}

done_testing();
