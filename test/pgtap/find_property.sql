-- Reading against two oracles. A generator makes random entities over all tiers, and random
-- jsonpath predicates over them. eav.find_entities() must answer with exactly the registered,
-- undeleted entities whose document satisfies the predicate by the server's own
-- jsonb_path_match(), in the order asked for, each once over all pages. The document is that of
-- eav.get_entity(), which in turn must equal what plain SQL puts together from the tiers.
--
-- Each seed is a tenant with attributes of all types in all tiers, written through staging and
-- eav.stage_flush(); then some are renamed, some indexed, and some under way between tiers, with
-- values on both sides. Every second seed runs with sequential scans forbidden, so that the
-- indexes have their say in tables of this size. Half of the cases of a seed come after more
-- values, clearings, deletions and moves.
-- Other seeds: psql -v first_seed=1000 -v seeds=50; more cases of each: -v cases=1000.
\if :{?seeds}
\else
\set seeds 50
\endif
\if :{?first_seed}
\else
\set first_seed 1
\endif
\if :{?cases}
\else
\set cases 200
\endif
SET client_min_messages = warning; -- attributes that are unknown are told in notices
SET timezone = 'UTC';
SET jit = off; -- costs what the oracles do more than it gains
SET eav.max_scan_entities = -1;
CREATE SCHEMA property;
SET search_path = property, public;

-- What values can look like. Equal and nearly equal ones are frequent.
CREATE TABLE sample (data_type text, value text);
INSERT INTO sample VALUES
    ('text', ''), ('text', 'a'), ('text', 'A'), ('text', 'ab'), ('text', 'b'), ('text', ' a '),
    ('text', 'true'), ('text', '5'), ('text', 'null'), ('text', 'NaN'), ('text', 'größer'),
    ('text', 'größe'), ('text', '漢字'), ('text', '𝄞 clef'), ('text', U&'\FFFD'),
    ('text', E'line\nand "quote" \\ $.a'), ('text', '%_''; DROP TABLE x; --'),
    ('text', repeat('x', 63)), ('text', repeat('x', 63) || 'a'), ('text', repeat('x', 63) || 'b'),
    ('text', repeat('x', 62) || 'é'), ('text', repeat('x', 62) || 'éa'), ('text', repeat('long ', 600)),
    ('int', '0'), ('int', '-1'), ('int', '1'), ('int', '5'), ('int', '100'), ('int', '-100'),
    ('int', '9007199254740992'), ('int', '9007199254740993'), ('int', '9223372036854775807'),
    ('int', '9223372036854775806'), ('int', '-9223372036854775808'),
    ('float', '0'), ('float', '-0'), ('float', '0.1'), ('float', '0.3'), ('float', '0.30000000000000004'),
    ('float', '5'), ('float', '-5.5'), ('float', '1e300'), ('float', '-2.5e-300'), ('float', '1e15'),
    ('float', 'NaN'), ('float', 'Infinity'), ('float', '-Infinity'),
    ('numeric', '1.50'), ('numeric', '1.5'), ('numeric', '0.00'), ('numeric', '-1e-30'), ('numeric', '5'),
    ('numeric', '12345678901234567890.123456789'), ('numeric', '12345678901234567890.123456788'),
    ('numeric', '1e130'), ('numeric', 'NaN'), ('numeric', '-Infinity'),
    ('bool', 'true'), ('bool', 'false'),
    ('timestamp', '2026-01-31T12:00:00.123456Z'), ('timestamp', '2024-02-29 23:59:59+05:30'),
    ('timestamp', '1969-12-31T23:59:59.5Z'), ('timestamp', 'infinity'),
    ('json', '{"a": 1}'), ('json', '{"a": {"b": [1, null, "x"]}}'), ('json', '[]'), ('json', '{}'),
    ('json', '[1, 5, "a"]'), ('json', '[[1], [5]]'), ('json', '[{"a": 1}, {"a": 5}]'),
    ('json', '[null]'), ('json', '{"b": null}'), ('json', 'null'), ('json', '"text"'), ('json', '"a"'),
    ('json', '5'), ('json', '5.0'), ('json', '0.1'), ('json', 'true'), ('json', 'false');

