// Rows that could not be accepted, on their way to eav.ingest_rejects.
#pragma once

#include "eav/core/arena.hpp"
#include "eav/ingest/staged_row.hpp"

namespace eav::ingest {

struct RejectedRow {
  HeapTuple tuple;
  TupleDesc description;
  Rejection rejection;
  const text* attribute;  // its name, when it was given by name; for messages
};
using Rejects = core::ArenaVector<RejectedRow>;

// Within an SPI connection.
void write_rejects(const Rejects& rejects);

}  // namespace eav::ingest
