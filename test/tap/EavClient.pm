# A session that speaks the server's protocol itself, for tests that need to know more of it than
# psql tells: which reply came and when, the SQLSTATE of warnings, and what happens to a statement
# that is still under way. Many of them fit into one process, and none needs a child.
package EavClient;
use strict;
use warnings;
use Errno qw(EINTR);
use IO::Socket::UNIX;
use Socket qw(SOCK_STREAM);
use Time::HiRes qw(time);

our $patience = 60;

# EavClient->connect($host, $port, $database): the session, or undef when the server does not take it;
# $EavClient::refused then says why.
our $refused;

sub connect    ## no critic
{
	my ($class, $host, $port, $db) = @_;
	$refused = 'nobody listens';
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => "$host/.s.PGSQL.$port")
	  or return;
	my $self = bless { socket => $socket, in => '', result => _empty() }, $class;
	my $user = getpwuid($>);
	my $start = pack 'N(Z*)*', 196608, user => $user, database => $db // 'postgres', '';
	local $SIG{PIPE} = 'IGNORE';
	$self->_write(pack('N', 4 + length $start) . $start);
	my $result = $self->result;
	return $self if $result->{complete};
	$refused = $result->{error} ? $result->{error}{M} : 'the connection is lost';
	return;
}

sub pid { return $_[0]{pid} }

# Sends a statement, or several, and returns without waiting.
sub send    ## no critic
{
	my ($self, $sql) = @_;
	local $SIG{PIPE} = 'IGNORE';
	$self->{result} = _empty();
	$self->_write('Q' . pack 'NZ*', 5 + length $sql, $sql);
	return;
}

# What came of it: {complete}: the server is ready for more; otherwise the connection is lost.
# {rows}: array of arrays; {tags}: of completed statements; {error}: fields of the error by letter
# (S severity, C SQLSTATE, M message, D detail), or undef; {notices}: the same of each notice;
# {at}: when the last tag or error was received.
# With seconds given, undef when it is not over by then. Without, dies when it takes too long.
sub result
{
	my ($self, $seconds) = @_;
	my $until = time + ($seconds // $patience);
	while (!$self->{result}{complete} && !$self->{lost})
	{
		next if $self->_take_message;
		my $left = $until - time;
		$left = 0 if $left < 0;
		my $ready = '';
		vec($ready, fileno $self->{socket}, 1) = 1;
		my $found = select $ready, undef, undef, $left;
		next if $found < 0 && $! == EINTR;
		if ($found == 0)
		{
			return if defined $seconds;
			die 'no answer from the server';
		}
		my $got = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
		$self->{lost} = 1 if !$got && !(!defined $got && $! == EINTR);
	}
	return $self->{result};
}

sub query
{
	my ($self, $sql) = @_;
	$self->send($sql);
	return $self->result;
}

# The rows as psql shows them: columns parted by |. Dies of errors.
sub ask
{
	my ($self, $sql) = @_;
	my $result = $self->query($sql);
	die "$sql: $result->{error}{M}" if $result->{error};
	die "$sql: the connection is lost" if !$result->{complete};
	return join "\n", map { join '|', map { $_ // '' } @$_ } @{ $result->{rows} };
}

# COPY FROM STDIN with its data. What comes after a COPY that fails is ignored by the server.
sub copy
{
	my ($self, $sql, $data) = @_;
	local $SIG{PIPE} = 'IGNORE';
	$self->send($sql);
	$self->_write('d' . pack('N', 4 + length $data) . $data . 'c' . pack 'N', 4);
	return $self->result;
}

# SQLSTATE of the error that the statement ends with, or ''.
sub sqlstate
{
	my ($self, $sql) = @_;
	my $result = $self->query($sql);
	return $result->{error} ? $result->{error}{C} : $result->{complete} ? '' : 'lost';
}

sub close    ## no critic
{
	my ($self) = @_;
	local $SIG{PIPE} = 'IGNORE';
	$self->_write('X' . pack 'N', 4);
	close $self->{socket};
	return;
}

sub _empty
{
	return { complete => 0, rows => [], tags => [], error => undef, notices => [], at => undef };
}

sub _write
{
	my ($self, $bytes) = @_;
	while (length $bytes)
	{
		my $sent = syswrite $self->{socket}, $bytes;
		if (!defined $sent)
		{
			next if $! == EINTR;
			# What the server has said before it went is still to be read.
			return;
		}
		substr $bytes, 0, $sent, '';
	}
	return;
}

# False when none has come in completely.
sub _take_message
{
	my ($self) = @_;
	return 0 if length $self->{in} < 5;
	my ($type, $length) = unpack 'aN', $self->{in};
	return 0 if length $self->{in} < 1 + $length;
	my $body = substr $self->{in}, 5, $length - 4;
	substr $self->{in}, 0, 1 + $length, '';
	my $result = $self->{result};
	if ($type eq 'Z') { $result->{complete} = 1; }
	elsif ($type eq 'K') { $self->{pid} = unpack 'N', $body; }
	elsif ($type eq 'C') { push @{ $result->{tags} }, unpack 'Z*', $body; $result->{at} = time; }
	elsif ($type eq 'E') { $result->{error} = _fields($body); $result->{at} = time; }
	elsif ($type eq 'N') { push @{ $result->{notices} }, _fields($body); }
	elsif ($type eq 'D')
	{
		my ($columns, $rest) = unpack 'n a*', $body;
		my @row;
		foreach (1 .. $columns)
		{
			my $bytes = unpack 'l>', $rest;
			push @row, $bytes < 0 ? undef : substr $rest, 4, $bytes;
			$rest = substr $rest, 4 + ($bytes < 0 ? 0 : $bytes);
		}
		push @{ $result->{rows} }, \@row;
	}
	elsif ($type eq 'R' && unpack('N', $body) != 0) { die 'the server asks for a password'; }
	return 1;
}

sub _fields
{
	my ($body) = @_;
	my %fields;
	foreach (split /\0/, $body)
	{
		$fields{ substr $_, 0, 1 } = substr $_, 1 if length;
	}
	return \%fields;
}

1;
