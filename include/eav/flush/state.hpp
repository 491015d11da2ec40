// What a flush remembers for the next: the row of eav.flush_state.
#pragma once

#include "eav/core/snapshot.hpp"
#include "eav/ingest/door.hpp"
#include "eav/pg/clock.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::flush {

struct State {
  core::SnapshotView snapshot;
  pg::ClockReading taken;   // what was committed by then has been flushed
  TimestampTz ingested_at;  // the highest given out
  int64 backlog;
  bool is_committed;  // false when the current transaction wrote it
};

// Makes flushes take turns, and changes of the registry's meaning wait for them: held until
// the end of the transaction.
void lock_flush();
// Whether this transaction has it; no look-up, so that a commit callback may ask.
bool holds_flush_lock();

// Each within an SPI connection and under the lock.
State read_state();
struct Progress {
  core::SnapshotView snapshot;
  pg::ClockReading taken;
  TimestampTz ingested_at;
  int64 flushed;
  int64 projected;
  int64 rejected;
  int64 backlog;
};
void write_state(const Progress& progress);
// Rows that were added to the backlog outside a flush; after read_state().
void add_to_backlog(int64 count);

// Notes in eav.ingest_gaps that staging has been emptied by a crash, or that the ring was lost with
// values in it, if so; true then.
bool record_gap();

// Before the door is opened and after it has been closed for good, with everything in it
// flushed: staging_epoch tells whether values may be in the ring, should it be lost. The mark is
// unlogged like staging itself, for a crash empties both.
int64 open_ring(ingest::Door& door);  // takes the lock; returns the epoch
void mark_ring_empty();

}  // namespace eav::flush
