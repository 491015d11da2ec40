-- The projection against an oracle. Whatever the order of delivery, the batching and the
-- redeliveries, eav.entity_jsonb holds what plain SQL computes from history: per attribute the
-- row with the greatest (observed_at, ingested_at). And where no two values of an attribute have
-- one observed_at, the document does not depend on the order of delivery at all.
--
-- Each seed is a random set of events of its own, delivered to two tenants in two orders, through
-- staging in all its forms and through eav.upsert_hot_attributes(), with flushes, redeliveries and
-- rolled back work in between. The second half of the seeds has the worker at work beside.
-- Other seeds: psql -v first_seed=1000 -v seeds=50.
\if :{?seeds}
\else
\set seeds 20
\endif
\if :{?first_seed}
\else
\set first_seed 1
\endif
SET client_min_messages = warning;
SET timezone = 'UTC';
SET eav.flush_batch_values = 100; -- the least there is: flushes of several pieces
CREATE SCHEMA property;
SET search_path = property, public;

-- What values can look like. Words and numbers are for attributes that register themselves.
CREATE TABLE sample (data_type text, value text);
INSERT INTO sample VALUES
    ('text', ''), ('text', 'a'), ('text', ' padded '), ('text', 'true'), ('text', '5'),
    ('text', E'line\nand "quote" \\'), ('text', 'größer'), ('text', 'null'),
    ('int', '0'), ('int', '-1'), ('int', '5'), ('int', '9007199254740993'),
    ('int', '9223372036854775807'), ('int', '-9223372036854775808'),
    ('float', '0'), ('float', '-0'), ('float', '0.1'), ('float', '5'), ('float', '1e300'),
    ('float', '-2.5e-300'), ('float', '4.9406564584124654e-324'), ('float', '9007199254740994'),
    ('float', '1.7976931348623157e308'), ('float', '1e15'),
    ('float', 'NaN'), ('float', 'Infinity'), ('float', '-Infinity'),
    ('numeric', '1.50'), ('numeric', '1.5'), ('numeric', '0.00'), ('numeric', '-1e-30'),
    ('numeric', '12345678901234567890.123456789'), ('numeric', '1e500'),
    ('numeric', 'NaN'), ('numeric', 'Infinity'), ('numeric', '-Infinity'),
    ('bool', 'true'), ('bool', 'false'),
    ('timestamp', '2026-01-31T12:00:00.123456Z'), ('timestamp', '2024-02-29 23:59:59+05:30'),
    ('timestamp', '1969-12-31T23:59:59.5Z'), ('timestamp', 'infinity'), ('timestamp', '-infinity'),
    ('timestamp', '0044-03-15 00:00:00+00 BC'), ('timestamp', '294276-12-31 23:59:59+00'),
    ('json', '{"a": 1}'), ('json', '{"a": {"b": [1, null, "x"]}}'), ('json', '[]'), ('json', '{}'),
    ('json', 'null'), ('json', '"text"'), ('json', '5'), ('json', 'true'),
    ('number', '1'), ('number', '-3'), ('number', '2.5'), ('number', '1e3'), ('number', '0'),
    ('word', 'idle'), ('word', 'busy'), ('word', 'out of order');

CREATE TABLE attribute AS
SELECT data_type || '_' || projection AS name, data_type, projection
FROM unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) AS data_type,
     unnest('{hot,live,current,none}'::text[]) AS projection
UNION ALL VALUES ('some_number', 'number', NULL), ('some_word', 'word', NULL);

-- A value that is null says cleared.
CREATE TABLE event (seed integer, event integer, entity integer, observed_at timestamptz,
                    attribute text, data_type text, value text,
                    PRIMARY KEY (seed, event, attribute));
CREATE TABLE delivered (seed integer, tenant_id bigint, rows bigint);
CREATE TABLE mismatch (seed integer, tenant_id bigint, step integer, entity_id bigint);

-- The oracle.
CREATE VIEW expected AS
SELECT tenant_id, entity_id,
       coalesce(jsonb_object_agg(name, value)
                FILTER (WHERE projection = 'hot' AND value IS NOT NULL), '{}') AS hot,
       coalesce(jsonb_object_agg(name, value)
                FILTER (WHERE projection = 'live' AND value IS NOT NULL), '{}') AS live,
       coalesce(jsonb_object_agg(name, value)
                FILTER (WHERE projection = 'current' AND value IS NOT NULL), '{}') AS current,
       string_agg(format('%s %s %s', attribute_id, observed_at, ingested_at), ', '
                  ORDER BY attribute_id) AS versions
