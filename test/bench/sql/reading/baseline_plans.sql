EXPLAIN SELECT entity_id FROM (SELECT DISTINCT ON (entity_id) entity_id, value_int FROM bench.history
    WHERE tenant_id = 1 AND attribute_id = :first ORDER BY entity_id, observed_at DESC, ingested_at DESC) AS newest
WHERE value_int = 7 LIMIT 100;
EXPLAIN SELECT * FROM bench.documents WHERE tenant_id = 1 AND document @@ '$.cold_000 == 7' LIMIT 100;
EXPLAIN SELECT * FROM bench.documents WHERE tenant_id = 1 AND document @@ '$.cold_001 >= 7 && $.cold_001 < 8' LIMIT 100;
