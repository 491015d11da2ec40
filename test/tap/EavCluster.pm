# A cluster with eav_ext, and what the tests ask it again and again.
#
# Nothing here sleeps for luck: what takes time is polled, for at most $patience seconds.
package EavCluster;
use strict;
use warnings;
use parent 'PostgreSQL::Test::Cluster';
use EavClient;
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep time);

our $patience = 60;

# EavCluster->ready($name, setting => value, ...): a running node whose database postgres has the
# extension. extension => 0 leaves that out.
sub ready
{
	my ($class, $name, %settings) = @_;
	my $extension = delete $settings{extension} // 1;
	my $node = $class->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'")
	  foreach sort keys %settings;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION eav_ext CASCADE') if $extension;
	return $node;
}

# Why a released version of the extension cannot be installed here, or nothing.
sub release_refused
{
	my ($major) = `postgres --version` =~ /(\d+)/ or die 'no postgres says its version';
	return $major < 17 ? '' : "1.0.0 cannot be installed on PostgreSQL $major: it revokes rights on arrays";
}

# Ours override what init() writes; those of ready() override ours.
sub init
{
	my ($node, %params) = @_;
	$node->SUPER::init(%params);
	$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'eav_ext'
log_statement = none
max_connections = 60
max_prepared_transactions = 10
max_worker_processes = 16
shared_buffers = 128MB
max_wal_size = 4GB
deadlock_timeout = 100ms
CONF
	return;
}

