#include "eav/pg/catalog.hpp"

extern "C" {
#include <catalog/namespace.h>
#include <commands/extension.h>
}

namespace eav::pg {

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

bool extension_exists() { return OidIsValid(get_extension_oid("eav_ext", true)); }

}  // namespace eav::pg
