// The parcels of the ring that a flush writes. See ingest/door.cpp for the protocol.
#pragma once

#include <span>

#include "eav/core/arena.hpp"
#include "eav/core/snapshot.hpp"
#include "eav/ingest/door.hpp"
#include "eav/ingest/parcel.hpp"

namespace eav::flush {

// In the ring.
struct RingParcel {
  uint32 head;
  uint64 order;  // the staged transaction before which it came
  ingest::ParcelHeader header;
  std::size_t bytes() const { return ingest::ring()->bytes_of(head); }
};
// A copy in the current memory context.
std::span<const uint8> copy_of(const RingParcel& parcel);

struct RingBatch {
  core::ArenaVector<RingParcel> parcels;  // in the order in which their transactions ended
  uint64 values;                          // in them
  bool has_more;                          // parcels are left for the next flush
  uint64 next_order;                      // of the first of them
};

// All under the flush lock. The door may be null, and then nothing happens.

// Marks the beginning of a flush, before it takes its snapshot; returns its number.
uint64 begin_flush(ingest::Door* door);
// Takes what has been published by now off the queue.
void take_published(ingest::Door* door);
// What has been taken and not been written by this transaction yet: whole transactions with at most
// max_values together (0: no limit), in a quarter of the ring, but at least one.
RingBatch read_ring(ingest::Door* door, int64 max_values);
// The transactions of the batch, for core::end_batch(); with the first that has been left, if any.
core::ArenaVector<core::TransactionCount> transactions_of(const RingBatch& batch, int64 max_values);
// Leaves all but so many transactions for the next flush.
void keep_transactions(RingBatch& batch, std::size_t transactions);
// At the end of a flush: when its subtransaction commits, with all around it, so many parcels are
// released, and those who wait are told.
struct Finish {
  uint64 number;
  std::size_t parcels;
  bool left_nothing;
  uint64 ended_below;  // all transactions below had ended when it took its snapshot
  bool is_move;        // the parcels have gone to staging instead
  TimestampTz began_at;
};
void finish_flush(ingest::Door* door, const Finish& finish);

}  // namespace eav::flush
