-- History: append-only, range-partitioned on the server's time of arrival.

CREATE TABLE eav.entity_values_ts (
    tenant_id bigint NOT NULL,
    entity_id bigint NOT NULL,
    observed_at timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attribute_id integer NOT NULL,
    value_bool boolean,
    value_int bigint,
    value_float double precision,
    value_time timestamptz,
    value_text text,
    value_numeric numeric,
    value_json jsonb
) PARTITION BY RANGE (ingested_at);

-- What each partition gets, indexes above all. They stand here and not on the parent because of
-- pg_dump: the parent belongs to the extension and the partitions do not, so a restore attaches
-- the partitions to a parent that CREATE EXTENSION has made. If that parent had indexes, attaching
-- would create those of the partitions, and the CREATE INDEX of the dump would fail.
CREATE TABLE eav.entity_values_ts_template (LIKE eav.entity_values_ts INCLUDING ALL);
CREATE INDEX ON eav.entity_values_ts_template USING brin (ingested_at) WITH (autosummarize = on);
CREATE INDEX ON eav.entity_values_ts_template (tenant_id, attribute_id, ingested_at);
COMMENT ON TABLE eav.entity_values_ts_template IS 'Always empty: the model of a new partition of eav.entity_values_ts, with its indexes. An index on eav.entity_values_ts itself would make dumps fail to restore.';

COMMENT ON TABLE eav.entity_values_ts IS 'History of all values, append-only. Exactly one value column is set; a row with none set says that the attribute was cleared.';
COMMENT ON COLUMN eav.entity_values_ts.observed_at IS 'The time the device gives; decides which value is newer.';
COMMENT ON COLUMN eav.entity_values_ts.ingested_at IS 'The time of the flush that wrote the row, by the clock of the server, strictly growing from flush to flush; decides between equal observed_at.';