-- Of every type one attribute in every tier, and some with names that want quoting.
CREATE TABLE model AS
SELECT data_type || '_' || projection AS name, data_type, projection
FROM unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) AS data_type,
     unnest('{hot,live,current,none}'::text[]) AS projection
UNION ALL
SELECT name, data_type, (ARRAY['hot', 'live', 'current'])[row_number() OVER () % 3 + 1]
FROM unnest('{größe,"with space","the desc","quo\"te","back\\slash",a.b,$,"*",true,"it''s"}'::text[]) AS name,
     unnest('{text,int}'::text[]) AS data_type
WHERE (data_type = 'text') = (length(name) % 2 = 0);

-- What the tiers hold, under the present names; what is on its way to none is seen no more.
CREATE VIEW stored AS
SELECT p.tenant_id, p.entity_id, a.attribute_id, a.name, tier, value
FROM eav.entity_jsonb p
CROSS JOIN LATERAL (
    SELECT 'hot' AS tier, key, value FROM jsonb_each(p.hot_attrs)
    UNION ALL SELECT 'live', key, value FROM jsonb_each(p.live_attrs)) AS member
JOIN eav.attributes a ON a.tenant_id = p.tenant_id AND coalesce(a.document_name, a.name) = member.key
                         AND a.projection <> 'none'
UNION ALL
SELECT c.tenant_id, c.entity_id, c.attribute_id, a.name, 'current', c.value
FROM eav.entity_values_current c JOIN eav.attributes a USING (tenant_id, attribute_id)
WHERE a.projection <> 'none';

-- The documents that plain SQL puts together.
CREATE VIEW assembled AS
SELECT e.tenant_id, e.entity_id, e.external_id,
       coalesce(jsonb_object_agg(s.name, s.value) FILTER (WHERE s.name IS NOT NULL), '{}') AS document
FROM eav.entities e LEFT JOIN stored s USING (tenant_id, entity_id)
WHERE NOT e.is_deleted
GROUP BY e.tenant_id, e.entity_id;

-- Those of the tenant at hand, kept for its cases.
CREATE TABLE entity (entity_id bigint PRIMARY KEY, external_id text, document jsonb);

CREATE TABLE failure (seed integer, what text, expected text, returned text);
CREATE TABLE tally (seed integer, cases bigint, rows bigint, pages bigint, cursors_inside bigint);

