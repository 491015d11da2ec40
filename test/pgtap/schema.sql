-- The schema as installed: what is there, how it is keyed, and that everything is described,
-- pinned and closed.
BEGIN;
SELECT no_plan();

-- What a row of each table is.
CREATE FUNCTION shape_is(relation text, expected text) RETURNS text LANGUAGE sql AS $$
    SELECT is(string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                         || CASE WHEN a.attnotnull THEN '!' ELSE '' END, ', ' ORDER BY a.attnum),
              expected, 'columns of ' || relation)
    FROM pg_attribute a
    WHERE a.attrelid = relation::regclass AND a.attnum > 0 AND NOT a.attisdropped
$$;
SELECT shape_is('eav.tenants', 'tenant_id bigint!, name text!, created_at timestamp with time zone!');
SELECT shape_is('eav.entities', 'tenant_id bigint!, entity_id bigint!, external_id text, entity_type text, version bigint!, is_deleted boolean!, created_at timestamp with time zone!');
SELECT shape_is('eav.attributes', 'attribute_id integer!, tenant_id bigint!, name text!, data_type text, projection text!, is_inferred boolean!, created_at timestamp with time zone!, document_name text, moving_from text[], is_pii boolean!');
SELECT shape_is('eav.attribute_indexes', 'tenant_id bigint!, attribute_id integer!, requested_at timestamp with time zone!, requested_by text!, failures integer!, last_error text, next_attempt_at timestamp with time zone!');
SELECT shape_is('eav.stat_attribute_indexes', 'tenant_id bigint, attribute_id bigint, attribute text, index_name text, state text, phase text, blocks_done bigint, blocks_total bigint, tuples_done bigint, tuples_total bigint, bytes bigint, requested_at timestamp with time zone, requested_by text, failures integer, last_error text, next_attempt_at timestamp with time zone');
SELECT shape_is('eav.attribute_reads', 'tenant_id bigint!, attribute_id integer!, filters bigint!, reads bigint!, last_read_at timestamp with time zone!');
SELECT col_is_pk('eav', 'attribute_indexes', ARRAY['tenant_id', 'attribute_id'], 'key of wishes for indexes');
SELECT col_is_pk('eav', 'attribute_reads', ARRAY['tenant_id', 'attribute_id'], 'key of counts of reads');
SELECT shape_is('eav.entity_values_ts', 'tenant_id bigint!, entity_id bigint!, observed_at timestamp with time zone!, ingested_at timestamp with time zone!, attribute_id integer!, value_bool boolean, value_int bigint, value_float double precision, value_time timestamp with time zone, value_text text, value_numeric numeric, value_json jsonb');
SELECT shape_is('eav.entity_values_ingest', 'xact xid8!, slot smallint!, cleared boolean!, attribute_id integer, tenant_id bigint, entity_id bigint, observed_at timestamp with time zone, value_int bigint, value_float double precision, value_time timestamp with time zone, value_bool boolean, value_text text, value_numeric numeric, value_json jsonb, entity text, attribute text, value text, writer_tenant bigint');
SELECT shape_is('eav.entity_jsonb', 'tenant_id bigint!, entity_id bigint!, hot_attrs jsonb!, live_attrs jsonb!, versions bytea!, updated_at timestamp with time zone!');
SELECT shape_is('eav.partition_policy', 'only_row boolean!, partition_interval interval!, premake integer!, retention interval');
SELECT shape_is('eav.flush_state', 'only_row boolean!, snapshot pg_snapshot!, snapshot_at timestamp with time zone!, ingested_at timestamp with time zone!, epoch bigint!, flushes bigint!, flushed bigint!, projected bigint!, rejected bigint!, backlog bigint!, ticket_key uuid!, boot_id uuid, booted_at timestamp with time zone');
SELECT shape_is('eav.staging_epoch', 'epoch bigint!, ring bigint');
SELECT shape_is('eav.nodes', 'node_id text!, node_type text!, conninfo text, replication_name text, read_path text, is_enabled boolean!');
SELECT shape_is('eav.freshness_budget', 'read_path text!, node_type text!, target_lag interval!, max_lag interval!, consistency text!, fallback text!, retry_after interval, is_default boolean!');
SELECT shape_is('eav.replication_heartbeat', 'node_id text!, node_type text!, last_heartbeat timestamp with time zone!, write_sequence bigint!, wal_lsn pg_lsn');
SELECT is(pg_get_function_result(function), result, 'result of ' || function)
FROM (VALUES
    ('eav.freshness'::regproc, 'record'),
    ('eav.freshness_headers', 'jsonb'),
    ('eav.check_replication_lag', 'TABLE(node_id text, node_type text, state text, lag_seconds double precision, lag_bytes bigint, measured_by text, sampled_at timestamp with time zone, detail text)'),
    ('eav.breaker_status', 'TABLE(node_id text, state text, cause text, failures integer, since timestamp with time zone, changes_at timestamp with time zone)'),
    ('eav.write_token', 'text'), ('eav.wait_for_token', 'boolean'), ('eav.report_freshness', 'void'),
    ('eav.report_read_failure', 'void'), ('eav.report_read_success', 'void')) AS f (function, result);
