// eav.flush_backlog: values that wait for the open transaction of a client.
#pragma once

#include <span>

#include "eav/ingest/staged_row.hpp"
#include "eav/projection/document.hpp"

namespace eav::flush::backlog {

// All within an SPI connection.

// Rows as they came, whose entity or attribute cannot be resolved yet.
void keep_unresolved(std::span<const ingest::StagedRow> rows, TupleDesc description);
// Values in history whose projection row is held locked.
void keep_unprojected(std::span<const projection::RowPointer> rows);

struct Page {
  std::span<HeapTuple> tuples;  // in the current memory context
  TupleDesc description;
};
// The next piece in order of backlog_id, after the given one.
Page read(int64 after);
void remove(std::span<const int64> backlog_ids);

}  // namespace eav::flush::backlog
