-- From 1.0.0 to 1.1.0: what a comparison of the install scripts cannot know (differences.awk). All
-- other statements are put in at the line "-- differences" when this is built.

-- A worker with the library of 1.0.0 would go on after this: that one does not look at versions. It
-- flushes what is there, and comes back after two seconds with the library that is installed now. A
-- process that builds an index would wait for this transaction, and this one for it.
DO $$
DECLARE
    worker integer;
BEGIN
    FOR worker IN
        SELECT l.pid
        FROM pg_catalog.pg_locks l
        JOIN pg_catalog.pg_database d ON d.oid = l.database
        WHERE d.datname = pg_catalog.current_database() AND l.locktype = 'advisory' AND l.granted
          AND l.objsubid IN (25974, 25975)
    LOOP
        IF NOT pg_catalog.pg_terminate_backend(worker, 30000) THEN
            RAISE EXCEPTION USING ERRCODE = 'object_in_use',
                MESSAGE = 'a process of eav_ext in this database does not end',
                DETAIL = pg_catalog.format('Its process id is %s.', worker),
                HINT = 'Try again when it has finished its work.';
        END IF;
    END LOOP;
END
$$;

-- New columns; what they need of new functions comes last. Rows that are staged were written by
-- those who could write for all tenants.
ALTER TABLE eav.attributes ADD COLUMN is_pii boolean NOT NULL DEFAULT false;
ALTER TABLE eav.entity_values_ingest ADD COLUMN writer_tenant bigint;
ALTER TABLE eav.flush_state
    ADD COLUMN ticket_key uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN boot_id uuid,
    ADD COLUMN booted_at timestamptz;

-- differences

ALTER TABLE eav.entity_values_ingest
    ALTER COLUMN writer_tenant SET DEFAULT eav._writer_tenant(),
    ADD CONSTRAINT own_tenant CHECK (writer_tenant IS NOT DISTINCT FROM eav._writer_tenant());
