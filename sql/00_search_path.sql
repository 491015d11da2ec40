-- While this script runs, names that are not qualified are those of the server: the search_path that
-- CREATE EXTENSION sets has schemas in it where others may have put operators and functions.
SET LOCAL search_path TO pg_catalog, pg_temp;
