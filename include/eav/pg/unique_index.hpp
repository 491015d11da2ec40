// Look-ups in a unique index of ours on (tenant_id bigint, key).
//
// Not by SQL: a plan is made when a table is small and kept while it grows, and a plan that
// reads the whole table would one day read 200 million rows for each batch.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

class UniqueIndex {
 public:
  // latest: rows that are committed now, and our own. dirty: also those that an open
  // transaction has inserted or deleted.
  enum class See : uint8 { latest, dirty };

  // A table and an index of schema eav; `equal` is the oid of the equality function of the key's
  // type. Our own earlier writes are seen up to here.
  UniqueIndex(const char* table, const char* index, RegProcedure equal, See see);
  void close();

  // The row, in a slot that the next look-up overwrites, or null.
  TupleTableSlot* find(int64 tenant_id, Datum key);

  // With See::dirty: whether writing the key would have to wait for another transaction.
  bool is_held(int64 tenant_id, Datum key);

 private:
  void start(int64 tenant_id, Datum key);
  bool next() { return index_getnext_slot(scan_, ForwardScanDirection, slot_); }

  Relation table_;
  Relation index_;
  RegProcedure equal_;
  TupleTableSlot* slot_;
  SnapshotData dirty_;
  Snapshot latest_;
  IndexScanDesc scan_;
};

// A column of the row that was found, by number from 1. None of ours that is asked for is null.
inline Datum column_of(TupleTableSlot* row, int column) {
  bool is_null = false;
  return slot_getattr(row, column, &is_null);
}

}  // namespace eav::pg
