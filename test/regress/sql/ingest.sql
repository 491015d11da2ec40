-- eav.ingest(), eav.wait_flushed() and eav.stat_ingest. Each payload goes both ways: through
-- staging while the worker rests, and through the ring with a worker that opens the door and
-- then does nothing unless somebody waits for a flush. So every other flush is one of ours.
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- Until the ring takes values (or does not), and the worker has done what it does then.
CREATE PROCEDURE wait_for_door(open boolean) LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..6000 LOOP
        EXIT WHEN (SELECT is_open = open FROM eav.stat_ingest)
            AND EXISTS (SELECT FROM pg_stat_activity
                        WHERE datname = current_database() AND state = 'idle'
                          AND backend_type = 'eav_ext flush worker'
                          AND query <> 'opening the door to the ring');
        ASSERT attempt < 6000, 'the door does not move';
        COMMIT;
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;
CALL wait_for_door(false);
SELECT flushed >= 0 FROM eav.stage_flush();
TRUNCATE eav.ingest_rejects;
CREATE FUNCTION flush(max_values bigint DEFAULT NULL, OUT flushed bigint, OUT projected bigint,
                      OUT rejected bigint) LANGUAGE sql AS
'SELECT flushed, projected, rejected FROM eav.stage_flush(max_values)';

-- Of two tenants that get the same, one each way.
SELECT eav.register_tenant('spilled', 8101), eav.register_tenant('by ring', 8102);
SELECT count(eav.register_attribute(tenant, 'd_' || type, type))
FROM generate_series(8101, 8102) AS tenant,
     unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) AS type;
CREATE VIEW history AS
SELECT tenant_id, coalesce(external_id, entity_id::text) AS entity, attribute_name, data_type,
       observed_at, value,
       concat_ws(', ', 'text' || left(value_text, 0), 'int' || left(value_int::text, 0),
                 'float' || left(value_float::text, 0), 'numeric' || left(value_numeric::text, 0),
                 'bool' || left(value_bool::text, 0), 'time' || left(value_time::text, 0),
                 'json' || left(value_json::text, 0)) AS kept_in
FROM eav.entity_values WHERE tenant_id BETWEEN 8101 AND 8199;
CREATE VIEW documents AS
SELECT tenant_id, coalesce(external_id, entity_id::text) AS entity,
       hot_attrs || live_attrs || coalesce((SELECT jsonb_object_agg(a.name, c.value)
           FROM eav.entity_values_current c JOIN eav.attributes a USING (tenant_id, attribute_id)
           WHERE c.tenant_id = p.tenant_id AND c.entity_id = p.entity_id), '{}') AS document
FROM eav.entity_jsonb p JOIN eav.entities USING (tenant_id, entity_id)
WHERE tenant_id BETWEEN 8101 AND 8199;
CREATE VIEW rejected AS
SELECT reject_id, tenant_id, sqlstate, reason, payload ->> 'position' AS position,
       payload -> 'event' AS event, payload - 'tenant_id' AS payload
FROM eav.ingest_rejects;
CREATE VIEW counters AS
SELECT calls, events, "values", bytes, rejected, spilled_calls, spilled_values
FROM eav.stat_ingest;

-- Errors: nothing of the call is accepted, and nothing is counted.
SET eav.tenant_id = 8101;
CREATE TABLE before AS SELECT * FROM counters;
SELECT error_of(format('SELECT eav.ingest(%s)', arguments))
FROM unnest(ARRAY['NULL', 'NULL::bytea', 'NULL::jsonb', $$'[]', NULL$$, $$jsonb '[]', ack => NULL$$,
                  $$'[]', ''$$, $$'[]', 'Durable'$$, $$bytea '[]', 'flushed'$$,
                  $$'[]', repeat('x', 1000)$$]) AS arguments;

