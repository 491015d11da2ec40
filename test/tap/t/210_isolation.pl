# Tenants do not see each other. The test knows every function, table, view, sequence and type of the
# extension from the catalog: what it has not been told about makes it fail.
#
# As tenant A, each thing that a role may do is done with arguments that point at B, and again with ones
# that point at a tenant, an entity, an attribute that does not exist. What comes back (rows, notices,
# errors with all their fields) must be the same, byte for byte, once the arguments themselves are put out
# of sight; nothing of B may be in it; and B's rows must be what they were.
use strict;
use warnings;
use EavCluster;
use Test::More;

my $node = EavCluster->ready('isolation', 'eav.flush_interval' => '50ms');
$node->wait_for_worker or BAIL_OUT('no worker');

# --- what there is ---------------------------------------------------------------------------------

# T tenant, E entity, X its external id, N attribute, I its number, R a reject: of B, or of nobody.
# A is tenant A, and @A its entity and attribute. Empty: what it answers is of the server, not of tenants.
my %open = (
	is_valid_name => [], _setting => [], _staging_slot => [], value_key => [], projection_versions => [],
	is_convertible => [], _is_summed => [], _document_value => [], _bucket_width => [], _newest => [],
	freshness => [], freshness_headers => [], route_read => [], report_read_failure => [],
	report_read_success => [], write_token => [], wait_for_token => [],
	# For eav_monitor: states and counts of the whole server.
	worker_status => [], _worker_pid => [], _ingest_counters => [], check_replication_lag => [],
	breaker_status => [], health_check => [],
	current_tenant => ['eav.current_tenant()'],
	_writer_tenant => ['eav._writer_tenant()'],
	_check_tenant_access => ['eav._check_tenant_access(T)'],
	set_tenant => [],    # below: who is not pinned may choose
	_attribute_id => [ 'eav._attribute_id(T, N)', 'eav._attribute_id(A, N)' ],
	_attribute_to_read => [ 'eav._attribute_to_read(T, N)', 'eav._attribute_to_read(A, N)' ],
	get_entity => [ 'eav.get_entity(T, E)', 'eav.get_entity(T, X)', 'eav.get_entity(A, E)', 'eav.get_entity(A, X)',
		'eav.get_entity(T, E, ARRAY[N], true)', 'eav.get_entity(A, AE, ARRAY[N], true)' ],
	get_entities => [ 'eav.get_entities(T, ARRAY[E])', 'eav.get_entities(T, ARRAY[X])', 'eav.get_entities(A, ARRAY[E, AE])',
		'eav.get_entities(A, ARRAY[X])', 'eav.get_entities(T, ARRAY[E], ARRAY[N], true)' ],
	find_entities => [
		'eav.find_entities(T, NULL)', q(eav.find_entities(T, '$.PN == "secret"')), q(eav.find_entities(A, '$.PN == "secret"')),
		q(eav.find_entities(T, '$.PN starts with "s"', N)), q(eav.find_entities(T, NULL, NULL, 10, C)),
		'eav.find_entities(A, NULL, NULL, 10, C)', q(eav.find_entities(T, '$.broken')),
		q(eav.find_entities(A, 'exists($.PN)', N || ' desc')) ],
	explain_find => [ q(eav.explain_find(T, '$.PN == "secret"')), q(eav.explain_find(A, '$.PN == "secret"')),
		'eav.explain_find(T, NULL, N)', 'eav.explain_find(A, NULL, N)' ],
	value_distribution => [ 'eav.value_distribution(T)', 'eav.value_distribution(T, ARRAY[N])', 'eav.value_distribution(A, ARRAY[N])' ],
	entity_history => [ 'eav.entity_history(T, E, N)', 'eav.entity_history(A, E, AN)', 'eav.entity_history(A, AE, N)' ],
	value_at => [ 'eav.value_at(T, E, N, now())', 'eav.value_at(A, E, AN, now())', 'eav.value_at(A, AE, N, now())' ],
	time_buckets => [ q(eav.time_buckets(T, N, '1 hour')), q(eav.time_buckets(A, N, '1 hour')) ],
	register_entity => [ q(eav.register_entity(T, X)), q(eav.register_entity(T, 'new')), q(eav.register_entity(T, X, 'other', E)) ],
	register_attribute => [ q(eav.register_attribute(T, N, 'int')), q(eav.register_attribute(T, 'new', 'text')) ],
	upsert_hot_attributes => [ q(eav.upsert_hot_attributes(T, E, '{"x": 1}')) ],
	ingest => [ map { ("(eav.ingest($_)).accepted", "(eav.ingest($_)).rejected") } (
		q('{"tenant_id": T, "entity_id": E, "attributes": {"x": 1}}'::text),
		q('{"tenant_id": T, "entity": "PX", "attributes": {"PN": "taken"}}'::jsonb),
		q('{"tenant_id": T, "entity": "PX", "attributes": {"PN": null}}'::bytea)) ],
	_replay_event => [ q(eav._replay_event('{"tenant_id": T, "entity_id": E, "attributes": {"x": 1}}', '{}')),
		q(eav._replay_event('{"tenant_id": A, "entity_id": AE, "attributes": {"x": 1}}', '{"tenant_id": T}')) ],
	replay_rejects => [ 'eav.replay_rejects(ARRAY[R])', 'eav.replay_rejects(ARRAY[R], \'{"tenant_id": A}\')' ],
	delete_rejects => [ 'eav.delete_rejects(ARRAY[R])' ],
	wait_flushed => [],    # below: tickets
);
my @closed = qw(
	_check_library _library_version
	_add_partition _attribute_index_name _attribute_index_statement _attribute_indexes _call_index_builder
	_check_attribute _check_name _check_tenant _claim_name _close_partition _computed_rollups _count_reads
	_disk_space _door_state _drain_read_counts _drop_expired _dropped_read_counts _ensure_partitions
	_estimate_entities _expire_rollups _extend_partitions _forget_attribute_index _has_chosen_projection
	_health_checks _health_setting _health_status _history_partitions _index_partition _index_work _is_moving
	_keep_budget _limit_nodes _lock_attribute _missing_indexes _newest_add _newest_partitions _newest_value
	_note_report _partition_floor _partman _promote_default _read_counts _recommended_projection
	_refuse_password _register_attribute _register_entity _registry_changed _run_maintenance _sample_attribute
	_sample_rows _set_projection _shrink_heartbeats _staging_backlog _start_index_builder alter_attribute_type
	configure_partitions create_attribute_index demote_attribute drop_attribute_index grant_tenant heartbeat
	merge_rollups move_attributes promote_attribute rebuild_rollups recommend_attributes refresh_stats
	register_tenant rename_attribute report_freshness revoke_tenant run_maintenance secure_tables stage_flush
	start_worker
	_add_counts _check_reason _decrypt_pii _encrypt_pii _erase_backlog _erase_batch _erase_entity
	_erase_entity_rows _erase_from_rollups _erase_history _erase_rejects _erase_rest _erase_tenant
	_erase_tenant_rows _erasure_subject _flush_all _get_pii _check_not_erased _has_values _integer_of _scalar_of
	_is_being_erased _is_erased_reject _json_string _keep_pii _know_role _lock_flush
	_open_transactions _open_writers _pgcrypto _readmit_entity _readmit_tenant _reject_has_attribute
	_reject_mentions _reject_tenant
	_request_erasure _rotate_staging _set_pii _settle_erasure _still_open _tenant_tables _withhold_pii
	_enable_row_security decrypt_pii erase_entity erase_tenant get_pii run_erasures set_pii
);
my @definers = qw(_ensure_partitions _run_maintenance configure_partitions health_check refresh_stats report_freshness run_erasures worker_status);

