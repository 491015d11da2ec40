// Include last in every file of core. The build of core defines EAV_CORE_ONLY and fails here
// when a PostgreSQL header leaked in.
#if defined(EAV_CORE_ONLY) && defined(PG_VERSION_NUM)
#error "eav/core must not see PostgreSQL headers"
#endif
