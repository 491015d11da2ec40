-- Life of attributes: indexes, names, recommendations, counts of reads. What builds the indexes is
-- tested in test/tap/t/120_attribute_index.pl.
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';

SELECT eav.register_tenant('life', 8200), eav.register_tenant('other life', 8201);
SELECT count(eav.register_attribute(8200, p || '_one', 'int', p))
FROM unnest('{hot,live,current,none}'::text[]) AS p;
SELECT attribute_id AS hot_id FROM eav.attributes WHERE tenant_id = 8200 AND name = 'hot_one' \gset

-- An index is a wish, kept when the transaction commits.
BEGIN;
SELECT eav.create_attribute_index(8200, 'hot_one') = 'attribute_' || :hot_id || '_idx';
SELECT attribute, index_name = 'attribute_' || :hot_id || '_idx', state, phase, failures, last_error
FROM eav.stat_attribute_indexes;
SELECT tenant_id, is_drop, replace(statement, :'hot_id', 'ID') FROM eav._index_work();
-- Again: nothing new.
SELECT eav.create_attribute_index(8200, 'hot_one') = 'attribute_' || :hot_id || '_idx';
SELECT eav.drop_attribute_index(8200, 'hot_one');
SELECT eav.drop_attribute_index(8200, 'hot_one');
SELECT change, replace(old_value, :'hot_id', 'ID'), replace(new_value, :'hot_id', 'ID'), changed_by = session_user
FROM eav.attribute_changes WHERE tenant_id = 8200 ORDER BY change_id;
SELECT count(*) FROM eav._index_work();
-- What the mover says when an attribute is no longer hot, and what happens if it does not.
SELECT eav.create_attribute_index(8200, 'hot_one') IS NOT NULL;
SELECT eav._forget_attribute_index(8200, :hot_id), eav._forget_attribute_index(8200, :hot_id);
SELECT eav.create_attribute_index(8200, 'hot_one') IS NOT NULL;
UPDATE eav.attributes SET projection = 'live' WHERE tenant_id = 8200 AND name = 'hot_one';
SELECT state FROM eav.stat_attribute_indexes;
SELECT count(*) FROM eav._index_work();
ROLLBACK;
-- The name of an attribute is data.
SELECT eav._attribute_index_statement(8200, 7, $$a'b\c"d %s$$);

\pset tuples_only off
SELECT eav.create_attribute_index(8200, 'current_one');
\pset tuples_only on
SELECT error_of($$SELECT eav.create_attribute_index(8200, 'live_one')$$);
SELECT error_of($$SELECT eav.create_attribute_index(8200, 'none_one')$$);
SELECT error_of($$SELECT eav.create_attribute_index(8200, 'nobody')$$);
SELECT error_of($$SELECT eav.create_attribute_index(8201, 'hot_one')$$);
SELECT error_of($$SELECT eav.create_attribute_index(8299, 'hot_one')$$);
SELECT error_of($$SELECT eav.create_attribute_index(NULL, 'hot_one')$$);
SELECT error_of($$SELECT eav.create_attribute_index(8200, NULL)$$);
SELECT error_of($$SELECT eav.create_attribute_index(8200, '')$$);
SELECT error_of($$SELECT eav.drop_attribute_index(8200, 'nobody')$$);
SELECT error_of($$SELECT eav.drop_attribute_index(NULL, 'hot_one')$$);
SELECT eav.drop_attribute_index(8200, 'live_one');
SELECT count(*) FROM eav.attribute_indexes;

-- Names. What was registered stays an alias, what came in between does not.
SELECT eav.rename_attribute(8200, 'hot_one', 'second');
SELECT eav.rename_attribute(8200, 'second', 'third');
SELECT name, document_name FROM eav.attributes WHERE attribute_id = :hot_id;
SELECT eav.register_attribute(8200, 'third', 'int') = :hot_id;
SELECT eav.register_attribute(8200, 'hot_one', 'int', 'hot') = :hot_id;
SELECT error_of($$SELECT eav.register_attribute(8200, 'hot_one', 'text')$$);
SELECT eav.register_attribute(8200, 'second', 'text') <> :hot_id;
SELECT error_of($$SELECT eav.rename_attribute(8200, 'third', 'second')$$);
SELECT error_of($$SELECT eav.rename_attribute(8200, 'second', 'hot_one')$$);
SELECT error_of($$SELECT eav.rename_attribute(8200, 'nobody', 'somebody')$$);
SELECT error_of($$SELECT eav.rename_attribute(8299, 'second', 'other')$$);
SELECT error_of($$SELECT eav.rename_attribute(NULL, 'second', 'other')$$);
SELECT error_of($$SELECT eav.rename_attribute(8200, NULL, 'other')$$);
SELECT error_of($$SELECT eav.rename_attribute(8200, 'second', NULL)$$);
SELECT error_of($$SELECT eav.rename_attribute(8200, 'second', '')$$);
SELECT error_of($$SELECT eav.rename_attribute(8200, 'second', repeat('x', 256))$$);
-- Other tenants have names of their own.
SELECT eav.register_attribute(8201, 'third', 'int') <> :hot_id;
-- Values find it by both names, also where none may be registered, and documents keep the first.
SET eav.auto_register = off;
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value, observed_at)
VALUES (8200, 'e', 'hot_one', '1', '2026-01-01');
SELECT flushed, projected, rejected FROM eav.stage_flush();
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value, observed_at)
VALUES (8200, 'e', 'third', '2', '2026-01-02'), (8200, 'e', 'hot_one', '3', '2026-01-03');
SELECT flushed, projected, rejected FROM eav.stage_flush();
RESET eav.auto_register;
SELECT hot_attrs FROM eav.entity_jsonb WHERE tenant_id = 8200;
SELECT string_agg(value_int::text, ',' ORDER BY observed_at) FROM eav.entity_values_ts
WHERE tenant_id = 8200 AND attribute_id = :hot_id;
SELECT count(*) FROM eav.attributes WHERE tenant_id = 8200;
-- An index is by the name in documents.
BEGIN;
SELECT eav.create_attribute_index(8200, 'third') IS NOT NULL;
SELECT statement LIKE '%? ''hot_one''::text' FROM eav._index_work();
ROLLBACK;
-- By its first name, to its present one: nothing happens. Back to its first.
SELECT eav.rename_attribute(8200, 'hot_one', 'third');
SELECT eav.rename_attribute(8200, 'hot_one', 'hot_one');
SELECT name, document_name FROM eav.attributes WHERE attribute_id = :hot_id;
SELECT eav.rename_attribute(8200, 'second', 'third');
SELECT change, old_value, new_value FROM eav.attribute_changes
WHERE tenant_id = 8200 ORDER BY change_id;
-- Within one transaction, with values.
BEGIN;
SELECT eav.rename_attribute(8200, 'hot_one', 'fourth');
SELECT eav.upsert_hot_attributes(8200, (SELECT entity_id FROM eav.entities WHERE tenant_id = 8200),
                                 '{"fourth": 4}');
