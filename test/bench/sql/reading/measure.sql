-- Calls one after the other in one session, each with parameters of its own. The time of a call is
-- that of the server, from the text of the statement to its last row: it is planned in every call,
-- as by a client that prepares nothing.
CREATE SCHEMA bench;
CREATE TABLE bench.call (at serial, question text, n integer, rows bigint, ms float);

-- A number from 0 to below choices that depends on seed and n only.
CREATE FUNCTION bench.draw(seed bigint, n bigint, choices bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashint8extended(n, seed) & 9007199254740991) % choices
$$;

-- statement: a SELECT; its $1 is a text, which argument makes of n, the number of the call: an
-- expression, with FROM where it needs that. A tenth as many calls come before and do not count. Ends early after that many seconds.
CREATE PROCEDURE bench.measure(question text, statement text, argument text, calls integer,
                               seconds float) LANGUAGE plpgsql AS $$
DECLARE
    statement_argument text;
    found bigint;
    began timestamptz;
    ended timestamptz;
    started CONSTANT timestamptz := clock_timestamp();
    n integer := -calls / 10;
BEGIN
    WHILE n <= calls LOOP
        EXECUTE format('SELECT %s', regexp_replace(argument, '\mn\M', '$1', 'g'))
        INTO statement_argument USING n::bigint;
        began := clock_timestamp();
        -- The whole row is counted, so that all of its columns are computed.
        EXECUTE format('SELECT count(answer) FROM (%s) AS answer', statement)
        INTO found USING statement_argument;
        ended := clock_timestamp();
        IF n > 0 THEN
            INSERT INTO bench.call (question, n, rows, ms)
            VALUES (question, n, found, extract(epoch FROM ended - began) * 1000);
        END IF;
        COMMIT;
        EXIT WHEN n >= 3 AND ended - started > make_interval(secs => seconds);
        n := CASE WHEN n < 0 AND ended - started > make_interval(secs => seconds / 5) THEN 1 ELSE n + 1 END;
    END LOOP;
END
$$;

-- Page after page by cursor; what is kept are the first ten pages and the last ten.
CREATE PROCEDURE bench.turn_pages(question text, filter jsonpath, order_by text, pages integer)
LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz;
    ended timestamptz;
    place text;
    found bigint;
BEGIN
    FOR page IN 1..pages LOOP
        began := clock_timestamp();
        SELECT count(f), (array_agg(f.cursor ORDER BY n))[count(f)] INTO found, place
        FROM eav.find_entities(1, filter, order_by, 100, place)
             WITH ORDINALITY AS f (entity_id, external_id, document, cursor, n);
        ended := clock_timestamp();
        IF page <= 10 OR page > pages - 10 THEN
            INSERT INTO bench.call (question, rows, ms)
            VALUES (format('%s, pages %s', question, CASE WHEN page <= 10 THEN '1 to 10'
                           ELSE format('%s to %s', pages - 9, pages) END),
                    found, extract(epoch FROM ended - began) * 1000);
        END IF;
        EXIT WHEN found < 100;
    END LOOP;
END
$$;

-- What entity e has as hot attribute h and as cold attribute c.
--   hot, h % 5    dense: 4 words, a bool; medium: 100 words, 1,000 numbers; sparse: 100,000 words
--   cold, c % 3   1,000 numbers; readings from 0 to 1,000; 1,000 words
-- Stable, as to_jsonb() is: then the planner puts them in line.
CREATE FUNCTION bench.hot_value(h integer, e bigint) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE h % 5
        WHEN 0 THEN to_jsonb((ARRAY['idle', 'driving', 'charging', 'fault'])[bench.draw(h, e, 4) + 1])
        WHEN 1 THEN to_jsonb(bench.draw(h, e, 2) = 0)
        WHEN 2 THEN to_jsonb('model ' || bench.draw(h, e, 100))
        WHEN 3 THEN to_jsonb(bench.draw(h, e, 1000))
        ELSE to_jsonb('batch ' || bench.draw(h, e, 100000)) END
$$;
CREATE FUNCTION bench.cold_value(c integer, e bigint) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE c % 3
        WHEN 0 THEN to_jsonb(bench.draw(1000 + c, e, 1000))
        WHEN 1 THEN to_jsonb(bench.draw(1000 + c, e, 1000000) / 1000.0)
        ELSE to_jsonb('word ' || bench.draw(1000 + c, e, 1000)) END
$$;
CREATE FUNCTION bench.hot_name(h bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'hot_' || to_char(h, 'FM000') $$;
CREATE FUNCTION bench.cold_name(c bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'cold_' || to_char(c, 'FM000') $$;

-- The entity that call n asks for, and conditions that it meets. kind: h % 5 and c % 3 as above.
CREATE TABLE bench.tenant (tenant_id bigint, entities bigint);
CREATE FUNCTION bench.entity(n bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT 1 + bench.draw(5000, n, entities) FROM bench.tenant WHERE tenant_id = 1
$$;
CREATE FUNCTION bench.hot_equals(kind integer, n bigint, hot integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('$.%s == %s', bench.hot_name(h), bench.hot_value(h::integer, bench.entity(n)))
    FROM (SELECT kind + 5 * bench.draw(2000 + kind, n, hot / 5) AS h) AS attribute
$$;
CREATE FUNCTION bench.cold_attribute(kind integer, n bigint, cold integer) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT kind + 3 * bench.draw(3000 + kind, n, cold / 3)::integer
$$;
CREATE FUNCTION bench.cold_equals(kind integer, n bigint, cold integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('$.%s == %s', bench.cold_name(c), bench.cold_value(c, bench.entity(n)))
    FROM (SELECT bench.cold_attribute(kind, n, cold) AS c) AS attribute
$$;
-- One in a thousand: readings within 1 of 1,000.
CREATE FUNCTION bench.low(n bigint) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT bench.draw(4000, n, 999000) / 1000.0
$$;
CREATE FUNCTION bench.cold_range(n bigint, cold integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('$.%1$s >= %2$s && $.%1$s < %3$s', bench.cold_name(bench.cold_attribute(1, n, cold)),
                  bench.low(n), bench.low(n) + 1)
$$;
