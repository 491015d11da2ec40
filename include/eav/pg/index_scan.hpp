// Scans of our B-trees in their order, through the server's own interface: seeking in one costs a
// descent, where a statement would cost a plan and an executor.
#pragma once

#include <span>

#include "eav/pg/postgres.hpp"

namespace eav::pg {

// Sees what the active snapshot sees.
class IndexScan {
 public:
  // rows: what the table holds; entries: what the index holds, after which there need not be a row
  // that is visible, and which is much cheaper, since nobody looks at the table.
  enum class Want : uint8 { rows, entries };

  // A table of ours, and an index of it: by name, or the result of pg::find_index() or index_oid().
  IndexScan(const char* table, const char* index, int max_keys, Want want);
  IndexScan(const char* table, Oid index, int max_keys, Want want);
  void close();

  // The keys are copied.
  void start(std::span<ScanKeyData> keys);
  // The next row, in a slot that the next call overwrites, or null.
  TupleTableSlot* next_row(ScanDirection direction = ForwardScanDirection);
  // The next entry, or null.
  IndexTuple next_entry(ScanDirection direction = ForwardScanDirection);
  // A column of an entry of the index, by number from 1. None of ours is null.
  Datum column_of(IndexTuple entry, int column) const;

 private:
  // The scan allocates things of its own when it first needs them.
  MemoryContext context_;
  Relation table_;
  Relation index_;
  TupleTableSlot* slot_;
  IndexScanDesc scan_;
};

}  // namespace eav::pg
