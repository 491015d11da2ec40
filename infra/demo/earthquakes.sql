-- The earthquake feed as values. A seismic network is an entity; the readings of an earthquake,
-- 26 properties that are often null and the place on earth, are its attributes at that time.
\set ON_ERROR_STOP 1
CREATE SCHEMA demo;

-- GeoJSON is one document, which the feed breaks into a line per earthquake. CSV with a delimiter
-- and a quote that do not occur takes each line as it is.
CREATE TEMP TABLE line (number serial, content text);
\copy line (content) FROM 'test/data/earthquakes.json' WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')
CREATE TABLE demo.earthquake AS
SELECT feature
FROM (SELECT string_agg(content, E'\n' ORDER BY number)::jsonb AS feed FROM line) AS document,
     jsonb_array_elements(feed -> 'features') AS feature;

SELECT eav.register_tenant('usgs', 1);
-- State that people filter by is hot, readings are live, and what nobody asks for again is kept in
-- history only.
SELECT count(eav.register_attribute(1, name, type, projection))
FROM (VALUES ('mag', 'float', 'live'), ('place', 'text', 'live'), ('time', 'timestamp', 'live'),
             ('updated', 'timestamp', 'none'), ('tz', 'int', 'live'), ('url', 'text', 'none'),
             ('detail', 'text', 'none'), ('felt', 'int', 'live'), ('cdi', 'float', 'live'),
             ('mmi', 'float', 'live'), ('alert', 'text', 'hot'), ('status', 'text', 'hot'),
             ('tsunami', 'bool', 'hot'), ('sig', 'int', 'live'), ('net', 'text', 'hot'),
             ('code', 'text', 'none'), ('ids', 'text', 'none'), ('sources', 'text', 'none'),
             ('types', 'text', 'none'), ('nst', 'int', 'live'), ('dmin', 'float', 'live'),
             ('rms', 'float', 'live'), ('gap', 'numeric', 'live'), ('magType', 'text', 'hot'),
             ('type', 'text', 'hot'), ('title', 'text', 'live'),
             ('location', 'json', 'live')) AS attribute (name, type, projection);

-- The columns in which the values go into staging. Times in the feed are milliseconds since 1970.
CREATE VIEW demo.earthquake_values AS
SELECT 1 AS tenant_id,
       feature #>> '{properties,net}' AS entity,
       reading.key AS attribute,
       CASE WHEN reading.key IN ('time', 'updated')
            THEN to_timestamp(reading.value::float8 / 1000)::text
            ELSE reading.value END AS value,
       to_timestamp((feature #>> '{properties,time}')::float8 / 1000) AS observed_at
FROM demo.earthquake,
     jsonb_each_text((feature -> 'properties') || jsonb_build_object('location', feature -> 'geometry'))
         AS reading
WHERE reading.value IS NOT NULL;
