-- values/s of whole events and of changes, bytes an entity (all relations of the projection), WAL a value.
SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY values / seconds) FILTER (WHERE NOT changes)),
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY values / seconds) FILTER (WHERE changes)),
       (pg_total_relation_size('eav.entity_jsonb') + pg_total_relation_size('eav.entity_values_current')) / :fleet,
       (SELECT avg(pg_column_size(p.*))::bigint FROM eav.entity_jsonb p),
       round(sum(wal) / sum(values))
FROM bench.round WHERE round > 0;