-- Malformed JSON, with the place of the first fault in bytes.
CREATE TABLE malformed (n integer GENERATED ALWAYS AS IDENTITY, payload text);
INSERT INTO malformed (payload) VALUES
    (''), (E' \t\r\n'), ('1'), ('"text"'), ('null'), ('true'), ('x'), ('{'), ('['), (']'), ('}'),
    ('{"entity_id"'), ('{"entity_id":'), ('{"entity_id":1'), ('{"entity_id":1,}'), ('{"entity_id" 1}'),
    ('{entity_id:1}'), ('{''entity_id'':1}'), ('{1:1}'), ('[1,]'), ('[,1]'), ('[1 2]'), ('[{}'), ('{}}'),
    ('{},{}'), (E'{}\n{}\n{'), (E'{}\n\nx{}'), ('[] 1'), ('{"entity_id":tru}'), ('{"entity_id":truex}'),
    ('{"entity_id":nul}'), ('{"entity_id":01}'), ('{"entity_id":1.}'), ('{"entity_id":.5}'),
    ('{"entity_id":+1}'), ('{"entity_id":-}'), ('{"entity_id":1e}'), ('{"entity_id":1e+}'),
    ('{"entity_id":0x1}'), ('{"entity_id":1_0}'), ('{"entity_id":NaN}'), ('{"entity_id":Infinity}'),
    ('{"unknown":tru}'), ('{"unknown":[1,{"a":01}]}'), ('{"unknown":{"a" 1}}'),
    ('{"attributes":{"a":01}}'), ('{"attributes":{"a":1,}}'), ('{"attributes":{"a":[1,]}}'),
    ('{"attributes":{"a"}}'), ('{"attributes":{"a":"b}}'),
    ('{"entity":"\x"}'), ('{"entity":"\u12"}'), ('{"entity":"\u12g4"}'), ('{"entity":"\ud800"}'),
    ('{"entity":"\udc00"}'), ('{"entity":"\ud800\ud800"}'), ('{"entity":"\'), ('{"ent\ity":1}'),
    (E'{"entity":"a\tb"}'), (E'{"entity":"a\nb"}'), (E'{"entity":"a\u0001b"}'),
    ('{"größer":x}'), ('{"😀":x}'), (E'\uFEFF{}'), ('/* */ {}'), ('{} // no'), ('{"a":1}{"b":1}x');
SELECT to_json(payload), regexp_replace(error_of(format('SELECT eav.ingest(%L)', payload)), '\n *', ': ', 'g')
FROM malformed ORDER BY n;
-- The same bytes, the same error. As jsonb only what is no event and no array gets here at all.
SELECT count(*), count(DISTINCT n) FROM malformed
WHERE error_of(format('SELECT eav.ingest(%L)', payload))
      = error_of(format('SELECT eav.ingest(%L::bytea)', convert_to(payload, 'UTF8')));
SELECT payload, regexp_replace(error_of(format('SELECT eav.ingest(%L::jsonb)', payload)), '\n *', ': ', 'g')
FROM unnest('{1,"\"text\"","null",true}'::text[]) AS payload;
-- Bytes that are no text.
SELECT payload, regexp_replace(error_of(format('SELECT eav.ingest(%L::bytea)', payload)), '\n *', ': ', 'g')
FROM unnest(ARRAY['{}'::bytea || '\x00', '\x00', '\xff', '{"entity":"'::bytea || '\xff22', '{"entity":"'::bytea || '\xc3227d',
                  '{"entity":"'::bytea || '\xc080227d', '{"entity":"'::bytea || '\xeda080227d',
                  '{"entity":"'::bytea || '\xf4908080227d', '{"entity":"'::bytea || '\x00227d',
                  '\xefbbbf7b7d']) AS payload;
-- Behind any number of good events.
SELECT error_of(format('SELECT eav.ingest(%L)', repeat('{"entity_id":1,"attributes":{"a":1}}' || E'\n', 10000) || '{'));

-- Depth: 64 arrays and objects, where the event and its attributes are two of them.
CREATE FUNCTION nested(depth integer, around text DEFAULT '%s', opening text DEFAULT '[',
                       closing text DEFAULT ']') RETURNS text LANGUAGE sql AS
$$ SELECT format(around, repeat(opening, depth) || repeat(closing, depth)) $$;
SELECT error_of(format('SELECT eav.ingest(%L)', payload))
FROM unnest(ARRAY[nested(63, '{"entity":"deep","attributes":{"deep":%s}}'),
                  nested(62, '[{"entity":"deep","attributes":{"deep":%s}}]'),
                  nested(63, '{"entity":"deep","attributes":{"deep":%s}}', '{"a":', '}'),
                  nested(64, '{"unknown":%s}'), nested(65), nested(100000)]) AS payload;
SELECT error_of(format('SELECT eav.ingest(%L::jsonb)', nested(63, '{"entity":"deep","attributes":{"deep":%s}}')));

-- Size.
-- What the server says about a limit differs between its versions.
SELECT name, min_val, max_val, unit FROM pg_settings
WHERE name IN ('eav.max_payload_bytes', 'eav.durable_timeout') ORDER BY name;
\set VERBOSITY sqlstate
SET eav.max_payload_bytes = 1023;
SET eav.max_payload_bytes = '256.1MB';
\set VERBOSITY default
SET eav.max_payload_bytes = 1024;
SHOW eav.max_payload_bytes;
SELECT error_of(format('SELECT eav.ingest(%s)', payload))
FROM unnest(ARRAY[$$'[]' || repeat(' ', 1023)$$, $$convert_to('[]' || repeat('ä', 1023), 'UTF8')$$,
                  $$to_jsonb(ARRAY[repeat('x', 1021)])$$]) AS payload;
SELECT eav.ingest('[]' || repeat(' ', 1022));
SELECT eav.ingest(convert_to('[]' || repeat(' ', 1022), 'UTF8'));
SELECT rejected FROM eav.ingest(to_jsonb(ARRAY[repeat('x', 1020)]));
TRUNCATE eav.ingest_rejects;
RESET eav.max_payload_bytes;

SELECT flushed FROM flush();
SELECT now.calls - before.calls, now.events - before.events, now.bytes - before.bytes
FROM counters now, before;
DROP TABLE malformed, before;

-- Payloads without events: no ticket. What is durable is so at once.
SELECT eav.ingest('[]'), eav.ingest('[] [] []'), eav.ingest(E' [ ]\n', 'durable'), eav.ingest(bytea '[]'),
       eav.ingest(jsonb '[]', ack => 'durable');

-- Settings.
SET eav.tenant_id = '8101a';
SET eav.tenant_id = ' ';
SET eav.tenant_id = '1.5';
SET eav.tenant_id = '9223372036854775808';
SET eav.tenant_id = '-9223372036854775808';
SET eav.tenant_id = '';
SHOW eav.tenant_id;
\set VERBOSITY sqlstate
SET eav.durable_timeout = 0;
SET eav.durable_timeout = '1h';
SET eav.durable_timeout = '1h 1ms';
SET eav.durable_timeout = 3600001;
\set VERBOSITY default
RESET eav.durable_timeout;
SHOW eav.durable_timeout;
SET eav.ring_size = '1MB';
-- A session that is bound to no tenant names it in each event.
CREATE FUNCTION tries(payload text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    receipt eav.ingest_receipt := eav.ingest(payload);
    reason text;
BEGIN
    SELECT string_agg(format('%s %s', sqlstate, r.reason), E'\n' ORDER BY reject_id) INTO reason
    FROM eav.ingest_rejects r;
    DELETE FROM eav.ingest_rejects;
    RETURN concat_ws(' ', receipt.accepted, receipt.rejected, reason);
END
$$;
BEGIN;
SELECT tries('{"entity_id":1,"attributes":{"a":1}}');
SELECT tries('{"tenant_id":8101,"entity_id":1,"attributes":{"a":1}}');
SET LOCAL eav.tenant_id = 8101;
SELECT tries('{"entity_id":1,"attributes":{"a":1}}'), tries('{"tenant_id":8101,"entity_id":1,"attributes":{"a":1}}');
SELECT tries('{"tenant_id":8102,"entity_id":1,"attributes":{"a":1}}');
SELECT tries('{"tenant_id":null,"entity_id":1,"attributes":{"a":1}}');
-- Bound and unbound with the savepoint; a tenant may be 0 or negative.
SAVEPOINT bound;
SET LOCAL eav.tenant_id = 0;
SELECT tries('{"tenant_id":8101,"entity_id":1,"attributes":{"a":1}}'), tries('{"entity_id":1,"attributes":{"a":1}}');
SET LOCAL eav.tenant_id = -5;
SELECT tries('{"tenant_id":-5,"entity_id":1,"attributes":{"a":1}}');
ROLLBACK TO bound;
SELECT tries('{"tenant_id":8101,"entity_id":1,"attributes":{"a":1}}');
RESET eav.tenant_id;
SELECT tries('{"entity_id":1,"attributes":{"a":1}}'), tries('{"tenant_id":8102,"entity_id":1,"attributes":{"a":1}}');
ROLLBACK;
SHOW eav.tenant_id;
-- With set_config(), as a connection pool does it.
SELECT set_config('eav.tenant_id', '8101', false);

-- The calls that go both ways. In each the tenant is left out, so the tenant is that of the session.
CREATE TABLE call (n integer GENERATED ALWAYS AS IDENTITY, what text, payload text);

-- Faults, one event each, between good ones in one array; then the same one after the other.
CREATE TABLE fault (n integer GENERATED ALWAYS AS IDENTITY, event text);
INSERT INTO fault (event) VALUES
    ('1'), ('null'), ('"text"'), ('[]'), ('[{}]'), ('{}'),
    ('{"entity_id":1}'), ('{"entity_id":1,"attributes":{}}'), ('{"attributes":{"a":1}}'),
    ('{"entity_id":1,"entity":"both","attributes":{"a":1}}'),
    ('{"entity_id":1,"attributes":{"a":1},"colour":"red"}'),
    ('{"entity_id":1,"attributes":{"a":1},"Entity":[{"deep":1}],"more":1}'),
    ('{"entity_id":1,"attributes":{"a":1},"x\u0000\t😀":1}'),
    (format('{"entity_id":1,"attributes":{"a":1},"%s":1}', repeat('ö', 50))),
    ('{"entity_id":1,"entity_id":1,"attributes":{"a":1}}'),
    ('{"entity_id":1,"attributes":{"a":1},"attributes":{"a":1}}'),
    ('{"observed_at":0,"entity_id":1,"observed_at":0,"attributes":{"a":1}}'),
    ('{"entity_id":"1","attributes":{"a":1}}'), ('{"entity_id":1.0,"attributes":{"a":1}}'),
    ('{"entity_id":null,"attributes":{"a":1}}'), ('{"entity_id":true,"attributes":{"a":1}}'),
    ('{"entity_id":1e3,"attributes":{"a":1}}'), ('{"entity_id":9223372036854775808,"attributes":{"a":1}}'),
    ('{"tenant_id":1,"entity_id":1,"attributes":{"a":1}}'),
    ('{"tenant_id":"8101","entity_id":1,"attributes":{"a":1}}'),
    ('{"tenant_id":-9223372036854775809,"entity_id":1,"attributes":{"a":1}}'),
    ('{"entity":1,"attributes":{"a":1}}'), ('{"entity":null,"attributes":{"a":1}}'),
    ('{"entity":"","attributes":{"a":1}}'), ('{"entity":"a\tb","attributes":{"a":1}}'),
    ('{"entity":"a\u0000b","attributes":{"a":1}}'), ('{"entity":"a\u007fb","attributes":{"a":1}}'),
    (format('{"entity":"%s","attributes":{"a":1}}', repeat('ä', 128))),
    ('{"entity_id":1,"attributes":[1]}'), ('{"entity_id":1,"attributes":null}'),
    ('{"entity_id":1,"attributes":"a"}'), ('{"entity_id":1,"attributes":1}'),
    ('{"entity_id":1,"attributes":{"":1}}'), ('{"entity_id":1,"attributes":{"good":1,"a\u001fb":1}}'),
    ('{"entity_id":1,"attributes":{"a\u0000b":1}}'),
    (format('{"entity_id":1,"attributes":{"%s":1}}', repeat('n', 256))),
    ('{"entity_id":1,"attributes":{"a":"x\u0000"}}'), ('{"entity_id":1,"attributes":{"a":["x\u0000"]}}'),
    ('{"entity_id":1,"attributes":{"a":{"\u0000":1}}}'),
    ('{"entity_id":1,"attributes":{"a":1e131072}}'), ('{"entity_id":1,"attributes":{"a":-1e-16384}}'),
    ('{"entity_id":1,"attributes":{"a":1e99999999999999999999}}'),
    ('{"entity_id":1,"observed_at":"","attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":"now","attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":"infinity","attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":"2026-01-01","attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":"2026-01-01T10:00:00","attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":"2026-02-29T10:00:00Z","attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":"2026-01-01T24:00:00Z","attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":"0000-01-01T00:00:00Z","attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":"2099-01-01T00:00:00Z","attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":1.5,"attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":true,"attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":null,"attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":{},"attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":4102444800000,"attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":9223372036854775807,"attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":-9223372036854775808,"attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":-210866803200001,"attributes":{"a":1}}'),
    ('{"entity_id":1,"observed_at":12345678901234567890,"attributes":{"a":1}}'),
    -- What jsonb cannot hold is kept as text.
    ('{"entity_id":1,"attributes":{"a":1},"x":1e999999}'), ('{"entity_id":1,"attributes":{"a":1},"x":"\u0000"}'),
    -- The first of several faults counts.
    ('{"x":1,"entity_id":"1","attributes":{"":1}}'), ('{"attributes":{"":1},"x":1}');
INSERT INTO call (what, payload)
SELECT 'faults in an array',
       '[' || string_agg(format('{"entity":"good %s","observed_at":%s,"attributes":{"good":%s}},%s', n, n, n, event), E' ,\n' ORDER BY n)
       || ']'
FROM fault;
INSERT INTO call (what, payload)
SELECT 'faults in lines',
       string_agg(format(E'%s\n{"entity":"good %s","observed_at":%s,"attributes":{"good":%s}}', event, n, n, n + 1000), E'\n' ORDER BY n)
FROM fault WHERE event LIKE '{%';
INSERT INTO call (what, payload) VALUES
    ('positions over several arrays', '[{},{"entity":"p","observed_at":0,"attributes":{"p":1}}] {} [] [[],{"entity":"p","observed_at":1,"attributes":{"p":2}}]{}'),
    ('nothing good', '{}');

-- Types: integers of 64 bits, larger ones, doubles, what no double can keep, and all others.
CREATE TABLE sample (n integer GENERATED ALWAYS AS IDENTITY, value text);
INSERT INTO sample (value)
SELECT unnest(ARRAY[
    '0', '-0', '1', '-1', '9223372036854775807', '-9223372036854775808', '9223372036854775808',
    '-9223372036854775809', '18446744073709551615', '18446744073709551616', repeat('9', 100),
    '1.0', '0.1', '-0.0', '1e0', '1E2', '1e+2', '72.5', '1.7976931348623157e308', '1.7976931348623159e308',
    '4.9406564584124654e-324', '5e-324', '1e-400', '0e-400', '0.30000000000000004', '0.300000000000000041',
    '9007199254740993.0', '1e22', '1e23', '12345678901234567890.123456789', '0.10', '1.50e1', '1e400',
    '"online"', '""', '"größer 😀 \u00e4\ud83d\ude00 \" \\ \/ \b\f\n\r\t"', '"5"', '"true"', '"null"', '"2026-01-01T00:00:00Z"',
    'true', 'false', '{}', '[]', '["a"]', '{"b": 1.50, "a":[true,null,"x",{"y":1e2}]}', '[1,[2,[3]]]', '{"a":1,"a":2}',
    'null']);
INSERT INTO call (what, payload)
SELECT 'types', string_agg(format('{"entity":"types","observed_at":%s,"attributes":{"new %s":%s}}', n, n, value), E'\n' ORDER BY n)
FROM sample;
-- Into attributes of each type: what fits, and what the registry refuses when it is flushed.
INSERT INTO call (what, payload)
SELECT 'registered ' || type,
       '[' || string_agg(format('{"entity":"%s","observed_at":%s,"attributes":{"d_%s":%s}}', type, n, type, value), ',' ORDER BY n) || ']'
FROM unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) AS type,
     unnest(ARRAY['7', '9007199254740993', '9223372036854775808', '2.5', '0.300000000000000041', '1e400', '"word"', '"7"', 'true',
                  '"2026-01-31T12:00:00.123456Z"', '"2024-02-29 23:59:59+05:45"', '"infinity"', '"2026-02-29T00:00:00Z"',
                  '{"a":1.50}', '[]', '{"a":1e999999}', 'null']) WITH ORDINALITY AS t (value, n)
GROUP BY type ORDER BY type COLLATE "C";

-- Times.
INSERT INTO call (what, payload)
SELECT 'times', string_agg(format('{"entity":"times","observed_at":%s,"attributes":{"n":%s}}', observed_at, n), ' ' ORDER BY n)
FROM unnest(ARRAY[
    '0', '-1', '1774000000123', '"2026-01-01T10:00:00Z"', '"2026-01-01t10:00:00z"', '"2026-01-01T10:00:00.5+02:00"',
    '"2026-01-01T10:00:00.123456789-00:30"', '"2016-12-31T23:59:60Z"', '"2026-01-01 10:00:00Z"',
    '"2026\u002d01-01T10:00:00Z"', '"0001-01-01T00:00:00Z"', '-210866803200000',
    '"2026-01-01T10:00:00+0200"', '"2026-01-01T10:00:00+02"']) WITH ORDINALITY AS t (observed_at, n);

-- Keys in any order and escaped, blanks anywhere, attributes of one name, external and other ids.
INSERT INTO call (what, payload) VALUES
    ('keys', '{"attributes":{"a":1,"b":"x"},"observed_at":0,"entity":"keys"}'),
    ('escaped keys', '{"\u0065ntity":"k\u0065ys","attribute\u0073":{"\u0061":2},"observed_at":1}'),
    ('blanks', E'\n [\t{ "entity" : "blanks" ,\r\n "observed_at" : 0 , "attributes" : { "list" : [ 1 , 2 ] , "n" : 1 } } ] \n'),
    ('twice in an event', '{"entity":"twice","observed_at":0,"attributes":{"a":1,"b":"x","a":2,"a":3,"b":null}}'),
    ('equal times', '[{"entity":"equal","observed_at":0,"attributes":{"a":3}},{"entity":"equal","observed_at":0,"attributes":{"a":1}},{"entity":"equal","observed_at":0,"attributes":{"a":2}}]'),
    ('older', '[{"entity":"older","observed_at":5,"attributes":{"b":"new"}},{"entity":"older","observed_at":4,"attributes":{"b":"old","a":4}}]'),
    ('by number', '{"entity_id":-9223372036854775808,"observed_at":0,"attributes":{"a":1}} {"entity_id":0,"observed_at":0,"attributes":{"a":2}}'),
    ('long names', format('{"entity":"%s","observed_at":0,"attributes":{"%s":1}}', repeat('e', 255), repeat('ä', 127) || 'a')),
    ('deepest', nested(62, '{"entity":"deep","observed_at":0,"attributes":{"deep":%s}}')),
    ('deepest in an array', nested(61, '[{"entity":"deep","observed_at":1,"attributes":{"deep":%s}}]')),
    ('most attributes', format('{"entity":"many","observed_at":0,"attributes":{%s}}',
                               (SELECT string_agg(format('"n":%s', n), ',') FROM generate_series(1, 10000) AS n))),
    ('one too many', format('{"entity":"many","observed_at":1,"attributes":{%s}}',
                            (SELECT string_agg('"n":-1', ',') FROM generate_series(1, 10001)))),
    ('last', '{"entity":"last","observed_at":0,"attributes":{"a":1}}');

-- For each call: what it returned, and its ticket.
CREATE TABLE receipt (tenant_id bigint, n integer, accepted integer, rejected integer, ticket bigint,
                      PRIMARY KEY (tenant_id, n));
CREATE PROCEDURE deliver(tenant bigint) LANGUAGE plpgsql AS $$
DECLARE
    each record;
    receipt eav.ingest_receipt;
BEGIN
    PERFORM set_config('eav.tenant_id', tenant::text, false);
    FOR each IN SELECT * FROM call ORDER BY n LOOP
        -- As text and as bytes in turns.
        receipt := CASE WHEN each.n % 2 = 0 THEN eav.ingest(each.payload)
                        ELSE eav.ingest(convert_to(each.payload, 'UTF8')) END;
        INSERT INTO receipt VALUES (tenant, each.n, receipt.accepted, receipt.rejected, receipt.ticket);
        COMMIT;
    END LOOP;
END
$$;
CREATE TABLE before AS SELECT * FROM counters;
CALL deliver(8101);
-- All through staging, and counted.
SELECT count(*), count(DISTINCT xact) FROM eav.entity_values_ingest WHERE tenant_id = 8101;
SELECT what, accepted, rejected, ticket > 0, eav.wait_flushed(ticket, '0')
FROM call JOIN receipt USING (n) WHERE tenant_id = 8101 ORDER BY n;
SELECT now.calls - before.calls = sent.calls, now.events - before.events = sent.accepted,
       now.rejected - before.rejected = sent.rejected, now.bytes - before.bytes = sent.bytes,
       now.spilled_calls - before.spilled_calls = sent.calls,
       now."values" - before."values" = now.spilled_values - before.spilled_values
FROM counters now, before,
     (SELECT count(*) AS calls, sum(accepted) AS accepted, sum(rejected) AS rejected,
             sum(octet_length(payload)) AS bytes
      FROM call JOIN receipt USING (n) WHERE tenant_id = 8101) AS sent;
SELECT flushed, rejected FROM flush();
SELECT count(*) FILTER (WHERE NOT eav.wait_flushed(ticket, '0')) FROM receipt;

-- What came of the faults: a reason each, the event as it came, and its neighbours.
SELECT f.event, tenant_id, sqlstate, reason, position = (2 * n)::text,
       CASE WHEN f.event ~ '\\u0000|1e99|-1e|1e131072' THEN r.event = to_jsonb(f.event) ELSE r.event = f.event::jsonb END
FROM (SELECT *, row_number() OVER (ORDER BY reject_id) AS n FROM rejected) AS r
JOIN fault f USING (n) ORDER BY n;
SELECT count(*), bool_and(attribute_name = 'good'), sum(value::integer)
FROM history WHERE entity LIKE 'good %';
SELECT count(*) = (SELECT count(*) FROM fault) FROM documents WHERE entity LIKE 'good %';
SELECT position, tenant_id, sqlstate, reason, event FROM rejected
WHERE reject_id > (SELECT max(reject_id) - 5 FROM rejected WHERE payload ? 'position') AND payload ? 'position'
ORDER BY reject_id;
SELECT count(*) FROM rejected WHERE payload ? 'position';

-- Types in history and in the document, which holds the very value that was sent.
SELECT left(s.value, 40), data_type, kept_in, left(to_json(h.value)::text, 40), left((document -> attribute_name)::text, 40),
       CASE WHEN s.value ~ '^-?[0-9]' THEN (document ->> attribute_name)::numeric = s.value::numeric
            ELSE document -> attribute_name IS NOT DISTINCT FROM nullif(s.value::jsonb, 'null') END
FROM sample s LEFT JOIN history h ON entity = 'types' AND attribute_name = 'new ' || n
LEFT JOIN documents d ON d.entity = 'types'
ORDER BY n;
SELECT a.data_type, h.kept_in, left(h.value, 40), h.observed_at
FROM unnest('{bool,float,int,json,numeric,text,timestamp}'::text[]) AS a (data_type)
LEFT JOIN history h ON h.entity = a.data_type ORDER BY 1, h.observed_at;
SELECT entity, document FROM documents WHERE entity IN (SELECT substr(name, 3) FROM eav.attributes WHERE name LIKE 'd\_%')
ORDER BY entity COLLATE "C";
-- A value that its attribute does not take is rejected alone, as a staged row.
SELECT payload ->> 'entity' AS entity, sqlstate, reason,
       left((payload - '{entity,attribute,observed_at}'::text[])::text, 60)
FROM rejected WHERE NOT payload ? 'position' ORDER BY reject_id;

SELECT value, observed_at FROM history WHERE entity = 'times' ORDER BY value::integer;
SELECT entity, attribute_name, value, observed_at FROM history
WHERE entity IN ('keys', 'blanks', 'twice', 'equal', 'older', 'p', '0', '-9223372036854775808', 'last')
ORDER BY entity COLLATE "C", observed_at, attribute_name COLLATE "C", value;
SELECT entity, document FROM documents
WHERE entity IN ('keys', 'blanks', 'twice', 'equal', 'older', 'p', '0', '-9223372036854775808', 'last', 'many')
ORDER BY entity COLLATE "C";
SELECT length(entity), length(attribute_name), octet_length(attribute_name) FROM history WHERE length(entity) = 255;
SELECT count(*), count(DISTINCT value), min(observed_at), max(observed_at) FROM history WHERE entity = 'many';
SELECT entity, observed_at, value = repeat('[', 62) || repeat(']', 62), length(value) FROM history
WHERE entity = 'deep' ORDER BY observed_at;

-- Now the worker opens the door, and then has nothing to do for a minute.
ALTER SYSTEM SET eav.flush_interval = '60s';
ALTER SYSTEM SET eav.worker_enabled = on;
SELECT pg_reload_conf();
CALL wait_for_door(true);
SELECT slabs > 0, slabs_in_use FROM eav.stat_ingest;
TRUNCATE before;
INSERT INTO before SELECT * FROM counters;
CREATE TABLE rejected_before AS SELECT * FROM rejected;
CALL deliver(8102);
-- Nothing is staged, the rest is the same.
SELECT count(*) FROM eav.entity_values_ingest WHERE tenant_id = 8102;
SELECT slabs_in_use > 0, slabs_high_water >= slabs_in_use, is_open FROM eav.stat_ingest;
SELECT n, what, s.accepted, s.rejected, r.accepted, r.rejected
FROM call JOIN receipt s USING (n) JOIN receipt r USING (n)
WHERE s.tenant_id = 8101 AND r.tenant_id = 8102
  AND (s.accepted, s.rejected, s.ticket > 0) IS DISTINCT FROM (r.accepted, r.rejected, r.ticket > 0);
SELECT now.calls - before.calls = sent.calls, now.events - before.events = sent.accepted,
       now.rejected - before.rejected = sent.rejected, now.bytes - before.bytes = sent.bytes,
       now.spilled_calls - before.spilled_calls, now.spilled_values - before.spilled_values
FROM counters now, before,
     (SELECT count(*) AS calls, sum(accepted) AS accepted, sum(rejected) AS rejected,
             sum(octet_length(payload)) AS bytes
      FROM call JOIN receipt USING (n) WHERE tenant_id = 8102) AS sent;
SELECT flushed - (SELECT count(*) FROM history WHERE tenant_id = 8101), rejected FROM flush();
SELECT slabs_in_use FROM eav.stat_ingest;
SELECT count(*) FILTER (WHERE NOT eav.wait_flushed(ticket, '0')), count(*) FROM receipt WHERE tenant_id = 8102;
CREATE PROCEDURE compare() LANGUAGE plpgsql AS $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT concat_ws(' ', 'history', way, entity, attribute_name, data_type, observed_at, left(value, 50), kept_in) AS difference
        FROM ((SELECT 'spilled' AS way, entity, attribute_name, data_type, observed_at, value, kept_in FROM history WHERE tenant_id = 8101
               EXCEPT ALL SELECT 'spilled', entity, attribute_name, data_type, observed_at, value, kept_in FROM history WHERE tenant_id = 8102)
              UNION ALL
              (SELECT 'by ring', entity, attribute_name, data_type, observed_at, value, kept_in FROM history WHERE tenant_id = 8102
               EXCEPT ALL SELECT 'by ring', entity, attribute_name, data_type, observed_at, value, kept_in FROM history WHERE tenant_id = 8101)) AS h
        UNION ALL
        SELECT concat_ws(' ', 'document', entity, s.document, r.document)
        FROM (SELECT * FROM documents WHERE tenant_id = 8101) AS s
        FULL JOIN (SELECT * FROM documents WHERE tenant_id = 8102) AS r USING (entity)
        WHERE s.document IS DISTINCT FROM r.document
    LOOP
        RAISE WARNING '%', each.difference;
    END LOOP;
END
$$;
CALL compare();
SELECT count(*) FROM history WHERE tenant_id = 8102;
-- The order of rejects within a flush is free.
SELECT s.reason, r.reason, s.payload, r.payload
FROM (SELECT *, row_number() OVER (PARTITION BY sqlstate, reason, payload) AS n FROM rejected_before) AS s
FULL JOIN (SELECT *, row_number() OVER (PARTITION BY sqlstate, reason, payload) AS n FROM rejected
           WHERE reject_id > (SELECT max(reject_id) FROM rejected_before)) AS r
    USING (sqlstate, reason, payload, n)
WHERE s.reject_id IS NULL OR r.reject_id IS NULL;
SELECT tenant_id, count(*) FROM rejected GROUP BY 1 ORDER BY 1;
DROP TABLE rejected_before, before;
-- By reason, of both ways together.
SELECT rejects, rejected = (SELECT sum(value::bigint) FROM jsonb_each_text(rejects)) FROM eav.stat_ingest;

-- As jsonb: types as it has them.
SELECT accepted, rejected, ticket > 0
FROM eav.ingest(jsonb '[{"entity": "jsonb", "observed_at": "2026-01-01T00:00:00Z",
                         "attributes": {"j int": 1, "j big": 18446744073709551615, "j float": 1.5, "j exact": 0.300000000000000041,
                                        "j text": "x\u00e4", "j bool": false, "j json": {"b": [1.50, null], "a": 1}, "j null": null}},
                        {"entity": "jsonb", "colour": "red"}, 5]');
