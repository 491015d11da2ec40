# Two servers, of which one is the primary and the other streams from it, and who changes places. What
# events do to them goes through here, so that it is known which processes were killed by us, which
# crash has cost what, and who may lose what.
package Chaos::World;
use strict;
use warnings;
use Chaos::Clock;
use Chaos::Place;
use Chaos::Producer;
use EavStandby;
use File::Copy ();
use File::Path qw(remove_tree);
use IPC::Run ();
use Test::More;
use Time::HiRes qw(sleep time);

our $settings = <<'CONF';
log_line_prefix = '%m [%p] %b %e '
log_min_messages = warning
restart_after_crash = on
wal_log_hints = on
wal_keep_size = 512MB
max_wal_size = 512MB
max_connections = 80
max_worker_processes = 14
max_parallel_workers = 14
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
hot_standby_feedback = on
max_standby_streaming_delay = 10s
eav.maintenance_interval = 5s
eav.rotation_interval = 1s
eav.rollup_interval = 1s
eav.durable_timeout = 5s
CONF

# new(dir => shared directory, disks => directory of two small file systems, or undef)
sub new
{
	my ($class, %with) = @_;
	my $self = bless {
		%with,
		place => Chaos::Place->new($with{dir}),
		clock => Chaos::Clock->new("$with{dir}/clock"),
		killed => {},
		lossy => [],
		background => [],
		crashes => [],
		excused => {},
		notes => [],
		missing => 0
	}, $class;
	$self->{has_clock} = !!EavStandby::clock_library();
	my ($first, $second) = map { EavStandby->new($_) } qw(alpha beta);
	$self->share_clock($first, $second);
	$first->init(allows_streaming => 1);
	$first->append_conf('postgresql.conf', $settings);
	$first->start;
	@$self{qw(primary standby)} = ($first, $second);
	$first->ask('CREATE EXTENSION eav_ext CASCADE');
	$first->wait_for_worker or BAIL_OUT('no worker');
	my $client = $first->client;
	Chaos::Producer::register($client);
	$client->ask("SELECT eav.configure_partitions('1 hour', 3)");
	$client->ask('CREATE SCHEMA chaos');
	$client->ask('CREATE TABLE chaos.dropped (LIKE eav.entity_values_ts)');
	$self->make_small_disks($client);
	$client->close;
	$self->build_standby;
	$self->{place}->set_servers($first, $second);
	return $self;
}

sub share_clock
{
	my ($self, @nodes) = @_;
	return if !$self->{has_clock};
	$_->{eav_clock} = { LD_PRELOAD => EavStandby::clock_library(), EAV_CLOCK_FILE => $self->{clock}{file} }
	  foreach @nodes;
	return;
}

# A tablespace whose place on each server is a file system of a few megabytes.
sub make_small_disks
{
	my ($self, $client) = @_;
	return if !$self->{disks};
	$client->ask("CREATE TABLESPACE small LOCATION '$self->{disks}/alpha/space'");
	return;
}

sub nodes { return @{ $_[0] }{qw(primary standby)} }

# A session with the primary, as soon as it takes one.
sub client
{
	my ($self, $node) = @_;
	my $client;
	EavCluster::wait_until('the server answers', sub {
		my $on = $node // $self->{primary};
		return $client = EavClient->connect($on->host, $on->port);
	}) or die "the server does not answer: $EavClient::refused";
	return $client;
}

# One statement on the primary, in a session of its own.
sub ask
{
	my ($self, $sql) = @_;
	my $client = $self->client;
	my $answer = $client->ask($sql);
	$client->close;
	return $answer;
}

sub tell
{
	my ($self, $text) = @_;
	push @{ $self->{notes} }, $text;
	return;
}

# --- starting and stopping -------------------------------------------------------------------------

