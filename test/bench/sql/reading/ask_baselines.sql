-- One question in four ways, with the same parameters: by our find, in one document an entity, in plain
-- history, and there with other indexes. :which names the ways. History answers with entity_id only.
SELECT attribute_id AS first FROM eav.attributes WHERE tenant_id = 1 AND name = 'cold_000' \gset
SELECT format('CALL bench.measure(%L, %L, %L, %s, %s)', title, statement,
              replace(replace(argument, 'FIRST', :'first'), 'COLD', :'attributes'), :calls, :seconds)
FROM (VALUES
    ('find', 1, 'equality, eav.find_entities()',
     'SELECT * FROM eav.find_entities(1, $1::jsonpath)',
     'bench.cold_equals(0, n, COLD)'),
    ('documents', 2, 'equality, one document an entity',
     'SELECT * FROM bench.documents WHERE tenant_id = 1 AND document @@ $1::jsonpath LIMIT 100',
     'bench.cold_equals(0, n, COLD)'),
    ('history', 3, 'equality, history',
     $$SELECT entity_id
       FROM (SELECT DISTINCT ON (entity_id) entity_id, value_int FROM bench.history
             WHERE tenant_id = 1 AND attribute_id = split_part($1, ' ', 1)::integer
             ORDER BY entity_id, observed_at DESC, ingested_at DESC) AS newest
       WHERE value_int = split_part($1, ' ', 2)::bigint LIMIT 100$$,
     $$format('%s %s', FIRST + c, bench.cold_value(c, bench.entity(n))) FROM bench.cold_attribute(0, n, COLD) AS c$$),
    ('best', 4, 'equality, history, its best indexes',
     $$SELECT entity_id FROM bench.history AS h
       WHERE tenant_id = 1 AND attribute_id = split_part($1, ' ', 1)::integer
         AND value_int = split_part($1, ' ', 2)::bigint
         AND NOT EXISTS (SELECT FROM bench.history AS newer
                         WHERE newer.tenant_id = 1 AND newer.entity_id = h.entity_id
                           AND newer.attribute_id = h.attribute_id AND newer.observed_at > h.observed_at)
       LIMIT 100$$,
     $$format('%s %s', FIRST + c, bench.cold_value(c, bench.entity(n))) FROM bench.cold_attribute(0, n, COLD) AS c$$),
    ('find', 5, 'range, eav.find_entities()',
     'SELECT * FROM eav.find_entities(1, $1::jsonpath)',
     'bench.cold_range(n, COLD)'),
    ('documents', 6, 'range, one document an entity',
     'SELECT * FROM bench.documents WHERE tenant_id = 1 AND document @@ $1::jsonpath LIMIT 100',
     'bench.cold_range(n, COLD)'),
    ('history', 7, 'range, history',
     $$SELECT entity_id
       FROM (SELECT DISTINCT ON (entity_id) entity_id, value_float FROM bench.history
             WHERE tenant_id = 1 AND attribute_id = split_part($1, ' ', 1)::integer
             ORDER BY entity_id, observed_at DESC, ingested_at DESC) AS newest
       WHERE value_float >= split_part($1, ' ', 2)::float AND value_float < split_part($1, ' ', 2)::float + 1
       LIMIT 100$$,
     $$format('%s %s', FIRST + c, bench.low(n)) FROM bench.cold_attribute(1, n, COLD) AS c$$),
    ('best', 8, 'range, history, its best indexes',
     $$SELECT entity_id FROM bench.history AS h
       WHERE tenant_id = 1 AND attribute_id = split_part($1, ' ', 1)::integer
         AND value_float >= split_part($1, ' ', 2)::float AND value_float < split_part($1, ' ', 2)::float + 1
         AND NOT EXISTS (SELECT FROM bench.history AS newer
                         WHERE newer.tenant_id = 1 AND newer.entity_id = h.entity_id
                           AND newer.attribute_id = h.attribute_id AND newer.observed_at > h.observed_at)
       LIMIT 100$$,
     $$format('%s %s', FIRST + c, bench.low(n)) FROM bench.cold_attribute(1, n, COLD) AS c$$)
) AS way (side, place, title, statement, argument)
WHERE side = ANY (string_to_array(:'which', ' '))
ORDER BY place \gexec
