# A copy of the server's installation, in which other versions of eav_ext can be installed as software
# updates do it: files are replaced while servers may run.
package EavInstallation;
use strict;
use warnings;
use File::Basename;
use File::Path 'make_path';
use PostgreSQL::Test::Utils;
use Test::More;

# The folders that pg_config tells.
sub folders_of
{
	my ($pg_config) = @_;
	my %folder;
	foreach my $kind (qw(bindir pkglibdir sharedir))
	{
		chomp($folder{$kind} = `'$pg_config' --$kind`);
	}
	return %folder;
}

# The server finds its files by where its program lies, so the copy has the same folders below
# another one. Programs are copied, all else are links.
sub copy
{
	my ($class, $pg_config) = @_;
	my %folder = folders_of($pg_config // 'pg_config');
	my $common = $folder{bindir};
	$common = dirname($common)
	  until $common eq '/' or 3 == grep { index($_, "$common/") == 0 } values %folder;
	my $root = PostgreSQL::Test::Utils::tempdir_short();
	my $self = bless {}, $class;
	foreach my $kind (keys %folder)
	{
		$self->{$kind} = $root . substr $folder{$kind}, length $common;
		make_path(dirname($self->{$kind}));
		my $how = $kind eq 'bindir' ? '-r' : '-rs';
		system('cp', $how, $folder{$kind}, $self->{$kind}) == 0
		  or die "cannot copy $folder{$kind}";
	}
	return $self;
}

# For PostgreSQL::Test::Cluster.
sub path { my ($self) = @_; return dirname($self->{bindir}); }

sub library { my ($self) = @_; return "$self->{pkglibdir}/eav_ext.so"; }

sub put
{
	my ($self, $file, $content) = @_;
	open my $out, '>:raw', "$file.new" or die "$file.new: $!";
	print $out $content or die "$file.new: $!";
	close $out or die "$file.new: $!";
	chmod 0755, "$file.new";
	# A server that has loaded the old file goes on with that.
	rename "$file.new", $file or die "$file: $!";
	return;
}

# The library of another build.
sub install_library
{
	my ($self, $file) = @_;
	$self->put($self->library, slurp_file($file));
	return;
}

# Ours under the name of another version, as long as that of ours.
sub rename_library
{
	my ($self, $own, $version) = @_;
	my $code = slurp_file($self->library);
	my $count = ($code =~ s/(eav_ext library )\Q$own\E\0/$1$version\0/g);
	die "the library tells its version $count times" if $count != 1;
	$self->put($self->library, $code);
	return;
}

# A script of the extension, such as eav_ext--1.0.0--2.0.0.sql.
sub install_script
{
	my ($self, $name, $sql) = @_;
	$self->put("$self->{sharedir}/extension/$name", $sql);
	return;
}

1;
