-- CREATE EXTENSION, DROP EXTENSION and again; and what the other tests share.
SET client_min_messages = warning;
-- The tests flush and maintain by hand.
ALTER SYSTEM SET eav.worker_enabled = off;
SELECT pg_reload_conf();

CREATE EXTENSION eav_ext CASCADE;
-- Nothing of the user's is touched before the first value: no partition, no row for pg_partman.
SELECT count(*) FROM pg_inherits WHERE inhparent = 'eav.entity_values_ts'::regclass;
SELECT count(*) FROM part_config;

-- Partitions go with the extension; what pg_partman still knows of them does no harm.
SELECT eav._ensure_partitions();
SELECT count(*) FROM pg_inherits WHERE inhparent = 'eav.entity_values_ts'::regclass;
DROP EXTENSION eav_ext;
SELECT relname FROM pg_class WHERE relnamespace = 'eav'::regnamespace;
SELECT count(*) FROM part_config;
CREATE EXTENSION eav_ext;
SELECT eav._ensure_partitions();
SELECT count(*) FROM pg_inherits WHERE inhparent = 'eav.entity_values_ts'::regclass;
SELECT count(*) FROM part_config;
DROP EXTENSION eav_ext;
CREATE EXTENSION eav_ext;

-- The other tests show errors with this: SQLSTATE, message, detail and hint.
CREATE FUNCTION error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                            hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n  ', SQLSTATE || ' ' || message, nullif(detail, ''), nullif(hint, ''));
END
$$;
