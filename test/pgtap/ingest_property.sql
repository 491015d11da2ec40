-- eav.ingest() against staging. The same values, event by event through eav.ingest() for two
-- tenants and as typed rows through staging for their mirrors, in the same transactions, end in the
-- same history, with the same value the newest where times are equal, in the same documents, and
-- with the same values rejected; and each projection is what plain SQL computes from its history.
--
-- Each seed is a random set of events: all types, values that their attribute does not take,
-- clearings, an attribute more than once in an event, few different times, and events that are
-- rejected. They go in as text, bytes and jsonb, one at a time, in arrays and in lines, by a session
-- that is bound to a tenant and by one that is not, with savepoints and transactions that are
-- rolled back and flushes of all sizes in between.
--
-- Of three seeds one has the door closed, so that all calls go through staging; one has it open, and
-- only the test flushes; and one has the worker at work beside, and waits for tickets.
-- Other seeds: psql -v first_seed=1000 -v seeds=50.
\if :{?seeds}
\else
\set seeds 15
\endif
\if :{?first_seed}
\else
\set first_seed 1
\endif
SET client_min_messages = warning;
SET timezone = 'UTC';
-- Larger than a flush of the test. Where a flush is worked through in pieces, staged rows come to them
-- as they lie in the table, which now and then is not the order in which they arrived.
SET eav.flush_batch_values = 10000;
CREATE SCHEMA property;
SET search_path = property, public;

-- What values look like in JSON, and the staged column that they belong in.
CREATE TABLE sample (id integer GENERATED ALWAYS AS IDENTITY, kind text, json text, column_name text, value text);
INSERT INTO sample (kind, column_name, json, value) VALUES
    ('text', 'text', '"a"', 'a'), ('text', 'text', '""', ''), ('text', 'text', '" padded "', ' padded '),
    ('text', 'text', '"5"', '5'), ('text', 'text', '"true"', 'true'), ('text', 'text', '"null"', 'null'),
    ('text', 'text', '"line\nand \"quote\" \\"', E'line\nand "quote" \\'),
    ('text', 'text', '"größer \u00df \ud83d\ude00 \/"', 'größer ß 😀 /'),
    ('int', 'int', '0', '0'), ('int', 'int', '-0', '0'), ('int', 'int', '-1', '-1'), ('int', 'int', '5', '5'),
    ('int', 'int', '9007199254740993', '9007199254740993'),
    ('int', 'int', '9223372036854775807', '9223372036854775807'),
    ('int', 'int', '-9223372036854775808', '-9223372036854775808'),
    ('big', 'numeric', '9223372036854775808', '9223372036854775808'),
    ('big', 'numeric', '18446744073709551615', '18446744073709551615'),
    ('big', 'numeric', '-9223372036854775809', '-9223372036854775809'),
    ('float', 'float', '0.0', '0'), ('float', 'float', '-0.0', '-0'), ('float', 'float', '0.1', '0.1'),
    ('float', 'float', '5.0', '5'), ('float', 'float', '72.5', '72.5'), ('float', 'float', '1e300', '1e300'),
    ('float', 'float', '-2.5E-300', '-2.5e-300'), ('float', 'float', '5e-324', '5e-324'),
    ('float', 'float', '1.7976931348623157e+308', '1.7976931348623157e308'),
    ('float', 'float', '9007199254740994.0', '9007199254740994'), ('float', 'float', '1e15', '1e15'),
    ('decimal', 'numeric', '12345678901234567890.123456789', '12345678901234567890.123456789'),
    ('decimal', 'numeric', '0.300000000000000041', '0.300000000000000041'),
    ('decimal', 'numeric', '9007199254740993.0', '9007199254740993.0'),
    ('decimal', 'numeric', '-1e400', '-1e400'),
    ('bool', 'bool', 'true', 'true'), ('bool', 'bool', 'false', 'false'),
    ('time', 'text', '"2026-01-31T12:00:00.123456Z"', '2026-01-31T12:00:00.123456Z'),
    ('time', 'text', '"2024-02-29 23:59:59+05:30"', '2024-02-29 23:59:59+05:30'),
    ('time', 'text', '"infinity"', 'infinity'), ('time', 'text', '"1969-12-31T23:59:59.5-00:01"', '1969-12-31T23:59:59.5-00:01'),
    ('json', 'json', '{"a": 1}', '{"a": 1}'), ('json', 'json', '{}', '{}'), ('json', 'json', '[]', '[]'),
    ('json', 'json', '[1,[2,{"x":null,"y":"\u00e4"}], 2.50]', '[1,[2,{"x":null,"y":"ä"}], 2.50]'),
    ('null', NULL, 'null', NULL),
    ('number', 'int', '1', '1'), ('number', 'int', '-3', '-3'), ('number', 'float', '2.5', '2.5'),
    ('number', 'float', '1e3', '1e3'), ('number', 'int', '0', '0');