FROM (SELECT DISTINCT ON (h.tenant_id, h.entity_id, h.attribute_id)
             h.tenant_id, h.entity_id, h.attribute_id, h.observed_at, h.ingested_at,
             a.name, a.projection,
             coalesce(to_jsonb(h.value_text), to_jsonb(h.value_int), to_jsonb(h.value_float),
                      to_jsonb(h.value_numeric), to_jsonb(h.value_bool), to_jsonb(h.value_time),
                      h.value_json) AS value
      FROM eav.entity_values_ts h
      JOIN eav.attributes a ON a.tenant_id = h.tenant_id AND a.attribute_id = h.attribute_id
      WHERE a.projection <> 'none'
      ORDER BY h.tenant_id, h.entity_id, h.attribute_id, h.observed_at DESC, h.ingested_at DESC) AS newest
GROUP BY tenant_id, entity_id;

-- What differs from it, of one tenant.
CREATE FUNCTION differences(tenant bigint)
    RETURNS TABLE (entity_id bigint, expected text, stored text) LANGUAGE sql STABLE AS $$
    SELECT entity_id, format('%s %s %s [%s]', e.hot, e.live, e.current, e.versions),
           format('%s %s %s [%s]', p.hot_attrs, p.live_attrs, c.current, v.versions)
    FROM (SELECT * FROM expected WHERE tenant_id = tenant) AS e
    FULL JOIN (SELECT * FROM eav.entity_jsonb WHERE tenant_id = tenant) AS p USING (entity_id)
    LEFT JOIN LATERAL (
        SELECT string_agg(format('%s %s %s', attribute_id, observed_at, ingested_at), ', ') AS versions
        FROM eav.projection_versions(p.versions)) AS v ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(jsonb_object_agg(a.name, n.value), '{}') AS current
        FROM eav.entity_values_current n JOIN eav.attributes a USING (tenant_id, attribute_id)
        WHERE n.tenant_id = tenant AND n.entity_id = p.entity_id) AS c ON true
    WHERE (e.hot, e.live, e.current, e.versions)
          IS DISTINCT FROM (p.hot_attrs, p.live_attrs, c.current, v.versions)
$$;

CREATE FUNCTION pick(type text) RETURNS text LANGUAGE sql AS $$
    SELECT (array_agg(value ORDER BY value COLLATE "C"))[1 + floor(random() * count(*))]
    FROM sample WHERE data_type = type
$$;

CREATE PROCEDURE generate(seed integer, distinct_times boolean) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(seed / 100000.0);
    FOR n IN 1..100 LOOP
        INSERT INTO event
        SELECT seed, n, source.entity, source.observed_at, a.name, a.data_type,
               CASE WHEN random() < 0.85 THEN pick(a.data_type) END
        FROM (SELECT 1 + floor(random() * 5)::integer AS entity,
                     timestamptz '2020-02-28 23:59:57Z' + interval '1 second'
                     * CASE WHEN distinct_times THEN n ELSE floor(random() * 4) END AS observed_at
              OFFSET 0) AS source,
             (SELECT * FROM attribute ORDER BY random() LIMIT 1 + floor(random() * 8)) AS a;
    END LOOP;
END
$$;

-- Entities 1 to 3 are registered and have both names, 4 is known by its external id only, 5 by
-- its number only. Each value takes one of the forms that are open to it.
CREATE FUNCTION stage(wanted_seed integer, tenant bigint, wanted integer) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO eav.entity_values_ingest
        (tenant_id, entity_id, entity, attribute_id, attribute, observed_at, cleared, value,
         value_text, value_int, value_float, value_numeric, value_bool, value_time, value_json)
    SELECT tenant, CASE WHEN by_number THEN entity END,
           CASE WHEN NOT by_number THEN 'device ' || entity END,
           CASE WHEN by_id THEN attribute_id END, CASE WHEN NOT by_id THEN attribute END,
           observed_at, value IS NULL, CASE WHEN type = 'any' THEN value END,
           CASE WHEN type IN ('text', 'word') THEN value END,
           CASE WHEN type = 'int' OR type = 'number' AND value !~ '[.e]' THEN value END::bigint,
           CASE WHEN type = 'float' OR type = 'number' AND value ~ '[.e]' THEN value END::float,
           CASE WHEN type = 'numeric' THEN value END::numeric,
           CASE WHEN type = 'bool' THEN value END::boolean,
           CASE WHEN type = 'timestamp' THEN value END::timestamptz,
           CASE WHEN type = 'json' THEN value END::jsonb
    FROM (SELECT e.*, a.attribute_id,
                 entity = 5 OR entity <> 4 AND random() < 0.5 AS by_number,
                 a.attribute_id IS NOT NULL AND random() < 0.5 AS by_id,
                 CASE WHEN random() < 0.5 THEN 'any' ELSE e.data_type END AS type
          FROM event e
          LEFT JOIN eav.attributes a ON a.tenant_id = tenant AND a.name = e.attribute
          WHERE e.seed = wanted_seed AND e.event = wanted
          ORDER BY e.attribute COLLATE "C") AS form
