-- The library must be that of this version. Here it is asked, before anything else is made: a
-- server may have preloaded an older one. See src/pg/library.cpp.

CREATE FUNCTION eav._library_version() RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eav_library_version'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._library_version() IS 'Internal: the version of the library that this session has loaded. All other functions need it to be that of the extension.';

CREATE FUNCTION eav._check_library() RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'eav_check_library'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION eav._check_library() IS 'Internal: returns when library and extension are of the same version. Raises object_not_in_prerequisite_state (55000) when they are not.';
SELECT eav._check_library();