CREATE TABLE kinds AS
SELECT kind, array_agg(id ORDER BY id) AS ids FROM sample GROUP BY kind;

-- What attributes take. Two are not registered: the first values do that.
CREATE TABLE attribute (name text, data_type text, projection text, takes text[]);
INSERT INTO attribute
SELECT data_type || '_' || projection, data_type, projection, takes::text[]
FROM (VALUES ('text', '{text,time}'), ('int', '{int}'), ('float', '{int,big,float}'),
             ('numeric', '{int,big,float,decimal}'), ('bool', '{bool}'), ('timestamp', '{time}'),
             ('json', '{text,int,big,float,decimal,bool,time,json}')) AS t (data_type, takes),
     unnest('{hot,live,none}'::text[]) AS projection
UNION ALL VALUES ('some_number', NULL, NULL, '{number}'::text[]), ('some_word', NULL, NULL, '{text}');

-- Events that are rejected; %s is the tenant.
CREATE TABLE fault (id integer GENERATED ALWAYS AS IDENTITY, json text);
INSERT INTO fault (json) VALUES
    ('{"tenant_id":%s}'), ('{"tenant_id":%s,"entity_id":1,"attributes":{}}'), ('7'), ('[]'),
    ('{"tenant_id":%s,"entity_id":1,"attributes":{"text_hot":"never"},"x":{"y":[1]}}'),
    ('{"tenant_id":%s,"entity_id":"1","attributes":{"text_hot":"never"}}'),
    ('{"tenant_id":%s,"entity_id":1,"attributes":{"text_hot":"never","":1}}'),
    ('{"tenant_id":%s,"entity_id":1,"entity":"device 1","attributes":{"text_hot":"never"}}'),
    ('{"tenant_id":%s,"entity_id":1,"observed_at":"now","attributes":{"text_hot":"never"}}');

CREATE TABLE event (seed integer, n integer, place integer, entity integer, by_number boolean,
                    observed_at timestamptz, observed_json text, fault integer, PRIMARY KEY (seed, n));
CREATE TABLE value (seed integer, n integer, place integer, attribute text, sample integer,
                    PRIMARY KEY (seed, n, place));
-- place: which of the two tenants. By way of eav.ingest(), and the mirror.
CREATE TABLE tenant (seed integer, place integer, door bigint, mirror bigint, PRIMARY KEY (seed, place));
CREATE TABLE failure (seed integer, what text);
CREATE TABLE done (seed integer, calls bigint, events bigint, rejected bigint);

CREATE FUNCTION pick(ids integer[]) RETURNS integer LANGUAGE sql AS
'SELECT ids[1 + floor(random() * cardinality(ids))]';

CREATE PROCEDURE generate(wanted_seed integer) LANGUAGE plpgsql AS $$
DECLARE
    all_attributes CONSTANT attribute[] := ARRAY(SELECT a FROM attribute a ORDER BY name COLLATE "C");
    all_kinds CONSTANT text[] := ARRAY(SELECT kind FROM kinds WHERE kind <> 'number' ORDER BY kind COLLATE "C");
    chosen attribute;
    kind_chosen text;
    observed timestamptz;
    form float;
