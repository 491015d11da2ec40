#include "eav/pg/unique_index.hpp"

#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"

namespace eav::pg {

UniqueIndex::UniqueIndex(const char* table, const char* index, RegProcedure equal, See see)
    : table_(table_open(relation_oid(table), AccessShareLock)),
      index_(index_open(relation_oid(index), AccessShareLock)),
      equal_(equal),
      slot_(table_slot_create(table_, nullptr)),
      dirty_(),
      latest_(nullptr) {
  InitDirtySnapshot(dirty_);
  if (see == See::latest) {
    CommandCounterIncrement();
    latest_ = RegisterSnapshot(GetLatestSnapshot());
  }
  scan_ = begin_index_scan(table_, index_, latest_ != nullptr ? latest_ : &dirty_, 2);
}

void UniqueIndex::close() {
  index_endscan(scan_);
  if (latest_ != nullptr) {
    UnregisterSnapshot(latest_);
  }
  ExecDropSingleTupleTableSlot(slot_);
  index_close(index_, NoLock);
  table_close(table_, NoLock);
}

void UniqueIndex::start(int64 tenant_id, Datum key) {
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(tenant_id));
  ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, equal_, key);
  keys[1].sk_collation = index_->rd_indcollation[1];
  index_rescan(scan_, keys, 2, nullptr, 0);
}

TupleTableSlot* UniqueIndex::find(int64 tenant_id, Datum key) {
  start(tenant_id, key);
  return next() ? slot_ : nullptr;
}

bool UniqueIndex::is_held(int64 tenant_id, Datum key) {
  start(tenant_id, key);
  while (next()) {
    // A dirty snapshot tells who is at work on the row it has just let through.
    if (TransactionIdIsValid(dirty_.xmin) || TransactionIdIsValid(dirty_.xmax)) {
      return true;
    }
  }
  return false;
}

}  // namespace eav::pg