SELECT is(pg_get_function_arguments(function), arguments, 'arguments of ' || function)
FROM (VALUES
    ('eav.route_read'::regproc, 'OUT node_id text, OUT conninfo text, OUT source text, OUT lag_seconds double precision, INOUT consistency text DEFAULT ''bounded''::text, max_lag interval DEFAULT NULL::interval, read_path text DEFAULT NULL::text, after_token text DEFAULT NULL::text, OUT degraded boolean, OUT reason text'),
    ('eav.freshness', 'OUT node_id text, OUT source text, OUT state text, OUT lag_seconds double precision, OUT data_timestamp timestamp with time zone, OUT consistency text, OUT badge text'),
    ('eav.freshness_headers', 'read_path text DEFAULT NULL::text'),
    ('eav.heartbeat', 'OUT node_id text, OUT last_heartbeat timestamp with time zone, OUT write_sequence bigint, OUT wal_lsn pg_lsn'),
    ('eav.report_freshness', 'node_id text, as_of timestamp with time zone'),
    ('eav.wait_for_token', 'token text, timeout interval DEFAULT ''00:00:05''::interval')) AS f (function, arguments);
SELECT results_eq($$SELECT read_path, node_type, target_lag, max_lag, consistency, fallback, retry_after
                    FROM eav.freshness_budget ORDER BY max_lag$$,
    $$VALUES ('primary', 'primary', interval '0', interval '50 ms', 'strong', 'failover', NULL::interval),
             ('cache', 'cache', '0', '100 ms', 'strong', 'primary', NULL),
             ('replica', 'replica', '3 s', '5 s', 'bounded', 'primary', NULL),
             ('near_real_time', 'replica', '10 s', '30 s', 'eventual', 'abort', '1 min'),
             ('stream', 'stream', '30 s', '2 min', 'eventual', 'partial', NULL),
             ('olap_dashboard', 'olap', '5 min', '15 min', 'eventual', 'as_of', NULL),
             ('olap_historical', 'olap', '24 h', '48 h', 'eventual', 'accept', NULL)$$,
    'the budgets of the product');
