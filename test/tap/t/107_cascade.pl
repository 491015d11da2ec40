# A standby of a standby: the messages that it receives carry the time of a clock that heartbeats do not go by.
use strict;
use warnings;
use EavStandby;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => $EavStandby::no_clock if !EavStandby::clock_library();

foreach my $skew (0, -5, 5)
{
	my $first = EavStandby->primary("first_$skew");
	my $middle = $first->standby("middle_$skew", clock => $skew);
	my $last = $first->standby("last_$skew", primary_conninfo => $middle->connstr);
	$first->list_servers($first, $middle, $last);
	my $client = $last->client;
	my %views = (
		'freshness()' => sub { EavStandby::freshness($client) },
		'check_replication_lag()' => sub { EavStandby::lag_of($client, $last->name) });
	my $is_known = sub { return EavStandby::freshness($client)->{state} ne 'unknown' };

	subtest "the clock of the one between is off by $skew s" => sub {
		ok(EavCluster::wait_until('it is measured', $is_known), 'it is measured');
		ok($last->replays_all_of($first), 'it has replayed all');
		my $seen = EavStandby::watch(5, %views);
		foreach my $view (sort keys %$seen)
		{
			my @rows = @{ $seen->{$view} };
			is(EavStandby::some_of(map { EavStandby::flaws_of($_, 3, 5) } @rows), '', "$view: never negative");
			# A clock between that is ahead makes the lag look larger, never smaller.
			my $most = 2 + ($skew > 0 ? $skew : 0);
			my @far = grep { !defined $_->{lag_seconds} || $_->{lag_seconds} >= $most } @rows;
			is(EavStandby::some_of(map { EavStandby::text_of($_) } @far), '', "its lag stays under $most s");
			note "lag with the clock off by $skew: $rows[-1]{lag_seconds}, $rows[-1]{state}";
		}

		ok($last->pause_replay, 'replay is paused');
		my $paused = time;
		$seen = EavStandby::watch(8, %views);
		foreach my $view (sort keys %$seen)
		{
			my @wrong = grep {
				my $age = $_->{asked} - $paused;
				$age > 3 && defined $_->{lag_seconds} && $_->{lag_seconds} < 0.8 * $age;
			} @{ $seen->{$view} };
			is(EavStandby::some_of(map { sprintf 'after %.3f s: %s', $_->{at} - $paused, EavStandby::text_of($_) } @wrong),
				'', "$view: the lag is no less than the time since then");
			ok(EavStandby::is_out($seen->{$view}[-1]), 'in the end it is out');
		}
		$last->resume_replay;
		ok(EavCluster::wait_until('it is back', sub { EavStandby::freshness($client)->{state} !~ /stale|unknown/ || $skew }), 'it comes back');

		$middle->cut_off;
		my $cut = time;
		$seen = EavStandby::watch(8, %views);
		foreach my $view (sort keys %$seen)
		{
			my @fresh = grep { $_->{asked} - $cut > 6.5 && !EavStandby::is_out($_) } @{ $seen->{$view} };
			is(EavStandby::some_of(map { EavStandby::text_of($_) } @fresh), '', "$view: not fresh when the one between has lost the primary");
		}
	};
	$client->close;
	EavStandby::log_tells_of_no_crash($first, $middle, $last);
	$_->stop foreach $last, $middle, $first;
}
done_testing();
