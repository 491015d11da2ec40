CALL bench.measure('get_entity, whole', 'SELECT eav.get_entity(1, $1::bigint)', '1', :calls, :seconds);
CALL bench.measure('get_entity, 3 attributes', 'SELECT eav.get_entity(1, $1::bigint, ''{attribute_1,attribute_500,attribute_9000}'')', '1', :calls, :seconds);
CALL bench.measure('find by one attribute', 'SELECT * FROM eav.find_entities(1, $1::jsonpath)', '''$.attribute_9003 == 9003.5''', :calls, :seconds);
CALL bench.measure('find by one attribute, that one shown', 'SELECT * FROM eav.find_entities(1, $1::jsonpath, attributes => ''{attribute_9003}'')', '''$.attribute_9003 == 9003.5''', :calls, :seconds);
CALL bench.measure('find by one attribute that was promoted', 'SELECT * FROM eav.find_entities(1, $1::jsonpath)', '''$.attribute_5000 == "word 3"''', :calls, :seconds);