SELECT shape_is('eav.audit_log', 'audit_id bigint!, logged_at timestamp with time zone!, actor text!, action text!, state text!, erasure_id bigint!, tenant_id bigint!, reason text, details jsonb!');
SELECT shape_is('eav.erased_subjects', 'tenant_id bigint!, subject uuid!, erased_at timestamp with time zone!, discarded bigint!, last_discarded_at timestamp with time zone');
SELECT shape_is('eav.stat_erasures', 'erasure_id bigint, tenant_id bigint, of_tenant boolean, phase text, requested_at timestamp with time zone, updated_at timestamp with time zone, counts jsonb, failures integer, last_error text, next_attempt_at timestamp with time zone');
SELECT shape_is('eav.entity_keys', 'tenant_id bigint!, entity_id bigint!, key_id uuid!, key bytea!, created_at timestamp with time zone!');
SELECT shape_is('eav.ingest_receipt', 'accepted integer, rejected integer, ticket bigint');
SELECT shape_is('eav.stat_ingest', 'calls bigint, events bigint, values bigint, bytes bigint, rejected bigint, rejects jsonb, spilled_calls bigint, spilled_values bigint, waits bigint, timeouts bigint, is_open boolean, slabs integer, slabs_in_use integer, slabs_high_water integer');
SELECT shape_is('eav.ingest_gaps', 'gap_id bigint!, epoch bigint!, gap_start timestamp with time zone!, gap_end timestamp with time zone!, detected_at timestamp with time zone!, reason text!');
SELECT shape_is('eav.ingest_rejects', 'reject_id bigint!, tenant_id bigint, rejected_at timestamp with time zone!, sqlstate text!, reason text!, payload jsonb!');
SELECT shape_is('eav.entity_values', 'tenant_id bigint, entity_id bigint, external_id text, attribute_id integer, attribute_name text, data_type text, value text, value_text text, value_int bigint, value_float double precision, value_numeric numeric, value_bool boolean, value_time timestamp with time zone, value_json jsonb, observed_at timestamp with time zone, ingested_at timestamp with time zone');
SELECT shape_is('eav.attribute_rollups', 'tenant_id bigint!, attribute_id integer!, bucket timestamp with time zone!, value_count bigint!, cleared_count bigint!, number_count bigint!, min_value numeric, max_value numeric, sum_value numeric, first_observed_at timestamp with time zone!, last_observed_at timestamp with time zone!, last_ingested_at timestamp with time zone!');
SELECT shape_is('eav.attribute_rollups_daily', 'tenant_id bigint!, attribute_id integer!, bucket timestamp with time zone!, value_count bigint!, cleared_count bigint!, number_count bigint!, new_entities bigint!, min_value numeric, max_value numeric, sum_value numeric, first_observed_at timestamp with time zone, last_observed_at timestamp with time zone, last_ingested_at timestamp with time zone');
SELECT shape_is('eav.rollup_pending', 'tenant_id bigint!, bucket timestamp with time zone!, value_count bigint!, cleared_count bigint!, number_count bigint!, new_entities bigint!, first_observed_at timestamp with time zone, last_observed_at timestamp with time zone, last_ingested_at timestamp with time zone, attribute_id integer!, min_value numeric, max_value numeric, sum_value numeric');
SELECT shape_is('eav.hourly_rollups', 'tenant_id bigint, attribute_id integer, attribute_name text, data_type text, bucket timestamp with time zone, value_count bigint, cleared_count bigint, number_count bigint, min_value numeric, max_value numeric, avg_value numeric, sum_value numeric, first_observed_at timestamp with time zone, last_observed_at timestamp with time zone, last_ingested_at timestamp with time zone');
SELECT shape_is('eav.current_values', 'tenant_id bigint, entity_id bigint, external_id text, attribute_id integer, attribute_name text, data_type text, projection text, value jsonb, observed_at timestamp with time zone, ingested_at timestamp with time zone');
SELECT is_empty($$SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'eav.rollup_pending'::regclass$$, 'pending has no index: it is appended to');
SELECT shape_is('eav.mv_entity_attribute_stats', 'tenant_id bigint, attribute_id integer, attribute_name text, data_type text, value_count bigint, cleared_count bigint, entity_count bigint, min_value numeric, max_value numeric, avg_value numeric, first_observed_at timestamp with time zone, last_observed_at timestamp with time zone, last_ingested_at timestamp with time zone');
SELECT is(string_agg(a.attname, ', ' ORDER BY a.attnum),
          (SELECT string_agg(b.attname, ', ' ORDER BY b.attnum) FROM pg_attribute b
           WHERE b.attrelid = 'eav.entity_values_ts'::regclass AND b.attnum > 0),
          'the template of partitions has the columns of the history')
FROM pg_attribute a WHERE a.attrelid = 'eav.entity_values_ts_template'::regclass AND a.attnum > 0;
SELECT is((SELECT string_agg(name || ' ' || format_type(type, NULL), ', ' ORDER BY ordinality)
           FROM unnest(proargnames, proallargtypes) WITH ORDINALITY AS u (name, type)),
          'running boolean, pid integer, backend_type text, application_name text, state text, wait_event_type text, wait_event text, started_at timestamp with time zone, last_flush_at timestamp with time zone, flushes bigint, flushed bigint, projected bigint, rejected bigint, backlog bigint, staged_bytes bigint, flush_interval text',
          'columns of eav.worker_status()')