SELECT flushed, rejected FROM flush();
SELECT attribute_name, data_type, kept_in, value FROM history WHERE entity = 'jsonb' ORDER BY attribute_name COLLATE "C";
SELECT document FROM documents WHERE entity = 'jsonb';
SELECT position, sqlstate, reason, event FROM rejected ORDER BY reject_id DESC LIMIT 2;

-- Without observed_at the time is that of the call, not of the transaction or the flush.
BEGIN;
SELECT pg_sleep(0.01);
SELECT clock_timestamp() AS called_from \gset
SELECT accepted FROM eav.ingest('{"entity":"now","attributes":{"n":1}} {"entity":"now","attributes":{"n":2}}');
SELECT clock_timestamp() AS called_to \gset
COMMIT;
SELECT flushed FROM flush();
SELECT value, observed_at BETWEEN :'called_from' AND :'called_to' FROM history WHERE entity = 'now' ORDER BY value;
-- A clock may be up to eav.max_future_skew ahead.
SELECT accepted, rejected FROM eav.ingest(format('{"entity":"clock","observed_at":%s,"attributes":{"n":1}} {"entity":"clock","observed_at":%s,"attributes":{"n":1}}',
    (extract(epoch FROM clock_timestamp()) * 1000 + 290000)::bigint, (extract(epoch FROM clock_timestamp()) * 1000 + 310000)::bigint));
