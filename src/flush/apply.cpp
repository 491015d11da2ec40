#include "eav/flush/apply.hpp"

#include "eav/core/batch_order.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/subtransaction.hpp"
#include "eav/stop_point.hpp"

namespace eav::flush {

using ingest::StagedRow;
using projection::RowPointer;

namespace {

core::Arena current_arena() { return pg::arena_of(CurrentMemoryContext); }

struct Attempt {
  std::span<const StagedRow> rows;
  Order order;
  TupleDesc description;
  ingest::Rejects* rejects;
  core::ArenaVector<RowPointer>* blocked;
  Applied* applied;
};

// Null when the rows have been applied.
const ErrorData* try_once(const Attempt& work) {
  const std::size_t blocked_before = work.blocked->size();
  MemoryContext const caller = CurrentMemoryContext;
  MemoryContext const scratch = AllocSetContextCreate(caller, "eav apply", ALLOCSET_DEFAULT_SIZES);
  Applied applied;
  const ErrorData* const error = pg::attempt([&] {
    MemoryContextSwitchTo(scratch);
    EAV_STOP_POINT("flush_before_history");
    applied.flushed = write_history(work.rows, work.order);
    EAV_STOP_POINT("flush_before_projection");
    applied.projected = write_projection(work.rows, work.order, pg::OnLock::skip, *work.blocked);
    MemoryContextSwitchTo(caller);
  });
  MemoryContextDelete(scratch);
  if (error == nullptr) {
    work.applied->flushed += applied.flushed;
    work.applied->projected += applied.projected;
    return nullptr;
  }
  work.blocked->truncate(blocked_before);
  if (pg::must_not_swallow(error)) {
    ReThrowError(const_cast<ErrorData*>(error));
  }
  return error;
}

void apply_or_split(const Attempt& work) {
  if (try_once(work) == nullptr) {
    return;
  }
  if (work.order.size() > 1) {
    const std::size_t half = work.order.size() / 2;
    Attempt part = work;
    part.order = work.order.first(half);
    apply_or_split(part);
    part.order = work.order.subspan(half);
    apply_or_split(part);
    return;
  }
  if (const ErrorData* const error = try_once(work)) {
    const StagedRow& row = work.rows[work.order.front().row];
    if (row.in_history) {
      // A reject could be replayed into history a second time; the backlog keeps it as it is.
      work.blocked->push_back(&row);
    } else {
      work.rejects->push_back(
          ingest::rejected(row, work.description, {error->sqlerrcode, error->message}));
    }
  }
}

}  // namespace

int64 write_projection(std::span<const StagedRow> rows, Order order, pg::OnLock on_lock,
                       core::ArenaVector<RowPointer>& blocked) {
  core::ArenaVector<RowPointer> pointers(current_arena());
  pointers.reserve(order.size());
  for (const core::EntityKey& key : order) {
    pointers.push_back(&rows[key.row]);
  }
  return projection::project({pointers.data(), pointers.size()}, on_lock, blocked);
}

Applied apply(std::span<const StagedRow> rows, Order order, TupleDesc description,
              ingest::Rejects& rejects, core::ArenaVector<RowPointer>& blocked) {
  Applied applied;
  if (!order.empty()) {
    apply_or_split({rows, order, description, &rejects, &blocked, &applied});
  }
  return applied;
}

}  // namespace eav::flush