$$;

-- The whole event in one call. False when this door does not serve it: it wants a number, and
-- takes a JSON null for a clearing.
CREATE FUNCTION upsert(wanted_seed integer, tenant bigint, wanted integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    number integer;
    observed timestamptz;
    document jsonb;
    returned jsonb;
BEGIN
    SELECT entity, e.observed_at, jsonb_object_agg(attribute, CASE
               WHEN data_type = 'json' OR data_type = 'number' THEN value::jsonb
               WHEN data_type = 'int' THEN to_jsonb(value::bigint)
               WHEN data_type = 'float' THEN to_jsonb(value::float)
               WHEN data_type = 'numeric' THEN to_jsonb(value::numeric)
               WHEN data_type = 'bool' AND random() < 0.5 THEN to_jsonb(value::boolean)
               ELSE to_jsonb(value) END)
    INTO number, observed, document
    FROM event e WHERE e.seed = wanted_seed AND e.event = wanted GROUP BY entity, e.observed_at;
    IF number = 4 OR EXISTS (SELECT FROM event e WHERE e.seed = wanted_seed AND e.event = wanted
                             AND data_type = 'json' AND value = 'null') THEN
        RETURN false;
    END IF;
    returned := eav.upsert_hot_attributes(tenant, number, document, observed);
    IF returned IS DISTINCT FROM coalesce(
           (SELECT hot_attrs || live_attrs FROM eav.entity_jsonb
            WHERE tenant_id = tenant AND entity_id = number), '{}') THEN
        RAISE EXCEPTION 'event % returned %', wanted, returned;
    END IF;
    RETURN true;
END
$$;

-- Work that leaves nothing behind: values, and a flush of whatever is waiting.
CREATE FUNCTION rolled_back(wanted_seed integer, tenant bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM eav.upsert_hot_attributes(tenant, 5, '{"text_hot": "never", "never": 1}');
    INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value)
    VALUES (tenant, 'never', 'text_hot', 'never'), (tenant, 'device 1', 'never', 'never');
    IF random() < 0.5 THEN
        PERFORM eav.stage_flush();
    END IF;
    RAISE SQLSTATE 'ZZ000';
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
END
$$;

-- What waits for one of our own transactions, which the worker met, comes to the projection later.
CREATE PROCEDURE compare(seed integer, tenant bigint, step integer) LANGUAGE sql AS $$
    INSERT INTO mismatch SELECT seed, tenant, step, entity_id FROM differences(tenant)
    WHERE NOT EXISTS (SELECT FROM eav.flush_backlog WHERE tenant_id = tenant)
$$;

CREATE PROCEDURE deliver(wanted_seed integer, tenant bigint, order_seed float)
LANGUAGE plpgsql AS $$
DECLARE
    queue integer[]; -- a third of the events twice
BEGIN
    PERFORM setseed(order_seed);
    queue := ARRAY(SELECT n FROM generate_series(1, 100) AS n, generate_series(0, (n % 3 = 0)::int)
                   ORDER BY random());
    FOR i IN 1..cardinality(queue) LOOP
        IF random() < 0.7 OR NOT upsert(wanted_seed, tenant, queue[i]) THEN
            PERFORM stage(wanted_seed, tenant, queue[i]);
        END IF;
        IF random() < 0.05 THEN
            PERFORM rolled_back(wanted_seed, tenant);
        END IF;
        IF random() < 0.4 THEN
            COMMIT;
            CALL compare(wanted_seed, tenant, i);
        END IF;
        IF random() < 0.2 THEN
            PERFORM eav.stage_flush(CASE WHEN random() < 0.7 THEN 1 + floor(random() * 30)::bigint END);
            CALL compare(wanted_seed, tenant, i);
        END IF;
    END LOOP;
    COMMIT;
    INSERT INTO delivered SELECT wanted_seed, tenant, count(*)
    FROM unnest(queue) AS n JOIN event e ON e.seed = wanted_seed AND e.event = n;
    LOOP
        PERFORM eav.stage_flush();
        COMMIT;
        EXIT WHEN NOT EXISTS (SELECT FROM eav.flush_backlog);
    END LOOP;
    CALL compare(wanted_seed, tenant, NULL);
    COMMIT;
END
$$;

-- Seeds that are even have no two values of an attribute with one observed_at.
CREATE PROCEDURE run(seed integer) LANGUAGE plpgsql AS $$
DECLARE
    tenant bigint;
BEGIN
    CALL generate(seed, seed % 2 = 0);
    FOR copy IN 1..2 LOOP
        tenant := eav.register_tenant(format('seed %s, order %s', seed, copy));
        PERFORM eav.register_attribute(tenant, name, data_type, projection)
        FROM attribute WHERE projection IS NOT NULL;
        PERFORM eav.register_entity(tenant, 'device ' || n, NULL, n) FROM generate_series(1, 3) n;
        COMMIT;
        CALL deliver(seed, tenant, copy * seed / 200000.0);
    END LOOP;
END
$$;

CREATE VIEW documents AS
SELECT t.name, coalesce(e.external_id, e.entity_id::text) AS entity, p.hot_attrs, p.live_attrs,
       (SELECT jsonb_object_agg(a.name, n.value) FROM eav.entity_values_current n
        JOIN eav.attributes a USING (tenant_id, attribute_id)
        WHERE n.tenant_id = p.tenant_id AND n.entity_id = p.entity_id) AS current
FROM eav.entity_jsonb p JOIN eav.tenants t USING (tenant_id) JOIN eav.entities e USING (tenant_id, entity_id);

SELECT plan(5 * :seeds + 4);
SELECT :first_seed + :seeds - 1 AS last_seed, :first_seed + :seeds / 2 AS with_worker \gset
ALTER SYSTEM SET eav.worker_enabled = off;
SELECT pg_reload_conf() \g /dev/null
SELECT format('CALL run(%s)', seed) FROM generate_series(:first_seed, :with_worker - 1) AS seed \gexec
ALTER SYSTEM RESET eav.worker_enabled;
SELECT pg_reload_conf() \g /dev/null
SELECT format('CALL run(%s)', seed) FROM generate_series(:with_worker, :last_seed) AS seed \gexec

SELECT is_empty(format('SELECT * FROM mismatch WHERE seed = %s', seed),
                format('seed %s: equal to the oracle after every step', seed))
FROM generate_series(:first_seed, :last_seed) AS seed;
SELECT is_empty(format('SELECT d.* FROM delivered, differences(tenant_id) AS d WHERE seed = %s', seed),
                format('seed %s: equal to the oracle at the end', seed))
FROM generate_series(:first_seed, :last_seed) AS seed;
SELECT is((SELECT count(*) FROM eav.entity_values_ts h JOIN delivered d USING (tenant_id) WHERE d.seed = s.seed),
          (SELECT sum(rows)::bigint FROM delivered d WHERE d.seed = s.seed),
          format('seed %s: every value is in history, and no other', s.seed))
FROM generate_series(:first_seed, :last_seed) AS s (seed);
SELECT is_empty(format(
           'SELECT tenant_id, entity_id, attribute_id, observed_at, ingested_at, count(*) '
           'FROM eav.entity_values_ts JOIN delivered USING (tenant_id) WHERE seed = %s '
           'GROUP BY 1, 2, 3, 4, 5 HAVING count(*) > 1', seed),
           format('seed %s: the times in history decide which value is newer', seed))
FROM generate_series(:first_seed, :last_seed) AS seed;
SELECT CASE WHEN seed % 2 = 0 THEN
           set_eq(format('SELECT entity, hot_attrs, live_attrs, current FROM documents WHERE name = %L',
                         format('seed %s, order 1', seed)),
                  format('SELECT entity, hot_attrs, live_attrs, current FROM documents WHERE name = %L',
                         format('seed %s, order 2', seed)),
                  format('seed %s: both orders of delivery end in the same documents', seed))
       ELSE pass(format('seed %s: the order of delivery may decide', seed)) END
FROM generate_series(:first_seed, :last_seed) AS seed;

SELECT is_empty('SELECT * FROM eav.ingest_rejects', 'no value was rejected');
SELECT is_empty('SELECT external_id FROM eav.entities WHERE external_id = ''never''
                 UNION ALL SELECT name FROM eav.attributes WHERE name = ''never''',
                'nothing is left of what was rolled back');
SELECT cmp_ok((SELECT count(DISTINCT (attribute_id)) FROM eav.entity_values_ts), '>=', 23::bigint,
              'all attributes took part');
SELECT is_empty('SELECT * FROM eav.entity_values_ts
                 WHERE num_nonnulls(value_bool, value_int, value_float, value_time, value_text,
                                    value_numeric, value_json) > 1',
                'no row of history has two values');
SELECT * FROM finish();
