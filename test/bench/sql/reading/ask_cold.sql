-- Filters of attributes in tier current, one entity in a thousand, LIMIT 100.
\set find 'SELECT * FROM eav.find_entities(1, $1::jsonpath)'
\set find_sorted 'SELECT * FROM eav.find_entities(1, $1::jsonpath, ''cold_001'')'
\set find_one 'SELECT * FROM eav.find_entities(1, $1::jsonpath, attributes => ''{hot_000}'')'
SELECT format('CALL bench.measure(%L, %L, %L, %s, %s)', title, statement,
              replace(replace(argument, 'HOT', :'hot'), 'COLD', :'cold'), :calls, :seconds)
FROM (VALUES
    (1, 'cold, equality of numbers', :'find', 'bench.cold_equals(0, n, COLD)'),
    (2, 'cold, equality of texts', :'find', 'bench.cold_equals(2, n, COLD)'),
    (3, 'cold, range', :'find', 'bench.cold_range(n, COLD)'),
    (4, 'cold, range, one attribute shown', :'find_one', 'bench.cold_range(n, COLD)'),
    (5, 'cold, equality, ordered by another', :'find_sorted', 'bench.cold_equals(0, n, COLD)'),
    (6, 'cold and cold, equality', :'find', $$bench.cold_equals(0, n, COLD) || ' && ' || bench.cold_equals(2, n, COLD)$$),
    (7, 'hot (medium) and cold, equality', :'find', $$bench.hot_equals(2, n, HOT) || ' && ' || bench.cold_equals(0, n, COLD)$$),
    (8, 'hot (medium) or cold, equality', :'find', $$bench.hot_equals(2, n, HOT) || ' || ' || bench.cold_equals(0, n, COLD)$$)
) AS question (place, title, statement, argument)
ORDER BY place \gexec
