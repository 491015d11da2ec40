# Behind a real PgBouncer in transaction mode, where clients share connections: what one chooses is
# nothing to the next.
use strict;
use warnings;
use EavCluster;
use IPC::Run ();
use PostgreSQL::Test::Utils qw(append_to_file slurp_file);
use Test::More;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
plan skip_all => 'there is no pgbouncer' if !$pgbouncer;

my $node = EavCluster->ready('pooled', 'eav.flush_interval' => '50ms');
$node->wait_for_worker or BAIL_OUT('no worker');
$node->ask(<<'SQL');
SELECT eav.register_tenant('a', 1), eav.register_tenant('b', 2);
SELECT eav.upsert_hot_attributes(1, 11, '{"who": "a"}'), eav.upsert_hot_attributes(2, 22, '{"who": "b"}');
CREATE ROLE app LOGIN IN ROLE eav_reader, eav_writer;
SQL

# One server connection, so that all clients are sure to share it.
my $folder = $node->basedir;
my $port = PostgreSQL::Test::Cluster::get_free_port();
append_to_file("$folder/pgbouncer.ini", <<"INI");
[databases]
postgres = host=@{[ $node->host ]} port=@{[ $node->port ]} dbname=postgres user=app
[pgbouncer]
pool_mode = transaction
default_pool_size = 1
listen_addr =
listen_port = $port
unix_socket_dir = $folder
auth_type = any
logfile = $folder/pgbouncer.log
pidfile = $folder/pgbouncer.pid
INI
my $pooler = IPC::Run::start([ $pgbouncer, '-q', "$folder/pgbouncer.ini" ], '<', \undef, '>', "$folder/pgbouncer.out", '2>&1');
END { $pooler->kill_kill if $pooler; }

# A client of its own: what it is told, statement by statement.
sub client
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-XAtq', '-h', $folder, '-p', $port, '-U', 'app', '-f', '-', 'postgres' ], '<', \$sql, '>', \$out, '2>', \$err,
		IPC::Run::timeout(60));
	chomp $out;
	return $err eq '' ? $out : "$out$err";
}
EavCluster::wait_until('the pooler answers', sub { client('SELECT 1') eq '1' }) or BAIL_OUT(slurp_file("$folder/pgbouncer.log"));
my $backend = client('SELECT pg_backend_pid()');
my $seen = 'SELECT coalesce(string_agg(tenant_id::text, $$,$$), $$nothing$$) FROM eav.entity_jsonb';

foreach my $round (1 .. 5)
{
	is(client("BEGIN; SELECT eav.set_tenant(1, true); $seen; COMMIT"), "\n1", 'a client sees its tenant in its transaction');
	is(client($seen), 'nothing', 'the next one sees nothing');
	is(client("BEGIN; SELECT eav.set_tenant(2, true); $seen; ROLLBACK"), "\n2", 'another one sees its own');
	is(client($seen), 'nothing', 'nothing is left of a choice that was rolled back');
}
is(client(q(SELECT eav.ingest('{"tenant_id": 1, "entity_id": 1, "attributes": {"x": 1}}'))) =~ /^\(1,0/ ? 'accepted' : 'not', 'not',
	'who has chosen none writes for none');
is(client(q(BEGIN; SELECT eav.set_tenant(1, true); SELECT accepted, rejected FROM eav.ingest('{"tenant_id": 2, "entity_id": 22, "attributes": {"who": "a"}}'); COMMIT)),
	"\n0|1", 'nor for another');
like(client('SELECT eav.set_tenant(1, true)'), qr/ERROR:  eav.set_tenant\(\) would be without effect outside a transaction block/, 'a choice without effect is an error');

# Misuse: a choice for the session, which the next client would inherit. With eav.tenant_scope = transaction
# it has no effect.
$node->ask('ALTER ROLE app SET eav.tenant_scope = transaction');
kill 'TERM', $backend;
EavCluster::wait_until('the pooler has another connection', sub { client('SELECT pg_backend_pid()') =~ /^\d+$/ && client('SELECT pg_backend_pid()') ne $backend });
like(client('SELECT eav.set_tenant(1)'), qr/ERROR/, 'outside a transaction it is refused');
client("SET eav.tenant_id = '1'");
unlike(client($seen), qr/^[12]/, 'what one has set for the session does not show the next one anything');
client('RESET eav.tenant_id');
client(q(BEGIN; SET eav.tenant_id = '2'; COMMIT));
unlike(client($seen), qr/^[12]/, 'nor does what was set in a transaction');
client('RESET eav.tenant_id');
is(client("BEGIN; SELECT eav.set_tenant(1, true); $seen; COMMIT"), "\n1", 'while the right way works');
is(client($seen), 'nothing', 'and leaves nothing');

# On a server that does not preload the library a choice may be older than the settings.
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', undef);
$node->restart;
EavCluster::wait_until('the pooler has a connection again', sub { client('SELECT 1') eq '1' });
client(q(SET eav.tenant_id = '1'));
is(client('SELECT current_setting($$eav.tenant_id$$)'), '1', 'what was set before the library is there is left behind');
is(client($seen), 'nothing', 'and has no effect either');
is(client($seen), 'nothing', 'nor later');
is(client("BEGIN; SELECT eav.set_tenant(2, true); $seen; COMMIT"), "\n2", 'the right way works');

$node->flush;
is($node->ask('SELECT hot_attrs FROM eav.entity_jsonb WHERE tenant_id = 2'), '{"who": "b"}', 'B has what it had');
$pooler->kill_kill;
undef $pooler;
$node->stop;
done_testing();
