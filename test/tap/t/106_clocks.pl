# Clocks that are wrong: ahead, behind, set while the servers run. The lag is about 0 all the same, never
# negative, and grows when replay is paused.
use strict;
use warnings;
use EavStandby;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => $EavStandby::no_clock if !EavStandby::clock_library();

my $north = EavStandby->primary('north', clock => 0);
my %south = (
	ahead => $north->standby('ahead', clock => 5),
	behind => $north->standby('behind', clock => -5));
$north->list_servers($north, values %south);
my $on_north = $north->client;
my %on = map { $_ => $south{$_}->client } keys %south;
my %skew = (ahead => 5, behind => -5);

sub views
{
	return map {
		my $name = $_;
		("freshness() of $name" => sub { EavStandby::freshness($on{$name}) },
		 "check_replication_lag() of $name" => sub { EavStandby::lag_of($on{$name}, $name) },
		 "the primary of $name" => sub { EavStandby::lag_of($on_north, $name) });
	} sort keys %on;
}
my %views = views();
sub all_are_ok
{
	return EavCluster::wait_until('all are ok', sub {
		return !grep { my $row = $_->(); !$row || $row->{state} ne 'ok' || $row->{lag_seconds} >= 2 } values %views;
	});
}
sub off { return $_[0]->ask('SELECT extract(epoch FROM clock_timestamp())') - time }

subtest 'the clocks are wrong' => sub {
	foreach my $name (sort keys %south)
	{
		cmp_ok(abs(off($on{$name}) - $skew{$name}), '<', 0.5, "$name by $skew{$name} s");
	}
	cmp_ok(abs(off($on_north)), '<', 0.5, 'that of the primary is right');
};

subtest 'idle for 15 s' => sub {
	ok(all_are_ok(), 'all are ok');
	my $seen = EavStandby::watch(15, %views);
	foreach my $view (sort keys %$seen)
	{
		my @rows = @{ $seen->{$view} };
		is(EavStandby::course_of(\@rows), 'ok', "$view: ok all the time");
		is(EavStandby::some_of(map { EavStandby::text_of($_) } grep { $_->{lag_seconds} >= 2 } @rows), '', 'less than two heartbeats');
		is(EavStandby::some_of(map { EavStandby::flaws_of($_, 3, 5) } @rows), '', 'never negative');
	}
};
foreach my $name (sort keys %south)
{
	subtest "$name shows the skew" => sub {
		my $detail = EavStandby::lag_of($on{$name}, $name)->{detail} // '';
		my ($seconds) = grep { abs($_ - 5) < 0.6 } $detail =~ /(\d+(?:\.\d+)?)/g;
		ok($seconds, "detail: $detail");
		like($detail, $skew{$name} > 0 ? qr/ahead/ : qr/behind/, 'and its direction');
		is(EavStandby::freshness($on{$name})->{badge}, 'real-time', 'the badge is real-time');
		my $age = $on_north->ask(sprintf q(SELECT extract(epoch FROM clock_timestamp() - '%s'::timestamptz)),
			EavStandby::freshness($on{$name})->{data_timestamp});
		cmp_ok($age, '<', 2.2, 'data_timestamp is by the clock of the primary');
		cmp_ok($age, '>', -0.1, 'and not ahead of it');
	};
}

subtest 'replay is paused' => sub {
	ok($_->pause_replay, 'on ' . $_->name) foreach values %south;
	my $paused = time;
	my $seen = EavStandby::watch(8, %views);
	foreach my $view (sort keys %$seen)
	{
		my @rows = @{ $seen->{$view} };
		is(EavStandby::course_of(\@rows), 'ok lagging stale', "$view: ok, lagging, stale");
		my @growing = grep { $_->{asked} - $paused > 3 } @rows;
		my @wrong = grep {
			my $age = $_->{asked} - $paused;
			$_->{lag_seconds} < 0.8 * $age || $_->{lag_seconds} > 1.2 * ($age + 1.5);
		} @growing;
		is(EavStandby::some_of(map { sprintf 'after %.3f s: %s', $_->{at} - $paused, EavStandby::text_of($_) } @wrong),
			'', 'its lag is the time since the pause');
		my $growth = EavStandby::growth_of(@growing);
		cmp_ok(abs($growth - 1), '<=', 0.2, sprintf 'it grows with the clock: %.3f', $growth);
	}
	$_->resume_replay foreach values %south;
	ok(all_are_ok(), 'resumed, all are ok');
};

subtest 'the receivers are cut off' => sub {
	$_->cut_off foreach values %south;
	my $cut = time;
	my $seen = EavStandby::watch(5, %views);
	foreach my $view (sort keys %$seen)
	{
		my @fresh = grep { $_->{asked} - $cut > 3.5 && !EavStandby::is_out($_) } @{ $seen->{$view} };
		is(EavStandby::some_of(map { EavStandby::text_of($_) } @fresh), '', "$view: not fresh after three heartbeats");
	}
	$_->follow($north) foreach values %south;
	ok(all_are_ok(), 'afterwards all are ok');
};

# --- clocks that are set -------------------------------------------------------------------------

# For a minute the lag may be taken for more than it is, never for less.
sub setting_clocks
{
	my ($what, $set) = @_;
	subtest $what => sub {
		ok(all_are_ok(), 'all are ok');
		$set->();
		my $seen = EavStandby::watch(4, %views);
		foreach my $view (sort keys %$seen)
		{
			is(EavStandby::some_of(map { EavStandby::flaws_of($_, 3, 5) } @{ $seen->{$view} }), '', "$view: never negative");
		}
		# A pause must not be hidden by the new time.
		$_->pause_replay foreach values %south;
		my $paused = time;
		$seen = EavStandby::watch(6.5, %views);
		foreach my $view (sort keys %$seen)
		{
			my @wrong = grep {
				my $age = $_->{asked} - $paused;
				$age > 3 && defined $_->{lag_seconds} && $_->{lag_seconds} < 0.8 * $age;
			} @{ $seen->{$view} };
			is(EavStandby::some_of(map { sprintf 'after %.3f s: %s', $_->{at} - $paused, EavStandby::text_of($_) } @wrong),
				'', "$view: a pause is seen");
			is(EavStandby::some_of(map { EavStandby::flaws_of($_, 3, 5) } @{ $seen->{$view} }), '', 'never negative');
		}
		$_->resume_replay foreach values %south;
		local $EavCluster::patience = 100;
		my $before = time;
		ok(all_are_ok(), 'all are ok in the end');
		note sprintf 'after %.1f s', time - $before;
	};
	return;
}
setting_clocks('the clock of a standby is set back by 5 s', sub { $south{ahead}->set_clock(0) });
setting_clocks('the clock of the primary is set forward by 5 s', sub { $north->set_clock(5) });
setting_clocks('that of the primary is set back, and that of a standby forward', sub {
	$north->set_clock(0);
	$south{behind}->set_clock(0);
});

$_->close foreach $on_north, values %on;
EavStandby::log_tells_of_no_crash($north, values %south);
$_->stop foreach values %south, $north;

done_testing();
