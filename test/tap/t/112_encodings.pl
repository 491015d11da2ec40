# Databases of other encodings than UTF-8: values of projection current are indexed, found by
# equality, range and prefix, and none is refused for want of a form in UTF-8.
use strict;
use warnings;
use EavCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = EavCluster->ready('main', extension => 0);

# Two strings in bytes of the database, the first the lesser one by code point.
my %case = (
	LATIN1 => [ "caf\xe9", "caf\xfc" ],
	WIN1252 => [ "caf\xe9", "caf\xfc" ],
	SQL_ASCII => [ "caf\xe9", "caf\xfc" ],    # bytes of no known encoding
	EUC_JP => [ "\xa4\xa2", "\xa4\xa4" ]);

foreach my $encoding (sort keys %case)
{
	my $db = lc $encoding;
	my ($first, $second) = @{ $case{$encoding} };
	$node->ask("CREATE DATABASE $db ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	local $ENV{PGCLIENTENCODING} = $encoding;
	$node->ask('CREATE EXTENSION eav_ext CASCADE', $db);
	$node->ask("SELECT eav.register_tenant('t', 1), eav.register_attribute(1, 'x', 'text', 'current')", $db);
	my $n = 0;
	foreach my $text ($first, $second, 'zzz', "$first and more")
	{
		++$n;
		$node->ask("INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value_text)
			VALUES (1, $n, 'x', '$text')", $db);
	}
	$node->flush($db);
	is($node->ask('SELECT count(*) FROM eav.entity_values_current', $db), 4, "$encoding: all values are there");
	is($node->ask('SELECT count(*) FROM eav.ingest_rejects', $db), 0, "$encoding: none was refused");
	my $find = sub {
		return $node->ask("SELECT string_agg(entity_id::text, ' ' ORDER BY entity_id)
			FROM eav.find_entities(1, '$_[0]')", $db);
	};
	is($find->("\$.x == \"$first\""), '1', "$encoding: found by equality");
	is($find->("\$.x starts with \"$first\""), '1 4', "$encoding: by prefix");
	is($find->("\$.x > \"$first\" && \$.x <= \"$second\""), '2 4', "$encoding: by range");
	is($node->ask("SELECT string_agg(entity_id::text, ' ') FROM eav.find_entities(1, 'exists(\$.x)', 'x')", $db),
		$encoding =~ /EUC/ ? '3 1 4 2' : '1 4 2 3', "$encoding: and in order");
}

# A byte that WIN1252 has no character for.
$node->ask("SELECT eav.upsert_hot_attributes(1, 9, jsonb_build_object('x', 'a' || chr(129)))", 'win1252');
is($node->ask("SELECT count(*) FROM eav.entity_values_current WHERE entity_id = 9", 'win1252'),
	1, 'a value without a form in UTF-8 is kept');

$node->stop;
done_testing();
