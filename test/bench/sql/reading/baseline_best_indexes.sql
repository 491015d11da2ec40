-- The best that history can have: values by attribute, and what tells whether a newer one exists.
CREATE INDEX history_int_idx ON bench.history (tenant_id, attribute_id, value_int) WHERE value_int IS NOT NULL;
CREATE INDEX history_float_idx ON bench.history (tenant_id, attribute_id, value_float) WHERE value_float IS NOT NULL;
CREATE INDEX history_newest_idx ON bench.history (tenant_id, entity_id, attribute_id, observed_at);
ANALYZE bench.history;
