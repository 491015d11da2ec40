#include "eav/pg/index_scan.hpp"

#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"

namespace eav::pg {

IndexScan::IndexScan(const char* table, const char* index, int max_keys, Want want)
    : IndexScan(table, index_oid(table, index), max_keys, want) {}

IndexScan::IndexScan(const char* table, Oid index, int max_keys, Want want)
    : context_(CurrentMemoryContext),
      table_(table_open(relation_oid(table), AccessShareLock)),
      index_(index_open(index, AccessShareLock)),
      slot_(table_slot_create(table_, nullptr)),
      scan_(begin_index_scan(table_, index_, GetActiveSnapshot(), max_keys)) {
  scan_->xs_want_itup = want == Want::entries;
}

void IndexScan::close() {
  index_endscan(scan_);
  ExecDropSingleTupleTableSlot(slot_);
  index_close(index_, NoLock);
  table_close(table_, NoLock);
}

void IndexScan::start(std::span<ScanKeyData> keys) {
  MemoryContext const caller = MemoryContextSwitchTo(context_);
  for (ScanKeyData& key : keys) {
    key.sk_collation = index_->rd_indcollation[key.sk_attno - 1];
  }
  // There is room for the greatest number of keys; a scan may have fewer.
  scan_->numberOfKeys = static_cast<int>(keys.size());
  index_rescan(scan_, keys.data(), static_cast<int>(keys.size()), nullptr, 0);
  MemoryContextSwitchTo(caller);
}

TupleTableSlot* IndexScan::next_row(ScanDirection direction) {
  MemoryContext const caller = MemoryContextSwitchTo(context_);
  const bool found = index_getnext_slot(scan_, direction, slot_);
  MemoryContextSwitchTo(caller);
  return found ? slot_ : nullptr;
}

IndexTuple IndexScan::next_entry(ScanDirection direction) {
  MemoryContext const caller = MemoryContextSwitchTo(context_);
  const bool found = index_getnext_tid(scan_, direction) != nullptr;
  MemoryContextSwitchTo(caller);
  return found ? scan_->xs_itup : nullptr;
}

Datum IndexScan::column_of(IndexTuple entry, int column) const {
  bool is_null = false;
  return index_getattr(entry, column, RelationGetDescr(index_), &is_null);
}

}  // namespace eav::pg
