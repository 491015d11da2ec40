// Library and SQL are of one version, or do nothing together.
//
// They come apart whenever software is updated. New files are on disk: sessions load the new
// library, or go on with the one that the server has preloaded, and the SQL in each database stays
// what it was until ALTER EXTENSION UPDATE. So each function for SQL looks first (guard.hpp), and
// every job of the worker: what is cached is a flag, which falls with any change of a function in
// the database. Every install and upgrade script changes functions: its last part revokes rights on
// all of them. The version is that of pg_extension, which is changed before the script runs; so the
// script itself can ask, and does (sql/01_library.sql).
//
// Functions whose answer depends on their arguments alone do not look, for they are in constraints
// and indexes, which must hold in between.
#include "eav/pg/library.hpp"

#include <algorithm>
#include <iterator>

#include "eav/pg/guard.hpp"

extern "C" {
#include <access/genam.h>
#include <access/table.h>
#include <catalog/pg_extension.h>
#include <utils/builtins.h>
#include <utils/fmgroids.h>
#include <utils/inval.h>
#include <utils/rel.h>
#include <utils/syscache.h>
}

namespace eav::pg {

// Not optimised away, so that a test can make a library of another version out of this one.
const volatile char built_version[] = "eav_ext library " CppAsString2(EAV_VERSION);
const char* const library_version =
    const_cast<const char*>(built_version) + sizeof("eav_ext library ") - 1;

namespace {

bool is_ours = false;

void on_function_change(Datum /*argument*/, int /*cache*/, uint32 /*hash*/) { is_ours = false; }

void watch_functions() {
  static bool is_watching = false;
  if (!is_watching) {
    CacheRegisterSyscacheCallback(PROCOID, on_function_change, Datum(0));
    is_watching = true;
  }
}

// As numbers, part by part. What is no number counts as 0.
bool is_older(const char* left, const char* right) {
  int l[3] = {};
  int r[3] = {};
  sscanf(left, "%d.%d.%d", &l[0], &l[1], &l[2]);
  sscanf(right, "%d.%d.%d", &r[0], &r[1], &r[2]);
  return std::lexicographical_compare(std::begin(l), std::end(l), std::begin(r), std::end(r));
}

}  // namespace

const char* sql_version() {
  Relation const extensions = table_open(ExtensionRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
              CStringGetDatum("eav_ext"));
  SysScanDesc const scan =
      systable_beginscan(extensions, ExtensionNameIndexId, true, nullptr, 1, &key);
  const char* version = nullptr;
  if (HeapTuple const row = systable_getnext(scan); HeapTupleIsValid(row)) {
    bool is_null = false;
    version = TextDatumGetCString(
        heap_getattr(row, Anum_pg_extension_extversion, RelationGetDescr(extensions), &is_null));
  }
  systable_endscan(scan);
  table_close(extensions, AccessShareLock);
  return version;
}

bool is_sql_ours() {
  if (is_ours) [[likely]] {
    return true;
  }
  watch_functions();
  const char* const version = sql_version();
  is_ours = version != nullptr && strcmp(version, library_version) == 0;
  return is_ours;
}

void raise_foreign_sql() {
  const char* const version = sql_version();
  if (version == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("extension eav_ext does not exist in this database"),
                    errhint("Run CREATE EXTENSION eav_ext.")));
  }
  ereport(ERROR,
          (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
           errmsg("extension eav_ext is of version %s, and its library of version %s", version,
                  library_version),
           errdetail("They work together only when both are of the same version."),
           is_older(version, library_version)
               ? errhint("Run ALTER EXTENSION eav_ext UPDATE.")
               : errhint("Restart the server, or, if it does not preload eav_ext, connect anew, so "
                         "that the installed library is loaded.")));
}

}  // namespace eav::pg

EAV_UNCHECKED_FUNCTION(eav_library_version) {
  PG_RETURN_TEXT_P(cstring_to_text(eav::pg::library_version));
}

EAV_FUNCTION(eav_check_library) { PG_RETURN_VOID(); }