# Starts a server whose processes may not all be gone yet.
sub start
{
	my ($self, $node) = @_;
	local %ENV = (%ENV, %{ $node->{eav_clock} // {} }, PGAPPNAME => '');
	my $said = '';
	EavCluster::wait_until($node->name . ' starts', sub {
		return 1 if IPC::Run::run([ 'pg_ctl', '-w', '-s', '-t', 60, '-D', $node->data_dir, '-l', $node->logfile,
			'-o', '--cluster-name=' . $node->name, 'start' ], '<', \undef, '>', '/dev/null', '2>', \$said);
		sleep 0.2;
		return 0;
	}) or die $node->name . " does not start: $said";
	$node->_update_pid(1);
	return;
}

# kill -9 of the postmaster. Its children notice when they wait for something the next time.
sub kill_server
{
	my ($self, $node) = @_;
	$self->count_kill($node->{_pid});
	$node->kill9;
	return;
}

# The end of a whole machine: nothing of it is left that could answer a client.
sub kill_machine
{
	my ($self, $node) = @_;
	my $postmaster = $node->{_pid};
	my @all = ($postmaster, children_of($postmaster));
	# Until then it could start new ones.
	kill 'STOP', $postmaster;
	push @all, children_of($postmaster);
	$self->count_kill($_) foreach @all;
	kill 'KILL', @all;
	$node->{_pid} = undef;
	EavCluster::wait_until('its processes are gone', sub { !grep { is_alive($_) } @all })
	  or die 'processes of a killed server do not end';
	return;
}

sub children_of
{
	my ($parent) = @_;
	my @children;
	foreach my $file (glob '/proc/[0-9]*/stat')
	{
		open my $in, '<', $file or next;
		my ($pid, $of) = (<$in> // '') =~ /^(\d+) \(.*\) \S (\d+) /;
		push @children, $pid if defined $of && $of == $parent;
	}
	return @children;
}

# A process that is gone and was not waited for is no more alive.
sub is_alive
{
	my ($pid) = @_;
	open my $in, '<', "/proc/$pid/stat" or return 0;
	return (<$in> // '') =~ /\) [^ZX] /;
}

sub stop
{
	my ($self, $node, $mode) = @_;
	my $said = '';
	IPC::Run::run([ 'pg_ctl', '-w', '-s', '-t', 120, '-D', $node->data_dir, '-m', $mode, 'stop' ],
		'<', \undef, '>', '/dev/null', '2>', \$said)
	  or die $node->name . " does not stop ($mode): $said";
	$node->{_pid} = undef;
	push @{ $self->{crashes} }, time if $mode eq 'immediate';
	return;
}

sub count_kill
{
	my ($self, $pid) = @_;
	$self->{killed}{$pid} = 1;
	push @{ $self->{crashes} }, time;
	return;
}

sub kill_process
{
	my ($self, $signal, $pid) = @_;
	$self->count_kill($pid) if $signal eq 'KILL';
	return kill $signal, $pid;
}

# --- the standby ------------------------------------------------------------------------------------

# The standby anew, from the primary as it is.
sub build_standby
{
	my ($self) = @_;
	my ($primary, $standby) = $self->nodes;
	remove_tree($standby->data_dir);
	my @map;
	if ($self->{disks})
	{
		my ($from, $to) = map { "$self->{disks}/" . $_->name . '/space' } $primary, $standby;
		remove_tree($to, { keep_root => 1 });
		@map = "--tablespace-mapping=$from=$to";
	}
	$self->run_program('pg_basebackup', '-D', $standby->data_dir, '-d', $primary->connstr, '-c', 'fast',
		'-X', 'stream', '--no-sync', @map);
	$self->configure_standby;
	return;
}

# The old primary as the standby of the new one, by pg_rewind if that can be.
sub rewind_standby
{
	my ($self) = @_;
	my ($primary, $standby) = $self->nodes;
	# Until the first checkpoint after a promotion pg_rewind takes the new timeline for the old one, and
	# has nothing to do.
	$primary->ask('CHECKPOINT');
	local %ENV = (%ENV, %{ $standby->{eav_clock} // {} });
	my $said = '';
	my $is_done = IPC::Run::run([ 'pg_rewind', '-D', $standby->data_dir, '--source-server',
			$primary->connstr('postgres'), '--no-sync' ], '<', \undef, '>&', \$said);
	if (!$is_done)
	{
		$self->tell('pg_rewind could not: ' . (split /\n/, $said)[-1]);
		return $self->build_standby;
	}
	return $self->configure_standby;
}

sub run_program
{
	my ($self, @command) = @_;
	my $said = '';
	IPC::Run::run(\@command, '<', \undef, '>&', \$said) or die "@command: $said";
	return;
}

sub configure_standby
{
	my ($self) = @_;
	my ($primary, $standby) = $self->nodes;
	$standby->append_conf('postgresql.conf', join "\n", '', 'port = ' . $standby->port,
		"unix_socket_directories = '" . $standby->host . "'",
		"primary_conninfo = '" . $primary->connstr . "'", '');
	$standby->set_standby_mode;
	$self->start($standby);
	return;
}

sub standby_follows
{
	my ($self) = @_;
	my $lsn = $self->ask('SELECT pg_current_wal_insert_lsn()');
	return $self->{standby}->wait_for("SELECT pg_last_wal_replay_lsn() >= '$lsn'::pg_lsn");
}

# Changes the roles; the primary has stopped. is_lossy: it may have had what the standby has not
# received. How it comes back: rewind or backup.
sub fail_over
{
	my ($self, $is_lossy, $how) = @_;
	$self->end_background;
	my ($old, $new) = $self->nodes;
	my $before = $new->ask('SELECT coalesce(max(gap_id), 0) FROM eav.ingest_gaps');
	$new->promote;
	# It may have been cut off.
	$new->ask('ALTER SYSTEM RESET primary_conninfo');
	$new->wait_for('SELECT NOT pg_is_in_recovery()') or die 'the standby is not promoted';
	@$self{qw(primary standby)} = ($new, $old);
	$self->{place}->set_servers($new, undef);
	if ($is_lossy)
	{
		$new->wait_for("SELECT EXISTS (SELECT FROM eav.ingest_gaps WHERE gap_id > $before)")
		  or die 'the promotion is no gap';
		push @{ $self->{lossy} }, split /\n/, $self->ask("SELECT gap_id FROM eav.ingest_gaps WHERE gap_id > $before");
	}
	$how eq 'rewind' ? $self->rewind_standby : $self->build_standby;
	$self->{place}->set_servers($new, $old);
	return;
}

# --- in the background --------------------------------------------------------------------------------

# A session that is left alone for so many seconds, with what it holds.
sub in_background
{
	my ($self, $client, $seconds) = @_;
	$client->send("SELECT pg_sleep($seconds); ROLLBACK");
	push @{ $self->{background} }, { client => $client, until => time + $seconds };
	return;
}

sub end_background
{
	my ($self, $when) = @_;
	foreach my $held (@{ $self->{background} })
	{
		next if defined $when && $held->{until} > $when;
		my $client = delete $held->{client};
		kill 'INT', $client->pid;
		$client->close;
	}
	$self->{background} = [ grep { $_->{client} } @{ $self->{background} } ];
	return;
}

# --- after an event -----------------------------------------------------------------------------------

sub gap_count { return $_[0]->ask('SELECT count(*) FROM eav.ingest_gaps') }

# Values flow again: the worker runs, a durable value is durable without a warning and once in history,
# the standby has it. Returns the seconds that took; dies when it takes too long.
sub settle
{
	my ($self) = @_;
	my $began = time;
	my $last = 'never';
	EavCluster::wait_until('values flow', sub { ($last = $self->probe) eq '' }) or die "values do not flow: $last";
	$self->standby_follows or die 'the standby does not follow';
	return time - $began;
}

# Writes a value and looks for it. What is wrong, if anything; dies when the promise is broken.
my $probe = 0;

sub probe
{
	my ($self) = @_;
	my $client = EavClient->connect($self->{primary}->host, $self->{primary}->port)
	  or return $EavClient::refused;
	$probe++;
	my $last = '';
	foreach my $step (
		[ sprintf(q(SELECT ticket FROM eav.ingest('{"tenant_id": 1, "entity_id": %d, "attributes": {"probe": %d}}', 'durable')),
				$Chaos::Producer::probed, $probe) ],
		[ "SELECT count(*) FROM eav.entity_values_ts WHERE entity_id = $Chaos::Producer::probed AND value_int = $probe
			AND attribute_id = (SELECT attribute_id FROM eav.attributes WHERE tenant_id = 1 AND name = 'probe')", 1 ],
		[ q(SELECT running FROM eav.worker_status()), 't' ])
	{
		my ($sql, $expected) = @$step;
		my $result = $client->query($sql);
		$last = !$result->{complete} ? 'the connection was lost' : $result->{error} ? $result->{error}{M}
		  : join ' ', map { $_->{M} } @{ $result->{notices} };
		last if $last ne '';
		next if !defined $expected || $result->{rows}[0][0] eq $expected;
		$last = "$sql: $result->{rows}[0][0]";
		die "a durable value is not there once: $last" if $expected eq 1;
		last;
	}
	$client->close if !$client->{lost};
	return $last;
}

1;
