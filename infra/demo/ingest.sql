-- One call of eav.ingest(), with the events in the file EVENTS and the acknowledgement :ack.
\set ON_ERROR_STOP 1
\set events `cat "$EVENTS"`
\timing on
SELECT * FROM eav.ingest(:'events', :'ack');
