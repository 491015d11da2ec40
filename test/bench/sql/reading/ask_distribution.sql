CALL bench.measure('value_distribution, one attribute', 'SELECT * FROM eav.value_distribution(1, ARRAY[$1], interval ''30 days'')',
    '''reading_'' || to_char(n % 100, ''FM000'')', :calls, :seconds);
CALL bench.measure('value_distribution, 20 attributes', 'SELECT * FROM eav.value_distribution(1, $1::text[], interval ''30 days'')',
    'ARRAY(SELECT ''reading_'' || to_char((n + i) % 100, ''FM000'') FROM generate_series(1, 20) AS i)::text', :calls, :seconds);
CALL bench.measure('the same of one attribute from history',
    'SELECT count(*), min(value_float), max(value_float), avg(value_float) FROM eav.entity_values_ts
     WHERE tenant_id = 1 AND attribute_id = eav._attribute_id(1, $1) AND observed_at > now() - interval ''30 days''',
    '''reading_'' || to_char(n % 100, ''FM000'')', :calls, :seconds);
