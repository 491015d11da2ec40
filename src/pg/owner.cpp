#include "eav/pg/owner.hpp"

#include "eav/pg/spi.hpp"

extern "C" {
#include <catalog/pg_class.h>
#include <utils/syscache.h>
}

namespace eav::pg {

Oid owner_of(Oid relation) {
  HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                    errmsg("relation with OID %u does not exist", relation)));
  }
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);
  return owner;
}

Caller become_owner(Oid relation) {
  Caller caller{};
  const Oid owner = owner_of(relation);
  GetUserIdAndSecContext(&caller.user, &caller.security_context);
  caller.guc_nest = NewGUCNestLevel();
  SetUserIdAndSecContext(owner, caller.security_context | SECURITY_LOCAL_USERID_CHANGE);
  set_local("search_path", "pg_catalog, pg_temp");
  return caller;
}

void become(const Caller& caller) {
  AtEOXact_GUC(true, caller.guc_nest);
  SetUserIdAndSecContext(caller.user, caller.security_context);
}

}  // namespace eav::pg
