# A standby to which nothing comes any more, while nothing is written that could show it: it never
# looks fresh, neither to itself nor to the primary, whatever has broken.
use strict;
use warnings;
use EavStandby;
use Test::More;
use Time::HiRes qw(sleep time);

# Seconds after which everybody must know: three heartbeats, and a bit for slow machines.
my $known_after = 3.5;

my $north = EavStandby->primary('north', wal_sender_timeout => '60s');
my $south = $north->standby('south', wal_receiver_timeout => '60s');
$north->list_servers($north, $south);
my $on_south = $south->client;
my $on_north = $north->client;

my %on_standby = (
	'freshness() of the standby' => sub { EavStandby::freshness($on_south) },
	'check_replication_lag() of the standby' => sub { EavStandby::lag_of($on_south, 'south') });
my %on_primary = ('check_replication_lag() of the primary' => sub { EavStandby::lag_of($on_north, 'south') });

sub all_is_well
{
	return EavCluster::wait_until('the standby is ok for all', sub {
		return !grep { my $row = $_->(); !$row || $row->{state} ne 'ok' } values %on_standby, values %on_primary;
	});
}

# Breaks something, watches, and repairs it. {cut}: the receiver or the sender is gone, so it is
# known at once and for certain. {primary_lives}: it can be asked.
sub never_fresh
{
	my ($what, %how) = @_;
	subtest $what => sub {
		ok(all_is_well(), 'all is well before');
		my $before = time;
		$how{break}->();
		my $broken = time;
		my %views = (%on_standby, $how{primary_lives} ? %on_primary : ());
		my $seen = EavStandby::watch(8, %views, 'where the standby sends reads' => sub { EavStandby::route($on_south) });
		my @routes = @{ delete $seen->{'where the standby sends reads'} };
		foreach my $view (sort keys %$seen)
		{
			my @rows = @{ $seen->{$view} };
			is(EavStandby::some_of(map { EavStandby::flaws_of($_, 3, 5) } @rows), '', "$view: no answer contradicts itself");
			my @late = grep { $_->{asked} - $broken > $known_after } @rows;
			my @fresh = grep { $how{cut} ? !EavStandby::is_out($_) : $_->{state} eq 'ok' } @late;
			is(EavStandby::some_of(map { sprintf 'after %.3f s: %s', $_->{at} - $broken, EavStandby::text_of($_) } @fresh),
				'', 'nothing looks fresh after three heartbeats');
			# What is known to be lost does not come back by itself, and no lag is less than the truth.
			my $is_known = 0;
			my @wrong;
			foreach my $row (@rows)
			{
				$is_known ||= EavStandby::is_out($row);
				my $age = $row->{asked} - $broken;
				push @wrong, sprintf 'after %.3f s: %s', $age, EavStandby::text_of($row)
				  if $is_known && !EavStandby::is_out($row)
				  || $age > 2.5 && defined $row->{lag_seconds} && $row->{lag_seconds} < 0.8 * $age - 0.1;
			}
			is(EavStandby::some_of(@wrong), '', 'no lag is less than the time since then');
			ok(EavStandby::is_out($rows[-1]), 'in the end it is stale or unknown: ' . EavStandby::course_of(\@rows));
		}
		my @wrong = grep { $_->{asked} - $broken > ($how{cut} ? $known_after : 6.5) && ($_->{node_id} // '') eq 'south' } @routes;
		is(EavStandby::some_of(map { sprintf 'after %.3f s: %s', $_->{at} - $broken, EavStandby::text_of($_) } @wrong),
			'', 'the standby routes no read to itself');
		$how{repair}->();
		ok(all_is_well(), 'all is well afterwards');
	};
	return;
}

# --- the connection ------------------------------------------------------------------------------

never_fresh('the standby has lost the address of the primary',
	cut => 1,
	primary_lives => 1,
	break => sub { $south->cut_off },
	repair => sub { $south->follow($north) });

my $hba = $north->data_dir . '/pg_hba.conf';
my $admission = PostgreSQL::Test::Utils::slurp_file($hba);
sub admit
{
	my ($rules) = @_;
	open my $out, '>', $hba or die "$hba: $!";
	print $out $rules;
	close $out;
	$north->reload;
	return;
}
never_fresh('the receiver is killed, and not let in again',
	cut => 1,
	primary_lives => 1,
	break => sub {
		admit("local replication all reject\n$admission");
		# A reload is not waited for.
		EavCluster::wait_until('no connection is let in', sub {
			my ($status) = $north->psql('postgres', 'IDENTIFY_SYSTEM', replication => 1);
			return $status != 0;
		});
		kill 'TERM', $on_south->ask('SELECT pid FROM pg_stat_wal_receiver');
	},
	repair => sub { admit($admission) });

foreach my $mode ('fast', 'immediate')
{
	never_fresh("the primary is stopped ($mode)",
		cut => 1,
		break => sub { $on_north->close; $north->stop($mode) },
		repair => sub { $north->start; $on_north = $north->client });
}

# --- black holes: connections that stand, and through which nothing comes ----------------------------

my $frozen;
sub thaw { EavStandby::thaw($frozen); return }
never_fresh('the sender is frozen',
	primary_lives => 1,
	break => sub { EavStandby::freeze($frozen = $on_north->ask('SELECT pid FROM pg_stat_replication')) },
	repair => \&thaw);
never_fresh('the receiver is frozen',
	primary_lives => 1,
	break => sub { EavStandby::freeze($frozen = $on_south->ask('SELECT pid FROM pg_stat_wal_receiver')) },
	repair => \&thaw);
never_fresh('replay is frozen',
	primary_lives => 1,
	break => sub { EavStandby::freeze($frozen = $south->process('startup')) },
	repair => \&thaw);

# Of the heartbeats of a pause only the last one is ever seen. That must not be taken for their pace.
subtest 'replay that stutters' => sub {
	ok(all_is_well(), 'all is well before');
	my $as_of = sub { EavStandby::freshness($on_south)->{data_timestamp} };
	ok($south->pause_replay, 'paused');
	my $paused;
	foreach (1 .. 3)
	{
		my $before = $as_of->();
		$on_south->ask('SELECT pg_sleep(3.5)');
		$on_south->ask('SELECT pg_wal_replay_resume()');
		EavCluster::wait_until('a heartbeat is seen', sub { $as_of->() ne $before });
		$south->pause_replay;
		$paused = time;
	}
	my $seen = EavStandby::watch(7, %on_standby);
	foreach my $view (sort keys %$seen)
	{
		my @wrong = grep {
			my $age = $_->{asked} - $paused;
			$age > 2.5 && defined $_->{lag_seconds} && $_->{lag_seconds} < 0.8 * $age - 0.1;
		} @{ $seen->{$view} };
		is(EavStandby::some_of(map { sprintf 'after %.3f s: %s', $_->{at} - $paused, EavStandby::text_of($_) } @wrong),
			'', "$view: no lag is less than the time since the last pause");
		ok(EavStandby::is_out($seen->{$view}[-1]), 'in the end it is stale');
	}
	$south->resume_replay;
	ok(all_is_well(), 'all is well afterwards');
};

# Two outages with a heartbeat between them were taken for the pace of heartbeats.
$north->set('eav.heartbeat_interval' => 0);
foreach (1 .. 2)
{
	$on_north->ask('SELECT pg_sleep(6)');
	$on_north->ask('SELECT FROM eav.heartbeat()');
}
never_fresh('no heartbeat after two that were late',
	break => sub { },
	repair => sub { $north->set('eav.heartbeat_interval' => '1s') });

# --- nobody measures ---------------------------------------------------------------------------------

never_fresh('the worker of the standby is frozen, and the receiver gone',
	primary_lives => 1,
	break => sub { EavStandby::freeze($frozen = $south->process('eav_ext flush worker')); $south->cut_off },
	repair => sub { thaw(); $south->follow($north) });
# The primary may still say that the standby has all there is.
never_fresh('the worker of the primary is frozen: no heartbeats',
	break => sub { EavStandby::freeze($frozen = $north->process('eav_ext flush worker')) },
	repair => \&thaw);
never_fresh('eav.worker_enabled = off on the standby, and the receiver gone',
	primary_lives => 1,
	break => sub { $south->set('eav.worker_enabled' => 'off'); $south->cut_off },
	repair => sub { $south->follow($north); $south->set('eav.worker_enabled' => 'on') });
never_fresh('eav.heartbeat_interval = 0 on the primary: no heartbeats',
	break => sub { $north->set('eav.heartbeat_interval' => 0) },
	repair => sub { $north->set('eav.heartbeat_interval' => '1s') });

# --- starting without a primary -----------------------------------------------------------------------

subtest 'the standby starts while the primary is down' => sub {
	ok(all_is_well(), 'all is well before');
	$_->close foreach $on_north, $on_south;
	$north->stop;
	my $stopped = time;
	$south->restart;
	$on_south = $south->client;
	my $seen = EavStandby::watch(6, %on_standby, route => sub { EavStandby::route($on_south) });
	my @routes = @{ delete $seen->{route} };
	foreach my $view (sort keys %$seen)
	{
		my @fresh = grep { !EavStandby::is_out($_) } @{ $seen->{$view} };
		is(EavStandby::some_of(map { EavStandby::text_of($_) } @fresh), '', "$view: it is not taken for fresh");
	}
	is(EavStandby::some_of(map { EavStandby::text_of($_) } grep { ($_->{node_id} // '') eq 'south' } @routes), '',
		'it routes no read to itself');
	$north->start;
	$on_north = $north->client;
	ok(all_is_well(), 'with the primary all is well');
};
subtest 'the standby restarts' => sub {
	$on_south->close;
	$south->restart;
	$on_south = $south->client;
	my $seen = EavStandby::watch(3, %on_standby);
	foreach my $view (sort keys %$seen)
	{
		is(EavStandby::some_of(map { EavStandby::flaws_of($_, 3, 5) } @{ $seen->{$view} }), '', "$view: no contradiction");
	}
	ok(all_is_well(), 'all is well');
};

$_->close foreach $on_north, $on_south;
EavStandby::log_tells_of_no_crash($north, $south);
$_->stop foreach $south, $north;
done_testing();
