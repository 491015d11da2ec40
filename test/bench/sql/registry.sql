-- 64 tenants with 200 attributes each. Of every ten attributes two are text and bool states and
-- one is an int state (hot), six are readings (live), one is kept in history only.
SELECT count(eav.register_tenant('tenant ' || t, t)) AS tenants
FROM generate_series(1, 64) AS t;
SELECT count(eav.register_attribute(t, format('attribute_%s', to_char(a, 'FM000')),
                                    (ARRAY['text', 'bool', 'int', 'float', 'float', 'float',
                                           'float', 'int', 'float', 'float'])[a % 10 + 1],
                                    (ARRAY['hot', 'hot', 'hot', 'live', 'live', 'live',
                                           'live', 'live', 'live', 'none'])[a % 10 + 1])) AS attributes
FROM generate_series(1, 64) AS t, generate_series(0, 199) AS a;
