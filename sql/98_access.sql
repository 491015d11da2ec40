-- Roles, what each may do, and row security. The one place for all of it.
--
-- eav_admin    everything, for all tenants
-- eav_writer   hands in values and registers entities and attributes, for a tenant
-- eav_reader   reads, for a tenant
-- eav_monitor  looks at counts and states, and at no data of a tenant
--
-- Roles belong to the server and not to the extension: they are made when they are not there, and
-- stay when it is dropped.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY '{eav_admin,eav_writer,eav_reader,eav_monitor}'::text[] LOOP
        -- Another database of the server may be at it as well.
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = wanted) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA eav TO eav_admin, eav_writer, eav_reader, eav_monitor;
-- Not TRIGGER and REFERENCES: the extension writes to these tables as its owner, who would run what
-- somebody has hung on them. Not what default privileges may have added.
REVOKE ALL ON ALL TABLES IN SCHEMA eav FROM eav_admin;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA eav TO eav_admin;
GRANT ALL ON ALL SEQUENCES IN SCHEMA eav TO eav_admin;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA eav TO eav_admin;
GRANT USAGE ON TYPE eav.ingest_receipt TO eav_admin, eav_writer;
-- The log is written by the functions, and by nobody changed. Keys and the secret are for the functions.
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON eav.audit_log FROM eav_admin;
REVOKE ALL ON eav.entity_keys, eav.erasure_secret FROM eav_admin;
-- Here personal values stand in the clear, and could be given to an attribute that is not personal.
REVOKE ALL ON eav.entity_values_ingest, eav.entity_values_ingest_0, eav.entity_values_ingest_1,
    eav.entity_values_ingest_2, eav.flush_backlog FROM eav_admin;
-- Who may administer need not see personal values.
REVOKE EXECUTE ON FUNCTION eav.get_pii(bigint, bigint), eav._get_pii(bigint, bigint),
    eav.decrypt_pii(bigint, bigint, text), eav._decrypt_pii(bigint, bigint, text) FROM eav_admin;

-- Everybody: which tenant, how fresh, where to read.
GRANT EXECUTE ON FUNCTION
    eav.current_tenant(), eav.set_tenant(bigint, boolean), eav._check_tenant_access(bigint),
    eav.is_valid_name(text), eav.freshness(), eav.freshness_headers(text),
    eav.route_read(text, interval, text, text), eav.report_read_failure(text),
    eav.report_read_success(text), eav.write_token(), eav.wait_for_token(text, interval)
    TO eav_writer, eav_reader, eav_monitor;

GRANT EXECUTE ON FUNCTION
    eav.ingest(text, text), eav.ingest(bytea, text), eav.ingest(jsonb, text),
    eav.wait_flushed(bigint, interval),
    eav.upsert_hot_attributes(bigint, bigint, jsonb, timestamptz),
    eav.register_entity(bigint, text, text, bigint),
    eav.register_attribute(bigint, text, text, text),
    eav.replay_rejects(bigint[], jsonb, bigint), eav._replay_event(jsonb, jsonb),
    eav.delete_rejects(bigint[]),
    eav._staging_slot(), eav._writer_tenant()
    TO eav_writer;
-- Not xact, slot and writer_tenant, which say where a row comes from.
GRANT INSERT (cleared, attribute_id, tenant_id, entity_id, observed_at, value_int, value_float,
              value_time, value_bool, value_text, value_numeric, value_json, entity, attribute,
              value) ON eav.entity_values_ingest TO eav_writer, eav_admin;
-- To lock a row takes UPDATE; and why not correct the payload in place. Of a column only: UPDATE and
-- DELETE of a table are also the right to lock it, and with it the flush of all tenants.
GRANT SELECT, UPDATE (payload) ON eav.ingest_rejects TO eav_writer;

