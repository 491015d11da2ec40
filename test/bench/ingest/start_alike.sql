-- Both sides of a comparison begin with this: all is flushed, history and staging are empty, the
-- documents exist and lie close together.
SELECT eav.stage_flush();
TRUNCATE eav.entity_values_ts, eav.entity_values_ingest;
VACUUM FREEZE eav.entity_jsonb;
CHECKPOINT;
