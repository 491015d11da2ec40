# A primary with real streaming standbys, and what is asked about their freshness again and again.
package EavStandby;
use strict;
use warnings;
use parent 'EavCluster';
use File::Basename qw(dirname);
use IPC::Run ();
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep time);

# Processes that do not run at the moment; the end of the test must not wait for them.
my %frozen;
END { kill 'CONT', keys %frozen if %frozen; }

# EavStandby->primary($name, setting => value, ...): it runs, has the extension and a worker. With
# clock => $seconds its clock is wrong; see set_clock().
sub primary
{
	my ($class, $name, %settings) = @_;
	my $clock = delete $settings{clock};
	my $extension = delete $settings{extension} // 1;
	my $node = $class->new($name);
	$node->init(allows_streaming => 1);
	$node->append_conf('postgresql.conf', <<'CONF');
autovacuum = off
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
wal_keep_size = 256MB
CONF
	$node->add_settings(%settings);
	$node->set_clock($clock) if defined $clock;
	$node->start;
	if ($extension)
	{
		$node->ask('CREATE EXTENSION eav_ext CASCADE');
		$node->wait_for_worker or BAIL_OUT('no worker');
	}
	return $node;
}

# A standby that streams from this node. Its name is its node_id and application_name, too. With
# start => 0 it does not run yet.
sub standby
{
	my ($primary, $name, %settings) = @_;
	my $clock = delete $settings{clock};
	my $start = delete $settings{start} // 1;
	my $backup = 'backup_' . $name;
	$primary->backup($backup);
	my $node = (ref $primary)->new($name);
	$node->init_from_backup($primary, $backup, has_streaming => 1);
	$node->add_settings(%settings);
	$node->set_clock($clock) if defined $clock;
	$node->start if $start;
	return $node;
}

sub add_settings
{
	my ($node, %settings) = @_;
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") foreach sort keys %settings;
	return;
}

# Rows of eav.nodes for servers, with the way to connect.
sub list_servers
{
	my ($primary, @nodes) = @_;
	foreach my $node (@nodes)
	{
		$primary->ask(sprintf q(INSERT INTO eav.nodes (node_id, conninfo) VALUES ('%s', $c$%s$c$)),
			$node->name, $node->connstr('postgres'));
	}
	return;
}

