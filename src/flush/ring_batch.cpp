#include "eav/flush/ring_batch.hpp"

#include <algorithm>
#include <array>

#include "eav/core/error.hpp"
#include "eav/pg/memory.hpp"
#include "eav/stop_point.hpp"

extern "C" {
#include <access/xlog.h>
}

namespace eav::flush {

using ingest::Door;

namespace {

// A flush of the present transaction that has written its parcels.
struct Finished {
  SubTransactionId level;
  Finish finish;
};
// Lives as long as the backend.
struct FinishedList {
  core::ArenaVector<Finished> items;
  Door* door;
};
FinishedList finished;

// Before the parcels are released.
void tell_of_move(Door& door, const Finish& finish) {
  uint32 head = door.taken_first;
  for (std::size_t parcels = finish.parcels; parcels > 0; --parcels) {
    door.moved_below = std::max<uint64>(door.moved_below, ingest::ring()->sequence_of(head) + 1);
    head = ingest::ring()->next_of(head);
  }
  door.moved_by = finish.number;
}

void release(Door& door, std::size_t parcels) {
  core::Ring* const ring = ingest::ring();
  for (; parcels > 0; --parcels) {
    const uint32 head = door.taken_first;
    const uint32 next = ring->next_of(head);
    door.taken_first = next;
    if (next == core::Ring::none) {
      door.taken_last = core::Ring::none;
    }
    ring->release(head);
  }
}

// In this order: who finds a parcel released, or a flush completed, then writes out the WAL up to
// flush_end.
void on_commit() {
  Door& door = *finished.door;
  EAV_STOP_POINT_IN_COMMIT("flush_before_release");
  if (XactLastCommitEnd > door.flush_end) {
    door.flush_end = XactLastCommitEnd;
  }
  for (const auto& [level, finish] : finished.items) {
    if (finish.is_move) {
      tell_of_move(door, finish);
    }
    release(door, finish.parcels);
    if (finish.left_nothing) {
      door.flush_completed = finish.number;
      door.flushed_below = finish.ended_below;
      door.caught_up_at = finish.began_at;
    }
  }
  finished.items.clear();
  ConditionVariableBroadcast(&door.flushed);
}

void on_transaction_end(XactEvent event, void* /*argument*/) {
  if (finished.items.empty()) {
    return;
  }
  switch (event) {
    case XACT_EVENT_COMMIT:
      on_commit();
      break;
    case XACT_EVENT_ABORT:
      finished.items.clear();
      break;
    case XACT_EVENT_PRE_PREPARE:
      for (const auto& [level, finish] : finished.items) {
        if (finish.parcels > 0) {
          ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                          errmsg("cannot PREPARE a transaction that has flushed values from "
                                 "shared memory"),
                          errdetail("They are released there when it commits, which must not "
                                    "wait."),
                          errhint("Call eav.stage_flush() in a transaction of its own.")));
        }
      }
      finished.items.clear();
      break;
    default:
      break;
  }
}

void on_subtransaction_end(SubXactEvent event, SubTransactionId own, SubTransactionId /*parent*/,
                           void* /*argument*/) {
  if (event == SUBXACT_EVENT_ABORT_SUB) {
    while (!finished.items.empty() && finished.items.back().level >= own) {
      finished.items.truncate(finished.items.size() - 1);
    }
  }
}

void listen() {
  if (finished.items.data() == nullptr) {
    RegisterXactCallback(on_transaction_end, nullptr);
    RegisterSubXactCallback(on_subtransaction_end, nullptr);
    finished.items = core::ArenaVector<Finished>(pg::arena_of(TopMemoryContext));
  }
}

RingParcel parcel_at(uint32 head) {
  const core::Ring& ring = *ingest::ring();
  std::array<uint8, sizeof(ingest::ParcelHeader)> header;
  ring.copy_beginning(head, header);
  return {head, ring.order_of(head), ingest::header_of(header)};
}

