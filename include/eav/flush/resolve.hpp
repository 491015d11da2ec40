// From what a producer wrote to what history stores: tenants checked, names turned into ids,
// text parsed, values fitted to the types of their attributes, new attributes and entities
// registered.
#pragma once

#include "eav/core/arena.hpp"
#include "eav/core/batch_order.hpp"
#include "eav/ingest/rejects.hpp"
#include "eav/ingest/staged_row.hpp"
#include "eav/pg/lock_wait.hpp"

namespace eav::flush {

using Rows = core::ArenaVector<ingest::StagedRow>;

struct Unresolved {
  pg::OnLock on_lock;
  ingest::Rejects* rejects;  // receives rows that cannot be accepted
  Rows* held_up;  // receives rows whose entity or attribute another open transaction registers
  TupleDesc description;
};

// Keeps in `rows` what is resolved; all else goes to `unresolved`. Within an SPI connection.
void resolve(Rows& rows, const Unresolved& unresolved);

// Gives the rows that are not yet in history their ingested_at, from `ingested_at` on, which
// becomes the next one to give out; returns the order in which to apply them.
core::ArenaVector<core::EntityKey> set_arrival(Rows& rows, TimestampTz& ingested_at);

}  // namespace eav::flush
