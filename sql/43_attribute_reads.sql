-- How often attributes are asked for. Counted in shared memory (src/stats/reads.cpp), written down
-- by the worker once a minute.

CREATE TABLE eav.attribute_reads (
    tenant_id bigint NOT NULL,
    attribute_id integer NOT NULL,
    filters bigint NOT NULL DEFAULT 0,
    reads bigint NOT NULL DEFAULT 0,
    last_read_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, attribute_id)
) WITH (fillfactor = 70);
-- What is counted is known by its number alone.
CREATE INDEX attribute_reads_attribute_idx ON eav.attribute_reads (attribute_id);
COMMENT ON TABLE eav.attribute_reads IS 'How often each attribute has been asked for through the functions of the extension, up to the last minute; what eav.recommend_attributes() goes by. Delete rows to count anew.';
COMMENT ON COLUMN eav.attribute_reads.filters IS 'Queries that filtered by it.';
COMMENT ON COLUMN eav.attribute_reads.reads IS 'Queries that returned its values by name.';
COMMENT ON COLUMN eav.attribute_reads.last_read_at IS 'When counts were last added, about a minute after the query.';

CREATE FUNCTION eav._read_counts(take boolean)
    RETURNS TABLE (attribute_id integer, filters bigint, reads bigint)
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_read_counts'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._read_counts(boolean) IS
'Internal: the counts of this database that are in shared memory; an attribute may come twice. take: and empties them.';

CREATE FUNCTION eav._dropped_read_counts() RETURNS bigint
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_dropped_read_counts'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._dropped_read_counts() IS
'Internal: how many counts, of all databases, found no room in shared memory since the server started.';

CREATE FUNCTION eav._count_reads(attribute_id integer, filters bigint, reads bigint) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_count_reads'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._count_reads(integer, bigint, bigint) IS
'Internal: counts so many queries that filter by the attribute, and so many that return it, as the functions that run them do. For tests.';

CREATE FUNCTION eav._drain_read_counts() RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids integer[];
    new_filters bigint[];
    new_reads bigint[];
    updated bigint;
    inserted bigint := 0;
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN 0;
    END IF;
    -- What could fail comes before anything is taken; and one takes at a time.
    LOCK TABLE eav.attribute_reads IN SHARE ROW EXCLUSIVE MODE;
    SELECT array_agg(c.attribute_id), array_agg(c.filters), array_agg(c.reads)
    INTO ids, new_filters, new_reads
    FROM (SELECT r.attribute_id, sum(r.filters)::bigint AS filters, sum(r.reads)::bigint AS reads
          FROM eav._read_counts(true) r GROUP BY r.attribute_id) AS c;
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE eav.attribute_reads r
    SET filters = r.filters + c.filters, reads = r.reads + c.reads, last_read_at = clock_timestamp()
    FROM unnest(ids, new_filters, new_reads) AS c (attribute_id, filters, reads)
    WHERE r.attribute_id = c.attribute_id;
    GET DIAGNOSTICS updated = ROW_COUNT;
    -- Looks at all attributes, so only for those that are asked for the first time.
    IF updated < cardinality(ids) THEN
        INSERT INTO eav.attribute_reads (tenant_id, attribute_id, filters, reads, last_read_at)
        SELECT a.tenant_id, a.attribute_id, c.filters, c.reads, clock_timestamp()
        FROM unnest(ids, new_filters, new_reads) AS c (attribute_id, filters, reads)
        JOIN eav.attributes a USING (attribute_id)
        WHERE NOT EXISTS (SELECT FROM eav.attribute_reads r WHERE r.attribute_id = c.attribute_id)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
    END IF;
    RETURN updated + inserted;
END
$$;
COMMENT ON FUNCTION eav._drain_read_counts() IS
'Internal: moves the counts of this database from shared memory to attribute_reads and returns the number of attributes. The worker does so once a minute. On a standby 0.';