# By relation: what eav_reader, eav_writer, eav_monitor may do. Others: nothing.
my %rights = (
	(map { $_ => 'eav_reader:SELECT' } qw(tenants entities attributes attribute_changes entity_values_ts entity_jsonb
		  entity_values_current attribute_rollups attribute_rollups_daily entity_values current_values hourly_rollups)),
	(map { $_ => 'eav_monitor:SELECT' } qw(stat_ingest ingest_gaps replication_heartbeat freshness_budget)),
	entity_values_ingest => 'eav_writer:INSERT',
	ingest_rejects => 'eav_writer:SELECT/UPDATE',
	(map { $_ => '' } qw(mv_entity_attribute_stats attribute_reads attribute_indexes rollup_pending flush_state staging_epoch
		  tenant_grants entity_values_ts_template partition_policy entity_values_ingest_0 entity_values_ingest_1
		  entity_values_ingest_2 flush_backlog attribute_moves nodes stat_attribute_moves stat_attribute_indexes
		  tenant_id_seq flush_backlog_seq entity_id_seq ingest_gaps_seq staging_slot_seq attribute_changes_seq
		  attribute_id_seq ingest_rejects_seq ingest_receipt audit_log audit_log_seq entity_keys erased_subjects
		  erasure_hours erasure_secret erasure_seq erasures stat_erasures)));