# The first column of the first row, or the whole of a larger result.
sub ask
{
	my ($node, $sql, $db) = @_;
	return $node->safe_psql($db // 'postgres', $sql);
}

# What the statement says on failure; empty when it succeeds.
sub error_of
{
	my ($node, $sql, $db) = @_;
	my ($status, $out, $err) = $node->psql($db // 'postgres', $sql);
	return $status == 0 ? '' : $err || "exit status $status";
}

# Polls a query until it says t, or the expected text. True when it did.
sub wait_for
{
	my ($node, $sql, $expected, $db) = @_;
	my $wanted = $expected // 't';
	my $until = time + $patience;
	my ($out, $err);
	do
	{
		(undef, $out, $err) = $node->psql($db // 'postgres', $sql);
		return 1 if defined $out && $out eq $wanted;
		sleep 0.05;
	} while (time < $until);
	diag "gave up waiting for '$wanted' from: $sql\nlast answer: '$out' $err";
	return 0;
}

# Polls something in Perl.
sub wait_until
{
	my ($what, $condition) = @_;
	my $until = time + $patience;
	do
	{
		return 1 if $condition->();
		sleep 0.05;
	} while (time < $until);
	diag "gave up waiting until $what";
	return 0;
}

# Changes settings and returns when new sessions have them and the signal to the others is out.
sub set
{
	my ($node, %settings) = @_;
	foreach my $name (sort keys %settings)
	{
		$node->ask("ALTER SYSTEM SET $name = '$settings{$name}'");
	}
	$node->ask('SELECT pg_reload_conf()');
	while (my ($name, $value) = each %settings)
	{
		$node->wait_for("SELECT setting = '$value' OR current_setting('$name') = '$value'
			FROM pg_settings WHERE name = '$name'")
		  or die "setting $name did not become $value";
	}
	return;
}

# Every worker says so when it only looks from time to time whether it is needed.
sub worker_off
{
	my ($node) = @_;
	$node->set('eav.worker_enabled' => 'off');
	$node->wait_for("SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'eav_ext flush worker'
		AND query IS DISTINCT FROM 'looking for the extension'", 0)
	  or die 'the worker does not rest';
	return;
}

sub worker_on
{
	my ($node) = @_;
	$node->set('eav.worker_enabled' => 'on');
	return;
}

sub worker_pid
{
	my ($node, $db) = @_;
	return $node->ask('SELECT eav._worker_pid()', $db);
}

sub wait_for_worker
{
	my ($node, $db) = @_;
	return $node->wait_for('SELECT running FROM eav.worker_status()', 't', $db);
}

sub worker_count
{
	my ($node, $where) = @_;
	return $node->ask("SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'eav_ext flush worker' AND " . ($where // 'true'));
}

# Tenant 1 with the attributes that the tests write: 1 n (int, live), 2 state (text, hot),
# 3 note (int, history only).
sub register
{
	my ($node, $db) = @_;
	$node->ask(<<'SQL', $db);
SELECT eav.register_tenant('acme', 1);
SELECT eav.register_attribute(1, 'n', 'int', 'live');
SELECT eav.register_attribute(1, 'state', 'text', 'hot');
SELECT eav.register_attribute(1, 'note', 'int', 'none');
SQL
	return;
}

# Statement: numbers from..to become values of attribute n, spread over some entities.
sub insert_numbers
{
	my ($from, $to, $entities, $attribute) = @_;
	$entities //= 100;
	$attribute //= 1;
	return "INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int)
		SELECT 1, 1 + i % $entities, $attribute, i FROM generate_series($from, $to) AS i";
}

# The same as COPY with its data, for a psql script.
sub copy_numbers
{
	my ($from, $to, $entities) = @_;
	$entities //= 100;
	return join "\n",
	  'COPY eav.entity_values_ingest (tenant_id, entity_id, attribute_id, value_int) FROM STDIN;',
	  (map { join "\t", 1, 1 + $_ % $entities, 1, $_ } $from .. $to), '\.', '';
}

# Statements: the server drops the triggers of partitions before that of their parent, and would so
# meet flushes, as any INSERT, in a deadlock. With the lock taken before, in the usual order, it does not.
sub drop_trigger
{
	my ($name, $table) = @_;
	return "BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE; DROP TRIGGER $name ON $table; COMMIT";
}

# Flushes by hand until nothing is left to flush.
sub flush
{
	my ($node, $db) = @_;
	return $node->ask('SELECT flushed FROM eav.stage_flush()', $db);
}

sub state_of
{
	my ($node, $column, $db) = @_;
	return $node->ask("SELECT $column FROM eav.flush_state", $db);
}

sub history_count
{
	my ($node, $db) = @_;
	return $node->ask('SELECT count(*) FROM eav.entity_values_ts', $db);
}

sub staging_bytes
{
	my ($node, $db) = @_;
	return $node->ask("SELECT sum(pg_total_relation_size(relid))::bigint
		FROM pg_partition_tree('eav.entity_values_ingest') WHERE isleaf", $db);
}

# Nothing is lost and nothing doubled: as many values in history, rejects and backlog as went in.
sub input_is_output
{
	my ($node, $input, $name, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $output = $node->ask(<<'SQL', $db);
SELECT (SELECT count(*) FROM eav.entity_values_ts) + (SELECT count(*) FROM eav.ingest_rejects)
     + (SELECT count(*) FROM eav.flush_backlog WHERE ingested_at IS NULL)
SQL
	return is($output, $input, $name // 'values in = history + rejects + backlog');
}

# The oracle: the projection recomputed from history in plain SQL. Rows that differ, of both sides.
my $oracle = <<'SQL';
WITH newest AS (
    SELECT DISTINCT ON (tenant_id, entity_id, attribute_id) *
    FROM eav.entity_values_ts
    ORDER BY tenant_id, entity_id, attribute_id, observed_at DESC, ingested_at DESC
), expected AS (
    SELECT h.tenant_id, h.entity_id, a.projection, a.name,
           coalesce(to_jsonb(h.value_text), to_jsonb(h.value_int), to_jsonb(h.value_float),
                    to_jsonb(h.value_numeric), to_jsonb(h.value_bool), h.value_json,
                    to_jsonb(to_jsonb(h.value_time AT TIME ZONE 'UTC') #>> '{}' || '+00:00')) AS value
    FROM newest h JOIN eav.attributes a USING (tenant_id, attribute_id)
    WHERE a.projection <> 'none'
), actual AS (
    SELECT p.tenant_id, p.entity_id, 'hot' AS projection, key AS name, value
    FROM eav.entity_jsonb p, jsonb_each(p.hot_attrs)
    UNION ALL
    SELECT p.tenant_id, p.entity_id, 'live', key, value
    FROM eav.entity_jsonb p, jsonb_each(p.live_attrs)
    UNION ALL
    SELECT c.tenant_id, c.entity_id, 'current', a.name, c.value
    FROM eav.entity_values_current c LEFT JOIN eav.attributes a USING (tenant_id, attribute_id)
), expected_versions AS (
    SELECT h.tenant_id, h.entity_id, h.attribute_id, h.observed_at, h.ingested_at
    FROM newest h JOIN eav.attributes a USING (tenant_id, attribute_id)
    WHERE a.projection <> 'none'
), actual_versions AS (
    SELECT p.tenant_id, p.entity_id, v.attribute_id, v.observed_at, v.ingested_at
    FROM eav.entity_jsonb p, eav.projection_versions(p.versions) v
), difference AS (
    (SELECT 'missing' AS what, e::text AS row FROM
        (SELECT * FROM expected WHERE value IS NOT NULL EXCEPT ALL SELECT * FROM actual) e)
    UNION ALL
    (SELECT 'wrong', a::text FROM
        (SELECT * FROM actual EXCEPT ALL SELECT * FROM expected) a)
    UNION ALL
    (SELECT 'version missing', e::text FROM
        (SELECT * FROM expected_versions EXCEPT ALL SELECT * FROM actual_versions) e)
    UNION ALL
    (SELECT 'version wrong', a::text FROM
        (SELECT * FROM actual_versions EXCEPT ALL SELECT * FROM expected_versions) a)
    UNION ALL
    (SELECT 'not registered', p.tenant_id || ' ' || p.entity_id FROM eav.entity_jsonb p
     WHERE NOT EXISTS (SELECT FROM eav.entities e
                       WHERE e.tenant_id = p.tenant_id AND e.entity_id = p.entity_id))
)
SQL

# Statement: the first differences, none when all is right. In place of history, or of the documents
# and current values, it may read something else, such as those of one entity.
sub projection_differences
{
	my (%instead) = @_;
	my $sql = "$oracle SELECT what || ': ' || row FROM difference LIMIT 10";
	while (my ($table, $other) = each %instead)
	{
		$sql =~ s/FROM eav\.\Q$table\E\b/FROM $other/g;
	}
	return $sql;
}

sub projection_is_right
{
	my ($node, $name, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($node->ask(projection_differences(), $db), '', $name // 'the projection is what history says');
}

# Numbers lo..hi that must be in history, each once, and no other.
sub numbers_are
{
	my ($node, $ranges, $name, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $values = join ', ', map { "($_->[0]::bigint, $_->[1]::bigint)" } @$ranges;
	return is($node->ask(<<"SQL", $db), 'missing 0, unexpected 0, doubled 0', $name);
WITH expected AS (
    SELECT n FROM (VALUES $values) AS r (lo, hi), generate_series(r.lo, r.hi) AS n
), found AS (
    SELECT value_int AS n, count(*) AS times FROM eav.entity_values_ts
    WHERE value_int IS NOT NULL GROUP BY value_int
)
SELECT format('missing %s, unexpected %s, doubled %s',
              count(*) FILTER (WHERE f.n IS NULL), count(*) FILTER (WHERE e.n IS NULL),
              count(*) FILTER (WHERE f.times > 1))
FROM expected e FULL JOIN found f USING (n)
SQL
}

# A psql session in the background that works through a script; see finish_session(). It needs
# no attention meanwhile: script and output are files.
my $scripts = 0;

sub start_session
{
	my ($node, $script, $db) = @_;
	my $file = $node->basedir . '/script_' . ++$scripts;
	PostgreSQL::Test::Utils::append_to_file($file, $script);
	my $session = { output => "$file.out" };
	$session->{run} = IPC::Run::start(
		[
			'psql', '--no-psqlrc', '--no-align', '--tuples-only', '--quiet',
			'--set', 'ON_ERROR_STOP=1', '--file', $file,
			'--dbname', $node->connstr($db // 'postgres')
		],
		'<', \undef, '>', $session->{output}, '2>', "$file.err",
		IPC::Run::timeout($patience * 5));
	$session->{errors} = "$file.err";
	return $session;
}

# True when psql ended without an error.
sub finish_session
{
	my ($session) = @_;
	return 1 if IPC::Run::finish($session->{run});
	diag PostgreSQL::Test::Utils::slurp_file($session->{errors});
	return 0;
}

# A script of small transactions, COPY and INSERT in turn, that tells the time before and after
# each; sent_by() reads what it says. $$next is the next free number.
sub load_script
{
	my ($next, $transactions) = @_;
	my $script = "SET synchronous_commit = off;\n";
	foreach (1 .. $transactions)
	{
		my ($lo, $hi) = ($$next, $$next + int rand 60);
		$$next = $hi + 1;
		my $time = 'extract(epoch FROM clock_timestamp())';
		my $write =
		  rand() < 0.5 ? copy_numbers($lo, $hi) : insert_numbers($lo, $hi) . ";\n";
		$script .= "SELECT 'B', $lo, $hi, $time;\n${write}SELECT 'E', $lo, $hi, $time;\n";
		$script .= "SELECT pg_sleep(0.004);\n" if rand() < 0.5;
	}
	return $script;
}

# Its transactions as [lo, hi, began, ended]; ended is undefined when no answer came.
sub sent_by
{
	my ($session) = @_;
	my $said = PostgreSQL::Test::Utils::slurp_file($session->{output});
	my %end;
	$end{$1} = $2 while $said =~ /^E\|(\d+)\|\d+\|([\d.]+)$/mg;
	my @sent;
	push @sent, [ $1, $2, $3, $end{$1} ] while $said =~ /^B\|(\d+)\|(\d+)\|([\d.]+)$/mg;
	return @sent;
}

# A session that is talked to statement by statement; see PostgreSQL::Test::BackgroundPsql.
sub session
{
	my ($node, $db) = @_;
	return $node->background_psql($db // 'postgres', on_error_stop => 0, timeout => $patience * 5);
}

# One whose statements may be under way while the test goes on; see EavClient.
sub client
{
	my ($node, $db) = @_;
	return EavClient->connect($node->host, $node->port, $db) // die "cannot connect: $EavClient::refused";
}

# A client that keeps flushes from running until end_hold().
sub hold_flushes
{
	my ($node, $db) = @_;
	my $holder = $node->client($db);
	$holder->ask('BEGIN');
	$holder->ask('SELECT eav.stage_flush()');
	return $holder;
}

sub end_hold
{
	my ($holder) = @_;
	$holder->ask('COMMIT');
	$holder->close;
	return;
}

# An event of tenant 1 for attribute n, in JSON.
sub event
{
	my ($number, $entity) = @_;
	return sprintf '{"tenant_id": 1, "entity_id": %d, "attributes": {"n": %d}}',
	  $entity // 1 + $number % 100, $number;
}

# Statement: eav.ingest() with the numbers from..to, one event each. Returns the ticket.
sub ingest_numbers
{
	my ($from, $to, $ack) = @_;
	return sprintf q(SELECT ticket FROM eav.ingest('%s', '%s')),
	  join("\n", map { event($_) } $from .. $to), $ack // 'accepted';
}

# What the server's log has said since a position; log_position() gives one.
sub log_position
{
	my ($node) = @_;
	return -s $node->logfile;
}

sub log_since
{
	my ($node, $position) = @_;
	return substr PostgreSQL::Test::Utils::slurp_file($node->logfile), $position;
}

1;
