# Files that nobody owns: of relations that the catalog does not know, and temporary ones.
#
# A server that is killed while a transaction has made a file and not committed leaves that file behind;
# PostgreSQL has no way to find it (VACUUM FULL, REINDEX, TRUNCATE and CREATE TABLE do so). Such a file is
# told apart by its age: it was written last shortly before a crash. It is excused from then on, also
# where a backup has copied it.
package Chaos::Files;
use strict;
use warnings;

my $shortly = 20;    # seconds

# Asked for while the server runs and everything rests: what is left over in its data directory.
sub left_over
{
	my ($node, $crashes, $excused) = @_;
	my %owned;
	my %database = map { split /\|/ } split /\n/, $node->ask('SELECT oid, datname FROM pg_database WHERE datallowconn');
	foreach my $oid (sort keys %database)
	{
		$owned{$_} = 1 foreach split /\n/, $node->ask(q(SELECT pg_relation_filepath(oid) FROM pg_class
			WHERE pg_relation_filepath(oid) IS NOT NULL AND relpersistence <> 't'), $database{$oid});
	}
	my $data = $node->data_dir;
	my @left;
	foreach my $file (glob("$data/base/*/* $data/pg_tblspc/*/PG_*/*/*"))
	{
		my $name = substr $file, 1 + length $data;
		my ($oid) = $name =~ m{/(\d+)/[^/]+$};
		my $relation = $name =~ s/(?:_(?:fsm|vm|init))?(?:\.\d+)?$//r;
		next if $name =~ m{/(?:PG_VERSION|pg_filenode\.map|pg_internal\.init)$} || $owned{$relation};
		next if defined $oid && !$database{$oid} && $name =~ m{^base/};    # template0
		next if $excused->{$relation};
		my $written = (stat $file)[9] // next;
		if (grep { $written <= $_ + 1 && $written >= $_ - $shortly } @$crashes)
		{
			$excused->{$relation} = 1;
			next;
		}
		push @left, "$name of " . $node->name . ', ' . (-s _) . ' bytes';
	}
	push @left, map { substr $_, 1 + length $data } glob("$data/base/pgsql_tmp/* $data/pg_tblspc/*/PG_*/pgsql_tmp/*");
	return @left;
}

1;