my $partition = qr/^entity_values_ts_(p\d{8}|default)$/;

# --- data ------------------------------------------------------------------------------------------

# Numbers of one length, so that no width tells them apart.
my %b = (T => 2000000002, E => 7000000002, X => 'entity-b', N => 'attribute_b', R => 0);
my %none = (T => 2000000003, E => 7000000003, X => 'entity-0', N => 'attribute_0', R => 8000009999);
my %a = (A => 2000000001, AE => 7000000001, AN => 'attribute_a');
$node->ask(<<"SQL");
SELECT eav.register_tenant('tenant a', $a{A}), eav.register_tenant('tenant b', $b{T});
SELECT eav.register_entity($b{T}, '$b{X}', 'secret type', $b{E}), eav.register_entity($a{A}, 'entity-a', NULL, $a{AE});
SELECT eav.register_attribute($b{T}, '$b{N}', 'text', 'hot'), eav.register_attribute($a{A}, '$a{AN}', 'text', 'hot');
SELECT eav.register_attribute($b{T}, 'cold_b', 'text', 'current'), eav.register_attribute($b{T}, 'moved_b', 'int', 'live');
SELECT eav.upsert_hot_attributes($b{T}, $b{E}, '{"$b{N}": "secret", "cold_b": "secret", "moved_b": 7}');
SELECT eav.upsert_hot_attributes($b{T}, $b{E} + 10, '{"$b{N}": "secret too"}');
SELECT eav.upsert_hot_attributes($a{A}, $a{AE}, '{"$a{AN}": "mine"}');
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value)
VALUES ($b{T}, $b{E}, 'moved_b', 'secret and no number'), ($a{A}, $a{AE}, '$a{AN}', 'mine again');
SELECT setval('eav.ingest_rejects_seq', 8000000001);
SELECT eav.create_attribute_index($b{T}, '$b{N}');
SELECT eav.promote_attribute($b{T}, 'moved_b', 'hot');
SELECT eav.stage_flush();
SELECT eav.merge_rollups();
SELECT eav.refresh_stats();
SQL
$node->wait_for(q(SELECT NOT EXISTS (SELECT FROM eav.attribute_moves)
	AND EXISTS (SELECT FROM eav.stat_attribute_indexes WHERE state = 'valid'))) or die 'attributes do not come to rest';
$b{R} = $node->ask("SELECT min(reject_id) + 0 FROM eav.ingest_rejects WHERE tenant_id = $b{T}");
ok($b{R}, 'B has a reject');
# A cursor of B, and one of nobody that is like it.
$b{C} = $none{C} = $node->ask("SELECT cursor FROM eav.find_entities($b{T}, NULL, NULL, 1)");

my @roles = (
	[ a_reader => 'eav_reader', 1 ], [ a_writer => 'eav_writer', 1 ], [ a_both => 'eav_reader, eav_writer', 1 ],
	[ any_reader => 'eav_reader', 0 ], [ any_writer => 'eav_writer', 0 ], [ any_both => 'eav_reader, eav_writer', 0 ]);
