-- The JSON door: events parsed by the backend of the producer, handed over through shared memory.
-- eav.ingest() is called tens of thousands of times a second and touches no table in most calls. It
-- takes the rights of the owner and a search_path of its own where it does (include/eav/pg/owner.hpp).

CREATE TYPE eav.ingest_receipt AS (accepted integer, rejected integer, ticket bigint);
COMMENT ON TYPE eav.ingest_receipt IS 'What eav.ingest() returns: how many events were accepted and rejected, and the ticket for eav.wait_flushed().';

CREATE FUNCTION eav.ingest(payload text, ack text DEFAULT 'accepted') RETURNS eav.ingest_receipt
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_ingest';
CREATE FUNCTION eav.ingest(payload bytea, ack text DEFAULT 'accepted') RETURNS eav.ingest_receipt
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_ingest';
CREATE FUNCTION eav.ingest(payload jsonb, ack text DEFAULT 'accepted') RETURNS eav.ingest_receipt
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_ingest_jsonb';
COMMENT ON FUNCTION eav.ingest(text, text) IS
'Accepts events: payload is one JSON event, an array of events, or events one after the other (NDJSON). An event is an object with tenant_id (may be left out when eav.tenant_id is set), entity_id or entity (external id), observed_at (RFC 3339 or epoch milliseconds; the present when left out) and attributes, an object of names and values; null clears. Returns accepted and rejected, numbers of events, and ticket, null when there was no event. A rejected event goes to eav.ingest_rejects with its position and reason, the others are not affected; what the registry refuses is rejected value by value when they are flushed. The values are flushed after the transaction has committed; nothing is kept when it rolls back. ack: accepted returns at once; durable makes the commit wait until the flush is on disk, at most eav.durable_timeout, after which a WARNING tells that it is not yet. Needs no transaction id and works in a read-only transaction. Raises invalid_text_representation (22P02) with the byte offset for malformed JSON, statement_too_complex (54001) for nesting deeper than 64, program_limit_exceeded (54000) for a payload above eav.max_payload_bytes, null_value_not_allowed (22004), invalid_parameter_value (22023) for another ack, read_only_sql_transaction (25006) on a standby, feature_not_supported (0A000) for a database that is not in UTF8; PREPARE TRANSACTION after it raises feature_not_supported (0A000).';
COMMENT ON FUNCTION eav.ingest(bytea, text) IS 'The same for a payload of bytes, which must be UTF-8. Returns and raises the same.';
COMMENT ON FUNCTION eav.ingest(jsonb, text) IS 'The same for a payload of type jsonb. Returns and raises the same, but that it cannot be malformed.';

CREATE FUNCTION eav.wait_flushed(ticket bigint, timeout interval DEFAULT '5s') RETURNS boolean
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_wait_flushed';
COMMENT ON FUNCTION eav.wait_flushed(bigint, interval) IS
'Waits until the values of a ticket of eav.ingest() are in history, on disk; the worker flushes at once. True when they are, false when the time is over; null for null. Nothing tells the ticket of a transaction that was rolled back from one whose values are flushed: it is true. Raises object_not_in_prerequisite_state (55000) for a ticket of the present transaction, and for one from before a loss of accepted values (see eav.ingest_gaps), invalid_parameter_value (22023) for a number that is no ticket or a negative timeout, read_only_sql_transaction (25006) on a standby.';

CREATE FUNCTION eav._ingest_counters(OUT calls bigint, OUT events bigint, OUT "values" bigint,
                                     OUT bytes bigint, OUT rejected bigint, OUT rejects jsonb,
                                     OUT spilled_calls bigint, OUT spilled_values bigint,
                                     OUT waits bigint, OUT timeouts bigint, OUT is_open boolean,
                                     OUT slabs integer, OUT slabs_in_use integer,
                                     OUT slabs_high_water integer)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'eav_ingest_counters'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._ingest_counters() IS 'Internal: the counters in shared memory behind eav.stat_ingest.';
CREATE VIEW eav.stat_ingest AS SELECT * FROM eav._ingest_counters();
COMMENT ON VIEW eav.stat_ingest IS 'One row: what eav.ingest() has done in this database since the server started, counted at commit, read without locks.';
COMMENT ON COLUMN eav.stat_ingest.calls IS 'Calls of eav.ingest() whose transaction committed.';
COMMENT ON COLUMN eav.stat_ingest.events IS 'Accepted events.';
COMMENT ON COLUMN eav.stat_ingest."values" IS 'Values of accepted events.';
COMMENT ON COLUMN eav.stat_ingest.bytes IS 'Bytes of payloads.';
COMMENT ON COLUMN eav.stat_ingest.rejected IS 'Rejected events.';
COMMENT ON COLUMN eav.stat_ingest.rejects IS 'Rejected events by reason: unknown_key, missing_key, duplicate_key, wrong_type, out_of_range, invalid_name, too_large, wrong_tenant.';
COMMENT ON COLUMN eav.stat_ingest.spilled_calls IS 'Calls whose values went through staging instead of the ring.';
COMMENT ON COLUMN eav.stat_ingest.spilled_values IS 'Values of such calls.';
COMMENT ON COLUMN eav.stat_ingest.waits IS 'Waits for durability: commits with ack durable, and calls of eav.wait_flushed().';
COMMENT ON COLUMN eav.stat_ingest.timeouts IS 'Waits that ended before the values were durable.';
COMMENT ON COLUMN eav.stat_ingest.is_open IS 'Whether the ring takes values of this database; if not, all calls go through staging.';
COMMENT ON COLUMN eav.stat_ingest.slabs IS 'Slabs of 2 kB in the ring of the server; 0 when there is none. This and the next two are of all databases.';
COMMENT ON COLUMN eav.stat_ingest.slabs_in_use IS 'Slabs that hold values now.';
COMMENT ON COLUMN eav.stat_ingest.slabs_high_water IS 'The most that ever did.';
