# What the servers' logs may not hold: crashes that nobody caused, failed assertions, leaks, damaged
# data, and internal errors, of which there is no honest one.
package Chaos::Logs;
use strict;
use warnings;

my $never = qr/PANIC|TRAP:|AddressSanitizer|runtime error:|stack smashing|WARNING.*(?:leak|refcount)
	|invalid\spage|could\snot\sread\sblock|unexpected\sdata\sbeyond|missing\schunk/x;

# Lines that should not be there, of all logs below the directory.
sub faults
{
	my ($killed, @files) = @_;
	my @faults;
	foreach my $file (@files)
	{
		open my $log, '<', $file or die "$file: $!";
		while (my $line = <$log>)
		{
			push @faults, $line if $line =~ $never || $line =~ / XX\d\d\d (?:ERROR|FATAL|PANIC|WARNING): /;
			my ($pid, $signal) = $line =~ /\(PID (\d+)\) was terminated by signal (\d+)/ or next;
			push @faults, $line if $signal != 9 || !$killed->{$pid};
		}
		close $log;
	}
	return @faults;
}

# How often each SQLSTATE stands there as an error.
sub sqlstates
{
	my (@files) = @_;
	my %times;
	foreach my $file (@files)
	{
		open my $log, '<', $file or die "$file: $!";
		while (my $line = <$log>)
		{
			$times{$1}++ if $line =~ / ([0-9A-Z]{5}) (?:ERROR|FATAL): /;
		}
		close $log;
	}
	return %times;
}

1;