BEGIN
    PERFORM setseed(wanted_seed / 100000.0);
    FOR event IN 1..200 LOOP
        observed := timestamptz '2020-02-28 23:59:57Z' + floor(random() * 4) * interval '1 second';
        form := random();
        INSERT INTO event VALUES (
            wanted_seed, event, 1 + floor(random() * 2), 1 + floor(random() * 5), random() < 0.5, observed,
            CASE WHEN form < 0.4 THEN (extract(epoch FROM observed) * 1000)::bigint::text
                 WHEN form < 0.7 THEN to_char(observed, '"\""YYYY-MM-DD"T"HH24:MI:SS"Z\""')
                 ELSE to_char(observed + interval '5:30', '"\""YYYY-MM-DD"t"HH24:MI:SS.US"+05:30\""') END,
            CASE WHEN random() < 0.08 THEN pick(ARRAY(SELECT id FROM fault ORDER BY id)) END);
        FOR place IN 1..1 + floor(random() * random() * 12)::integer LOOP
            chosen := all_attributes[1 + floor(random() * cardinality(all_attributes))];
            kind_chosen := CASE
                WHEN random() < 0.1 THEN 'null'
                WHEN random() < 0.1 AND chosen.data_type IS NOT NULL THEN all_kinds[1 + floor(random() * cardinality(all_kinds))]
                ELSE chosen.takes[1 + floor(random() * cardinality(chosen.takes))] END;
            INSERT INTO value VALUES (wanted_seed, event, place, chosen.name,
                                      pick((SELECT ids FROM kinds WHERE kind = kind_chosen)));
        END LOOP;
    END LOOP;
END
$$;

-- Entities 1 to 3 are registered and have both names, 4 is known by its external id only, 5 by
-- its number only.
CREATE FUNCTION is_by_number(event) RETURNS boolean LANGUAGE sql AS
'SELECT $1.entity = 5 OR $1.entity <> 4 AND $1.by_number';

-- The event with its keys in any order.
CREATE FUNCTION json_of(one event, tenant bigint) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN one.fault IS NOT NULL
        THEN (SELECT replace(json, '%s', tenants.door::text) FROM fault, tenant tenants
              WHERE id = one.fault AND tenants.seed = one.seed AND tenants.place = one.place)
        ELSE (SELECT '{' || string_agg(member, ',' ORDER BY random()) || '}' FROM (VALUES
            (CASE WHEN is_by_number(one) THEN format('"entity_id":%s', one.entity) ELSE format('"entity" : "device %s"', one.entity) END),
            (format('"observed_at":%s', one.observed_json)),
            ((SELECT '"attributes":{' || string_agg(format('%s:%s', to_json(v.attribute), s.json), ', ' ORDER BY v.place) || '}'
              FROM value v JOIN sample s ON s.id = v.sample WHERE v.seed = one.seed AND v.n = one.n)),
            ('"tenant_id": ' || tenant)) AS members (member) WHERE member IS NOT NULL) END
$$;

-- Whether the event means the same as jsonb: that keeps one value of a name, and writes numbers in
-- its own way.
CREATE FUNCTION survives_jsonb(one event) RETURNS boolean LANGUAGE sql AS $$
    SELECT one.fault IS NOT NULL
        OR (SELECT count(DISTINCT attribute) = count(*) AND bool_and(s.json !~ '^-?[0-9.]+[eE]|^-0')
            FROM value v JOIN sample s ON s.id = v.sample WHERE v.seed = one.seed AND v.n = one.n)
$$;

