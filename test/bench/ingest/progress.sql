-- Transaction ids given out, flushes, values of eav.ingest() and of these the spilled ones, values
-- flushed.
SELECT pg_snapshot_xmax(pg_current_snapshot()), flushes, "values", spilled_values,
       s.flushed + s.rejected
FROM eav.flush_state AS s, eav.stat_ingest;
