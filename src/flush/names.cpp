// No two attributes of a tenant share a name, neither the present one nor the one they were
// registered with (document_name), which stays an alias for what arrives under it.
//
// Each of the two columns has a unique index, but none sees both. So who registers an attribute
// first takes a lock on the names of the tenant, shared with others who register, and looks for the
// name among the aliases; who renames one takes it alone. Both look with a snapshot that is newer
// than the lock, whatever the isolation level: what was renamed before is seen, and nothing can be
// renamed until the new row is committed. Two who register the same name meet in the unique index,
// as ever.
//
// The lock is an advisory one of a kind that no SQL function gives out, like that of the worker
// (worker/start.cpp). A flush does not wait for it: new names of that tenant are held up, as they
// are when a client has just registered them, and go to the backlog.
#include "eav/flush/names.hpp"

#include "eav/pg/guard.hpp"
#include "eav/pg/unique_index.hpp"

extern "C" {
#include <storage/lock.h>
}

namespace eav::flush {

namespace {

constexpr uint16 names_lock = 25976;  // the next after those of the processes
// Tenants share them: a batch may register attributes of more tenants than the server has locks. A
// rename holds up new names of the tenants that share its lock, for as long as it is not committed.
constexpr uint64 names_locks = 256;

bool lock_names(int64 tenant_id, LOCKMODE mode, bool wait) {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, static_cast<uint64>(tenant_id) % names_locks,
                       names_lock);
  return LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

// Of the attribute that has the name in a column with this index; 0 when there is none.
int32 find_attribute(const char* index_name, int64 tenant_id, Datum name) {
  pg::UniqueIndex index("attributes", index_name, F_TEXTEQ, pg::UniqueIndex::See::latest);
  TupleTableSlot* const row = index.find(tenant_id, name);
  const int32 attribute_id = row == nullptr ? 0 : DatumGetInt32(pg::column_of(row, 1));
  index.close();
  return attribute_id;
}

}  // namespace

bool keep_names(int64 tenant_id, pg::OnLock on_lock) {
  return lock_names(tenant_id, ShareLock, on_lock == pg::OnLock::wait);
}

}  // namespace eav::flush

EAV_FUNCTION(eav_claim_name) {
  using namespace eav::flush;
  const int64 tenant_id = PG_GETARG_INT64(0);
  const Datum name = PG_GETARG_DATUM(1);
  lock_names(tenant_id, PG_GETARG_BOOL(2) ? ExclusiveLock : ShareLock, true);
  int32 attribute_id = find_attribute("attributes_tenant_id_name_key", tenant_id, name);
  if (attribute_id == 0) {
    attribute_id = find_attribute("attributes_document_name_key", tenant_id, name);
  }
  if (attribute_id == 0) {
    PG_RETURN_NULL();
  }
  PG_RETURN_INT32(attribute_id);
}
