-- What jsonb input costs for the events in table line: single events, and arrays of a thousand. Rows
-- of size, ns per value of the loop alone (the text is fetched and copied), and with the
-- conversion; medians of 15 rounds.
CREATE TEMP TABLE payload (size integer, content text);
ALTER TABLE payload ALTER content SET STORAGE EXTERNAL;
INSERT INTO payload SELECT 1, content FROM line ORDER BY number;
INSERT INTO payload
SELECT 1000, '[' || string_agg(content, ',' ORDER BY number) || ']'
FROM line GROUP BY (number - 1) / 1000;
ANALYZE payload;

CREATE FUNCTION pg_temp.milliseconds(expression text, size integer) RETURNS float
    LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    rounds float[];
BEGIN
    FOR round IN 1..15 LOOP
        started := clock_timestamp();
        EXECUTE format('SELECT count(%s) FROM payload WHERE size = %s', expression, size);
        rounds := rounds || extract(milliseconds FROM clock_timestamp() - started)::float;
    END LOOP;
    RETURN (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY r) FROM unnest(rounds) AS r);
END
$$;
SELECT size, round((loop * 1e6 / count)::numeric, 1), round((whole * 1e6 / count)::numeric, 1)
FROM (SELECT size, pg_temp.milliseconds('content || ''''', size) AS loop,
             pg_temp.milliseconds('content::jsonb', size) AS whole
      FROM (VALUES (1), (1000)) AS sizes (size)) AS measured,
     (SELECT count(*) FROM line, jsonb_object_keys(content::jsonb -> 'attributes')) AS "values"
ORDER BY size;