SET eav.max_future_skew = 0;
SELECT accepted, rejected FROM eav.ingest(format('{"entity":"clock","observed_at":%s,"attributes":{"n":1}}',
    (extract(epoch FROM clock_timestamp()) * 1000 + 60000)::bigint));
RESET eav.max_future_skew;
-- The largest value: as long as it is kept, not as it is written with escapes.
SET eav.max_value_bytes = 1024;
SELECT n, accepted, rejected
FROM (VALUES (1, to_jsonb(repeat('x', 1024))::text), (2, to_jsonb(repeat('x', 1025))::text),
             (3, '"' || repeat('\u0078', 1024) || '"'), (4, '"' || repeat('\u0078', 1025) || '"'),
             (5, '"' || repeat('ä', 513) || '"'),
             (6, '["' || repeat('x', 1020) || '"]'), (7, '["' || repeat('x', 1021) || '"]'),
             (8, repeat('7', 1024)), (9, repeat('7', 1025))) AS v (n, value),
     eav.ingest(format('{"entity":"size","observed_at":%s,"attributes":{"s%1$s":%2$s}}', n, value))
ORDER BY n;
RESET eav.max_value_bytes;
SELECT flushed, rejected FROM flush();
SELECT attribute_name, length(value) FROM history WHERE entity = 'size' ORDER BY 1;
SELECT sqlstate, reason FROM rejected WHERE sqlstate = '54000' AND reason ~ '"s' ORDER BY reject_id;
TRUNCATE eav.ingest_rejects;

