// Waiting until accepted values are durable.
#pragma once

#include "eav/ingest/door.hpp"

namespace eav::ingest {

// What a transaction that has just committed waits for: its last parcel, unless that is none, and
// whatever it has put into staging, if so. It waits in vain for a flush that waits for it.
struct Commit {
  core::Ring::Parcel last;
  bool has_spilled;
  bool holds_flush_lock;
};
// From the commit callback: raises nothing. Ends with a WARNING when eav.durable_timeout is over or
// the wait was cancelled.
void wait_after_commit(Door* door, const Commit& commit);

// Waits for the values of a ticket, at most so many milliseconds; false when that was not enough.
// Raises when it cannot tell: for a ticket of the present transaction, or from before a loss.
bool wait_flushed(int64 ticket, int64 timeout);

}  // namespace eav::ingest
