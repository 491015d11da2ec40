#include "eav/pg/catalog.hpp"

extern "C" {
#include <catalog/namespace.h>
#include <common/relpath.h>
#include <storage/fd.h>
#include <storage/lmgr.h>
#include <sys/stat.h>
}

namespace eav::pg {

namespace {

// A database has its directory in the default tablespace or in one of the others.
bool has_directory(const char* parent, Oid database) {
  struct stat status;
  return stat(psprintf("%s/%u", parent, database), &status) == 0;
}

}  // namespace

Oid find_relation(const char* name) {
  const Oid schema = get_namespace_oid("eav", true);
  return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

Oid relation_oid(const char* name) {
  const Oid oid = find_relation(name);
  if (!OidIsValid(oid)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table eav.%s does not exist", name),
                    errhint("Run CREATE EXTENSION eav_ext in this database.")));
  }
  return oid;
}

Oid find_index(const char* table, const char* name) {
  LockRelationOid(relation_oid(table), AccessShareLock);
  return find_relation(name);
}

Oid index_oid(const char* table, const char* name) {
  LockRelationOid(relation_oid(table), AccessShareLock);
  return relation_oid(name);
}

bool database_exists(Oid database) {
  if (has_directory("base", database)) {
    return true;
  }
  DIR* const tablespaces = AllocateDir("pg_tblspc");
  bool found = false;
  while (const dirent* const entry = ReadDirExtended(tablespaces, "pg_tblspc", LOG)) {
    found = found ||
            has_directory(psprintf("pg_tblspc/%s/%s", entry->d_name, TABLESPACE_VERSION_DIRECTORY),
                          database);
  }
  FreeDir(tablespaces);
  return found;
}

}  // namespace eav::pg
