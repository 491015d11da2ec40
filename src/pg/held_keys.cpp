#include "eav/pg/held_keys.hpp"

#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"

namespace eav::pg {

HeldKeys::HeldKeys(const char* table, const char* index)
    : table_(table_open(relation_oid(table), AccessShareLock)),
      index_(index_open(relation_oid(index), AccessShareLock)),
      slot_(table_slot_create(table_, nullptr)),
      dirty_() {
  InitDirtySnapshot(dirty_);
  scan_ = begin_index_scan(table_, index_, &dirty_, 2);
}

void HeldKeys::close() {
  index_endscan(scan_);
  ExecDropSingleTupleTableSlot(slot_);
  index_close(index_, NoLock);
  table_close(table_, NoLock);
}

bool HeldKeys::contains(int64 tenant_id, Datum key, RegProcedure equal) {
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(tenant_id));
  ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, equal, key);
  keys[1].sk_collation = index_->rd_indcollation[1];
  index_rescan(scan_, keys, 2, nullptr, 0);
  while (index_getnext_slot(scan_, ForwardScanDirection, slot_)) {
    // A dirty snapshot tells who is at work on the row it has just let through.
    if (TransactionIdIsValid(dirty_.xmin) || TransactionIdIsValid(dirty_.xmax)) {
      return true;
    }
  }
  return false;
}

}  // namespace eav::pg
