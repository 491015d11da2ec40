# The install script as pgspot can read it, which knows neither our types nor bodies of SQL.
use strict;
use warnings;
local $/ = undef;
$_ = <STDIN>;
s/^\\echo.*$//mg;
# A body that is parsed when the function is created has the search_path of the script.
s{^(CREATE FUNCTION (?:(?!;$).)*?)^BEGIN ATOMIC\n(.*?)^END;}{pinned($1) . "AS \$atomic\$\n$2\$atomic\$;"}msge;
s{^(CREATE FUNCTION (?:(?!;$|\$\$).)*?)^\s*RETURN ((?:(?!;$).)*);$}{pinned($1) . "AS \$atomic\$ SELECT $2 \$atomic\$;"}msge;
# A variable of a row type.
s{^(    \w+ (?:CONSTANT )?)eav\.\w+(?= :=|;)}{$1record}mg;
print;

sub pinned
{
	my ($head) = @_;
	return $head =~ /SET search_path/ ? $head : $head . "    SET search_path = pg_catalog, pg_temp\n";
}
