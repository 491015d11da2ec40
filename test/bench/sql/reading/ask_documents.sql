CALL bench.measure('get_entity by id', 'SELECT eav.get_entity(1, $1::bigint)', 'bench.entity(n)',
                   5 * :calls, :seconds);
CALL bench.measure('get_entity by external id', 'SELECT eav.get_entity(1, $1)',
                   '''device-'' || bench.entity(n)', 5 * :calls, :seconds);
CALL bench.measure('get_entity by id, 3 attributes',
                   'SELECT eav.get_entity(1, $1::bigint, ''{hot_000,hot_001,cold_001}'')', 'bench.entity(n)',
                   5 * :calls, :seconds);
CALL bench.measure('get_entities, 100 of them', 'SELECT * FROM eav.get_entities(1, $1::bigint[])',
                   'ARRAY(SELECT bench.entity(100 * n + i) FROM generate_series(1, 100) AS i)',
                   :calls, :seconds);