CREATE FUNCTION one_of(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT choices[1 + floor(random() * cardinality(choices))]
$$;
CREATE FUNCTION pick(type text) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT value FROM sample WHERE data_type = type ORDER BY random() LIMIT 1
$$;

-- Entities 1 to 20 have numbers and external ids, 21 to 30 numbers only, 31 to 40 are known by their
-- external ids only; some of them get no value ever. Every seventh seed has 700 more before them, with
-- few values: a search that begins with a walk has to give that up.
CREATE FUNCTION is_large(seed integer) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN seed % 7 = 0;
CREATE PROCEDURE register(seed integer, OUT tenant bigint) LANGUAGE plpgsql AS $$
BEGIN
    tenant := eav.register_tenant(format('find %s', seed));
    PERFORM eav.register_attribute(tenant, name, data_type, projection) FROM model ORDER BY name;
    PERFORM eav.register_entity(tenant, 'device ' || n, NULL, n) FROM generate_series(1, 20) AS n;
    PERFORM eav.register_entity(tenant, 'device ' || n) FROM generate_series(31, 40) AS n;
    INSERT INTO eav.entities (tenant_id, entity_id) SELECT tenant, n FROM generate_series(25, 30) AS n;
    INSERT INTO eav.entities (tenant_id, entity_id) SELECT tenant, n FROM generate_series(-700, -1) AS n WHERE is_large(seed);
END
$$;

-- Values and clearings for all the entities but five, under old names and new ones.
CREATE PROCEDURE write(tenant bigint, is_large boolean, share float) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO eav.entity_values_ingest (tenant_id, entity_id, entity, attribute, observed_at, cleared, value)
    SELECT tenant, CASE WHEN n <= 30 THEN n END, CASE WHEN n > 30 THEN 'device ' || n END, name,
           now() - random() * interval '1 hour', value IS NULL, value
    FROM (SELECT n, CASE WHEN random() < 0.5 THEN coalesce(a.document_name, a.name) ELSE a.name END AS name,
                 CASE WHEN random() < 0.9 THEN pick(a.data_type) END AS value
          FROM generate_series(CASE WHEN is_large THEN -700 ELSE 1 END, 40) AS n, eav.attributes a
          WHERE a.tenant_id = tenant AND n % 8 <> 7 AND random() < CASE WHEN n < 0 THEN 0.01 ELSE share END
          ORDER BY n, a.attribute_id) AS value;
    COMMIT;
    PERFORM eav.stage_flush();
    COMMIT;
END
$$;

-- What an unfinished move leaves: values of some entities in the new tier, those of others in one
-- of the old ones.
CREATE PROCEDURE move(tenant bigint, attribute integer, target text) LANGUAGE plpgsql AS $$
DECLARE
    settled eav.attributes;
    key text;
    moved record;
BEGIN
    UPDATE eav.attributes a
    SET projection = target,
        moving_from = array_remove(array_append(array_remove(coalesce(moving_from, '{}'), projection), projection), target)
    WHERE tenant_id = tenant AND attribute_id = attribute
    RETURNING * INTO settled;
    key := coalesce(settled.document_name, settled.name);
    FOR moved IN SELECT * FROM stored s WHERE s.tenant_id = tenant AND s.attribute_id = attribute
                 AND tier <> target AND random() < 0.5 ORDER BY entity_id
    LOOP
        DELETE FROM eav.entity_values_current c
        WHERE c.tenant_id = tenant AND c.entity_id = moved.entity_id AND c.attribute_id = attribute;
        UPDATE eav.entity_jsonb p
        SET hot_attrs = CASE target WHEN 'hot' THEN hot_attrs || jsonb_build_object(key, moved.value) ELSE hot_attrs - key END,
            live_attrs = CASE target WHEN 'live' THEN live_attrs || jsonb_build_object(key, moved.value) ELSE live_attrs - key END
        WHERE p.tenant_id = tenant AND p.entity_id = moved.entity_id;
        IF target = 'current' THEN
            INSERT INTO eav.entity_values_current VALUES (tenant, moved.entity_id, attribute, moved.value);
        END IF;
    END LOOP;
END
$$;

CREATE PROCEDURE disturb(seed integer, tenant bigint) LANGUAGE plpgsql AS $$
DECLARE
    attribute record;
BEGIN
    FOR attribute IN SELECT * FROM eav.attributes WHERE tenant_id = tenant AND projection <> 'none'
                     ORDER BY random() LIMIT 6
    LOOP
        CALL move(tenant, attribute.attribute_id, one_of('hot', 'live', 'current', 'hot', 'live', 'current', 'none'));
    END LOOP;
    UPDATE eav.attributes SET document_name = coalesce(document_name, name), name = 'new ' || name
    WHERE attribute_id IN (SELECT attribute_id FROM eav.attributes WHERE tenant_id = tenant
                           ORDER BY random() LIMIT 3);
    UPDATE eav.entities SET is_deleted = true
    WHERE tenant_id = tenant AND entity_id IN (SELECT entity_id FROM eav.entities WHERE tenant_id = tenant
                                               ORDER BY random() LIMIT 2);
END
$$;

-- Indexes of hot attributes, moving and renamed ones too, as eav.create_attribute_index() has them built.
CREATE PROCEDURE index_some(tenant bigint) LANGUAGE plpgsql AS $$
DECLARE
    attribute eav.attributes;
BEGIN
    FOR attribute IN SELECT * FROM eav.attributes a WHERE tenant_id = tenant AND projection = 'hot'
                     ORDER BY random() LIMIT 6
    LOOP
        EXECUTE format('CREATE INDEX attribute_%s_idx ON eav.entity_jsonb (eav.value_key(hot_attrs -> %2$L), entity_id) '
                       'WHERE tenant_id = %3$s AND hot_attrs ? %2$L', attribute.attribute_id,
                       coalesce(attribute.document_name, attribute.name), tenant);
    END LOOP;
END
$$;
CREATE PROCEDURE drop_indexes() LANGUAGE plpgsql AS $$
DECLARE
    index regclass;
BEGIN
    FOR index IN SELECT indexrelid FROM pg_index i JOIN pg_class c ON c.oid = indexrelid
                 WHERE indrelid = 'eav.entity_jsonb'::regclass AND relname ~ '^attribute_[0-9]+_idx$'
    LOOP
        EXECUTE format('DROP INDEX %s', index);
    END LOOP;
END
$$;

-- Names to ask for: those there are, some as often as all others together, and some that the
-- documents do not have: former names, and names that never were. A filter with a former name finds
-- nothing, as in the document; where an attribute is named by an argument it is the one that had it.
CREATE TABLE known (name text, data_type text, present_name text);
CREATE FUNCTION present_name(asked text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT present_name FROM known WHERE name = asked LIMIT 1), asked)
$$;
CREATE PROCEDURE learn(tenant bigint) LANGUAGE sql AS $$
    TRUNCATE known;
    INSERT INTO known SELECT name, data_type, name FROM eav.attributes WHERE tenant_id = tenant ORDER BY name;
    INSERT INTO known SELECT k.* FROM known k, generate_series(1, 8) WHERE k.name IN (
        SELECT name FROM known ORDER BY random() LIMIT 5);
    INSERT INTO known SELECT k.* FROM known k, generate_series(1, 3) WHERE data_type = 'json';
    INSERT INTO known SELECT document_name, data_type, name FROM eav.attributes
    WHERE tenant_id = tenant AND document_name IS NOT NULL;
    INSERT INTO known VALUES ('never was', 'text'), ('', 'int');
    TRUNCATE entity;
    INSERT INTO entity SELECT entity_id, external_id, eav.get_entity(tenant, entity_id) FROM assembled
    WHERE tenant_id = tenant ORDER BY entity_id;