-- No transaction id is given out, and none is needed.
BEGIN READ ONLY;
SELECT accepted, rejected, ticket > 0 FROM eav.ingest('[{"entity":"read only","observed_at":0,"attributes":{"n":1}},{}]');
SELECT pg_current_xact_id_if_assigned() IS NULL, current_setting('transaction_read_only');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT accepted FROM eav.ingest('{"entity":"read only","observed_at":1,"attributes":{"n":2}}');
SELECT pg_current_xact_id_if_assigned() IS NULL;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT accepted FROM eav.ingest('{"entity":"read only","observed_at":2,"attributes":{"n":3}}');
SELECT pg_current_xact_id_if_assigned() IS NULL;
COMMIT;
SELECT flushed, rejected FROM flush();
CREATE FUNCTION kept(of_entity text) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(value, ' ' ORDER BY value::bigint) FROM history WHERE entity = of_entity AND attribute_name = 'n' $$;
SELECT kept('read only');
SELECT reason FROM rejected;
TRUNCATE eav.ingest_rejects;
-- Nor rights on any table.
CREATE ROLE regress_producer;
GRANT USAGE ON SCHEMA eav TO regress_producer;
GRANT EXECUTE ON FUNCTION eav.ingest(text, text) TO regress_producer;
SET ROLE regress_producer;
SELECT accepted, rejected, ticket > 0 FROM eav.ingest('{"entity":"producer","observed_at":0,"attributes":{"n":1}}');
RESET ROLE;
SELECT flushed FROM flush();
SELECT kept('producer');
DROP OWNED BY regress_producer;
DROP ROLE regress_producer;

