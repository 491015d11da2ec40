-- eav.register_tenant(), eav.register_entity(), eav.register_attribute()
\pset format unaligned
\pset tuples_only on

-- Tenants: the same call again gives the same id, and takes none from the sequence.
SELECT eav.register_tenant('acme') AS acme \gset
SELECT eav.register_tenant('acme') = :acme;
SELECT eav.register_tenant('acme', :acme) = :acme;
SELECT eav.register_tenant('globex', 500);
SELECT eav.register_tenant('globex', 500);
SELECT eav.register_tenant('globex');
SELECT eav.register_tenant('initech') = :acme + 1;
-- An id of the sequence that somebody chose by hand is passed over.
SELECT eav.register_tenant('chosen', :acme + 2) = :acme + 2;
SELECT eav.register_tenant('next') = :acme + 3;
SELECT eav.register_tenant(name => 'Überwachung "Süd"') = :acme + 4;
SELECT error_of($$SELECT eav.register_tenant(NULL)$$);
SELECT error_of($$SELECT eav.register_tenant('')$$);
SELECT error_of($$SELECT eav.register_tenant(E'tab\there')$$);
SELECT error_of($$SELECT eav.register_tenant(repeat('ä', 128))$$);
SELECT eav.register_tenant(repeat('ä', 127) || 'x') = :acme + 5;
SELECT error_of($$SELECT eav.register_tenant('globex', 501)$$);
SELECT error_of($$SELECT eav.register_tenant('other', 500)$$);
SELECT error_of($$SELECT eav.register_tenant('acme', 500)$$);

-- Entities.
SELECT eav.register_entity(500, 'device-1');
SELECT eav.register_entity(500, 'device-1');
SELECT eav.register_entity(500, 'device-2');
SELECT eav.register_entity(:acme, 'device-1');
SELECT eav.register_entity(500, 'pump', 'pump', 7);
SELECT eav.register_entity(500, 'pump');
SELECT eav.register_entity(500, 'pump', 'pump');
SELECT eav.register_entity(500, 'pump', NULL, 7);
-- A type is learned once.
SELECT eav.register_entity(500, 'device-1', 'sensor');
SELECT entity_id, external_id, entity_type, version FROM eav.entities
WHERE tenant_id = 500 ORDER BY external_id;
-- An entity that was known by number gets its name and its type.
INSERT INTO eav.entities (tenant_id, entity_id) VALUES (500, 42), (500, 43);
SELECT eav.register_entity(500, 'valve', 'valve', 42);
SELECT eav.register_entity(500, 'device-43', NULL, 43);
SELECT entity_id, external_id, entity_type, version FROM eav.entities
WHERE tenant_id = 500 AND entity_id IN (42, 43) ORDER BY 1;
-- An id of the sequence that somebody chose by hand is passed over.
SELECT eav.register_entity(500, 'chosen', NULL, 1000000000003);
SELECT eav.register_entity(500, 'next');
SELECT error_of($$SELECT eav.register_entity(NULL, 'x')$$);
SELECT error_of($$SELECT eav.register_entity(99, 'x')$$);
SELECT error_of($$SELECT eav.register_entity(500, NULL)$$);
SELECT error_of($$SELECT eav.register_entity(500, '')$$);
SELECT error_of($$SELECT eav.register_entity(500, repeat('x', 256))$$);
SELECT error_of($$SELECT eav.register_entity(500, E'bell\x07')$$);
SELECT error_of($$SELECT eav.register_entity(500, 'x', '')$$);
SELECT error_of($$SELECT eav.register_entity(500, 'pump', 'fan')$$);
SELECT error_of($$SELECT eav.register_entity(500, 'pump', 'pump', 8)$$);
SELECT error_of($$SELECT eav.register_entity(500, 'new', 'pump', 7)$$);
SELECT error_of($$SELECT eav.register_entity(500, 'pump', NULL, 42)$$);
SELECT count(*) FROM eav.entities WHERE external_id IN ('x', 'new');

-- Attributes: text and bool are hot by default, all others live.
SELECT count(eav.register_attribute(500, 'a ' || type, type))
FROM unnest('{text,int,float,numeric,bool,timestamp,json}'::text[]) AS type;
SELECT attribute_id - min(attribute_id) OVER (), name, data_type, projection, is_inferred
FROM eav.attributes ORDER BY attribute_id;
SELECT eav.register_attribute(500, 'a int', 'int') = eav.register_attribute(500, 'a int', 'int', 'live');
SELECT eav.register_attribute(500, 'speed', 'float', 'hot') = eav.register_attribute(500, 'speed', 'float');
SELECT projection FROM eav.attributes WHERE name = 'speed';
SELECT eav.register_attribute(500, 'log', 'text', 'none') > 0;
-- One name for each tenant, one sequence for all of them.
SELECT eav.register_attribute(:acme, 'speed', 'int') - eav.register_attribute(500, 'log', 'text');
-- An inferred type becomes final when somebody says it.
UPDATE eav.attributes SET is_inferred = true WHERE name = 'a int';
SELECT eav.register_attribute(500, 'a int', 'int') > 0;
SELECT is_inferred FROM eav.attributes WHERE name = 'a int';
-- One that has only been cleared so far has no type and gets it now, with its projection.
INSERT INTO eav.attributes (tenant_id, name, data_type, projection, is_inferred)
VALUES (500, 'cleared 1', NULL, 'live', true), (500, 'cleared 2', NULL, 'live', true);
SELECT eav.register_attribute(500, 'cleared 1', 'text') > 0,
       eav.register_attribute(500, 'cleared 2', 'int', 'none') > 0;
SELECT name, data_type, projection, is_inferred FROM eav.attributes WHERE name LIKE 'cleared%';
SELECT error_of($$SELECT eav.register_attribute(NULL, 'x', 'int')$$);
SELECT error_of($$SELECT eav.register_attribute(99, 'x', 'int')$$);
SELECT error_of($$SELECT eav.register_attribute(500, NULL, 'int')$$);
SELECT error_of($$SELECT eav.register_attribute(500, '', 'int')$$);
SELECT error_of($$SELECT eav.register_attribute(500, E'a\nb', 'int')$$);
SELECT error_of($$SELECT eav.register_attribute(500, 'x', NULL)$$);
SELECT error_of($$SELECT eav.register_attribute(500, 'x', 'integer')$$);
SELECT error_of($$SELECT eav.register_attribute(500, 'x', 'int', 'cold')$$);
SELECT error_of($$SELECT eav.register_attribute(500, 'speed', 'int')$$);
SELECT error_of($$SELECT eav.register_attribute(500, 'speed', 'float', 'live')$$);
SELECT count(*) FROM eav.attributes WHERE name = 'x';

-- What was registered again took no id.
SELECT last_value - :acme FROM eav.tenant_id_seq;
SELECT last_value FROM eav.entity_id_seq;
SELECT (SELECT last_value FROM eav.attribute_id_seq) = max(attribute_id) FROM eav.attributes;

-- Nothing of the session is left changed, and nothing of it is obeyed.
CREATE SCHEMA decoy;
CREATE FUNCTION decoy.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS $$SELECT 'decoy'$$;
SET search_path = decoy, public, pg_catalog;
SELECT error_of($$SELECT eav.register_tenant('globex', 501)$$);
SHOW search_path;
RESET search_path;
DROP FUNCTION decoy.format;
DROP SCHEMA decoy;