-- The same values as typed rows, each by a statement of its own: that is their order of arrival.
CREATE FUNCTION stage(one event, tenant bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT v.attribute, s.* FROM value v JOIN sample s ON s.id = v.sample
        WHERE v.seed = one.seed AND v.n = one.n AND one.fault IS NULL ORDER BY v.place
    LOOP
        INSERT INTO eav.entity_values_ingest
            (tenant_id, entity_id, entity, attribute, observed_at, cleared, value_text, value_int,
             value_float, value_numeric, value_bool, value_json)
        VALUES (tenant, CASE WHEN is_by_number(one) THEN one.entity END,
                CASE WHEN NOT is_by_number(one) THEN 'device ' || one.entity END,
                each.attribute, one.observed_at, each.column_name IS NULL,
                CASE each.column_name WHEN 'text' THEN each.value END,
                CASE each.column_name WHEN 'int' THEN each.value END::bigint,
                CASE each.column_name WHEN 'float' THEN each.value END::float,
                CASE each.column_name WHEN 'numeric' THEN each.value END::numeric,
                CASE each.column_name WHEN 'bool' THEN each.value END::boolean,
                CASE each.column_name WHEN 'json' THEN each.value END::jsonb);
    END LOOP;
END
$$;

-- One call of eav.ingest() with the events from first to last, and the same for the mirrors.
CREATE FUNCTION call(wanted_seed integer, first integer, last integer, ack text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    events event[] := ARRAY(SELECT e FROM event e WHERE e.seed = wanted_seed AND e.n BETWEEN first AND last ORDER BY e.n);
    faults bigint := (SELECT count(fault) FROM unnest(events));
    -- A session that is bound takes events of its tenant only.
    bound bigint := (SELECT min(door) FROM unnest(events) JOIN tenant t USING (seed, place)
                     HAVING min(place) = max(place) AND random() < 0.5);
    names boolean := bound IS NULL OR random() < 0.5;
    texts text[];
    form float := random();
    receipt eav.ingest_receipt;
BEGIN
    PERFORM set_config('eav.tenant_id', coalesce(bound::text, ''), false);
    SELECT array_agg(json_of(e, CASE WHEN names THEN t.door END) ORDER BY e.n) INTO texts
    FROM unnest(events) AS e JOIN tenant t USING (seed, place);
    IF form < 0.3 AND (SELECT bool_and(survives_jsonb(e)) FROM unnest(events) AS e) THEN
        receipt := eav.ingest(('[' || array_to_string(texts, ',') || ']')::jsonb, ack);
    ELSIF form < 0.5 THEN
        receipt := eav.ingest('[' || array_to_string(texts, ' , ') || ']', ack);
    ELSIF form < 0.65 THEN
        receipt := eav.ingest(convert_to('[' || array_to_string(texts, ',') || ']', 'UTF8'), ack);
    ELSE
        -- Lines, where what is no object stands in an array.
        receipt := eav.ingest((SELECT string_agg(CASE WHEN line LIKE '{%' THEN line ELSE '[' || line || ']' END,
                                                 CASE WHEN form < 0.8 THEN E'\n' ELSE '' END ORDER BY n)
                               FROM unnest(texts) WITH ORDINALITY AS t (line, n)), ack);
    END IF;
    PERFORM set_config('eav.tenant_id', '', false);
    IF (receipt.accepted, receipt.rejected) <> (cardinality(events) - faults, faults) THEN
        RAISE 'events % to %: % accepted, % rejected', first, last, receipt.accepted, receipt.rejected;
    END IF;
    PERFORM stage(e, t.mirror) FROM unnest(events) AS e JOIN tenant t USING (seed, place) ORDER BY e.n;
    RETURN receipt.ticket;
END
$$;

-- Work that leaves nothing behind.
CREATE FUNCTION undone_call(wanted_seed integer, first integer, last integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM call(wanted_seed, first, last, CASE WHEN random() < 0.5 THEN 'accepted' ELSE 'durable' END);
    IF random() < 0.3 THEN
        PERFORM eav.stage_flush();
    END IF;
    RAISE SQLSTATE 'ZZ000';
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
END
$$;

-- The oracle: see projection_property.sql.
CREATE VIEW expected AS
SELECT tenant_id, entity_id,
       coalesce(jsonb_object_agg(name, value)
                FILTER (WHERE projection = 'hot' AND value IS NOT NULL), '{}') AS hot,
       coalesce(jsonb_object_agg(name, value)
                FILTER (WHERE projection = 'live' AND value IS NOT NULL), '{}') AS live,
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
CREATE FUNCTION differences(tenant bigint)
    RETURNS TABLE (entity_id bigint, expected text, stored text) LANGUAGE sql STABLE AS $$
    SELECT entity_id, format('%s %s [%s]', e.hot, e.live, e.versions),
           format('%s %s [%s]', p.hot_attrs, p.live_attrs, v.versions)
    FROM (SELECT * FROM expected WHERE tenant_id = tenant) AS e
    FULL JOIN (SELECT * FROM eav.entity_jsonb WHERE tenant_id = tenant) AS p USING (entity_id)
    LEFT JOIN LATERAL (
        SELECT string_agg(format('%s %s %s', attribute_id, observed_at, ingested_at), ', ') AS versions
        FROM eav.projection_versions(p.versions)) AS v ON true
    WHERE (e.hot, e.live, e.versions) IS DISTINCT FROM (p.hot_attrs, p.live_attrs, v.versions)
$$;

-- What came of a tenant's values: all that were given one time, in the order in which they
-- arrived. The column that holds a value is part of it, but for some_number: whether an int that came
-- before the first float is kept as one depends on where a flush ended.
CREATE VIEW history AS
SELECT tenant_id, coalesce(external_id, entity_id::text) AS entity, attribute_name, data_type, observed_at,
       string_agg(concat_ws(' ', coalesce(value, 'cleared'),
                            CASE WHEN attribute_name <> 'some_number' THEN
                                CASE WHEN value_text IS NOT NULL THEN 'text' WHEN value_int IS NOT NULL THEN 'int'
                                     WHEN value_float IS NOT NULL THEN 'float' WHEN value_numeric IS NOT NULL THEN 'numeric'
                                     WHEN value_bool IS NOT NULL THEN 'bool' WHEN value_time IS NOT NULL THEN 'time'
                                     WHEN value_json IS NOT NULL THEN 'json' END END), ', '
                  ORDER BY ingested_at) AS values
FROM eav.entity_values
GROUP BY tenant_id, 2, attribute_name, data_type, observed_at;
CREATE VIEW documents AS
SELECT tenant_id, coalesce(external_id, entity_id::text) AS entity, hot_attrs, live_attrs
FROM eav.entity_jsonb JOIN eav.entities USING (tenant_id, entity_id);

CREATE PROCEDURE compare(wanted_seed integer) LANGUAGE sql AS $$
    INSERT INTO failure
    SELECT seed, format('tenant %s, entity %s: %s, not %s', t, d.entity_id, d.stored, d.expected)
    FROM tenant, unnest(ARRAY[door, mirror]) AS t, differences(t) AS d
    WHERE seed = wanted_seed AND NOT EXISTS (SELECT FROM eav.flush_backlog)
$$;

CREATE PROCEDURE flush_all() LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        PERFORM eav.stage_flush();
        COMMIT;
        EXIT WHEN NOT EXISTS (SELECT FROM eav.flush_backlog);
    END LOOP;
END
$$;

CREATE PROCEDURE deliver(wanted_seed integer, has_worker boolean) LANGUAGE plpgsql AS $$
DECLARE
    next integer := 1;      -- event to be delivered
    committed integer := 1; -- the first whose call has not committed
    last integer;
    ticket bigint;
    calls bigint := 0;
    committed_calls bigint := 0;
    arrived bigint;
    sent bigint;
BEGIN
    WHILE committed <= 200 LOOP
        IF next <= 200 THEN
            last := least(200, next + floor(random() * random() * 20)::integer);
            IF random() < 0.15 THEN
                PERFORM undone_call(wanted_seed, next, last);
            END IF;
            ticket := call(wanted_seed, next, last, CASE WHEN has_worker AND random() < 0.05 THEN 'durable' ELSE 'accepted' END);
            next := last + 1;
            calls := calls + 1;
        END IF;
        IF random() < 0.15 THEN
            PERFORM eav.stage_flush(CASE WHEN random() < 0.7 THEN 1 + floor(random() * 60)::bigint END);
        END IF;
        IF random() < 0.06 THEN
            ROLLBACK;
            next := committed;
            calls := committed_calls;
        ELSIF random() < 0.45 OR next > 200 THEN
            COMMIT;
            committed := next;
            committed_calls := calls;
            IF has_worker AND random() < 0.3 THEN
                -- Then all is there that was accepted before.
                IF NOT eav.wait_flushed(ticket, '1 minute') THEN
                    INSERT INTO failure VALUES (wanted_seed, format('waited in vain for event %s', committed - 1));
                END IF;
                COMMIT;
                SELECT (SELECT count(*) FROM eav.entity_values_ts h WHERE h.tenant_id = ANY (doors))
                       + (SELECT count(*) FROM eav.ingest_rejects r WHERE r.tenant_id = ANY (doors) AND NOT r.payload ? 'event')
                       + (SELECT count(*) FROM eav.flush_backlog b WHERE b.tenant_id = ANY (doors) AND b.ingested_at IS NULL)
                INTO arrived
                FROM (SELECT array_agg(door) AS doors FROM tenant WHERE seed = wanted_seed) AS t;
                SELECT count(*) INTO sent FROM value v JOIN event e USING (seed, n)
                WHERE e.seed = wanted_seed AND e.n < committed AND e.fault IS NULL;
                IF arrived <> sent THEN
                    INSERT INTO failure VALUES (wanted_seed, format('%s values have arrived, not %s, after event %s', arrived, sent, committed - 1));
                END IF;
            END IF;
            IF random() < 0.3 THEN
                CALL compare(wanted_seed);
                COMMIT;
            END IF;
        END IF;
    END LOOP;
    CALL flush_all();
    CALL compare(wanted_seed);
    INSERT INTO done SELECT wanted_seed, calls, count(*) - count(fault), count(fault) FROM event WHERE seed = wanted_seed;
    COMMIT;
END
$$;

CREATE PROCEDURE run(seed integer, has_worker boolean) LANGUAGE plpgsql AS $$
DECLARE
    made tenant;
BEGIN
    CALL generate(seed);
    FOR place IN 1..2 LOOP
        INSERT INTO tenant VALUES (seed, place, eav.register_tenant(format('seed %s, door %s', seed, place)),
                                   eav.register_tenant(format('seed %s, mirror %s', seed, place)))
        RETURNING * INTO made;
        PERFORM eav.register_attribute(t, name, data_type, projection)
        FROM attribute, unnest(ARRAY[made.door, made.mirror]) AS t WHERE projection IS NOT NULL;
        PERFORM eav.register_entity(t, 'device ' || n, NULL, n)
        FROM generate_series(1, 3) AS n, unnest(ARRAY[made.door, made.mirror]) AS t;
    END LOOP;
    COMMIT;
    CALL deliver(seed, has_worker);
END
$$;

-- Until the door is as it should be, and the worker has done what it does then.
CREATE PROCEDURE wait_for_door(open boolean) LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..6000 LOOP
        EXIT WHEN (SELECT is_open = open FROM eav.stat_ingest)
            AND EXISTS (SELECT FROM pg_stat_activity
                        WHERE datname = current_database() AND state = 'idle'
                          AND backend_type = 'eav_ext flush worker'
                          AND query <> 'opening the door to the ring');
        ASSERT attempt < 6000, 'the door does not move';
        PERFORM pg_current_xact_id(); -- something for the worker to look at
        COMMIT;
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;

SELECT plan(6 * :seeds + 6);
SELECT :first_seed + :seeds - 1 AS last_seed \gset
ALTER SYSTEM SET eav.worker_enabled = off;
SELECT pg_reload_conf() \g /dev/null
CALL wait_for_door(false);
SELECT format('CALL run(%s, false)', seed) FROM generate_series(:first_seed, :last_seed) AS seed WHERE seed % 3 = 0 \gexec
SELECT spilled_calls = calls AND calls = (SELECT coalesce(sum(calls), 0) FROM done) AS all_spilled FROM eav.stat_ingest \gset
ALTER SYSTEM SET eav.flush_interval = '60s';
ALTER SYSTEM SET eav.worker_enabled = on;
SELECT pg_reload_conf() \g /dev/null
CALL wait_for_door(true);
SELECT spilled_calls FROM eav.stat_ingest \gset
SELECT format('CALL run(%s, false)', seed) FROM generate_series(:first_seed, :last_seed) AS seed WHERE seed % 3 = 1 \gexec
ALTER SYSTEM RESET eav.flush_interval;
SELECT pg_reload_conf() \g /dev/null
SET eav.flush_batch_values = 100; -- the least there is; the worker leaves little for a flush
SELECT format('CALL run(%s, true)', seed) FROM generate_series(:first_seed, :last_seed) AS seed WHERE seed % 3 = 2 \gexec
CALL flush_all();
ALTER SYSTEM RESET eav.worker_enabled;
SELECT pg_reload_conf() \g /dev/null

SELECT is_empty(format('SELECT what FROM failure WHERE seed = %s', seed),
                format('seed %s: equal to the oracle after every step, and no wait in vain', seed))
FROM generate_series(:first_seed, :last_seed) AS seed;
SELECT bag_eq(format('SELECT place, entity, attribute_name, data_type, observed_at, values
                      FROM tenant JOIN history ON tenant_id = door WHERE seed = %s', seed),
              format('SELECT place, entity, attribute_name, data_type, observed_at, values
                      FROM tenant JOIN history ON tenant_id = mirror WHERE seed = %s', seed),
              format('seed %s: the same history', seed))
FROM generate_series(:first_seed, :last_seed) AS seed;
SELECT bag_eq(format('SELECT place, entity, hot_attrs, live_attrs
                      FROM tenant JOIN documents ON tenant_id = door WHERE seed = %s', seed),
              format('SELECT place, entity, hot_attrs, live_attrs
                      FROM tenant JOIN documents ON tenant_id = mirror WHERE seed = %s', seed),
              format('seed %s: the same documents', seed))
FROM generate_series(:first_seed, :last_seed) AS seed;
SELECT bag_eq(format('SELECT place, sqlstate, reason, payload - ''tenant_id''
                      FROM tenant JOIN eav.ingest_rejects ON tenant_id = door
                      WHERE seed = %s AND NOT payload ? ''event''', seed),
              format('SELECT place, sqlstate, reason, payload - ''tenant_id''
                      FROM tenant JOIN eav.ingest_rejects ON tenant_id = mirror WHERE seed = %s', seed),
              format('seed %s: the same values are rejected', seed))
FROM generate_series(:first_seed, :last_seed) AS seed;
SELECT is((SELECT count(*) FROM eav.ingest_rejects r JOIN tenant t ON r.tenant_id = t.door WHERE t.seed = s.seed AND jsonb_typeof(r.payload -> 'event') = 'object'),
          (SELECT count(*) FROM event e JOIN fault f ON f.id = e.fault WHERE e.seed = s.seed AND f.json LIKE '%\%s%'),
          format('seed %s: each event that is not right is rejected once', s.seed))
FROM generate_series(:first_seed, :last_seed) AS s (seed);
SELECT is((SELECT count(*) FROM eav.entity_values_ts JOIN tenant t ON tenant_id = door WHERE t.seed = s.seed)
          + (SELECT count(*) FROM eav.ingest_rejects r JOIN tenant t ON r.tenant_id = t.door WHERE t.seed = s.seed AND NOT r.payload ? 'event'),
          (SELECT count(*) FROM value v JOIN event e USING (seed, n) WHERE v.seed = s.seed AND e.fault IS NULL),
          format('seed %s: every value is in history or rejected, and no other', s.seed))
FROM generate_series(:first_seed, :last_seed) AS s (seed);

SELECT ok(:'all_spilled', 'with the door closed all calls went through staging');
SELECT is(spilled_calls, :spilled_calls::bigint, 'with the door open none did') FROM eav.stat_ingest;
SELECT is(ROW (s.calls, s.events, s.rejected), (SELECT ROW (sum(calls)::bigint, sum(events)::bigint, sum(rejected)::bigint) FROM done),
          'what was counted is what was sent and not rolled back')
FROM eav.stat_ingest s;
SELECT is(slabs_in_use, 0, 'nothing is left in the ring') FROM eav.stat_ingest;
SELECT is((SELECT count(*) FROM eav.ingest_rejects WHERE payload ? 'event'), (SELECT sum(rejected)::bigint FROM done),
          'nor is one that does not say whose it is rejected more than once');
SELECT is_empty('SELECT * FROM eav.flush_backlog', 'nothing waits');
SELECT * FROM finish();
