CREATE INDEX history_attribute_idx ON bench.history (tenant_id, attribute_id, ingested_at);
CREATE INDEX documents_gin_idx ON bench.documents USING gin (document jsonb_path_ops);
ALTER TABLE bench.documents ADD PRIMARY KEY (tenant_id, entity_id);
VACUUM ANALYZE bench.history;
VACUUM ANALYZE bench.documents;