-- Savepoints and exceptions: what is kept is published, once. In both ways.
CREATE FUNCTION take(entity text, VARIADIC n integer[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg((eav.ingest(format('{"entity":"%s","observed_at":%s,"attributes":{"n":%s}}', entity, each, each))).accepted::text, ' ')
    FROM unnest(n) AS each
$$;
CREATE PROCEDURE take_with_exceptions(entity text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM take(entity, 20);
    BEGIN
        PERFORM take(entity, 21);
        BEGIN
            PERFORM take(entity, 22);
        EXCEPTION WHEN raise_exception THEN
        END;
        RAISE 'not these';
    EXCEPTION WHEN raise_exception THEN
        PERFORM take(entity, 23);
    END;
    BEGIN
        PERFORM take(entity, 24);
        BEGIN
            PERFORM take(entity, 25);
            PERFORM 1 / (SELECT count(*) FROM eav.tenants WHERE false);
        EXCEPTION WHEN division_by_zero THEN
        END;
        PERFORM eav.ingest('[');
    EXCEPTION WHEN invalid_text_representation THEN
        PERFORM take(entity, 26);
    END;
    BEGIN
        PERFORM take(entity, 27);
    EXCEPTION WHEN OTHERS THEN
        RAISE;
    END;
END
$$;
\set first_part 'BEGIN; SELECT take(:\'entity\', 1); SAVEPOINT a; SELECT take(:\'entity\', 2); ROLLBACK TO a; SELECT take(:\'entity\', 3, 4); RELEASE a; SAVEPOINT b; SELECT take(:\'entity\', 5); SAVEPOINT c; SELECT take(:\'entity\', 6); RELEASE c; ROLLBACK TO b; SELECT take(:\'entity\', 7); ROLLBACK TO b; RELEASE b;'
\set second_part 'SAVEPOINT d; SELECT take(:\'entity\', 8); SAVEPOINT e; SELECT take(:\'entity\', 9); SAVEPOINT f; SELECT take(:\'entity\', 10); ROLLBACK TO e; SELECT take(:\'entity\', 11); RELEASE d; SELECT take(:\'entity\', 12); CALL take_with_exceptions(:\'entity\'); COMMIT;'
\set third_part 'BEGIN; SELECT take(:\'entity\', 13); SAVEPOINT g; SELECT take(:\'entity\', 14); RELEASE g; ROLLBACK; BEGIN; SELECT take(:\'entity\', 15); SELECT 1 / 0; COMMIT; SELECT take(:\'entity\', 16), 1 / 0; SELECT take(:\'entity\', 17);'
SELECT slabs_in_use FROM eav.stat_ingest;
\set entity 'savepoints, ring'
:first_part :second_part
SELECT slabs_in_use FROM eav.stat_ingest;
:third_part
SELECT slabs_in_use FROM eav.stat_ingest;
SELECT * FROM flush();
SELECT slabs_in_use FROM eav.stat_ingest;
SELECT kept(:'entity');
-- Nothing but a rolled-back savepoint: nothing is published.
BEGIN;
SAVEPOINT a;
SELECT take(:'entity', 30);
ROLLBACK TO a;
COMMIT;
SELECT slabs_in_use FROM eav.stat_ingest;
SELECT * FROM flush();
-- The parcels of a transaction stay together and in order, with calls of others around.
SELECT take('order', 1);
BEGIN;
SELECT accepted FROM eav.ingest('{"entity":"order","observed_at":5,"attributes":{"n":1,"m":1}}');
SELECT accepted FROM eav.ingest('{"entity":"order","observed_at":5,"attributes":{"n":2}}');
SELECT accepted FROM eav.ingest('{"entity":"order","observed_at":5,"attributes":{"n":null,"m":2}}');
COMMIT;
SELECT accepted FROM eav.ingest('{"entity":"order","observed_at":5,"attributes":{"m":3}}');
SELECT flushed FROM flush(1);
SELECT flushed FROM flush(1);
SELECT flushed FROM flush(1);
SELECT flushed FROM flush(1);
SELECT document FROM documents WHERE entity = 'order';
-- max_values counts what comes either way.
SELECT pg_current_xact_id() \g /dev/null
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value_int) SELECT 8102, 'max', 'n', 1 FROM generate_series(1, 3);
SELECT take('max', 2, 3);
INSERT INTO eav.entity_values_ingest (tenant_id, entity, attribute, value_int) SELECT 8102, 'max', 'n', 1 FROM generate_series(4, 6);
SELECT take('max', 7);
SELECT flushed FROM flush(3);
SELECT flushed FROM flush(4);
SELECT flushed FROM flush(3);
SELECT flushed FROM flush(3);
SELECT flushed FROM flush(3);

-- PREPARE TRANSACTION is refused, and that ends the transaction.
BEGIN;
SELECT take('prepared', 1);
PREPARE TRANSACTION 'regress_ingest';
SELECT pg_current_xact_id_if_assigned() IS NULL, slabs_in_use FROM eav.stat_ingest;
BEGIN;
SELECT pg_current_xact_id() \g /dev/null
SAVEPOINT a;
SELECT take('prepared', 2);
RELEASE a;
SELECT error_of('SELECT 1');
PREPARE TRANSACTION 'regress_ingest';
SELECT count(*) FROM pg_prepared_xacts;
-- Not so when nothing is left of the calls.
BEGIN;
SELECT pg_current_xact_id() \g /dev/null
SAVEPOINT a;
SELECT take('prepared', 3);
ROLLBACK TO a;
SELECT eav.ingest('[]');
PREPARE TRANSACTION 'regress_ingest';
COMMIT PREPARED 'regress_ingest';
SELECT slabs_in_use FROM eav.stat_ingest;
-- Nor can the flush of such values be prepared; it has not been, then.
SELECT take('prepared', 4);
BEGIN;
SELECT flushed FROM flush();
PREPARE TRANSACTION 'regress_ingest';
SELECT slabs_in_use FROM eav.stat_ingest;
BEGIN;
SAVEPOINT a;
SELECT flushed FROM flush();
ROLLBACK TO a;
PREPARE TRANSACTION 'regress_ingest';
COMMIT PREPARED 'regress_ingest';
SELECT kept('prepared');
SELECT flushed FROM flush();
SELECT kept('prepared'), slabs_in_use FROM eav.stat_ingest;

-- Tickets. Nothing waits for itself.
BEGIN;
SELECT ticket AS own FROM eav.ingest('{"entity":"tickets","observed_at":1,"attributes":{"n":1}}') \gset
SAVEPOINT a;
SELECT ticket AS released FROM eav.ingest('{"entity":"tickets","observed_at":2,"attributes":{"n":2}}') \gset
RELEASE a;
SAVEPOINT b;
SELECT ticket AS undone FROM eav.ingest('{"entity":"tickets","observed_at":3,"attributes":{"n":3}}') \gset
ROLLBACK TO b;
SELECT :own <> :released AND :own <> :undone;
SELECT error_of(format('SELECT eav.wait_flushed(%s, %L)', ticket, timeout))
FROM unnest(ARRAY[:own, :released]) AS ticket, unnest('{0,1h}'::interval[]) AS timeout;
SELECT eav.wait_flushed(:undone, '0');
COMMIT;
SELECT eav.wait_flushed(:own, '0'), eav.wait_flushed(:released, '0'), eav.wait_flushed(:undone, '0');
-- Who waits wakes the worker.
SELECT eav.wait_flushed(:released, '1 minute'), kept('tickets');
SELECT eav.wait_flushed(:own), eav.wait_flushed(:released, '0');
BEGIN;
SELECT ticket AS rolled_back FROM eav.ingest('{"entity":"tickets","observed_at":4,"attributes":{"n":4}}') \gset
ROLLBACK;
SELECT eav.wait_flushed(:rolled_back, '0');
-- From any transaction, whatever it may see or write.
SELECT ticket FROM eav.ingest('{"entity":"tickets","observed_at":5,"attributes":{"n":5}}') \gset
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT kept('tickets') AS seen \gset
SELECT eav.wait_flushed(:ticket, '1 minute');
SELECT kept('tickets') = :'seen';
COMMIT;
SELECT kept('tickets');
-- A call whose events are all rejected has a ticket like any other.
SELECT accepted, rejected, ticket FROM eav.ingest('{"entity":"tickets"}') \gset
SELECT eav.wait_flushed(:ticket, '1 minute');
SELECT reason FROM rejected;
TRUNCATE eav.ingest_rejects;
-- No ticket, and bad arguments. The highest bits say which loss of values it was before.
SELECT eav.wait_flushed(NULL), eav.wait_flushed(:ticket, NULL);
SELECT error_of(format('SELECT eav.wait_flushed(%s)', ticket))
FROM unnest('{-1,-9223372036854775808,4611686018427387904,9223372036854775807}'::bigint[]) AS ticket;
SELECT error_of(format('SELECT eav.wait_flushed(%s, %L)', :ticket, timeout))
FROM unnest(ARRAY['-1ms', '1 day -25 hours', '-1 month']) AS timeout;
-- Tickets of calls that followed each other tell nothing of what lies between them.
SELECT count(DISTINCT ticket - before) > 30 AS without_order, count(*) FILTER (WHERE ticket > before) BETWEEN 5 AND 45 AS up_and_down,
       min(ticket) > 0 AND max(ticket) < 4611686018427387904 AS as_described
FROM (SELECT ticket, lag(ticket) OVER (ORDER BY number) AS before
      FROM (SELECT number, (eav.ingest(jsonb_build_object('tenant_id', eav.current_tenant(), 'entity', 'ticket', 'attributes', '{"n": 1}'::jsonb))).ticket
            FROM generate_series(1, 50) AS number) AS given) AS pairs;

-- Durable: when the commit returns, the values are in history, without a wait for anything else.
SET eav.durable_timeout = '1min';
CREATE TABLE before AS SELECT waits, timeouts, calls FROM eav.stat_ingest;
SELECT accepted FROM eav.ingest('{"entity":"durable","observed_at":1,"attributes":{"n":1}}', 'durable');
SELECT kept('durable');
BEGIN;
SELECT accepted FROM eav.ingest('{"entity":"durable","observed_at":2,"attributes":{"n":2}}');
SELECT accepted FROM eav.ingest('{"entity":"durable","observed_at":3,"attributes":{"n":3}}', ack => 'durable');
SELECT accepted FROM eav.ingest(bytea '{"entity":"durable","observed_at":4,"attributes":{"n":4}}');
SELECT kept('durable');
COMMIT;
SELECT kept('durable');
BEGIN READ ONLY;
SELECT accepted, rejected FROM eav.ingest(jsonb '[{"entity":"durable","observed_at":5,"attributes":{"n":5}}, {}]', 'durable');
COMMIT;
SELECT kept('durable'), (SELECT reason FROM rejected);
TRUNCATE eav.ingest_rejects;
SELECT rejected FROM eav.ingest('{}', 'durable');
SELECT reason FROM rejected;
TRUNCATE eav.ingest_rejects;
-- One wait for a transaction, none for what was rolled back.
SELECT now.waits - before.waits, now.timeouts - before.timeouts, now.calls - before.calls FROM eav.stat_ingest now, before;
BEGIN;
SAVEPOINT a;
SELECT accepted FROM eav.ingest('{"entity":"durable","observed_at":6,"attributes":{"n":6}}', 'durable');
ROLLBACK TO a;
SELECT take('durable', 7);
COMMIT;
BEGIN;
SELECT accepted FROM eav.ingest('{"entity":"durable","observed_at":8,"attributes":{"n":8}}', 'durable');
ROLLBACK;
SELECT now.waits - before.waits, now.timeouts - before.timeouts, now.calls - before.calls FROM eav.stat_ingest now, before;
SELECT accepted FROM eav.ingest('{"entity":"durable","observed_at":9,"attributes":{"n":9}}', 'durable');
SELECT kept('durable');
-- A transaction that keeps other flushes waiting does not wait for them.
SET eav.durable_timeout = '1h';
BEGIN;
SELECT flushed >= 0 FROM flush();
SELECT accepted, rejected, ticket FROM eav.ingest('{"entity":"durable","observed_at":10,"attributes":{"n":10}}', 'durable') \gset
COMMIT;
SELECT eav.wait_flushed(:ticket, '1 minute');
SELECT kept('durable');
SET eav.durable_timeout = '1min';

-- Spills beside an open door. More than a quarter of the ring, with rejected events in it, in a
-- transaction that may write and in one that may not.
SET eav.max_payload_bytes = '64MB';
CREATE FUNCTION large(entity text, megabytes integer) RETURNS text LANGUAGE sql AS $$
    SELECT '[' || string_agg(format('{"entity":"%s","observed_at":%s,"attributes":{"large":"%s"}}', entity, n, repeat('x', 1000000)), ',')
           || format(',{"entity":"%s","observed_at":7,"colour":1},{"entity":"%s","observed_at":0,"attributes":{"n":2}}]', entity, entity)
    FROM generate_series(1, megabytes) AS n
$$;
DROP TABLE before;
CREATE TABLE before AS SELECT * FROM eav.stat_ingest;
CREATE FUNCTION spilled(OUT calls bigint, OUT "values" bigint) LANGUAGE sql AS $$
    SELECT now.spilled_calls - before.spilled_calls, now.spilled_values - before.spilled_values
    FROM eav.stat_ingest now, before
$$;
SELECT accepted, rejected, ticket FROM eav.ingest(large('large', 20)) \gset
SELECT :accepted, :rejected, * FROM spilled();
SELECT position, tenant_id, sqlstate, reason, event FROM rejected;
SELECT eav.wait_flushed(:ticket, '1 minute');
SELECT count(*), sum(length(value)) FROM history WHERE entity = 'large';
BEGIN READ ONLY;
SELECT accepted, rejected, ticket FROM eav.ingest(large('large, read only', 20)) \gset
SELECT :accepted, :rejected, pg_current_xact_id_if_assigned() IS NOT NULL, current_setting('transaction_read_only'), current_user = session_user;
SELECT error_of('TRUNCATE eav.ingest_rejects');
SELECT regexp_replace(error_of(format('SELECT eav.wait_flushed(%s)', :ticket)), '\n.*', '');
COMMIT;
SELECT * FROM spilled();
SELECT eav.wait_flushed(:ticket, '1 minute');
SELECT count(*), sum(length(value)) FROM history WHERE entity = 'large, read only';
SELECT position, tenant_id, sqlstate, reason, event FROM rejected ORDER BY reject_id;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT accepted, rejected FROM eav.ingest(large('large, durable', 20), 'durable');
COMMIT;
SELECT count(*), sum(length(value)) FROM history WHERE entity = 'large, durable';
-- After one, all calls of the transaction go there, and arrive in order with those before.
BEGIN;
SELECT accepted FROM eav.ingest('{"entity":"both ways","observed_at":0,"attributes":{"n":1,"first":1}}');
SELECT accepted, rejected FROM eav.ingest(large('both ways', 20));
SELECT accepted FROM eav.ingest('{"entity":"both ways","observed_at":0,"attributes":{"n":3}}', 'durable');
COMMIT;
SELECT * FROM spilled();
SELECT kept('both ways'), document - 'large' FROM documents WHERE entity = 'both ways';
-- Not so with a savepoint that was rolled back.
BEGIN;
SAVEPOINT a;
SELECT accepted, rejected FROM eav.ingest(large('both ways', 20));
ROLLBACK TO a;
SELECT accepted FROM eav.ingest('{"entity":"both ways","observed_at":0,"attributes":{"n":4}}', 'durable');
COMMIT;
SELECT * FROM spilled();
SELECT document - 'large' FROM documents WHERE entity = 'both ways';
-- Nothing is left of what was rolled back, and the ticket of a call that staged nothing is as good.
BEGIN;
SELECT ticket FROM eav.ingest(large('large, rolled back', 20)) \gset
ROLLBACK;
SELECT eav.wait_flushed(:ticket, '1 minute');
SELECT count(*) FROM history WHERE entity = 'large, rolled back';
SELECT accepted, rejected, ticket FROM eav.ingest(replace(large('large, rejected', 20), '"attributes"', '"unknown"')) \gset
SELECT :accepted, :rejected;
SELECT eav.wait_flushed(:ticket, '1 minute');
SELECT event ->> 'entity', count(*) FROM rejected GROUP BY 1 ORDER BY 1;
-- PREPARE TRANSACTION is refused also then.
BEGIN;
SELECT accepted FROM eav.ingest(large('prepared', 20));
PREPARE TRANSACTION 'regress_ingest';
-- A full ring: four parcels just below a quarter are all that it takes.
SELECT slabs_in_use FROM eav.stat_ingest;
BEGIN;
SELECT accepted, rejected, ticket AS first FROM eav.ingest(large('full', 15)) \gset
SELECT accepted, rejected FROM eav.ingest(large('full', 15));
SELECT accepted, rejected FROM eav.ingest(large('full', 15));
SELECT accepted, rejected FROM eav.ingest(large('full', 15));
SELECT slabs_in_use > slabs * 0.9, slabs_high_water >= slabs_in_use FROM eav.stat_ingest;
SELECT accepted, rejected, ticket FROM eav.ingest(large('full', 15)) \gset
SELECT accepted FROM eav.ingest('{"entity":"full","observed_at":1,"attributes":{"n":3}}');
COMMIT;
SELECT * FROM spilled();
SELECT eav.wait_flushed(:first, '1 minute'), eav.wait_flushed(:ticket, '1 minute');
SELECT count(*), sum(length(value)) FROM history WHERE entity = 'full';
SELECT document - 'large' FROM documents WHERE entity = 'full';
SELECT slabs_in_use FROM eav.stat_ingest;
SELECT event ->> 'entity', count(*) FROM rejected GROUP BY 1 ORDER BY 1;
RESET eav.max_payload_bytes;
TRUNCATE eav.ingest_rejects;
DROP TABLE before;

-- Rejected events, corrected and fed back.
ALTER SEQUENCE eav.ingest_rejects_seq RESTART;
SELECT accepted, rejected, ticket
FROM eav.ingest('[{"tenant_id":8102,"observed_at":1,"attributes":{"n":1}},
                  {"entity":"replayed","observed_at":2,"attributes":{"n":2},"colour":"red"},
                  {"entity":"replayed","observed_at":3,"attributes":{"":3}},
                  {"tenant_id":1,"entity":"replayed","observed_at":4,"attributes":{"n":4}},
                  "no event", {"entity":"replayed","observed_at":5,"attributes":{"n":1e999999}},
                  {"entity_id":77,"entity":"replayed","observed_at":6,"attributes":{"n":6,"gone":null}}]') \gset
SELECT eav.wait_flushed(:ticket, '1 minute');
-- And a value that the registry has refused.
SELECT ticket FROM eav.ingest('{"entity":"replayed","observed_at":7,"attributes":{"d_int":"seven"}}') \gset
SELECT eav.wait_flushed(:ticket, '1 minute');
SELECT * FROM rejected ORDER BY reject_id;
-- As they are, events are rejected again; those without a tenant get that of the session.
SELECT eav.replay_rejects('{1,2,3,4,5,6,7}');
SELECT count(*) FROM rejected;
SELECT eav.replay_rejects('{1}', '{"entity": "replayed"}');
SELECT eav.replay_rejects('{2,3}', '{"attributes": {"n": 3}}');
SELECT eav.replay_rejects('{4}', '{"tenant_id": null}');
SELECT eav.replay_rejects('{5,6}', '{"entity": "replayed", "attributes": {"n": 5}}');
SELECT eav.replay_rejects('{7}', '{"entity_id": null}');
SELECT eav.replay_rejects('{8}', '{"attributes": {"d_int": 7}}');
SELECT eav.replay_rejects('{8}', '{"value_text": null, "value_int": 7}');
-- A key that no event has goes away with null, and so only.
SELECT error_of($$SELECT eav.replay_rejects('{2}', '{"colour": "blue"}')$$);
-- A replay that is rolled back has not been.
BEGIN;
SELECT eav.replay_rejects('{2}', '{"colour": null, "observed_at": 1000}');
ROLLBACK;
SELECT eav.replay_rejects('{2}', '{"colour": null}');
-- For a session without a tenant the correction names it.
RESET eav.tenant_id;
SELECT rejected FROM eav.ingest('{"entity":"replayed","observed_at":8,"attributes":{"n":8}}', 'durable');
SELECT eav.replay_rejects('{9}');
SELECT eav.replay_rejects('{9}', '{"tenant_id": 8102, "value": 8}');
SELECT eav.replay_rejects('{9}', '{"tenant_id": 8102}');
SET eav.tenant_id = 8102;
SELECT reject_id, payload FROM rejected ORDER BY reject_id;
SELECT accepted FROM eav.ingest('{"entity":"replayed","observed_at":9,"attributes":{"n":9}}', 'durable');
SELECT attribute_name, value, observed_at FROM history WHERE entity = 'replayed' ORDER BY observed_at, 1;
SELECT document FROM documents WHERE entity = 'replayed';
TRUNCATE eav.ingest_rejects;

-- With the worker at rest again: the same by the way of staging.
ALTER SYSTEM SET eav.worker_enabled = off;
ALTER SYSTEM RESET eav.flush_interval;
SELECT pg_reload_conf();
CALL wait_for_door(false);
\set entity 'savepoints, staging'
:first_part :second_part
:third_part
SELECT * FROM flush();
SELECT kept('savepoints, staging') = kept('savepoints, ring');
SELECT slabs_in_use FROM eav.stat_ingest;
BEGIN;
SELECT take('prepared', 5);
PREPARE TRANSACTION 'regress_ingest';
-- Tickets.
BEGIN;
SELECT ticket AS own FROM eav.ingest('{"entity":"staged tickets","observed_at":1,"attributes":{"n":1}}') \gset
SELECT error_of(format('SELECT eav.wait_flushed(%s, %L)', :own, '1h'));
COMMIT;
SELECT eav.wait_flushed(:own, '0'), eav.wait_flushed(:own, '0.02');
-- A wait can be cancelled, however long it is to be.
SET statement_timeout = '50ms';
SELECT eav.wait_flushed(:own, '1 hour');
SELECT eav.wait_flushed(:own, '300000 years');
SELECT eav.wait_flushed(:own, '100000000 years');
RESET statement_timeout;
SELECT flushed FROM flush();
SELECT eav.wait_flushed(:own, '0');
BEGIN;
SELECT ticket AS rolled_back FROM eav.ingest('{"entity":"staged tickets","observed_at":2,"attributes":{"n":2}}') \gset
ROLLBACK;
SELECT flushed FROM flush();
SELECT eav.wait_flushed(:rolled_back, '0');
SELECT ticket AS all_rejected FROM eav.ingest('{"entity":"staged tickets"}') \gset
SELECT flushed FROM flush();
SELECT eav.wait_flushed(:all_rejected, '0');
BEGIN;
SAVEPOINT a;
SELECT ticket AS undone FROM eav.ingest('{"entity":"staged tickets","observed_at":3,"attributes":{"n":3}}') \gset
ROLLBACK TO a;
SELECT pg_current_xact_id_if_assigned() IS NOT NULL;
SELECT regexp_replace(error_of(format('SELECT eav.wait_flushed(%s)', :undone)), '\n.*', '');
COMMIT;
SELECT flushed FROM flush();
SELECT eav.wait_flushed(:undone, '0');
SELECT kept('staged tickets');
-- Durable: nobody flushes, so the commit tells what is missing, and the values are there later.
SET eav.durable_timeout = '20ms';
SELECT timeouts AS timeouts_before FROM eav.stat_ingest \gset
SELECT accepted FROM eav.ingest('{"entity":"staged tickets","observed_at":4,"attributes":{"n":4}}', 'durable');
SELECT timeouts - :timeouts_before FROM eav.stat_ingest;
SELECT flushed FROM flush();
SELECT kept('staged tickets');
RESET eav.durable_timeout;

RESET eav.tenant_id;
TRUNCATE eav.ingest_rejects;
DROP PROCEDURE wait_for_door, deliver, compare, take_with_exceptions;
DROP FUNCTION flush, nested, tries, kept, take, large, spilled;
DROP VIEW history, documents, rejected, counters;
DROP TABLE call, fault, sample, receipt;
