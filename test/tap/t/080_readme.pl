# The documentation is true: what README.md and docs/reference.md show runs, and what they name is
# what the catalog has, no more and no less.
#
# Blocks are told apart by the language of their fence.
#   sql    runs in psql, block after block, in one fresh database per page. Between two blocks all
#          that was staged is flushed: a reader needs longer than the worker.
#   text   right after an sql block: the output of its last statement.
#   ini    settings that the server knows.
#   sh     "make" with targets that the Makefile has. They are looked up and not run: make test runs
#          this test, make demo has tests of its own.
# No other language may occur in the README.
use strict;
use warnings;

use File::Basename;
use Cwd qw(abs_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = dirname(dirname(dirname(dirname(abs_path(__FILE__)))));
my $readme = slurp_file("$root/README.md");
my $reference = slurp_file("$root/docs/reference.md");

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'eav_ext'
fsync = off
CONF
$node->start;

# The blocks of a page, each with its language, text and line.
sub blocks_of
{
	my ($page) = @_;
	my (@blocks, $open);
	my $line = 0;
	foreach (split /\n/, $page)
	{
		$line++;
		if (/^```(\S*)/)
		{
			push @blocks, $open if $open;
			$open = $open ? undef : { language => $1, text => '', line => $line };
		}
		elsif ($open)
		{
			$open->{text} .= "$_\n";
		}
	}
	return @blocks;
}

sub without_trailing_blanks
{
	my ($text) = @_;
	$text =~ s/[ \t]+$//mg;
	$text =~ s/\s+\z/\n/;
	return $text;
}

sub run_blocks
{
	my ($name, $db, @blocks) = @_;
	my $file = $node->basedir . '/block.sql';
	my $output = '';
	foreach my $block (@blocks)
	{
		my $where = "$name, line $block->{line}";
		if ($block->{language} eq 'sql')
		{
			open my $script, '>', $file or die "$file: $!";
			print $script $block->{text};
			close $script;
			my $errors = '';
			$output = '';
			ok( IPC::Run::run(
					[
						'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-d',
						$node->connstr($db)
					],
					'>', \$output, '2>', \$errors),
				"$where: sql runs")
			  or diag $errors;
			unlike($errors, qr/ERROR|WARNING/, "$where: without a complaint");
			$node->safe_psql($db, 'SELECT eav.stage_flush()');
		}
		elsif ($block->{language} eq 'text')
		{
			my $expected = without_trailing_blanks($block->{text});
			my $last = substr without_trailing_blanks($output), -length $expected;
			is($last, $expected, "$where: output of the block before");
		}
	}
	return;
}

### README

my @readme = blocks_of($readme);
my %languages = map { $_->{language} => 1 } @readme;
is(join(' ', sort keys %languages), 'ini sh sql text', 'languages of the README');

my $makefile = slurp_file("$root/Makefile");
foreach my $block (grep { $_->{language} eq 'sh' } @readme)
{
	foreach my $command (split /\n/, $block->{text})
	{
		my ($target) = $command =~ /^(?:sudo )?make(?: ([a-z-]+))?$/
		  or fail("README: '$command' is not a command that this test knows");
		$target //= 'all';
		like($makefile, qr/^(?:[a-z-]+ )*\Q$target\E(?: [a-z-]+)*:/m, "there is a target $target");
	}
}

foreach my $block (grep { $_->{language} eq 'ini' } @readme)
{
	foreach my $setting (split /\n/, $block->{text})
	{
		my ($name) = $setting =~ /^([a-z_.]+) = '/;
		is($node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE name = '$name'"),
			1, "the server knows $setting");
	}
}

$node->safe_psql('postgres', 'CREATE DATABASE readme');
run_blocks('README.md', 'readme', @readme);
is($node->safe_psql('readme', 'SELECT count(*) FROM eav.ingest_rejects'),
	0, 'nothing that the README writes is rejected');

### docs/reference.md

$node->safe_psql('postgres', 'CREATE DATABASE reference');
$node->safe_psql('reference', "CREATE EXTENSION eav_ext CASCADE");
run_blocks('docs/reference.md', 'reference', grep { $_->{language} eq 'sql' } blocks_of($reference));
is($node->safe_psql('reference', 'SELECT count(*) FROM eav.ingest_rejects'),
	0, 'nothing that the reference writes is rejected');

# The answer of the catalog, a line per row.
sub catalog
{
	my ($query) = @_;
	return join "\n", sort split /\n/, $node->safe_psql('reference', $query);
}

# Members of the extension.
my $member = <<'SQL';
(SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'eav_ext')
SQL

# Sections by the name of their object, up to the next heading.
my %sections = $reference =~ /^#### (eav\.\w+)\n(.*?)(?=^#|\z)/msg;
my %described;    # functions by the lines of code that their section begins with
foreach my $name (keys %sections)
{
	my ($lines) = $sections{$name} =~ /\A((?:\n`.+`\n)+)/;
	$described{$name} = [ $lines =~ /^`(.+)`$/mg ] if defined $lines;
}

# Types as one writes them.
sub short_types
{
	my ($text) = @_;
	$text =~ s/timestamp with time zone/timestamptz/g;
	return $text;
}

# The first two cells of the rows of all tables in a section whose first cell is `name`.
sub cells
{
	my ($text, $columns) = @_;
	my @rows;
	foreach (split /\n/, $text)
	{
		my @cells = map { s/^\s+|\s+$//gr } split /(?<!\\)\|/, $_, -1;
		push @rows, join ' ', map { tr/`//dr } grep { $_ ne '' } @cells[ 1 .. $columns ]
		  if defined $cells[1] && $cells[1] =~ /^`.*`$/;
	}
	return @rows;
}

# Functions: signatures, with names, types, defaults and results.
my $signatures = short_types(catalog(<<"SQL"));
SELECT format('eav.%s(%s) → %s', p.proname,
              (SELECT string_agg(argument, ', ' ORDER BY n)
               FROM unnest(string_to_array(pg_get_function_arguments(p.oid), ', '))
                   WITH ORDINALITY AS a (argument, n)
               WHERE argument NOT LIKE 'OUT %'),
              regexp_replace(pg_get_function_result(p.oid), 'TABLE.*', 'TABLE'))
FROM pg_proc p JOIN $member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
WHERE p.proname NOT LIKE '\\_%'
SQL
$signatures =~ s/'1 mon'::interval/'1 month'/g;
$signatures =~ s/'00:00:05'::interval/'5s'/g;
$signatures =~ s/::\w+(\[\])?//g;
$signatures =~ s/\bINOUT //g;
$signatures =~ tr/"//d;
is(join("\n", sort map { @$_ } values %described), $signatures, 'signatures of the functions');

# The arguments in the text of a function, and the columns of its result.
foreach my $name (sort keys %described)
{
	my ($text) = $sections{$name} =~ /\A(.*)\z/s;
	my ($arguments, $result) = ('', '');
	foreach my $table ($text =~ /^(\| (?:argument|result) \|.*?)(?=^\n|\z)/msg)
	{
		$table =~ /^\| argument/
		  ? ($arguments = join "\n", cells($table, 1))
		  : ($result = join "\n", cells($table, 2));
	}
	my $function = "FROM pg_proc p, unnest(p.proargnames, p.proargmodes, p.proallargtypes)
		WITH ORDINALITY AS a (name, mode, type, n)
		WHERE p.pronamespace = 'eav'::regnamespace AND 'eav.' || p.proname = '$name'";
	is($arguments,
		$node->safe_psql('reference', "SELECT a.name $function AND coalesce(a.mode, 'i') IN ('i', 'b') GROUP BY a.name, a.n ORDER BY a.n, a.name"),
		"arguments of $name()");
	is($result,
		short_types($node->safe_psql('reference',
			"SELECT a.name || ' ' || format_type(a.type, NULL) $function AND a.mode IN ('o', 'b', 't') GROUP BY a.name, a.type, a.n ORDER BY a.n")),
		"result of $name()");
}

# Tables and views, but for the leaves of staging, which are named in the text of their parent.
my $is_leaf = "c.relname ~ '^entity_values_ingest_[0-9]\$'";
my $tables = catalog(<<"SQL");
SELECT 'eav.' || c.relname FROM pg_class c JOIN $member m ON m.objid = c.oid AND m.classid = 'pg_class'::regclass
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT $is_leaf
SQL
is(join("\n", sort grep { !$described{$_} } keys %sections), $tables, 'tables and views');

foreach my $name (split /\n/, $tables)
{
	my ($table) = $sections{$name} =~ /^(\| column \|.*?)(?=^\n|\z)/ms;
	if (!defined $table)
	{
		like($sections{$name}, qr/Columns as in/, "columns of $name");
		next;
	}
	is(join("\n", cells($table, 2)), short_types($node->safe_psql('reference', <<"SQL")), "columns of $name");
SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = '$name'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
SQL
}

# What is internal is listed, and listed as such.
my ($internal) = $reference =~ /^## Internal objects\n(.*)\z/ms;
is(join("\n", sort(cells($internal, 1))), catalog(<<"SQL"), 'internal functions');
SELECT 'eav.' || p.proname FROM pg_proc p JOIN $member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
WHERE p.proname LIKE '\\_%'
SQL
is(join("\n", sort($internal =~ /`(eav\.\w+_seq)`/g)), catalog(<<"SQL"), 'sequences');
SELECT 'eav.' || c.relname FROM pg_class c JOIN $member m ON m.objid = c.oid AND m.classid = 'pg_class'::regclass
WHERE c.relkind = 'S'
SQL

### Settings, in both pages

my $range = "CASE vartype WHEN 'bool' THEN 'on, off' WHEN 'enum' THEN array_to_string(enumvals, ', ')
	ELSE min_val || ' to ' || max_val END";
foreach my $page ([ 'README.md', $readme, "''", 4 ], [ 'docs/reference.md', $reference, $range, 5 ])
{
	my ($name, $text, $between, $columns) = @$page;
	my ($table) = $text =~ /^(\| setting \|.*?)(?=^\n|\z)/ms;
	is(join("\n", sort(cells($table, $columns))), catalog(<<"SQL"), "settings of $name");
SELECT array_to_string(array_remove(ARRAY[name, boot_val, $between, coalesce(unit, ''), context], ''), ' ')
FROM pg_settings WHERE name LIKE 'eav.%'
SQL
}

# Functions and tables of the README are some of the reference's.
foreach my $name ($readme =~ /\[`(eav\.\w+)(?:\([^`]*\))?`\]/g)
{
	ok(exists $sections{$name}, "the reference has $name, which the README names");
}
foreach my $name (split /\n/, catalog("SELECT DISTINCT 'eav.' || p.proname FROM pg_proc p
	WHERE p.pronamespace = 'eav'::regnamespace AND p.proname NOT LIKE '\\_%'"))
{
	like($readme, qr/\[`\Q$name\E\(/, "the README's table of functions has $name()");
}

$node->stop;
done_testing();
