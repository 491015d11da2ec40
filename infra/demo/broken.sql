-- What producers get wrong, among values that are right.
COPY eav.entity_values_ingest (tenant_id, entity, attribute, value, observed_at) FROM STDIN WITH (NULL '');
1	ci	mag	strong	2018-02-07 00:00:00+00
1	ci	depth in km	12.5	2018-02-07 00:00:00+00
99	ci	mag	2.5	2018-02-07 00:00:00+00
1	ci	mag	2.5	2999-01-01 00:00:00+00
1		mag	2.5	2018-02-07 00:00:00+00
\.