$$;

CREATE FUNCTION literal(wanted text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    type CONSTANT text := CASE WHEN random() < 0.8 THEN wanted
                               ELSE one_of('text', 'int', 'float', 'numeric', 'bool', 'timestamp', 'json') END;
    value text := pick(type);
BEGIN
    RETURN CASE
        WHEN type = 'json' THEN one_of('null', '1', '1', '5', '5.00', '"a"', '"text"', 'true', 'false', '0.1')
        WHEN random() < 0.03 THEN 'null'
        WHEN type = 'timestamp' THEN to_jsonb(value::timestamptz)::text
        WHEN type = 'float' THEN to_jsonb(value::float)::text
        WHEN type IN ('int', 'bool') OR type = 'numeric' AND value ~ '\d' THEN value
        ELSE to_json(value)::text END;
END
$$;

CREATE FUNCTION key(name text) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN name ~ '^[a-z_]+$' AND name <> 'true' AND random() < 0.7 THEN name
                ELSE to_json(name)::text END
$$;

CREATE FUNCTION path(root text, known known) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    member CONSTANT text := root || '.' || key(known.name);
BEGIN
    IF known.data_type = 'json' AND random() < 0.5 THEN
        RETURN member || one_of('.a', '.a', '.a', '.a.b', '.b', '[*]', '[*].a', '.a.b[*]');
    ELSIF random() < 0.72 THEN
        RETURN member;
    ELSIF random() < 0.7 THEN
        RETURN member || one_of('[*]', '[0]', '[last]', '[1 to 2]', '.a', '.a.b', '[*].a', '.*', '.**',
                                '.size()', '.type()', '.double()', '.abs()', '.floor()', '.keyvalue().key',
                                ' ? (@ == ' || literal(known.data_type) || ')',
                                ' ? (@ > ' || literal(known.data_type) || ')');
    ELSE
        RETURN root || one_of('.*', '.**', '.*.a', '.**{1 to 2}', '[0].' || key(known.name),
                              '[*].' || key(known.name), '[1].' || key(known.name), '.size()', '.type()',
                              '.keyvalue().value');
    END IF;
END
$$;

CREATE FUNCTION predicate(depth integer, root text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    one known;
    two known;
    what CONSTANT float := random();
    operator CONSTANT text := one_of('==', '==', '==', '!=', '<>', '<', '<=', '>', '>=');
BEGIN
    IF depth > 0 AND random() < 0.6 THEN
        RETURN CASE
            WHEN what < 0.40 THEN format('%s && %s', predicate(depth - 1, root), predicate(depth - 1, root))
            WHEN what < 0.60 THEN format('(%s) || (%s)', predicate(depth - 1, root), predicate(depth - 1, root))
            WHEN what < 0.70 THEN format('%s || %s', predicate(depth - 1, root), predicate(depth - 1, root))
            WHEN what < 0.78 THEN format('(%s) && (%s)', predicate(depth - 1, root), predicate(depth - 1, root))
            WHEN what < 0.92 THEN format('!(%s)', predicate(depth - 1, root))
            ELSE format('(%s) is unknown', predicate(depth - 1, root)) END;
    END IF;
    SELECT * INTO one FROM known ORDER BY random() LIMIT 1;
    SELECT * INTO two FROM known ORDER BY random() LIMIT 1;
    RETURN CASE
        WHEN what < 0.48 THEN format('%s %s %s', path(root, one), operator, literal(one.data_type))
        WHEN what < 0.56 THEN format('%s %s %s', literal(one.data_type), operator, path(root, one))
        WHEN what < 0.61 THEN format('%s %s %s', path(root, one), operator, path(root, two))
        WHEN what < 0.67 THEN format('%s %s %s %s %s', path(root, one), one_of('+', '-', '*', '/', '%'),
                                     one_of('1', '0', '2.5', path(root, two)), operator, literal(one.data_type))
        WHEN what < 0.69 THEN format('-%s %s %s', path(root, one), operator, literal(one.data_type))
        WHEN what < 0.78 THEN format('%s starts with %s', path(root, one),
                                     to_json(left(pick('text'), floor(random() * 70)::integer)))
        WHEN what < 0.84 THEN format('%s like_regex %s', path(root, one),
                                     one_of('"^a"', '"A" flag "i"', '"x{3}"', '"ö"', '"." flag "q"', '"^$"', '"^[^b]*$"'))
        WHEN what < 0.93 THEN format('%sexists(%s)', one_of('', '', '!'), path(root, one))
        WHEN what < 0.97 THEN format('exists(%s ? (%s))', root, predicate(depth - 1, '@'))
        ELSE format('exists(%s ? (%s))', path(root, one), predicate(0, '@')) END;
END
$$;

-- The order that is documented: null, false, true, numbers, strings by code point (as far as their
-- first 63 bytes tell), arrays, objects; then by entity_id; desc reverses both. Entities without the
-- attribute come last.
CREATE FUNCTION expected(filter jsonpath, attribute text, direction text) RETURNS bigint[]
LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(entity_id ORDER BY value IS NULL, CASE direction WHEN 'desc' THEN -place ELSE place END,
                              CASE direction WHEN 'desc' THEN -entity_id ELSE entity_id END), '{}')
    FROM (SELECT entity_id, value,
                 rank() OVER (ORDER BY array_position('{"null",boolean,number,string,array,object}', jsonb_typeof(value)),
                                       CASE jsonb_typeof(value) WHEN 'boolean' THEN value::boolean END,
                                       CASE jsonb_typeof(value) WHEN 'number' THEN value::numeric END,
                                       substring(convert_to(CASE jsonb_typeof(value) WHEN 'string' THEN value #>> '{}' END,
                                                            'UTF8') FOR 63)) AS place
          FROM (SELECT entity_id, document -> present_name(attribute) AS value FROM entity
                WHERE jsonb_path_match(document, filter)) AS found) AS placed
$$;

CREATE FUNCTION part_of(document jsonb, names text[]) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN names IS NULL THEN document
                ELSE (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(document)
                      WHERE key IN (SELECT present_name(name) FROM unnest(names) AS name)) END
$$;

-- All pages. Now and then the next one begins after a row in the middle of the last.
CREATE PROCEDURE page_through(tenant bigint, filter jsonpath, ordered text, page integer, shown text[],
                              INOUT ids bigint[], INOUT told tally) LANGUAGE plpgsql AS $$
DECLARE
    found record;
    taken integer;
    after text;
BEGIN
    ids := '{}';
    LOOP
        SELECT array_agg(f.entity_id ORDER BY f.n) AS ids, array_agg(f.cursor ORDER BY f.n) AS cursors,
               count(*) AS rows,
               count(*) FILTER (WHERE f.document IS DISTINCT FROM part_of(e.document, shown)
                                OR e.external_id IS DISTINCT FROM f.external_id) AS wrong
        INTO found
        FROM eav.find_entities(tenant, filter, ordered, page, after, shown)
             WITH ORDINALITY AS f (entity_id, external_id, document, cursor, n)
        LEFT JOIN entity e ON e.entity_id = f.entity_id;
        told.pages := told.pages + 1;
        told.rows := told.rows + found.rows;
        IF found.wrong > 0 THEN
            RAISE EXCEPTION '% rows have another external_id or document than get_entity', found.wrong;
        ELSIF found.rows > page THEN
            RAISE EXCEPTION '% rows for a limit of %', found.rows, page;
        END IF;
        taken := found.rows;
        IF taken > 1 AND random() < 0.1 THEN
            taken := taken - 1;
            told.cursors_inside := told.cursors_inside + 1;
        END IF;
        ids := ids || found.ids[1:taken];
        after := found.cursors[taken];
        EXIT WHEN found.rows < page AND taken = found.rows;
        IF cardinality(ids) > 1000 THEN
            RAISE EXCEPTION 'the pages do not end: %', ids;
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION order_by(attribute text, direction text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT attribute || CASE WHEN direction = 'desc' THEN ' desc' WHEN length(attribute) % 2 = 0 THEN ' asc' ELSE '' END
$$;

CREATE PROCEDURE one_case(seed integer, tenant bigint, INOUT told tally) LANGUAGE plpgsql AS $$
DECLARE
    filter CONSTANT jsonpath := CASE WHEN random() < 0.12 THEN 'strict ' ELSE '' END || predicate(2, '$');
    attribute CONSTANT text := CASE WHEN random() < 0.5 THEN (SELECT name FROM known ORDER BY random() LIMIT 1) END;
    direction CONSTANT text := one_of('asc', 'desc');
    ordered CONSTANT text := order_by(attribute, direction);
    shown CONSTANT text[] := CASE WHEN random() < 0.2 THEN
        ARRAY(SELECT name FROM known ORDER BY random() LIMIT 4) END;
    page CONSTANT integer := (CASE WHEN is_large(seed) THEN one_of('20', '100', '1000')
                                        ELSE one_of('1', '3', '7', '20', '100') END)::integer;
    what CONSTANT text := format('%s, order by %s, page %s', filter, coalesce(ordered, 'none'), page);
    wanted CONSTANT bigint[] := expected(filter, attribute, CASE WHEN attribute IS NOT NULL THEN direction END);
    found bigint[];
BEGIN
    told.cases := told.cases + 1;
    BEGIN
        CALL page_through(tenant, filter, ordered, page, shown, found, told);
        IF found <> wanted THEN
            INSERT INTO failure VALUES (seed, what, wanted, found);
        END IF;
        IF random() < 0.2 THEN
            PERFORM * FROM eav.explain_find(tenant, filter, ordered);
        END IF;
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO failure VALUES (seed, what, wanted, SQLSTATE || ' ' || SQLERRM);
    END;
END
$$;

-- get_entity against SQL, get_entities against get_entity, observed_at against history.
CREATE PROCEDURE compare_documents(wanted_seed integer, tenant bigint) LANGUAGE sql AS $$
    INSERT INTO failure
    SELECT wanted_seed, format('get_entity(%s)', entity_id), a.document, e.document
    FROM (SELECT * FROM assembled WHERE tenant_id = tenant) AS a FULL JOIN entity e USING (entity_id)
    WHERE a.document IS DISTINCT FROM e.document;

    INSERT INTO failure
    SELECT wanted_seed, format('get_entity(%s), by names and external id', entity_id), part.document, returned.document
    FROM entity
    CROSS JOIN LATERAL (SELECT array_agg(name) AS names FROM (SELECT name FROM known WHERE entity_id > 0 ORDER BY random() LIMIT 5) AS k) AS chosen
    CROSS JOIN LATERAL (SELECT part_of(entity.document, chosen.names) AS document) AS part
    CROSS JOIN LATERAL (SELECT CASE WHEN external_id IS NULL THEN eav.get_entity(tenant, entity_id, chosen.names)
                                    ELSE eav.get_entity(tenant, external_id, chosen.names) END AS document) AS returned
    WHERE part.document IS DISTINCT FROM returned.document;

    INSERT INTO failure
    SELECT wanted_seed, format('get_entity(%s)', entity_id), NULL, eav.get_entity(tenant, entity_id)
    FROM (SELECT entity_id FROM eav.entities WHERE tenant_id = tenant AND is_deleted UNION VALUES (-999999), (999999)) AS gone
    WHERE eav.get_entity(tenant, entity_id) IS NOT NULL;

    WITH asked AS (SELECT array_agg(entity_id ORDER BY random()) || '{-999999,999999,1,2}' AS ids
                   FROM eav.entities WHERE tenant_id = tenant)
    INSERT INTO failure
    SELECT wanted_seed, format('get_entities, place %s', n), format('%s %s %s', w.entity_id, w.external_id, w.document),
           format('%s %s %s', g.entity_id, g.external_id, g.document)
    FROM (SELECT row_number() OVER (ORDER BY min(place)) AS n, e.entity_id, e.external_id, e.document
          FROM asked, unnest(asked.ids) WITH ORDINALITY AS a (entity_id, place) JOIN entity e USING (entity_id)
          GROUP BY e.entity_id) AS w
    FULL JOIN (SELECT g.* FROM asked, eav.get_entities(tenant, asked.ids)
               WITH ORDINALITY AS g (entity_id, external_id, document, n)) AS g USING (n)
    WHERE (w.entity_id, w.external_id, w.document) IS DISTINCT FROM (g.entity_id, g.external_id, g.document);

    INSERT INTO failure
    SELECT wanted_seed, 'get_entities by external id', string_agg(w.document::text, ' '), string_agg(g.document::text, ' ')
    FROM (SELECT * FROM entity WHERE external_id IS NOT NULL) AS w
    FULL JOIN eav.get_entities(tenant, ARRAY(SELECT 'device ' || n FROM generate_series(1, 60) AS n)) AS g
         USING (entity_id, external_id)
    WHERE w.document IS DISTINCT FROM g.document
    HAVING count(*) > 0;

    INSERT INTO failure
    SELECT wanted_seed, format('get_entity(%s), with metadata', entity_id), w.metadata, g.metadata - '{source,lag_seconds,consistency}'::text[]
    FROM (SELECT entity.entity_id, jsonb_build_object('entity_id', entity.entity_id, 'external_id', external_id, 'document', document,
                 'observed_at', coalesce(jsonb_object_agg(h.name, to_jsonb(h.observed_at)) FILTER (WHERE h.name IS NOT NULL), '{}')) AS metadata
          FROM entity
          LEFT JOIN (SELECT v.entity_id, a.name, max(v.observed_at) AS observed_at
                     FROM eav.entity_values_ts v JOIN eav.attributes a USING (tenant_id, attribute_id)
                     WHERE v.tenant_id = tenant GROUP BY v.entity_id, a.name) AS h
               ON h.entity_id = entity.entity_id AND entity.document ? h.name
          GROUP BY entity.entity_id) AS w
    CROSS JOIN LATERAL (SELECT eav.get_entity(tenant, entity_id, NULL, true) AS metadata) AS g
    WHERE w.metadata IS DISTINCT FROM g.metadata - '{source,lag_seconds,consistency}'::text[]
       OR NOT g.metadata ?& '{source,lag_seconds,consistency}';
$$;

CREATE PROCEDURE run(seed integer, cases integer) LANGUAGE plpgsql AS $$
DECLARE
    tenant bigint;
    told tally := ROW(seed, 0, 0, 0, 0);
BEGIN
    PERFORM setseed(seed / 100000.0);
    CALL register(seed, tenant);
    COMMIT;
    FOR half IN 1..2 LOOP
        CALL write(tenant, is_large(seed), CASE half WHEN 1 THEN 0.5 ELSE 0.1 END);
        CALL disturb(seed, tenant);
        IF random() < 0.5 THEN
            CALL index_some(tenant);
        END IF;
        CALL learn(tenant);
        COMMIT;
        CALL compare_documents(seed, tenant);
        FOR i IN 1..cases / 2 LOOP
            CALL one_case(seed, tenant, told);
        END LOOP;
        CALL drop_indexes();
        COMMIT;
    END LOOP;
    INSERT INTO tally SELECT told.*;
    COMMIT;
END
$$;

ALTER SYSTEM SET eav.worker_enabled = off;
SELECT pg_reload_conf() \g /dev/null
SELECT :first_seed + :seeds - 1 AS last_seed \gset
SELECT format('CALL run(%s, %s)', seed, :cases) FROM generate_series(:first_seed, :last_seed, 2) AS seed \gexec
-- A session of its own, so that nothing is planned yet.
\connect -
SET client_min_messages = warning;
SET timezone = 'UTC';
SET jit = off;
SET eav.max_scan_entities = -1;
SET search_path = property, public;
SET enable_seqscan = off;
SELECT format('CALL run(%s, %s)', seed, :cases) FROM generate_series(:first_seed + 1, :last_seed, 2) AS seed \gexec
ALTER SYSTEM RESET eav.worker_enabled;
SELECT pg_reload_conf() \g /dev/null

SELECT plan(4);
SELECT is((SELECT sum(cases)::integer FROM tally), :seeds * :cases, 'every case was run');
SELECT diag(format('%s cases, %s rows, %s pages, %s of them after a cursor inside a page',
                   sum(cases), sum(rows), sum(pages), sum(cursors_inside))) FROM tally;
SELECT cmp_ok((SELECT sum(rows) FROM tally), '>', 5::numeric * :seeds * :cases, 'predicates find something');
SELECT is_empty($$SELECT * FROM failure WHERE what LIKE 'get_entit%' ORDER BY seed, what LIMIT 20$$,
                'documents equal what SQL puts together');
SELECT is_empty($$SELECT * FROM failure WHERE what NOT LIKE 'get_entit%' ORDER BY length(what) LIMIT 20$$,
                'find_entities equals jsonb_path_match on the documents');
SELECT * FROM finish();
