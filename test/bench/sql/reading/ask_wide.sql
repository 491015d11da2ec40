CALL bench.measure('get_entity, whole', 'SELECT eav.get_entity(1, $1::bigint)', '1', :calls, :seconds);
CALL bench.measure('get_entity, 3 attributes', 'SELECT eav.get_entity(1, $1::bigint, ''{attribute_1,attribute_500,attribute_9000}'')', '1', :calls, :seconds);
CALL bench.measure('find by one attribute', 'SELECT * FROM eav.find_entities(1, $1::jsonpath)', '''$.attribute_9002 == 9002.5''', :calls, :seconds);
CALL bench.measure('find by one attribute, that one shown', 'SELECT * FROM eav.find_entities(1, $1::jsonpath, attributes => ''{attribute_9002}'')', '''$.attribute_9002 == 9002.5''', :calls, :seconds);
CALL bench.measure('promote an attribute to hot', 'SELECT eav.promote_attribute(1, ''attribute_'' || $1)', '(8000 + 4 * n)', 3, :seconds);