FROM pg_proc WHERE oid = 'eav.worker_status()'::regprocedure;
SELECT is(count(*), 1::bigint, 'eav.worker_status() is one row') FROM eav.worker_status();
SELECT is(count(*), 1::bigint, 'eav.stat_ingest is one row') FROM eav.stat_ingest;
SELECT function_returns('eav', 'ingest', ARRAY[payload, 'text'], 'eav.ingest_receipt')
FROM unnest('{text,bytea,jsonb}'::text[]) AS payload;
SELECT function_returns('eav', 'wait_flushed', ARRAY['bigint', 'interval'], 'boolean');
SELECT is(string_agg(pg_get_function_arguments(oid), '; ' ORDER BY oid::regprocedure::text COLLATE "C"),
          'payload bytea, ack text DEFAULT ''accepted''::text; '
          'payload jsonb, ack text DEFAULT ''accepted''::text; '
          'payload text, ack text DEFAULT ''accepted''::text',
          'arguments of eav.ingest()')
FROM pg_proc WHERE pronamespace = 'eav'::regnamespace AND proname = 'ingest';
SELECT is(pg_get_function_arguments('eav.wait_flushed'::regproc),
          'ticket bigint, timeout interval DEFAULT ''00:00:05''::interval',
          'arguments of eav.wait_flushed()');

-- Keys. Every unique key of tenants' data begins with tenant_id, so that tables can be distributed.
SELECT col_is_pk('eav', 'tenants', 'tenant_id', 'key of tenants');
SELECT col_is_unique('eav', 'tenants', 'name', 'names of tenants are unique');
SELECT col_is_pk('eav', 'entities', ARRAY['tenant_id', 'entity_id'], 'key of entities');
SELECT col_is_unique('eav', 'entities', ARRAY['tenant_id', 'external_id'], 'external ids are unique per tenant');
SELECT col_is_pk('eav', 'attributes', ARRAY['tenant_id', 'attribute_id'], 'key of attributes');
SELECT col_is_unique('eav', 'attributes', ARRAY['tenant_id', 'name'], 'names of attributes are unique per tenant');
SELECT col_is_pk('eav', 'entity_jsonb', ARRAY['tenant_id', 'entity_id'], 'key of the projection');
SELECT hasnt_pk('eav', 'entity_values_ts', 'history has no surrogate key');
SELECT is_empty($$
    SELECT i.indexrelid::regclass FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'eav'::regnamespace
    JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = 'tenant_id'
    WHERE i.indisunique AND c.relname NOT IN ('ingest_rejects', 'flush_backlog', 'attribute_changes', 'audit_log', 'erasures')
      AND i.indexrelid <> 'eav.tenants_name_key'::regclass
      AND i.indkey[0] <> t.attnum$$, 'unique keys begin with tenant_id');

-- Storage.
SELECT is(relkind::text, 'p', relname || ' is partitioned')
FROM pg_class WHERE oid IN ('eav.entity_values_ts'::regclass, 'eav.entity_values_ingest'::regclass);
SELECT set_eq($$SELECT relname::text FROM pg_class
    WHERE relnamespace = 'eav'::regnamespace AND relkind IN ('r', 'p', 'm') AND relpersistence <> 'p'$$,
    ARRAY['entity_values_ingest_0', 'entity_values_ingest_1', 'entity_values_ingest_2', 'staging_epoch'],
    'the staging leaves are unlogged, everything else is logged');
SELECT is_empty($$SELECT indexrelid::regclass FROM pg_index
    WHERE indrelid IN ('eav.entity_values_ts'::regclass, 'eav.entity_values_ingest'::regclass)
       OR indrelid IN (SELECT relid FROM pg_partition_tree('eav.entity_values_ingest'))$$,
    'staging has no index, and history has none that a restore would trip over');
SELECT is_empty($$SELECT i.indexrelid::regclass FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = 'eav.entity_jsonb'::regclass AND a.attname IN ('live_attrs', 'versions', 'updated_at')$$,
    'what changes with every event is not indexed');
SELECT ok((SELECT substring(array_to_string(reloptions, ',') FROM 'fillfactor=(\d+)')::int < 100
           FROM pg_class WHERE oid = 'eav.entity_jsonb'::regclass), 'projection rows have room for HOT updates');

-- Every partition gets the indexes.
SELECT lives_ok('SELECT eav._ensure_partitions()', 'partitions can be created');
SELECT is(count(*) FILTER (WHERE am.amname = 'brin'), 1::bigint, p.partition || ' has its brin index')
FROM eav._history_partitions() p JOIN pg_index i ON i.indrelid = p.partition
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam GROUP BY p.partition;
SELECT ok(bool_or(pg_get_indexdef(i.indexrelid) LIKE '% btree (tenant_id, attribute_id, ingested_at)'),
          p.partition || ' has its index by attribute')