ROLLBACK;
SELECT eav.upsert_hot_attributes(8200, (SELECT entity_id FROM eav.entities WHERE tenant_id = 8200),
                                 '{"hot_one": 5, "fourth": 6}');

-- Counts of reads.
SELECT eav._drain_read_counts() >= 0;
DELETE FROM eav.attribute_reads;
SELECT eav._count_reads(:hot_id, 2, 3), eav._count_reads(0, 1, 1);
SELECT attribute_id = :hot_id, filters, reads FROM eav._read_counts(false) WHERE attribute_id <> 0;
SELECT eav._drain_read_counts(), eav._drain_read_counts();
SELECT eav._count_reads(:hot_id, 10, 0);
SELECT eav._drain_read_counts();
SELECT attribute_id = :hot_id, tenant_id, filters, reads, last_read_at <= clock_timestamp()
FROM eav.attribute_reads;
SELECT eav._dropped_read_counts() >= 0;

-- Recommendations: a case for each rule. Of 20 entities, values that change with each event, or
-- never; of different sizes and different in number.
SELECT error_of('SELECT eav.recommend_attributes(NULL)');
SELECT error_of('SELECT eav.recommend_attributes(8299)');
SELECT eav.register_tenant('recommend', 8210);
SELECT * FROM eav.recommend_attributes(8210);
CREATE TABLE cases (name text, data_type text, projection text, filters int, reads int,
                    changes boolean, variety int, padding int);