# Follows another server from now on.
sub follow
{
	my ($node, $primary) = @_;
	return $node->set(primary_conninfo => $primary->connstr =~ s/'/''/gr);
}

# Where it follows nobody.
sub cut_off
{
	my ($node) = @_;
	return $node->set(primary_conninfo => 'host=/nowhere');
}

sub replays_all_of
{
	my ($node, $primary) = @_;
	my $lsn = $primary->ask('SELECT pg_current_wal_insert_lsn()');
	return $node->wait_for("SELECT pg_last_wal_replay_lsn() >= '$lsn'::pg_lsn");
}

sub pause_replay
{
	my ($node) = @_;
	$node->ask('SELECT pg_wal_replay_pause()');
	return $node->wait_for(q(SELECT pg_get_wal_replay_pause_state() = 'paused'));
}

sub resume_replay
{
	my ($node) = @_;
	$node->ask('SELECT pg_wal_replay_resume()');
	return;
}

# --- processes -------------------------------------------------------------------------------

sub process
{
	my ($node, $kind) = @_;
	return $node->ask("SELECT pid FROM pg_stat_activity WHERE backend_type = '$kind'");
}

sub freeze
{
	my ($pid) = @_;
	die 'nothing to freeze' if !$pid;
	$frozen{$pid} = 1;
	kill 'STOP', $pid or die "cannot stop process $pid: $!";
	return;
}

sub thaw
{
	my ($pid) = @_;
	delete $frozen{$pid};
	kill 'CONT', $pid;
	return;
}

# --- clocks ----------------------------------------------------------------------------------

# The library that makes a clock wrong, undef when it cannot be built; $no_clock says why.
our $no_clock;
my $clock_library;

sub clock_library
{
	return $clock_library if $clock_library;
	my $source = dirname(__FILE__) . '/skewed_clock.c';
	my $library = PostgreSQL::Test::Utils::tempdir() . '/skewed_clock.so';
	my ($out, $err) = ('', '');
	my $is_built = eval {
		IPC::Run::run([ $ENV{CC} // 'cc', '-O', '-shared', '-fPIC', '-o', $library, $source ],
			'>', \$out, '2>', \$err);
	};
	return $clock_library = $library if $is_built;
	$no_clock = 'a library that makes a clock wrong cannot be built: ' . ($err || $@);
	return;
}

# The clock of the node is ahead by so many seconds, from now on; the first time before it starts.
sub set_clock
{
	my ($node, $seconds) = @_;
	my $file = $node->basedir . '/clock';
	if (!$node->{eav_clock})
	{
		die 'it runs by the true clock' if defined $node->{_pid};
		$node->{eav_clock} = { LD_PRELOAD => clock_library() // die($no_clock), EAV_CLOCK_FILE => $file };
	}
	open my $out, -e $file ? '+<' : '>', $file or die "$file: $!";
	syswrite $out, pack 'q<', int $seconds * 1e6;
	close $out;
	return;
}

sub start
{
	my ($node, @how) = @_;
	local %ENV = (%ENV, %{ $node->{eav_clock} // {} });
	return $node->SUPER::start(@how);
}

sub restart
{
	my ($node) = @_;
	local %ENV = (%ENV, %{ $node->{eav_clock} // {} });
	return $node->SUPER::restart;
}

# --- what is said about freshness ---------------------------------------------------------------

# Rows as hashes, with the time at which the answer was there as {at} and that of the question as
# {asked}. Column by column, as the statement names them.
sub rows
{
	my ($client, $columns, $rest) = @_;
	my $asked = time;
	my $result = $client->query("SELECT $columns $rest");
	die "$rest: " . ($result->{error} ? $result->{error}{M} : 'the connection is lost')
	  if $result->{error} || !$result->{complete};
	my @names = split /, /, $columns;
	return map {
		my $row = $_;
		my %row = (asked => $asked, at => time);
		@row{@names} = @$row;
		\%row;
	} @{ $result->{rows} };
}

sub freshness
{
	my ($client) = @_;
	my ($row) = rows($client, 'node_id, source, state, lag_seconds, data_timestamp, consistency, badge',
		'FROM eav.freshness()');
	return $row;
}

# Of one node, as eav.check_replication_lag() has it; undef when it is not listed.
sub lag_of
{
	my ($client, $node_id) = @_;
	my ($row) = rows($client,
		'node_id, node_type, state, lag_seconds, lag_bytes, measured_by, sampled_at, detail',
		"FROM eav.check_replication_lag() WHERE node_id = '$node_id'");
	return $row;
}

# Arguments in SQL.
sub route
{
	my ($client, $arguments) = @_;
	my ($row) = rows($client, 'node_id, conninfo, source, lag_seconds, consistency, degraded, reason',
		'FROM eav.route_read(' . ($arguments // '') . ')');
	return $row;
}

sub breaker
{
	my ($client, $node_id) = @_;
	my ($row) = rows($client, 'node_id, state, cause, failures, since, changes_at',
		"FROM eav.breaker_status() WHERE node_id = '$node_id'");
	return $row;
}

# Nobody takes it for fresh.
sub is_out { return $_[0]{state} =~ /^(stale|unknown)$/ }

sub text_of
{
	my ($row) = @_;
	return join ', ', map { "$_ " . ($row->{$_} // 'null') } grep { !/^(asked|at)$/ } sort keys %$row;
}

# What contradicts itself in a row of freshness() or check_replication_lag(), with a budget in seconds.
sub flaws_of
{
	my ($row, $target, $max) = @_;
	my @flaws;
	my $lag = $row->{lag_seconds};
	my $expected = !defined $lag ? 'unknown' : $lag <= $target ? 'ok' : $lag <= $max ? 'lagging' : 'stale';
	push @flaws, 'negative lag' if defined $lag && $lag < 0;
	push @flaws, "state is not $expected" if $row->{state} ne $expected;
	if (exists $row->{badge})
	{
		my $badge = $expected =~ /^(unknown|stale)$/ ? 'stale'
		  : $lag < 1 ? 'real-time' : $lag <= 10 ? 'near-real-time' : 'delayed';
		push @flaws, "badge is not $badge" if $row->{badge} ne $badge;
	}
	return map { $_ . ': ' . text_of($row) } @flaws;
}

# watch($seconds, name => sub { a row }, ...): asks all of them again and again for so long. Returns
# the rows by name. A sub that has no answer (undef) gives no row.
sub watch
{
	my ($seconds, %ask) = @_;
	my $until = ref $seconds ? undef : time + $seconds;
	my $give_up = time + $EavCluster::patience;
	my %rows = map { $_ => [] } keys %ask;
	while (defined $until ? time < $until : time < $give_up && !$seconds->(\%rows))
	{
		foreach my $name (sort keys %ask)
		{
			my $row = $ask{$name}->();
			push @{ $rows{$name} }, $row if $row;
		}
		sleep 0.04;
	}
	return \%rows;
}

# The states of the rows in the order in which they came, each once in a row.
sub course_of
{
	my ($rows, $column) = @_;
	my @course;
	foreach my $row (@$rows)
	{
		my $value = $row->{ $column // 'state' } // 'null';
		push @course, $value if !@course || $course[-1] ne $value;
	}
	return join ' ', @course;
}

# How fast the lag grew against the clock, between the first and the last of the rows.
sub growth_of
{
	my (@rows) = @_;
	my ($first, $last) = @rows[ 0, -1 ];
	return ($last->{lag_seconds} - $first->{lag_seconds}) / ($last->{at} - $first->{at});
}

# Few of many, for a message.
sub some_of
{
	my (@all) = @_;
	my $count = @all;
	return $count <= 5 ? join "\n", @all : join "\n", @all[ 0 .. 4 ], "... $count in all";
}

sub log_tells_of_no_crash
{
	my (@nodes) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $node (@nodes)
	{
		unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile),
			qr/PANIC|TRAP|signal (4|6|7|8|11)|WARNING.*(leak|refcount)/,
			'the log of ' . $node->name . ' tells of no crash');
	}
	return;
}

1;
