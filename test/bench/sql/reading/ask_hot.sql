-- Two hot attributes that have the values which some entity has, LIMIT 100.
SELECT format('CALL bench.measure(%L, %L, %L, %s, %s)', 'hot, ' || title,
              'SELECT * FROM eav.find_entities(1, $1::jsonpath)',
              format($$bench.hot_equals(%s, n, %s) || ' && ' || bench.hot_equals(%s, n, %2$s)$$, one, :hot, two),
              :calls, :seconds)
FROM (VALUES (1, 'dense and dense', 0, 1), (2, 'dense and medium', 0, 2), (3, 'medium and medium', 2, 3),
             (4, 'dense and sparse', 1, 4), (5, 'medium and sparse', 2, 4)) AS pair (place, title, one, two)
ORDER BY place \gexec
