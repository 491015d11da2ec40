-- The reference: tables like ours in a schema of their own, filled by plain SQL. History has the
-- same columns, constraint, partitions and indexes, the projection the same two documents, GIN and
-- fillfactor; staging is one UNLOGGED table without index.
DROP SCHEMA IF EXISTS reference CASCADE;
CREATE SCHEMA reference;
CREATE UNLOGGED TABLE reference.staging (
    tenant_id bigint NOT NULL,
    entity_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    value_bool boolean,
    value_int bigint,
    value_float double precision,
    value_time timestamptz,
    value_text text,
    value_numeric numeric,
    value_json jsonb,
    observed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE reference.history (LIKE eav.entity_values_ts INCLUDING ALL)
    PARTITION BY RANGE (ingested_at);
DO $$
DECLARE
    part record;
BEGIN
    PERFORM eav._ensure_partitions();
    FOR part IN
        SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'eav.entity_values_ts'::regclass
    LOOP
        EXECUTE format('CREATE TABLE reference.%I (LIKE eav.entity_values_ts_template INCLUDING ALL)',
                       part.relname);
        EXECUTE format('ALTER TABLE reference.history ATTACH PARTITION reference.%I %s',
                       part.relname, part.bound);
    END LOOP;
END
$$;
CREATE TABLE reference.projection (
    tenant_id bigint NOT NULL,
    entity_id bigint NOT NULL,
    hot_attrs jsonb NOT NULL DEFAULT '{}',
    live_attrs jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, entity_id)
) WITH (fillfactor = 70);
CREATE INDEX ON reference.projection USING gin (hot_attrs jsonb_path_ops);
