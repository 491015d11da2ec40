// What could not be accepted, on its way to eav.ingest_rejects.
#pragma once

#include "eav/core/arena.hpp"
#include "eav/core/event.hpp"
#include "eav/ingest/staged_row.hpp"

namespace eav::ingest {

// A value, as a tuple of staging or the backlog, or a whole event.
struct RejectedRow {
  HeapTuple tuple;  // null for an event, or without a description
  TupleDesc description;
  Rejection rejection;
  std::string_view attribute;  // its name, when it was given by name; for messages
  core::EventReader::Reject event;
  std::optional<int64> writer_tenant;  // the row's: it belongs to who has sent it
};
using Rejects = core::ArenaVector<RejectedRow>;

// Without a description, for a caller that only wants the reason.
RejectedRow rejected(const StagedRow& row, TupleDesc description, const Rejection& rejection);
RejectedRow rejected(const core::EventReader::Reject& event);

// Within an SPI connection. Returns how many were written: those of what has been erased are not.
int64 write_rejects(const Rejects& rejects);

}  // namespace eav::ingest