INSERT INTO cases VALUES
    ('color',     'text', 'live',    500, 0,   false, 10, 0),
    ('size',      'int',  'current', 400, 300, false, 10, 0),
    ('is_on',     'bool', 'hot',     300, 0,   false, 2, 0),
    ('load',      'int',  'hot',     200, 0,   true,  100, 0),
    ('shown',     'int',  'none',    0,   900, true,  100, 0),
    ('shown_too', 'text', 'hot',     1,   800, false, 10, 0),
    ('rare',      'text', 'hot',     1,   1,   false, 10, 0),
    ('forgotten', 'text', 'hot',     0,   0,   false, 10, 0),
    ('noise',     'int',  'live',    0,   0,   true,  100, 0),
    ('archive',   'text', 'none',    0,   0,   false, 10, 0),
    ('manual',    'text', 'current', 0,   0,   false, 10, 5000),
    ('picture',   'text', 'hot',     1,   20,  false, 10, 5000),
    ('empty',     'text', 'hot',     5,   5,   NULL,  0, 0);
SELECT count(eav.register_attribute(8210, name, data_type, projection)) FROM cases;
INSERT INTO eav.entity_values_ts (tenant_id, entity_id, observed_at, attribute_id, value_text,
                                  value_int, value_bool)
SELECT 8210, e, '2026-01-01'::timestamptz + make_interval(secs => i), a.attribute_id,
       CASE a.data_type WHEN 'text' THEN (SELECT string_agg(md5(v.n::text || j), '')
                                          FROM generate_series(0, c.padding / 32) AS j) END,
       CASE a.data_type WHEN 'int' THEN v.n END, CASE a.data_type WHEN 'bool' THEN v.n % 2 = 0 END
FROM cases c
JOIN eav.attributes a ON a.tenant_id = 8210 AND a.name = c.name
CROSS JOIN generate_series(1, 5) AS i
CROSS JOIN generate_series(1, 20) AS e
CROSS JOIN LATERAL (SELECT CASE WHEN c.changes THEN i * 20 + e ELSE e END % c.variety AS n) AS v
WHERE c.changes IS NOT NULL;
-- Nobody has asked for anything yet.
SELECT DISTINCT projection = recommended, reason FROM eav.recommend_attributes(8210) ORDER BY 2;
SELECT count(eav._count_reads(a.attribute_id, c.filters, c.reads))
FROM cases c JOIN eav.attributes a ON a.tenant_id = 8210 AND a.name = c.name;
-- From memory, then from the table.
SELECT attribute, projection, recommended, reason, filters, reads, change_rate, distinct_values,
       round(avg_bytes) AS bytes
FROM eav.recommend_attributes(8210);
CREATE TEMP TABLE before AS SELECT * FROM eav.recommend_attributes(8210);
SELECT eav._drain_read_counts();
SELECT count(*) FROM before b JOIN eav.recommend_attributes(8210) r USING (attribute)
WHERE (b.recommended, b.reason, b.filters, b.reads) = (r.recommended, r.reason, r.filters, r.reads);
SELECT bool_and(values_per_day > 0) FROM eav.recommend_attributes(8210) WHERE attribute <> 'empty';
-- No more in documents than there is room for: those asked for least are too many.
SET eav.max_hot_attributes = 3;
SELECT attribute, recommended, reason FROM eav.recommend_attributes(8210)
WHERE recommended IN ('hot', 'live') OR reason LIKE '%max_hot%';
RESET eav.max_hot_attributes;
-- One value of each entity: the type decides whether it changes often.
SELECT eav._recommended_projection('none', t, 100, 0, 100, 50, NULL, 50, 10)
FROM unnest('{text,int}'::text[]) AS t;
DROP TABLE cases;
DELETE FROM eav.attribute_reads;
