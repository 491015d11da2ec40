-- The same feed as events in JSON, for a second tenant. What JSON cannot tell is told in words that
-- eav.ingest() knows: times as RFC 3339, and tsunami as true or false; null would clear an
-- attribute, so what is null in the feed is left out.
\set ON_ERROR_STOP 1
SELECT eav.register_tenant('usgs-json', 2);
SELECT count(eav.register_attribute(2, name, data_type, projection))
FROM eav.attributes WHERE tenant_id = 1;

CREATE VIEW demo.earthquake_events AS
SELECT jsonb_build_object(
           'tenant_id', 2,
           'entity', properties -> 'net',
           'observed_at', properties -> 'time',
           'attributes', jsonb_strip_nulls(
               properties || jsonb_build_object(
                   'time', to_timestamp((properties -> 'time')::float8 / 1000),
                   'updated', to_timestamp((properties -> 'updated')::float8 / 1000),
                   'tsunami', properties -> 'tsunami' = '1',
                   'location', feature -> 'geometry'))) AS event
FROM demo.earthquake, LATERAL (SELECT feature -> 'properties') AS p (properties);