uint32 first_unwritten(const Door& door) {
  uint32 head = door.taken_first;
  for (const auto& [level, finish] : finished.items) {
    for (std::size_t parcels = finish.parcels; parcels > 0; --parcels) {
      head = ingest::ring()->next_of(head);
    }
  }
  return head;
}

}  // namespace

std::span<const uint8> copy_of(const RingParcel& parcel) {
  const std::size_t size = parcel.bytes();
  auto* const bytes = static_cast<uint8*>(MemoryContextAllocHuge(CurrentMemoryContext, size));
  ingest::ring()->copy_out(parcel.head, bytes);
  return {bytes, size};
}

uint64 begin_flush(Door* door) {
  return door == nullptr ? 0 : door->flushes_begun.fetch_add(1) + 1;
}

void take_published(Door* door) {
  const uint32 queue = door == nullptr ? core::Ring::none : queue_of(*door);
  if (queue == core::Ring::none) {
    return;
  }
  core::Ring* const ring = ingest::ring();
  for (uint32 head = ring->take(queue); head != core::Ring::none; head = ring->take(queue)) {
    if (door->taken_last == core::Ring::none) {
      door->taken_first = head;
    } else {
      ring->append(door->taken_last, head);
    }
    while (ring->next_of(head) != core::Ring::none) {
      head = ring->next_of(head);
    }
    door->taken_last = head;
  }
}

RingBatch read_ring(Door* door, int64 max_values) {
  RingBatch batch{core::ArenaVector<RingParcel>(pg::arena_of(CurrentMemoryContext)), 0, false, 0};
  if (door == nullptr || queue_of(*door) == core::Ring::none) {
    return batch;
  }
  const core::Ring& ring = *ingest::ring();
  std::size_t transactions = 0;
  uint32 slabs = 0;
  for (uint32 head = first_unwritten(*door); head != core::Ring::none; head = ring.next_of(head)) {
    CHECK_FOR_INTERRUPTS();
    const RingParcel parcel = parcel_at(head);
    transactions += parcel.header.starts_transaction ? 1 : 0;
    batch.parcels.push_back(parcel);
    batch.values += parcel.header.values;
    slabs += core::Ring::slabs_for(parcel.bytes());
    // Producers get the slabs back when the flush has committed: they must not wait for all.
    const bool is_enough =
        batch.values > static_cast<uint64>(max_values) || slabs > ring.slabs() / 4;
    if (max_values > 0 && transactions > 1 && is_enough) {
      keep_transactions(batch, transactions - 1);
      break;
    }
  }
  return batch;
}

core::ArenaVector<core::TransactionCount> transactions_of(const RingBatch& batch,
                                                          int64 max_values) {
  core::ArenaVector<core::TransactionCount> counts(pg::arena_of(CurrentMemoryContext));
  for (const RingParcel& parcel : batch.parcels) {
    if (parcel.header.starts_transaction) {
      counts.push_back({parcel.order, 0});
    }
    counts.back().rows += parcel.header.values;
  }
  if (batch.has_more) {
    // As large as a whole batch, for it must not be taken.
    counts.push_back({batch.next_order, static_cast<uint64>(max_values)});
  }
  return counts;
}

void keep_transactions(RingBatch& batch, std::size_t transactions) {
  std::size_t kept = 0;
  batch.values = 0;
  for (; kept < batch.parcels.size(); ++kept) {
    const RingParcel& parcel = batch.parcels[kept];
    if (parcel.header.starts_transaction && transactions-- == 0) {
      batch.has_more = true;
      batch.next_order = parcel.order;
      break;
    }
    batch.values += parcel.header.values;
  }
  batch.parcels.truncate(kept);
}

void finish_flush(Door* door, const Finish& finish) {
  if (door == nullptr) {
    return;
  }
  listen();
  finished.door = door;
  finished.items.push_back({GetCurrentSubTransactionId(), finish});
}

}  // namespace eav::flush
