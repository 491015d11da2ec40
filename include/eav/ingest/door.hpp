// The doors in shared memory: one for each database, through which its producers, its flushes and
// its worker know of each other. Protocol in door.cpp.
#pragma once

#include <array>
#include <atomic>

#include "eav/core/event.hpp"
#include "eav/core/ring.hpp"
#include "eav/pg/postgres.hpp"
#include "eav/pg/shared_memory.hpp"

extern "C" {
#include <storage/condition_variable.h>
}

namespace eav::ingest {

// What went through the door since the server started. Written without locks by the backends that
// commit, so that two figures read together need not belong to the same moment.
struct Counters {
  std::atomic<uint64> calls;
  std::atomic<uint64> events;  // accepted
  std::atomic<uint64> values;  // of accepted events
  std::atomic<uint64> bytes;   // of payloads
  std::atomic<uint64> spilled_calls;
  std::atomic<uint64> spilled_values;
  std::atomic<uint64> waits;     // for durability
  std::atomic<uint64> timeouts;  // of such waits
  std::array<std::atomic<uint64>, core::event_fault_count> rejected_events;
};

// Reasons to run a flush before its time.
enum Request : uint32 {
  request_durable = 1,  // somebody waits for it
  request_space = 2     // the ring is filling
};

struct Door {
  std::atomic<Oid> database;  // whose it is; InvalidOid: nobody's

  std::atomic<bool> is_open;   // parcels are taken in
  std::atomic<uint32> inside;  // transactions that hold parcels not yet published
  std::atomic<int> worker;     // its number among the server's processes, or -1
  std::atomic<uint32> requests;
  std::atomic<int64> epoch;  // of flush_state, 0: not known yet

  // Parcels taken from the queue and not yet released, linked in the order in which they were
  // published.
  // Changed only under the flush lock.
  std::atomic<uint32> taken_first;
  std::atomic<uint32> taken_last;

  std::atomic<uint64> flushes_begun;
  std::atomic<uint64> flush_completed;  // the last one that left nothing behind
  std::atomic<uint64> flushed_below;    // transactions that had ended before it began
  std::atomic<XLogRecPtr> flush_end;    // in WAL, of the last one that wrote
  // Parcels with a lower sequence number may have gone from the ring to staging, by the last flush
  // with that number, or in an earlier run of the server: they are flushed with the next one that
  // leaves nothing behind.
  std::atomic<uint64> moved_below;
  std::atomic<uint64> moved_by;
  ConditionVariable flushed;  // something of the above has changed

  // For eav.health_check(). 0: not yet, since the server started.
  std::atomic<TimestampTz> caught_up_at;  // all that was committed by then has been flushed
  std::atomic<TimestampTz> spilled_at;    // the last call that went through staging

  Counters counters;
};

extern pg::SharedArea doors_area;
extern pg::SharedArea ring_area;

// The ring of the server; null when the library was not preloaded, or eav.ring_size is 0.
core::Ring* ring();
// Tells this ring from that of another run of the server.
int64 ring_generation();

// The door of this database, opened up for it when it has none; null when all are taken.
Door* own_door();
// From 0, lower than 32.
uint32 number_of(const Door& door);
// The ring's queue that belongs to the door, or core::Ring::none.
uint32 queue_of(const Door& door);

// For a producer: whether parcels may be put into the ring. True holds until leave().
bool enter(Door& door);
void leave(Door& door);

// Wakes the worker, unless it has been told already.
void request_flush(Door& door, Request reason);
bool has_requests(const Door& door);
// Whether a parcel with this sequence number (its low bits will do), once it is no longer in the
// ring, is in history for sure.
bool is_flushed_when_released(const Door& door, uint64 sequence);
// True when there are parcels for a flush.
bool has_parcels(const Door& door);

// The door that this database has, or null.
Door* find_own_door();
// Releases what is there for a flush, unread. Nobody else may take parcels meanwhile.
void discard_parcels(Door& door);

// For the worker of the database.
void attach_worker(Door& door);  // until the process ends
void open_for_parcels(Door& door, int64 epoch);
void close_to_parcels(Door& door);

}  // namespace eav::ingest
