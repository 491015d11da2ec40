// Writes resolved values to history and projection, around those that make it fail.
#pragma once

#include "eav/flush/history.hpp"
#include "eav/flush/resolve.hpp"
#include "eav/projection/projector.hpp"

namespace eav::flush {

struct Applied {
  int64 flushed = 0;    // rows written to history
  int64 projected = 0;  // values that became the newest of their attribute
};

// The projection alone; see projection::project().
int64 write_projection(std::span<const ingest::StagedRow> rows, Order order, pg::OnLock on_lock,
                       core::ArenaVector<projection::RowPointer>& blocked);

// History, then projection, in a subtransaction. When it fails for a reason that lies in the
// values (a trigger or a constraint refused them), halves of the batch are tried, down to the
// single value, which is tried once more and then rejected. Errors that are not about the
// values are raised. Values whose projection is held locked go to `blocked`, and so do those
// that are in history already and whose projection fails.
Applied apply(std::span<const ingest::StagedRow> rows, Order order, TupleDesc description,
              ingest::Rejects& rejects, core::ArenaVector<projection::RowPointer>& blocked);

}  // namespace eav::flush