GRANT EXECUTE ON FUNCTION
    eav.get_entity(bigint, bigint, text[], boolean), eav.get_entity(bigint, text, text[], boolean),
    eav.get_entities(bigint, bigint[], text[], boolean),
    eav.get_entities(bigint, text[], text[], boolean),
    eav.find_entities(bigint, jsonpath, text, integer, text, text[]),
    eav.explain_find(bigint, jsonpath, text),
    eav.value_distribution(bigint, text[], interval),
    eav.entity_history(bigint, bigint, text, timestamptz, timestamptz),
    eav.value_at(bigint, bigint, text, timestamptz),
    eav.time_buckets(bigint, text, interval, timestamptz, timestamptz),
    eav.value_key(jsonb), eav.projection_versions(bytea), eav.is_convertible(jsonb, text),
    eav._setting(text), eav._attribute_id(bigint, text), eav._attribute_to_read(bigint, text),
    eav._document_value(text, bigint, double precision, numeric, boolean, timestamptz, jsonb),
    eav._bucket_width(interval), eav._is_summed(numeric),
    eav._newest(jsonb, timestamptz, timestamptz)
    TO eav_reader;
GRANT SELECT ON
    eav.tenants, eav.entities, eav.attributes, eav.attribute_changes, eav.entity_values_ts,
    eav.entity_jsonb, eav.entity_values_current, eav.attribute_rollups,
    eav.attribute_rollups_daily, eav.entity_values, eav.current_values, eav.hourly_rollups
    TO eav_reader;

GRANT EXECUTE ON FUNCTION
    eav.worker_status(), eav._worker_pid(), eav.check_replication_lag(), eav.breaker_status(),
    eav._ingest_counters(), eav.health_check()
    TO eav_monitor;
GRANT SELECT ON eav.stat_ingest, eav.ingest_gaps, eav.replication_heartbeat, eav.freshness_budget
    TO eav_monitor;

-- Row security. One form of policy for all tables: the tenant is asked for once per query, and
-- compared as a condition of the query would be, so that it serves the indexes, all of which begin
-- with tenant_id. It binds the owner, too, unless it is a superuser.
CREATE FUNCTION eav._enable_row_security() RETURNS SETOF regclass
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant_table regclass;
BEGIN
    FOR tenant_table IN
        SELECT c.oid::regclass
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
        JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
            AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
        JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'eav_ext'
        WHERE c.relkind IN ('r', 'p')
        ORDER BY c.oid
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
                       tenant_table);
        RETURN NEXT tenant_table;
    END LOOP;
    PERFORM eav._close_partition(p.partition) FROM eav._history_partitions() p;
END
$$;
COMMENT ON FUNCTION eav._enable_row_security() IS 'Internal: puts row security on the tables with data of tenants, for their owner as well, and on partitions; returns the tables. Without policies nobody sees anything.';

CREATE FUNCTION eav.secure_tables() RETURNS integer
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant_table regclass;
    made integer := 0;
BEGIN
    FOR tenant_table IN SELECT * FROM eav._enable_row_security() LOOP
        IF NOT EXISTS (SELECT FROM pg_policy p
                       WHERE p.polrelid = tenant_table AND p.polname = 'own_tenant') THEN
            EXECUTE format('CREATE POLICY own_tenant ON %s USING (tenant_id = (SELECT eav.current_tenant()))',
                           tenant_table);
            made := made + 1;
        END IF;
        IF NOT EXISTS (SELECT FROM pg_policy p
                       WHERE p.polrelid = tenant_table AND p.polname = 'all_tenants') THEN
            EXECUTE format('CREATE POLICY all_tenants ON %s TO eav_admin USING (true)',
                           tenant_table);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION eav.secure_tables() IS
'Puts row security on the tables with data of tenants where it is missing, and returns how many policies were made. CREATE EXTENSION does it; only a dump brings the policies itself, and one that was taken from version 1.0.0 has none: then call this after the restore. Without policies nobody but superusers and roles with BYPASSRLS sees anything. Raises insufficient_privilege (42501) for one who does not own the tables.';
REVOKE ALL ON FUNCTION eav._enable_row_security(), eav.secure_tables() FROM PUBLIC;

-- A dump has the policies of these tables in it, as if users had made them, and could not be restored if
-- they were there already. They work with row_security off; so may others, and get the tables closed.
DO $$
BEGIN
    IF pg_catalog.current_setting('row_security')::boolean THEN
        PERFORM eav.secure_tables();
    ELSE
        PERFORM eav._enable_row_security();
    END IF;
END
$$;
