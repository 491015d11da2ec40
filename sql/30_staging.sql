-- Staging: an exactly-once queue without DELETE. The protocol is told in src/ingest/staging.cpp.

CREATE SEQUENCE eav.staging_slot_seq AS smallint MINVALUE 0 MAXVALUE 2 START WITH 0 CYCLE;
CREATE FUNCTION eav._staging_slot() RETURNS smallint
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eav_staging_slot';
COMMENT ON FUNCTION eav._staging_slot() IS 'Internal: the staging leaf that takes new rows; fixed for the length of a statement.';

-- xact stands first, so that a flush reads it at a fixed place without deforming the row.
CREATE TABLE eav.entity_values_ingest (
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    slot smallint NOT NULL DEFAULT eav._staging_slot(),
    cleared boolean NOT NULL DEFAULT false,
    attribute_id integer,
    tenant_id bigint,
    entity_id bigint,
    observed_at timestamptz DEFAULT clock_timestamp(),
    value_int bigint,
    value_float double precision,
    value_time timestamptz,
    value_bool boolean,
    value_text text,
    value_numeric numeric,
    value_json jsonb,
    entity text,
    attribute text,
    value text,
    writer_tenant bigint DEFAULT eav._writer_tenant(),
    CONSTRAINT own_transaction CHECK (xact = pg_current_xact_id()),
    CONSTRAINT own_tenant CHECK (writer_tenant IS NOT DISTINCT FROM eav._writer_tenant())
) PARTITION BY LIST (slot);
CREATE UNLOGGED TABLE eav.entity_values_ingest_0 PARTITION OF eav.entity_values_ingest
    FOR VALUES IN (0) USING heap WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE UNLOGGED TABLE eav.entity_values_ingest_1 PARTITION OF eav.entity_values_ingest
    FOR VALUES IN (1) USING heap WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE UNLOGGED TABLE eav.entity_values_ingest_2 PARTITION OF eav.entity_values_ingest
    FOR VALUES IN (2) USING heap WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
COMMENT ON TABLE eav.entity_values_ingest IS 'The door for COPY and INSERT. Name the tenant, the entity by entity_id or entity (external id), the attribute by attribute_id or attribute (name), and one value column or value (text, parsed by the type of the attribute); cleared = true says that the attribute has no value any more. Rows are taken by the next flush and must not be updated.';
COMMENT ON COLUMN eav.entity_values_ingest.xact IS 'The writing transaction; never give it a value yourself.';
COMMENT ON COLUMN eav.entity_values_ingest.slot IS 'The staging leaf; never give it a value yourself.';
COMMENT ON COLUMN eav.entity_values_ingest.writer_tenant IS 'The tenant that the writer was bound to, null for one who may write for all; never give it a value yourself. The flush rejects rows of another tenant.';
COMMENT ON COLUMN eav.entity_values_ingest.value IS 'The value as text, parsed by the data type of the attribute.';
COMMENT ON COLUMN eav.entity_values_ingest.cleared IS 'True says that the attribute has no value from observed_at on.';
COMMENT ON COLUMN eav.entity_values_ingest.observed_at IS 'The time of the observation; the time of the INSERT or COPY when left out.';
