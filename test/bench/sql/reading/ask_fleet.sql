CALL bench.measure('get_entity', 'SELECT eav.get_entity(1, $1::bigint)', format('1 + bench.draw(1, n, %s)', :fleet), :calls, :seconds);
SET eav.max_scan_entities = -1; -- readings that are live have no index
CALL bench.measure('find by a reading', 'SELECT * FROM eav.find_entities(1, $1::jsonpath)',
    '''$.attribute_'' || to_char(4 + 10 * bench.draw(2, n, 20), ''FM000'') || '' > 950''', :calls, :seconds);
