-- Documents and finding: the contract of each function, and what answers which filter.
SELECT eav.register_tenant('reading', 7700) AS tenant \gset
SELECT count(eav.register_attribute(:tenant, name, type, projection))
FROM (VALUES ('color', 'text', 'hot'), ('size', 'int', 'hot'), ('tags', 'json', 'hot'),
             ('speed', 'float', 'live'), ('weight', 'numeric', 'current'), ('note', 'text', 'current'),
             ('labels', 'json', 'current'), ('log', 'text', 'none'), ('desc', 'int', 'current'))
     AS a (name, type, projection);
SELECT count(eav.register_entity(:tenant, 'device ' || n, NULL, n)) FROM generate_series(1, 12) AS n;
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value, observed_at)
SELECT :tenant, n, v.*, '2026-01-01 00:00:00+00'
FROM generate_series(1, 10) AS n CROSS JOIN LATERAL (VALUES
    ('color', (ARRAY['red', 'green', 'blue'])[n % 3 + 1]), ('size', n::text), ('speed', (n * 1.5)::text),
    ('tags', CASE n % 2 WHEN 0 THEN '["red", 5]' ELSE '{"a": {"b": 5}, "n": ' || n || '}' END),
    ('weight', (n * 10)::text || '.50'), ('note', 'note ' || n), ('log', 'x'), ('desc', (n % 4)::text),
    ('labels', CASE n % 5 WHEN 0 THEN '["x", "y"]' WHEN 1 THEN '"x"' WHEN 2 THEN 'null' ELSE '{"x": [1, 2]}' END)) AS v;
SELECT eav.stage_flush() IS NOT NULL AS flushed;
UPDATE eav.entities SET is_deleted = true WHERE tenant_id = :tenant AND entity_id = 12;

-- One document.
SELECT eav.get_entity(:tenant, 2);
SELECT eav.get_entity(:tenant, 'device 5', '{note,color,speed,log}');
SELECT eav.get_entity(:tenant, 11) AS without_values, eav.get_entity(:tenant, 12) AS deleted,
       eav.get_entity(:tenant, 99) AS unknown, eav.get_entity(:tenant, 'nobody') AS nobody,
       eav.get_entity(:tenant, NULL::bigint) AS null_id, eav.get_entity(-1, 1) AS no_tenant;
SELECT eav.get_entity(:tenant, 1, '{nope,color,neither,NULL}');
SELECT eav.get_entity(:tenant, 1, '{}') AS nothing_of_it;
SELECT eav.get_entity(:tenant, 2, '{color,weight,tags}', true) - '{source,lag_seconds,consistency}'::text[] AS with_metadata;
SELECT m ->> 'source' AS source, m ->> 'consistency' AS consistency, m ? 'lag_seconds' AS has_lag
FROM eav.get_entity(:tenant, 'device 2', with_metadata => true) AS m;
SELECT eav.get_entity(NULL, 1);
SELECT eav.get_entity(:tenant, 1, NULL, NULL);

-- Many.
SELECT * FROM eav.get_entities(:tenant, ARRAY[3, 1, NULL, 3, 99, 12, 11, -5], '{color,note}');
SELECT * FROM eav.get_entities(:tenant, ARRAY['device 2', 'nobody', NULL, 'device 1', 'device 2'], '{size}');
SELECT count(*) FROM eav.get_entities(:tenant, NULL::bigint[]);
SELECT * FROM eav.get_entities(NULL, ARRAY[1]);