FROM eav._history_partitions() p JOIN pg_index i ON i.indrelid = p.partition GROUP BY p.partition;

-- Invariants that the tables hold by themselves.
SELECT lives_ok($$INSERT INTO eav.tenants (tenant_id, name) VALUES (1, 't')$$);
SELECT throws_ok($$INSERT INTO eav.tenants (name) VALUES ('')$$, '23514', NULL, 'a tenant has a name');
SELECT is_empty($$SELECT conrelid::regclass FROM pg_constraint WHERE contype = 'f' AND connamespace = 'eav'::regnamespace$$, 'there are no foreign keys: see docs/decisions/0010');
SELECT throws_ok($$INSERT INTO eav.attributes (tenant_id, name, data_type, projection) VALUES (1, 'a', 'integer', 'hot')$$, '23514', NULL, 'types are known');
SELECT throws_ok($$INSERT INTO eav.attributes (tenant_id, name, data_type, projection) VALUES (1, 'a', 'int', 'warm')$$, '23514', NULL, 'projections are known');
SELECT lives_ok($$INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, attribute_id) VALUES (1, 1, now(), 1)$$, 'a row of history may have no value');
SELECT throws_ok($$INSERT INTO eav.entity_values_ingest (xact, tenant_id) VALUES ('3', 1)$$, '23514', NULL, 'a staged row bears its own transaction');
SELECT throws_ok('INSERT INTO eav.flush_state SELECT * FROM eav.flush_state', '23505', NULL, 'there is one flush state');
SELECT throws_ok($$INSERT INTO eav.partition_policy SELECT false, '1 day', 1, NULL$$, '23514', NULL, 'and one policy');

-- Everything is described.
CREATE VIEW member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'eav_ext');
SELECT isnt(obj_description(objid, 'pg_proc'), NULL, name || ' has a comment')
FROM member WHERE classid = 'pg_proc'::regclass ORDER BY name;
SELECT isnt(obj_description(objid, 'pg_class'), NULL, name || ' has a comment')
FROM member JOIN pg_class c ON c.oid = objid AND classid = 'pg_class'::regclass
WHERE c.relkind <> 'S' AND NOT c.relispartition ORDER BY name;
SELECT isnt(obj_description(objid, 'pg_type'), NULL, name || ' has a comment')
FROM member JOIN pg_type t ON t.oid = objid AND classid = 'pg_type'::regclass
JOIN pg_class c ON c.oid = t.typrelid WHERE c.relkind = 'c' ORDER BY name;
SELECT is_empty($$
    SELECT attname FROM pg_attribute
    WHERE attrelid = 'eav.stat_ingest'::regclass AND col_description(attrelid, attnum) IS NULL$$,
    'the columns of eav.stat_ingest are described');
SELECT is_empty($$
    SELECT name FROM member JOIN pg_proc p ON p.oid = objid AND classid = 'pg_proc'::regclass
    WHERE p.proname !~ '^_'
      AND obj_description(objid, 'pg_proc') !~ 'Raises|raises'$$,
    'the comment of a public function says what it raises');

-- Every function pins its search_path, but for internal C functions that look nothing up, and
-- bodies in the SQL standard's form, which were resolved when they were created.
-- Aggregates call functions that do.
SELECT ok(p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'] OR p.prosqlbody IS NOT NULL OR p.prokind = 'a'
          OR (l.lanname = 'c' AND NOT p.prosecdef), name || ' pins its search_path')
