-- The flush: what it remembers between batches, and the function that runs one.

CREATE TABLE eav.flush_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    snapshot pg_snapshot NOT NULL,
    snapshot_at timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL,
    epoch bigint NOT NULL DEFAULT 1,
    flushes bigint NOT NULL DEFAULT 0,
    flushed bigint NOT NULL DEFAULT 0,
    projected bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    backlog bigint NOT NULL DEFAULT 0,
    ticket_key uuid NOT NULL DEFAULT gen_random_uuid(),
    boot_id uuid,
    booted_at timestamptz
) WITH (fillfactor = 10);
COMMENT ON TABLE eav.flush_state IS 'One row: where the queue of staged rows stands. Written in the transaction of each flush that had work.';
COMMENT ON COLUMN eav.flush_state.snapshot IS 'All staged rows whose transaction this snapshot sees have been flushed; no other row has.';
COMMENT ON COLUMN eav.flush_state.snapshot_at IS 'When the snapshot was about to be taken: all that was committed by then has been flushed.';
COMMENT ON COLUMN eav.flush_state.ingested_at IS 'The highest ingested_at given out; the next flush starts above it.';
COMMENT ON COLUMN eav.flush_state.epoch IS 'Grows by one with every crash that may have emptied staging; see eav.ingest_gaps.';
COMMENT ON COLUMN eav.flush_state.backlog IS 'Rows in eav.flush_backlog.';
COMMENT ON COLUMN eav.flush_state.ticket_key IS 'Keeps tickets of eav.ingest() from telling how much others have handed in.';
COMMENT ON COLUMN eav.flush_state.boot_id IS 'The start of the machine that snapshot_at belongs to; null where the system gives it no name.';
COMMENT ON COLUMN eav.flush_state.booted_at IS 'When that was, by the clock that gave snapshot_at: by this a clock that has been set back is found out after a crash.';
-- Nothing has been flushed: 3 is the first xid that a transaction can have.
INSERT INTO eav.flush_state (snapshot, snapshot_at, ingested_at)
VALUES ('3:3:', clock_timestamp(), clock_timestamp());

-- Emptied by crash recovery and on promotion together with the staging leaves: that is how a
-- flush learns that staged rows may be missing.
CREATE UNLOGGED TABLE eav.staging_epoch (
    epoch bigint NOT NULL,
    ring bigint
);
INSERT INTO eav.staging_epoch (epoch) VALUES (1);
COMMENT ON TABLE eav.staging_epoch IS 'Holds one row as long as staging has not been emptied by a crash.';
COMMENT ON COLUMN eav.staging_epoch.ring IS 'The ring in shared memory that may hold accepted values; null while the door to it is closed and it is empty.';

CREATE SEQUENCE eav.ingest_gaps_seq;
CREATE TABLE eav.ingest_gaps (
    gap_id bigint PRIMARY KEY DEFAULT nextval('eav.ingest_gaps_seq'),
    epoch bigint NOT NULL,
    gap_start timestamptz NOT NULL,
    gap_end timestamptz NOT NULL,
    detected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL
);
ALTER SEQUENCE eav.ingest_gaps_seq OWNED BY eav.ingest_gaps.gap_id;
COMMENT ON TABLE eav.ingest_gaps IS 'One row per crash or promotion, and per stop of the server that left values in shared memory: values that were accepted (committed) from gap_start to gap_end and had not been flushed may be lost; send them again. When the clock was set back meanwhile the window begins earlier and ends later by as much.';

-- What a flush could not apply because an open transaction of a client is in the way. Logged.
CREATE SEQUENCE eav.flush_backlog_seq;
CREATE TABLE eav.flush_backlog (
    backlog_id bigint PRIMARY KEY DEFAULT nextval('eav.flush_backlog_seq'),
    ingested_at timestamptz,
    cleared boolean NOT NULL DEFAULT false,
    attribute_id integer,
    tenant_id bigint,
    entity_id bigint,
    observed_at timestamptz,
    value_int bigint,
    value_float double precision,
    value_time timestamptz,
    value_bool boolean,
    value_text text,
    value_numeric numeric,
    value_json jsonb,
    entity text,
    attribute text,
    value text
);
ALTER SEQUENCE eav.flush_backlog_seq OWNED BY eav.flush_backlog.backlog_id;
COMMENT ON TABLE eav.flush_backlog IS 'Values that wait for an open transaction of a client: with ingested_at they are in history and wait for the projection row; without, they wait for the registration of their entity or attribute. Applied by a later flush.';

CREATE SEQUENCE eav.ingest_rejects_seq;
CREATE TABLE eav.ingest_rejects (
    reject_id bigint PRIMARY KEY DEFAULT nextval('eav.ingest_rejects_seq'),
    tenant_id bigint,
    rejected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sqlstate text NOT NULL,
    reason text NOT NULL,
    payload jsonb NOT NULL
);
ALTER SEQUENCE eav.ingest_rejects_seq OWNED BY eav.ingest_rejects.reject_id;
COMMENT ON TABLE eav.ingest_rejects IS 'Values and events that could not be accepted, one row each, with the reason. Correct payload and feed it back with eav.replay_rejects().';
COMMENT ON COLUMN eav.ingest_rejects.payload IS 'The staged row: the columns of eav.entity_values_ingest that were set. For an event that eav.ingest() rejected: event, as it came, and position, its number in the payload from 1.';

CREATE FUNCTION eav.stage_flush(max_values bigint DEFAULT NULL,
                                OUT flushed bigint, OUT projected bigint, OUT rejected bigint,
                                OUT elapsed interval)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_stage_flush'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav.stage_flush(bigint) IS
'Moves committed values, from staging and from eav.ingest(), into history and projection and returns one row. max_values: stop before the transaction that would exceed it (whole transactions are taken in the order of their arrival, at least one); null takes everything. flushed: values written to history. projected: values that became the newest of their attribute in entity_jsonb. rejected: rows written to ingest_rejects. elapsed: wall time. Flushes take turns: a second caller waits for the first, until the end of its transaction. Rows of the calling transaction itself are left for a later flush. Raises invalid_parameter_value (22023) when max_values is below 1, and object_not_in_prerequisite_state (55000) when a trigger calls it within a flush, an upsert or a move of attributes.';
