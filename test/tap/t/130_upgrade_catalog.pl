# An extension that was updated from a released version is the same as one that was newly installed:
# every difference of their catalogs is shown.
use strict;
use warnings;

use EavCatalog;
use EavCluster;
use Test::More;

plan skip_all => EavCluster::release_refused() if EavCluster::release_refused();

my $node = EavCluster->ready('catalog', extension => 0, 'eav.worker_enabled' => 'off');
my @released = split /\n/, $node->ask(<<'SQL');
SELECT source FROM pg_extension_update_paths('eav_ext'), pg_available_extensions e
WHERE e.name = 'eav_ext' AND target = e.default_version AND path IS NOT NULL ORDER BY 1
SQL
ok(@released, "there are ways from released versions: @released");

$node->ask('CREATE DATABASE fresh');
$node->ask('CREATE EXTENSION eav_ext CASCADE', 'fresh');
cmp_ok(scalar EavCatalog::lines_of($node, 'fresh'), '>', 5000, 'the catalog has many properties');
cmp_ok(scalar EavCatalog::rows_of($node, 'fresh'), '>', 2, 'and some rows');

foreach my $version (@released)
{
	$node->ask('CREATE DATABASE updated');
	$node->ask("CREATE EXTENSION eav_ext VERSION '$version' CASCADE", 'updated');
	$node->ask('ALTER EXTENSION eav_ext UPDATE', 'updated');
	EavCatalog::same_catalog($node, 'fresh', 'updated', "a new one and one that was $version");
	$node->ask('DROP DATABASE updated');
}
$node->stop;
done_testing();