FROM member JOIN pg_proc p ON p.oid = objid AND classid = 'pg_proc'::regclass
JOIN pg_language l ON l.oid = p.prolang ORDER BY name;
-- The exceptions are those that touch no table, or read it below SQL after they have checked the
-- tenant of their caller, and those that take the owner's rights and a search_path of their own once
-- they have (include/eav/pg/owner.hpp, src/access/gate.cpp). So they must not have the owner's rights
-- from the start, which the test above sees to.
SELECT set_eq($$
    SELECT p.oid::regprocedure::text
    FROM member JOIN pg_proc p ON p.oid = objid AND classid = 'pg_proc'::regclass
    JOIN pg_language l ON l.oid = p.prolang
    WHERE l.lanname = 'c' AND p.proname !~ '^_'
      AND NOT coalesce(p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)
      AND NOT (p.provolatile = 'i' AND p.proisstrict)$$,
    ARRAY['eav.ingest(text,text)', 'eav.ingest(bytea,text)', 'eav.ingest(jsonb,text)',
          'eav.route_read(text,interval,text,text)', 'eav.current_tenant()',
          'eav.set_tenant(bigint,boolean)', 'eav.wait_flushed(bigint,interval)',
          'eav.get_entity(bigint,bigint,text[],boolean)', 'eav.get_entity(bigint,text,text[],boolean)',
          'eav.get_entities(bigint,bigint[],text[],boolean)',
          'eav.get_entities(bigint,text[],text[],boolean)',
          'eav.find_entities(bigint,jsonpath,text,integer,text,text[])',
          'eav.explain_find(bigint,jsonpath,text)',
          'eav.upsert_hot_attributes(bigint,bigint,jsonb,timestamp with time zone)',
          'eav.register_attribute(bigint,text,text,text)', 'eav.register_entity(bigint,text,text,bigint)',
          'eav.erase_entity(bigint,bigint,text)', 'eav.erase_tenant(bigint,text)',
          'eav.set_pii(bigint,text)', 'eav.get_pii(bigint,bigint)', 'eav.decrypt_pii(bigint,bigint,text)'],
    'C functions that are not pinned are internal, immutable, or those that are called most');
SELECT is_empty($$
    SELECT name FROM member JOIN pg_proc p ON p.oid = objid AND classid = 'pg_proc'::regclass
    WHERE p.proacl IS NULL$$, 'no function has its privileges by default');
SELECT is_empty($$
    SELECT name FROM member JOIN pg_proc p ON p.oid = objid AND classid = 'pg_proc'::regclass,
        aclexplode(p.proacl) AS a WHERE a.grantee = 0$$, 'PUBLIC may execute nothing');
SELECT is_empty($$
    SELECT name FROM member JOIN pg_class c ON c.oid = objid AND classid = 'pg_class'::regclass,
        aclexplode(c.relacl) AS a WHERE a.grantee = 0$$, 'PUBLIC may read and write nothing');
SELECT is_empty($$
    SELECT name FROM member JOIN pg_type t ON t.oid = objid AND classid = 'pg_type'::regclass
    JOIN pg_class c ON c.oid = t.typrelid,
        aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) AS a
    WHERE c.relkind = 'c' AND a.grantee = 0$$, 'PUBLIC may use no type of ours');

-- What users made goes into a dump; what belongs to this cluster does not.
SELECT set_eq(
    $$SELECT c.relname::text FROM pg_extension e, unnest(e.extconfig) AS o JOIN pg_class c ON c.oid = o
      WHERE e.extname = 'eav_ext'$$,
    ARRAY['tenants', 'tenant_id_seq', 'tenant_grants', 'entities', 'entity_id_seq', 'attributes', 'attribute_id_seq',
          'attribute_changes', 'attribute_changes_seq', 'entity_values_current',
          'entity_keys', 'audit_log', 'audit_log_seq', 'erasure_seq', 'erasure_secret', 'erased_subjects',
          'attribute_reads', 'attribute_indexes', 'entity_jsonb', 'attribute_rollups',
          'attribute_rollups_daily', 'partition_policy', 'flush_backlog',
          'flush_backlog_seq', 'ingest_gaps', 'ingest_gaps_seq', 'ingest_rejects', 'ingest_rejects_seq', 'nodes', 'freshness_budget'],
    'tables that are dumped');
SELECT is_empty($$
    SELECT c.relname FROM member JOIN pg_class c ON c.oid = objid AND classid = 'pg_class'::regclass
    WHERE c.relkind = 'r' AND NOT c.relispartition
      AND c.relname NOT IN ('flush_state', 'staging_epoch', 'entity_values_ts_template',
                            'replication_heartbeat', 'attribute_moves', 'rollup_pending', 'erasures', 'erasure_hours')
      AND NOT c.oid = ANY ((SELECT extconfig FROM pg_extension WHERE extname = 'eav_ext')::oid[])$$,
    'no other table is forgotten');

SELECT * FROM finish();
ROLLBACK;