-- What is found: by all tiers, and through arrays, as jsonpath does.
CREATE FUNCTION pg_temp.found(filter jsonpath, order_by text DEFAULT NULL, limit_rows integer DEFAULT 100,
                              after text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(entity_id::text, ' ' ORDER BY n)
    FROM eav.find_entities(7700, filter, order_by, limit_rows, after)
         WITH ORDINALITY AS f (entity_id, external_id, document, cursor, n)
$$;
SELECT filter, pg_temp.found(filter::jsonpath) FROM (VALUES
    ('$.color == "red"'), ('$.color == "red" && $.size > 5'), ('5 <= $.size && $.weight < 80.5'),
    ('$.weight == 50.50'), ('$.weight > 20 && $.weight <= 40.5'), ('$.tags == "red"'), ('$.tags.a.b == 5'),
    ('$.tags.n == 3'), ('$.labels == "x"'), ('$.labels == null'), ('$.labels != null'), ('$.labels.x == 2'),
    ('exists($.labels.x)'), ('$.note starts with "note 1"'), ('$.note like_regex "[13]$"'),
    ('$.speed > 12'), ('!($.size > 3)'), ('!exists($.size)'), ('$.color == "red" || $.note == "note 2"'),
    ('($.size == 1 || $.weight == 20.5) && $.color != "red"'), ('$.size == "1"'), ('($.size == "1") is unknown'),
    ('$.size + 1 == 3'), ('$.*.n == 3'), ('strict $.color == "blue"'), ('$."size" == 4'), ('$.desc == $.size')) AS f (filter);
SELECT pg_temp.found(NULL);
SELECT entity_id, external_id, document, cursor ~ '^[-_A-Za-z0-9]+$' AS has_cursor
FROM eav.find_entities(:tenant, '$.weight == 30.5', attributes => '{weight,color}');
SELECT entity_id, document FROM eav.find_entities(:tenant, '$.size > 8', attributes => '{nope}');
SELECT count(*) FROM eav.find_entities(-1, NULL);

-- Order: a name, with a direction or without; a name that looks like one; those without a value last.
SELECT order_by, pg_temp.found('$.size > 6 || !exists($.size)', order_by)
FROM unnest('{size,size desc,SIZE ASC,size  DESC,note,weight desc,desc,desc desc,labels,speed desc}'::text[]) AS order_by;
SELECT pg_temp.found('$.size > 8', 'nope desc');

-- Pages: the same rows as at once, in any order.
CREATE FUNCTION pg_temp.paged(filter jsonpath, order_by text, page integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    all_of_them text := '';
    place text;
    found record;
BEGIN
    LOOP
        SELECT string_agg(f.entity_id::text, ' ' ORDER BY n) AS ids, (array_agg(f.cursor ORDER BY n DESC))[1] AS cursor
        INTO found FROM eav.find_entities(7700, filter, order_by, page, place)
                        WITH ORDINALITY AS f (entity_id, external_id, document, cursor, n);
        EXIT WHEN found.ids IS NULL;
        all_of_them := all_of_them || ' ' || found.ids;
        place := found.cursor;
    END LOOP;
    RETURN ltrim(all_of_them);
END
$$;
SELECT count(*), bool_and(pg_temp.paged(filter, order_by, page) = pg_temp.found(filter, order_by)) AS same
FROM unnest(ARRAY['$.size > 2', '$.weight > 20', '!exists($.size)', '$.color == "red"']::jsonpath[]) AS filter,
     unnest('{NULL,size,weight desc,labels}'::text[]) AS order_by, unnest('{1,3}'::integer[]) AS page;

-- Names that are not there are told, and met by nothing.
SELECT pg_temp.found('$.nope == 1'), pg_temp.found('$.nope == 1 || $.size == 2'), pg_temp.found('!($.nope == 1) && $.size == 2');
SELECT pg_temp.found('exists($.log)');
-- Under the name that it has now only.
SELECT eav.rename_attribute(:tenant, 'note', 'remark') IS NOT NULL AS renamed;
SELECT pg_temp.found('$.note == "note 1"'), pg_temp.found('$.remark == "note 1"');
SELECT eav.get_entity(:tenant, 1, '{remark,note}');
SELECT pg_temp.found('$.size < 3', 'note');

-- Bad input.
SELECT * FROM eav.find_entities(NULL, '$.size == 1');
SELECT * FROM eav.find_entities(:tenant, '$.size');
SELECT * FROM eav.find_entities(:tenant, '$.size ? (@ > 1)');
SELECT * FROM eav.find_entities(:tenant, '($.size > 1).type()');
SELECT * FROM eav.find_entities(:tenant, 'true');
SELECT * FROM eav.find_entities(:tenant, '$.size == $x');
SELECT * FROM eav.find_entities(:tenant, '$.size == 1', limit_rows => 0);
SELECT * FROM eav.find_entities(:tenant, '$.size == 1', limit_rows => NULL);
SELECT * FROM eav.find_entities(:tenant, '$.size == 1', after => 'garbage');
SELECT cursor AS size_cursor FROM eav.find_entities(:tenant, '$.size == 1') \gset
SELECT * FROM eav.find_entities(:tenant, '$.size == 2', after => :'size_cursor');
SELECT * FROM eav.find_entities(:tenant, '$.size == 1', 'size', after => :'size_cursor');
SELECT count(*) FROM eav.find_entities(:tenant, '$.size == 1', after => :'size_cursor');
SELECT * FROM eav.explain_find(NULL, '$.size == 1');
SELECT * FROM eav.explain_find(:tenant, '$.size');

-- Filters that no index answers.
SET eav.max_scan_entities = 5;
SELECT pg_temp.found('$.speed > 12');
SELECT pg_temp.found('$.color == "red" || $.speed > 12');
SELECT pg_temp.found('$.size > 9');
SELECT pg_temp.found('$.size > 9 && $.weight > 20');
SELECT pg_temp.found(NULL, limit_rows => 2);
SELECT pg_temp.found(NULL, 'speed');
SELECT pg_temp.found(NULL, 'weight desc', 2);
SET eav.max_scan_entities = -1;
SELECT pg_temp.found('$.speed > 12');
SET eav.max_scan_entities = 5;

-- What would answer.
CREATE FUNCTION pg_temp.explained(filter jsonpath, order_by text DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' | ', node, attribute, projection, access, index_name, estimated_rows, detail)
    FROM eav.explain_find(7700, filter, order_by) ORDER BY step
$$;
SELECT pg_temp.explained('$.color == "red" && $.size > 5 && ($.weight > 20 || $.tags == "red") && $.speed != 7');
SELECT pg_temp.explained('$.weight >= 20 && $.weight < 40');
SELECT pg_temp.explained('$.speed > 12');
SELECT pg_temp.explained('$.nope == 1');
SELECT pg_temp.explained('!($.size == 1)', 'weight desc');
SELECT pg_temp.explained(NULL, 'weight desc');
SELECT pg_temp.explained(NULL);
-- As eav.create_attribute_index() has it built.
SELECT format('attribute_%s_idx', attribute_id) AS index_name FROM eav.attributes
WHERE tenant_id = :tenant AND name = 'size' \gset
CREATE INDEX :index_name ON eav.entity_jsonb (eav.value_key(hot_attrs -> 'size'), entity_id)
    WHERE tenant_id = 7700 AND hot_attrs ? 'size';
SELECT replace(line, :'index_name', 'attribute_N_idx') FROM pg_temp.explained('$.size > 5 && $.color == "red"', 'size') AS line;
SELECT pg_temp.found('$.size > 9'), pg_temp.found(NULL, 'size desc', 3), pg_temp.paged('$.size < 5', 'size', 2);
RESET eav.max_scan_entities;

-- Larger: the indexes have their say, each way, and many values at one key.
SELECT eav.register_tenant('reading, larger', 7701) AS larger \gset
SELECT count(eav.register_attribute(:larger, name, 'int', projection))
FROM (VALUES ('h1', 'hot'), ('h2', 'hot'), ('c1', 'current'), ('c2', 'current')) AS a (name, projection);
INSERT INTO eav.entities (tenant_id, entity_id) SELECT :larger, n FROM generate_series(1, 6000) AS n;
INSERT INTO eav.entity_jsonb (tenant_id, entity_id, hot_attrs)
SELECT :larger, n, jsonb_build_object('h1', n % 1000, 'h2', n % 7) FROM generate_series(1, 6000) AS n;
INSERT INTO eav.entity_values_current
SELECT :larger, n, attribute_id, to_jsonb(CASE name WHEN 'c1' THEN n % 500 ELSE n % 3 END)
FROM generate_series(1, 6000) AS n, eav.attributes WHERE tenant_id = :larger AND name IN ('c1', 'c2');
SELECT filter, found.ids = expected.ids AS same, cardinality(found.ids) AS count
FROM unnest(ARRAY['$.h1 == 7', '$.h1 == 7 && $.h2 == 3', '$.h1 == 5 || $.c1 == 5', '$.c1 == 5',
                  '$.c1 == 5 && $.c2 == 1', '$.c1 < 5 && $.c2 == 1', '$.c1 >= 100 && $.c1 < 103',
                  '$.c2 == 1 && $.h1 == 999', '$.c2 == 2 && $.h2 == 6 && $.c1 > 490',
                  '$.h2 == 1 && $.h1 > 990']::jsonpath[]) AS filter
CROSS JOIN LATERAL (SELECT array_agg(entity_id) AS ids FROM eav.find_entities(7701, filter, limit_rows => 5000)) AS found
CROSS JOIN LATERAL (
    SELECT array_agg(n::bigint ORDER BY n) AS ids FROM generate_series(1, 6000) AS n
    WHERE jsonb_path_match(jsonb_build_object('h1', n % 1000, 'h2', n % 7, 'c1', n % 500, 'c2', n % 3), filter)) AS expected;

-- A document is written as jsonb itself would write it.
SELECT eav.register_tenant('reading, wide', 7702) AS wide \gset
SELECT count(eav.register_attribute(:wide, repeat('x', n % 40) || n, 'json', (ARRAY['hot', 'live', 'current'])[n % 3 + 1]))
FROM generate_series(1, 400) AS n;
SELECT eav.register_entity(:wide, 'wide', NULL, 1);
INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, attribute, value)
SELECT :wide, 1, repeat('x', n % 40) || n,
       (ARRAY[n::text, 'null', 'true', 'false', to_json(repeat('é', n))::text, '[1, {"a": ' || n || '}]', '{}', n || '.25'])[n % 8 + 1]
FROM generate_series(1, 400) AS n;
SELECT eav.stage_flush() IS NOT NULL AS flushed;
SELECT count(*) AS members, bool_and(document @> jsonb_build_object(key, value)) AS finds_each,
       min(pg_column_size(document)) = min(pg_column_size(document::text::jsonb)) AS same_size,
       bool_and(document = document::text::jsonb) AS same, bool_and(document -> key = value) AS by_name
FROM eav.get_entity(:wide, 1) AS document, jsonb_each(document);

-- Within a transaction: its own rows, and not those that came after its snapshot; no transaction id.
BEGIN;
SELECT eav.upsert_hot_attributes(:tenant, 1, '{"color": "violet"}') ->> 'color' AS color;
SELECT pg_temp.found('$.color == "violet"'), eav.get_entity(:tenant, 1) ->> 'color' AS color;
ROLLBACK;
BEGIN READ ONLY;
SELECT pg_temp.found('$.color == "violet"'), pg_temp.found('$.size > 8'), pg_current_xact_id_if_assigned() IS NULL AS no_id;
COMMIT;

-- For readers, of the tenant that they have chosen.
CREATE ROLE regress_reader IN ROLE eav_reader;
SET ROLE regress_reader;
SELECT eav.set_tenant(7700);
SELECT eav.get_entity(7700, 1, '{color}'), eav.get_entity(7700, 'device 1', '{color}'),
       (SELECT count(*) FROM eav.get_entities(7700, ARRAY[1])) AS by_id, (SELECT count(*) FROM eav.get_entities(7700, ARRAY['device 1'])) AS by_name,
       (SELECT count(*) FROM eav.find_entities(7700, '$.color == "red" && $.weight > 20')) AS found,
       (SELECT count(*) FROM eav.explain_find(7700, '$.color == "red"')) AS explained;
RESET eav.tenant_id;
RESET ROLE;
DROP ROLE regress_reader;
DROP INDEX eav.:index_name;
