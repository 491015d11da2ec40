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
SELECT tenant_id, coalesce(external_id, entity_id::text) AS entity, hot_attrs || live_attrs AS document
FROM eav.entity_jsonb JOIN eav.entities USING (tenant_id, entity_id)
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
SELECT * FROM counters \g /dev/null
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
SELECT payload, regexp_replace(error_of(format('SELECT eav.ingest(%L)', payload)), '\n *', ': ', 'g')
FROM malformed ORDER BY n;
-- The same bytes, the same error. As jsonb only what is no event and no array gets here at all.
SELECT count(*), count(DISTINCT n) FROM malformed
WHERE error_of(format('SELECT eav.ingest(%L)', payload))
      = error_of(format('SELECT eav.ingest(%L::bytea)', convert_to(payload, 'UTF8')));
SELECT payload, regexp_replace(error_of(format('SELECT eav.ingest(%L::jsonb)', payload)), '\n *', ': ', 'g')
FROM unnest('{1,"\"text\"",null,true}'::text[]) AS payload;
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
SET eav.max_payload_bytes = 1023;
SET eav.max_payload_bytes = '256.1MB';
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

SELECT count(*) FROM eav.entity_values_ingest;
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
SET eav.durable_timeout = 0;
SET eav.durable_timeout = '1h';
SET eav.durable_timeout = '1h 1ms';
SET eav.durable_timeout = 3600001;
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
    ('{"entity":"a\u0000b","attributes":{"a":1}}'), (E'{"entity":"a\u007fb","attributes":{"a":1}}'),
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
INSERT INTO call (what, payload)
SELECT 'types', string_agg(format('{"entity":"types","observed_at":%s,"attributes":{"new %s":%s}}', n, n, value), E'\n' ORDER BY n)
FROM unnest(ARRAY[
    '0', '-0', '1', '-1', '9223372036854775807', '-9223372036854775808', '9223372036854775808',
    '-9223372036854775809', '18446744073709551615', '18446744073709551616', repeat('9', 100),
    '1.0', '0.1', '-0.0', '1e0', '1E2', '1e+2', '72.5', '1.7976931348623157e308', '1.7976931348623159e308',
    '4.9406564584124654e-324', '5e-324', '1e-400', '0e-400', '0.30000000000000004', '0.300000000000000041',
    '9007199254740993.0', '1e22', '1e23', '12345678901234567890.123456789', '0.10', '1.50e1', '1e400',
    '"online"', '""', '"größer 😀 \u00e4\ud83d\ude00 \" \\ \/ \b\f\n\r\t"', '"5"', '"true"', '"null"', '"2026-01-01T00:00:00Z"',
    'true', 'false', '{}', '[]', '["a"]', '{"b": 1.50, "a":[true,null,"x",{"y":1e2}]}', '[1,[2,[3]]]', '{"a":1,"a":2}',
    'null']) WITH ORDINALITY AS t (value, n);
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
    ('blanks', E'\n [\t{ "entity" : "blanks" ,\r\n "observed_at" : 0 , "attributes" : { "a" : [ 1 , 2 ] , "b" : 1 } } ] \n'),
    ('twice in an event', '{"entity":"twice","observed_at":0,"attributes":{"a":1,"b":1,"a":2,"a":3,"b":null}}'),
    ('equal times', '[{"entity":"equal","observed_at":0,"attributes":{"a":3}},{"entity":"equal","observed_at":0,"attributes":{"a":1}},{"entity":"equal","observed_at":0,"attributes":{"a":2}}]'),
    ('older', '[{"entity":"older","observed_at":5,"attributes":{"a":"new"}},{"entity":"older","observed_at":4,"attributes":{"a":"old","b":"only"}}]'),
    ('by number', '{"entity_id":-9223372036854775808,"observed_at":0,"attributes":{"a":1}} {"entity_id":0,"observed_at":0,"attributes":{"a":2}}'),
    ('long names', format('{"entity":"%s","observed_at":0,"attributes":{"%s":1}}', repeat('e', 255), repeat('ä', 127) || 'a')),
    ('deepest', nested(62, '{"entity":"deep","observed_at":0,"attributes":{"deep":%s}}')),
    ('deepest in an array', nested(61, '[{"entity":"deep","observed_at":1,"attributes":{"deep":%s}}]')),
    ('most attributes', format('{"entity":"many","observed_at":0,"attributes":{%s}}',
                               (SELECT string_agg(format('"n":%s', n), ',') FROM generate_series(1, 10000) AS n))),
    ('one too many', format('{"entity":"many","observed_at":1,"attributes":{%s}}',
                            (SELECT string_agg('"n":-1', ',') FROM generate_series(1, 10001)))),
    ('unknown tenant of the others', '{"entity":"last","observed_at":0,"attributes":{"a":1}}');

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
SELECT count(*) > 0, count(DISTINCT xact) FROM eav.entity_values_ingest;
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
SELECT event, sqlstate, reason, f.event::jsonb::text IS NOT DISTINCT FROM r.event::text
FROM (SELECT *, row_number() OVER (ORDER BY reject_id) AS n FROM rejected) AS r
LEFT JOIN (SELECT n, event FROM fault WHERE event !~ '\\u0000|e999999') AS f USING (n)
WHERE r.n <= (SELECT count(*) FROM fault) ORDER BY r.reject_id;
SELECT bool_and(position = (2 * n)::text), count(*)
FROM (SELECT *, row_number() OVER (ORDER BY reject_id) AS n FROM rejected
      WHERE payload ? 'position' ORDER BY reject_id LIMIT (SELECT count(*) FROM fault)) AS r;
SELECT count(*), bool_and(attribute_name = 'good'), sum(value::integer)
FROM history WHERE entity LIKE 'good %';
SELECT count(*) = (SELECT count(*) FROM fault) FROM documents WHERE entity LIKE 'good %';
SELECT position, tenant_id, sqlstate, reason, event FROM rejected
WHERE reject_id > (SELECT max(reject_id) - 5 FROM rejected WHERE payload ? 'position') AND payload ? 'position'
ORDER BY reject_id;
SELECT count(*) FROM rejected WHERE payload ? 'position';

-- Types in history and in the document.
SELECT attribute_name, data_type, kept_in, value FROM history WHERE entity = 'types' ORDER BY observed_at;
SELECT jsonb_pretty(document) FROM documents WHERE entity = 'types';
SELECT a.data_type, h.kept_in, h.value, h.observed_at
FROM unnest('{bool,float,int,json,numeric,text,timestamp}'::text[]) AS a (data_type)
LEFT JOIN history h ON h.entity = a.data_type ORDER BY 1, h.observed_at;
SELECT entity, document FROM documents WHERE entity IN (SELECT substr(name, 3) FROM eav.attributes WHERE name LIKE 'd\_%')
ORDER BY entity COLLATE "C";
-- A value that its attribute does not take is rejected alone, as a staged row.
SELECT payload ->> 'entity' AS entity, sqlstate, reason, payload - '{entity,attribute,observed_at}'::text[]
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
SELECT slabs, slabs_in_use FROM eav.stat_ingest;
TRUNCATE before;
INSERT INTO before SELECT * FROM counters;
CREATE TABLE rejected_before AS SELECT * FROM rejected;
CALL deliver(8102);
-- Nothing is staged, the rest is the same.
SELECT count(*) FROM eav.entity_values_ingest;
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
