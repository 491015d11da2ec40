# What the processes of a run share: a directory with the ledgers, what readers complain about, and
# where the primary is at the moment.
package Chaos::Place;
use strict;
use warnings;
use EavClient;
use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use Time::HiRes qw(sleep time);

sub new
{
	my ($class, $dir) = @_;
	return bless { dir => $dir }, $class;
}

sub dir { return $_[0]{dir} }

# All at once, for who reads it meanwhile.
sub write_file
{
	my ($self, $name, $content) = @_;
	my $file = "$self->{dir}/$name";
	open my $out, '>', "$file.new" or die "$file: $!";
	print {$out} $content;
	close $out or die "$file: $!";
	rename "$file.new", $file or die "$file: $!";
	return;
}

sub read_file
{
	my ($self, $name) = @_;
	open my $in, '<', "$self->{dir}/$name" or return '';
	local $/ = undef;
	return <$in> // '';
}

sub set_servers
{
	my ($self, $primary, $standby) = @_;
	$self->write_file('servers', join "\n", map { $_ ? $_->host . ' ' . $_->port : '-' } $primary, $standby);
	return;
}

# A session with the primary or the standby as they are now, or undef.
sub connect    ## no critic
{
	my ($self, $role) = @_;
	my %line;
	@line{qw(primary standby)} = split /\n/, $self->read_file('servers');
	my ($host, $port) = split / /, $line{$role} // '-';
	return defined $port ? EavClient->connect($host, $port) : undef;
}

# Producers and readers rest while this is said, and say themselves when they do.
sub pause
{
	my ($self) = @_;
	$self->write_file('pause', 'yes');
	return;
}

sub go_on
{
	my ($self) = @_;
	unlink "$self->{dir}/pause";
	return;
}

sub end
{
	my ($self) = @_;
	$self->write_file('end', 'yes');
	return;
}

# Also when the process that leads the run is gone.
sub is_over
{
	my ($self) = @_;
	return -e "$self->{dir}/end" || $self->{leader} && getppid != $self->{leader};
}

sub rest_if_told
{
	my ($self, $who) = @_;
	return if !-e "$self->{dir}/pause";
	my $sign = "$self->{dir}/resting_$who";
	open my $out, '>', $sign or die "$sign: $!";
	close $out;
	sleep 0.05 while -e "$self->{dir}/pause" && !$self->is_over;
	unlink $sign;
	return;
}

sub resting
{
	my ($self) = @_;
	my @signs = glob "$self->{dir}/resting_*";
	return scalar @signs;
}

# What should never happen, one line each.
sub complain
{
	my ($self, $who, $text) = @_;
	my $file = "$self->{dir}/complaints";
	sysopen my $out, $file, O_WRONLY | O_CREAT | O_APPEND or die "$file: $!";
	syswrite $out, sprintf "%.3f %s: %s\n", time, $who, $text =~ s/\s+/ /gr;
	close $out;
	return;
}

sub complaints
{
	my ($self) = @_;
	return split /\n/, $self->read_file('complaints');
}

# An error that a client may meet when servers stop, disks are full and others hold locks.
sub is_excused
{
	my ($error) = @_;
	return $error->{C} =~ /^(?:08|53|57P0|40P01|40001|55P03|57014|25006)/;
}

1;