foreach my $role (@roles)
{
	my ($name, $groups, $is_pinned) = @$role;
	$node->ask("CREATE ROLE $name LOGIN IN ROLE $groups");
	$node->ask("SELECT eav.grant_tenant('$name', $a{A})") if $is_pinned;
}
$node->ask('CREATE ROLE watcher LOGIN IN ROLE eav_monitor; CREATE ROLE stranger LOGIN');
$node->ask(<<'SQL');
CREATE SCHEMA probe;
CREATE FUNCTION probe.all_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text; code text; message text; detail text; hint text; place text;
BEGIN
    EXECUTE format('SELECT coalesce(string_agg(r::text, E''\n'' ORDER BY r::text), ''no row'') FROM (SELECT %s) AS r', query) INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT, place = PG_EXCEPTION_CONTEXT;
    RETURN concat_ws(' / ', 'error', code, message, detail, hint, replace(place, query, '...'));
END $$;
GRANT USAGE ON SCHEMA probe TO PUBLIC;
SQL

# --- every object is known -------------------------------------------------------------------------

my $members = q(pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	AND d.deptype = 'e' AND e.extname = 'eav_ext');
my @functions = split /\n/, $node->ask("SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'eav'::regnamespace ORDER BY 1");
is(join(' ', grep { my $f = $_; !$open{$f} && !grep { $_ eq $f } @closed } @functions), '', 'every function is known');
is(join(' ', grep { my $f = $_; !grep { $_ eq $f } @functions } @closed, keys %open), '', 'and is there');
is($node->ask("SELECT string_agg(DISTINCT p.proname, ' ' ORDER BY p.proname) FROM pg_proc p
	WHERE p.pronamespace = 'eav'::regnamespace AND p.proname NOT IN (" . join(', ', map { "'$_'" } keys %open) . ")
	AND EXISTS (SELECT FROM unnest('{eav_reader,eav_writer,eav_monitor}'::text[]) AS r
	            WHERE has_function_privilege(r, p.oid, 'EXECUTE'))"), '', 'what is closed is closed');
is($node->ask("SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc
	WHERE pronamespace = 'eav'::regnamespace AND prosecdef"), "@definers", 'SECURITY DEFINER is exactly this');
is($node->ask("SELECT string_agg(proname, ' ') FROM pg_proc WHERE pronamespace = 'eav'::regnamespace AND prosecdef
	AND NOT EXISTS (SELECT FROM unnest(proconfig) AS c WHERE c = 'search_path=pg_catalog, pg_temp')"), '', 'with a pinned search_path');
is($node->ask("SELECT string_agg(p.proname, ' ') FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	WHERE p.pronamespace = 'eav'::regnamespace AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL
	AND NOT coalesce(proconfig::text LIKE '%search_path=pg_catalog, pg_temp%', false)"), '', 'so have all with a body of text');

my %found = map { split /\|/, $_, 2 } split /\n/, $node->ask(<<'SQL');
SELECT c.relname, coalesce((SELECT string_agg(r || ':' || rights, ',')
    FROM unnest('{eav_reader,eav_writer,eav_monitor}'::text[]) AS r,
         LATERAL (SELECT string_agg(v, '/') AS rights FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS v
                  WHERE CASE WHEN c.relkind = 'S' THEN v IN ('SELECT', 'UPDATE') AND has_sequence_privilege(r, c.oid, 'USAGE, SELECT, UPDATE')
                             ELSE has_table_privilege(r, c.oid, v)
                               OR v IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(r, c.oid, v) END) AS x
    WHERE rights IS NOT NULL), '')
FROM pg_class c WHERE c.relnamespace = 'eav'::regnamespace AND c.relkind NOT IN ('i', 'I')
SQL
$_ //= '' foreach values %found;
is(join(', ', grep { my $n = $_; !($n =~ $partition ? $found{$n} eq '' : defined $rights{$n} && $rights{$n} eq $found{$n}) } sort keys %found),
	'', 'every relation is known, with what may be done to it');
is(join(', ', grep { !defined $found{$_} } sort keys %rights), '', 'and is there');
is($node->ask(q(SELECT string_agg(r || ': ' || c.relname, ', ') FROM pg_class c, unnest('{eav_reader,eav_writer,eav_monitor}'::text[]) AS r
	WHERE c.relnamespace = 'eav'::regnamespace AND c.relkind IN ('r', 'p', 'm', 'v')
	AND has_table_privilege(r, c.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER'))), '', 'nobody may lock a table as a whole, and the flush of all with it');
like($node->error_of("SET SESSION AUTHORIZATION a_writer; BEGIN; LOCK TABLE eav.$_ IN ROW EXCLUSIVE MODE"), qr/permission denied/, "as: $_")
  foreach grep { $rights{$_} =~ /eav_writer/ } sort keys %rights;
is($node->ask("SELECT string_agg(c.relname, ' ') FROM pg_class c WHERE c.relnamespace = 'eav'::regnamespace AND c.relkind IN ('r', 'p')
	AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id')
	AND NOT (c.relrowsecurity AND c.relforcerowsecurity) AND c.relname !~ 'entity_values_ts_'"), '', 'FORCE row security on each table of tenants');
is($node->ask("SELECT string_agg(c.relname, ' ') FROM pg_class c WHERE c.relnamespace = 'eav'::regnamespace AND c.relkind = 'v'
	AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id')
	AND NOT coalesce(c.reloptions::text LIKE '%security_invoker=true%', false)"), '', 'views of tenants look with the rights of the reader');

my $public = $node->ask(<<'SQL');
SELECT string_agg(x.name, ' ') FROM (
    SELECT proname::text AS name FROM pg_proc WHERE pronamespace = 'eav'::regnamespace AND has_function_privilege('stranger', oid, 'EXECUTE')
    UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'eav'::regnamespace AND relkind NOT IN ('S', 'i', 'I')
        AND (has_table_privilege('stranger', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
             OR has_any_column_privilege('stranger', oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
    UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'eav'::regnamespace AND CASE WHEN relkind = 'S' THEN has_sequence_privilege('stranger', oid, 'USAGE, SELECT, UPDATE') END
    UNION ALL SELECT 'schema' WHERE has_schema_privilege('stranger', 'eav', 'USAGE, CREATE')
    UNION ALL SELECT r FROM unnest('{eav_reader,eav_writer,eav_monitor}'::text[]) AS r WHERE has_schema_privilege(r, 'eav', 'CREATE')) AS x
SQL
is($public, '', 'PUBLIC may do nothing, and nobody may create in the schema');

# --- nothing of B comes out ------------------------------------------------------------------------

my @tables = split /\n/, $node->ask("SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'eav'::regnamespace AND c.relkind IN ('r', 'm')
	AND c.relname <> 'attribute_reads' AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id') ORDER BY 1");

sub rows_of_b
{
	return join "\n", map { $node->ask("SELECT '$_', t::text FROM $_ t WHERE tenant_id = $b{T} ORDER BY t::text") } @tables;
}

# The script of a role, with the arguments put in.
sub script
{
	my ($role, $is_pinned, $arguments) = @_;
	my @queries = map { @{ $open{$_} } } sort keys %open;
	foreach my $relation (sort keys %rights)
	{
		next if $relation =~ /^(stat_ingest|ingest_gaps|replication_heartbeat|freshness_budget|.*_seq|ingest_receipt|nodes|flush_state|staging_epoch|partition_policy)$/;
		push @queries, "count(*) FROM eav.$relation WHERE tenant_id = T", "x FROM eav.$relation AS x WHERE x.tenant_id = T",
		  "count(*) FROM eav.$relation WHERE tenant_id <> A", "sum(length(x::text)) FROM eav.$relation AS x WHERE x.tenant_id IN (T)";
	}
	push @queries, 'count(*) FROM eav.entities WHERE entity_id = E', "count(*) FROM eav.entities WHERE external_id = X",
	  'count(*) FROM eav.ingest_rejects WHERE reject_id = R', "count(*) FROM eav.attributes WHERE name = N",
	  'pg_relation_size($$eav.entity_jsonb$$) > 0';
	my $script = "SET SESSION AUTHORIZATION $role;\n" . ($is_pinned ? '' : "SELECT eav.set_tenant($a{A});\n");
	foreach my $query (@queries)
	{
		(my $filled = $query) =~ s/\b(P?)(AE|AN|A|T|E|X|N|R|C)\b/value_of($1, $2, $arguments)/ge;
		$filled =~ s/'/''/g;
		$script .= "SELECT probe.all_of('$filled');\n";
	}
	foreach my $write ('INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value) VALUES (T, E, N, $$taken$$)',
		'COPY eav.entity_values_ingest (tenant_id, entity_id, attribute, value) FROM PROGRAM $$true$$',
		'UPDATE eav.ingest_rejects SET payload = $${}$$ WHERE reject_id = R', 'DELETE FROM eav.ingest_rejects WHERE tenant_id = T',
		'DELETE FROM eav.ingest_rejects WHERE reject_id = R', 'UPDATE eav.entity_jsonb SET hot_attrs = $${}$$', 'TRUNCATE eav.entities',
		'INSERT INTO eav.tenant_grants VALUES ($$x$$, 1, T)', $is_pinned ? 'SELECT eav.set_tenant(T)' : (), $is_pinned ? 'SET eav.tenant_id = T' : ())
	{
		(my $filled = $write) =~ s/\b(P?)(AE|AN|A|T|E|X|N|R|C)\b/value_of($1, $2, $arguments)/ge;
		$filled =~ s/SET eav.tenant_id = (\d+)/SET eav.tenant_id = '$1'; SELECT eav.current_tenant(); RESET eav.tenant_id/;
		$script .= "$filled;\n";
	}
	return $script;
}

sub value_of
{
	my ($is_plain, $letter, $arguments) = @_;
	my $value = $arguments->{$letter} // $a{$letter} // die $letter;
	return $is_plain || $value =~ /^\d+$/ ? $value : "'$value'";
}

sub outcome
{
	my ($role, $is_pinned, $arguments) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . script($role, $is_pinned, $arguments), on_error_stop => 0);
	my $said = "$out\n---\n$err";
	foreach my $letter (qw(T E X N C R))
	{
		my $value = $arguments->{$letter};
		$said =~ s/\b\Q$value\E\b/<$letter>/g;
	}
	$said =~ s/^psql:<stdin>:\d+: //mg;
	$said =~ s/^LOCATION: .*\n//mg;
	return $said;
}

my $before = rows_of_b();
like($before, qr/secret/, 'B has something to hide');
foreach my $role (@roles)
{
	my ($name, undef, $is_pinned) = @$role;
	my $of_b = outcome($name, $is_pinned, \%b);
	my $of_none = outcome($name, $is_pinned, \%none);
	my @lines = ([ split /\n/, $of_b ], [ split /\n/, $of_none ]);
	my ($differs) = grep { ($lines[0][$_] // '') ne ($lines[1][$_] // '') } 0 .. $#{ $lines[0] };
	ok($of_b eq $of_none, "$name learns of B what it learns of nobody")
	  || diag 'of B: ' . $lines[0][$differs // 0] . "\nof nobody: " . ($lines[1][$differs // 0] // '');
	my ($leak) = grep { /secret|tenant b|cold_b|moved_b/ } @{ $lines[0] };
	is($leak, undef, "$name sees nothing of B");
	ok(@{ $lines[0] } > 100, "$name was answered");
	if (!is($node->ask('SELECT flushed IS NOT NULL FROM eav.stage_flush()'), 't', 'what was handed in is flushed') || rows_of_b() ne $before)
	{
		is(rows_of_b(), $before, "$name changes nothing of B");
	}
}
is(rows_of_b(), $before, 'B has what it had');

# A without a choice is nobody; nothing can be chosen by setting what the rights hang on.
like($node->error_of(q(SET SESSION AUTHORIZATION any_writer; SELECT eav.ingest('{"tenant_id": 2000000002, "entity_id": 1, "attributes": {"x": 1}}')) . '; SELECT 1/0'),
	qr/ERROR/, 'without a tenant nothing is accepted');
is($node->ask('SET SESSION AUTHORIZATION any_reader; SELECT count(*) FROM eav.entities'), '0', 'without a tenant there is nothing to see');
foreach my $attempt ("SELECT eav.set_tenant($b{T})", "SET eav.tenant_id = '$b{T}'; SELECT count(*) FROM eav.entities",
	'SET ROLE eav_admin', 'SET row_security = off; SELECT count(*) FROM eav.entities', 'SET SESSION AUTHORIZATION postgres')
{
	isnt($node->error_of("SET SESSION AUTHORIZATION a_both; $attempt"), '', "a pinned role cannot: $attempt") if $attempt !~ /AUTHORIZATION postgres/;
}

# Estimates: the plan of a function tells its caller nothing about rows that are not his.
foreach my $tenant ($b{T}, $none{T})
{
	is($node->ask("SET SESSION AUTHORIZATION a_reader; SELECT estimated_rows FROM eav.explain_find($a{A}, '\$.$b{N} == \"secret\"') WHERE node = 'find'"),
		$node->ask("SET SESSION AUTHORIZATION a_reader; SELECT estimated_rows FROM eav.explain_find($a{A}, '\$.$none{N} == \"secret\"') WHERE node = 'find'"), 'estimates tell nothing');
}

# --- tickets ---------------------------------------------------------------------------------------

my $event = sub { qq({"tenant_id": $_[0], "entity_id": 5, "attributes": {"t": $_[1]}}) };
my $ticket_of = sub { $node->ask("SET SESSION AUTHORIZATION $_[0]; SELECT ticket FROM eav.ingest('" . $event->($_[1], 1) . "')") };
my @tickets = map { $ticket_of->('a_writer', $a{A}) } 1 .. 12;
my @steps = map { $tickets[$_] - $tickets[ $_ - 1 ] } 1 .. $#tickets;
ok((grep { $_ < 0 } @steps) && (grep { $_ > 0 } @steps), 'tickets do not count calls');
ok(!(grep { abs($_) < 1_000_000 } @steps), 'and are far from each other');
my $foreign = $node->ask("SELECT ticket FROM eav.ingest('" . $event->($b{T}, 2) . "')");
$node->flush;
is($node->ask("SET SESSION AUTHORIZATION a_writer; SELECT eav.wait_flushed($foreign, '10 s')"),
	$node->ask("SET SESSION AUTHORIZATION a_writer; SELECT eav.wait_flushed($tickets[0], '10 s')"), 'a ticket of B is like one of A');

# --- who watches -----------------------------------------------------------------------------------

foreach my $relation (sort keys %rights)
{
	next if $rights{$relation} =~ /eav_monitor/ || $relation =~ /_seq$|ingest_receipt/;
	like($node->error_of("SET SESSION AUTHORIZATION watcher; SELECT * FROM eav.$relation"), qr/permission denied/, "eav_monitor does not read $relation");
}
unlike($node->ask('SET SESSION AUTHORIZATION watcher; SELECT * FROM eav.health_check(); SELECT * FROM eav.stat_ingest; SELECT * FROM eav.worker_status(); SELECT * FROM eav.ingest_gaps'),
	qr/secret|tenant [ab]|entity-[ab]|attribute_[ab]|cold_b|moved_b|200000000\d|700000000\d/, 'what eav_monitor sees names no tenant');

# --- names that others have put in the way ---------------------------------------------------------

$node->ask(<<'SQL');
CREATE SCHEMA traps;
CREATE TABLE traps.captured (who text, what text);
GRANT INSERT ON traps.captured TO PUBLIC;
GRANT ALL ON SCHEMA traps TO a_both;
SET SESSION AUTHORIZATION a_both;
CREATE FUNCTION traps.capture(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN INSERT INTO traps.captured VALUES (current_user, 'operator'); RETURN true; END $$;
CREATE OPERATOR traps.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = traps.capture);
CREATE FUNCTION traps.capture(text, text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN INSERT INTO traps.captured VALUES (current_user, 'operator'); RETURN true; END $$;
CREATE OPERATOR traps.= (LEFTARG = text, RIGHTARG = text, FUNCTION = traps.capture);
CREATE FUNCTION traps.now() RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN INSERT INTO traps.captured VALUES (current_user, 'now'); RETURN pg_catalog.now(); END $$;
CREATE FUNCTION traps.format(text, text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN INSERT INTO traps.captured VALUES (current_user, 'format'); RETURN pg_catalog.format($1, $2); END $$;
CREATE FUNCTION traps.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN INSERT INTO traps.captured VALUES (current_user, 'clock_timestamp'); RETURN pg_catalog.now(); END $$;
SQL
is($node->ask("SET search_path = traps, pg_catalog; SELECT 'a'::text = 'b'::text"), 't', 'whoever falls into the trap');
is($node->ask('DELETE FROM traps.captured RETURNING what'), 'operator', 'is seen');
my $trap = 'SET search_path = traps, public, pg_catalog; CREATE TEMPORARY TABLE entities (tenant_id bigint); CREATE TEMPORARY TABLE pg_class (x int)';
$node->psql('postgres', "SET default_transaction_read_only = off; $trap; SELECT * FROM eav.health_check(); SELECT eav.run_maintenance();
	SELECT eav.merge_rollups(); SELECT eav.refresh_stats(); SELECT eav.register_entity($a{A}, 'trapped');
	SELECT eav.upsert_hot_attributes($a{A}, 1, '{\"x\": 1}'); SELECT eav.worker_status(); SELECT eav.stage_flush(); SELECT * FROM eav.get_entity($a{A}, 1);
	SELECT * FROM eav.find_entities($a{A}, NULL); SELECT * FROM eav.value_distribution($a{A}); SELECT eav.replay_rejects();
	SELECT eav.grant_tenant('a_both', $a{A}); SELECT * FROM eav.entity_history($a{A}, 1, 'x'); SELECT eav.configure_partitions();
	SELECT count(*) FROM eav.entity_values; SELECT count(*) FROM eav.current_values; SELECT eav.secure_tables()", on_error_stop => 0);
is($node->ask(q(SELECT string_agg(DISTINCT who || ': ' || what, ', ') FROM traps.captured)), '', 'operators and functions of others capture nothing');
# Functions of pg_partman look into its schema before any other: who may create something there is told.
$node->ask('GRANT CREATE ON SCHEMA public TO a_both, PUBLIC');
is($node->ask(q(SET SESSION AUTHORIZATION watcher; SELECT status, detail FROM eav.health_check() WHERE check_name = 'pg_partman')),
	'warning|in its schema, public, objects may be created by PUBLIC, a_both: its functions would call them', 'the schema of pg_partman is watched');
my $name = q("a%b'||(SELECT 1)||'c");
is($node->ask("ALTER SCHEMA public RENAME TO $name; SELECT detail FROM eav.health_check() WHERE check_name = 'pg_partman'; ALTER SCHEMA $name RENAME TO public"),
	"in its schema, $name, objects may be created by PUBLIC, a_both: its functions would call them", 'whatever it is called');
$node->ask('REVOKE CREATE ON SCHEMA public FROM a_both, PUBLIC');
is($node->ask(q(SELECT status FROM eav.health_check() WHERE check_name = 'pg_partman')), 'ok', 'and its rights are right');

# --- with row_security off, as a restore has it -----------------------------------------------------

$node->ask('CREATE DATABASE restored');
$node->ask('SET row_security = off; CREATE EXTENSION eav_ext CASCADE', 'restored');
$node->ask(q(SELECT eav.register_tenant('closed')), 'restored');
is($node->ask(q(SET SESSION AUTHORIZATION any_reader; SELECT count(*) FROM eav.tenants), 'restored'), '0', 'tables without policies show nothing');
is($node->ask(q(SELECT string_agg(oid::regclass::text, ' ') FROM pg_class c WHERE relnamespace = 'eav'::regnamespace AND relkind IN ('r', 'p')
	AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id')
	AND NOT (relrowsecurity AND relforcerowsecurity) AND relname !~ 'entity_values_ts_'), 'restored'), '', 'none is open');
my $row_security = q(SELECT status, detail FROM eav.health_check() WHERE check_name = 'row_security');
like($node->ask($row_security, 'restored'), qr/^warning\|of (\d+) tables with data of tenants 0 have none, 0 do not bind their owner, \1 lack policies$/,
	'eav.health_check() tells');
cmp_ok($node->ask('SELECT eav.secure_tables()', 'restored'), '>', 20, 'eav.secure_tables() makes the policies');
is($node->ask($row_security, 'restored'), 'ok|all tables with data of tenants have it', 'and all is well');
like($node->ask("BEGIN; ALTER TABLE eav.tenants DISABLE ROW LEVEL SECURITY; $row_security", 'restored'), qr/^critical\|of \d+ tables with data of tenants 1 have none/,
	'a table that is open is critical');
is($node->ask(q(SELECT status FROM eav.health_check() WHERE check_name = 'row_security')), 'ok', 'and here it is as installed');

$node->stop;
done_testing();
