// What the present transaction has put through eav.ingest(), and what its end does with it.
#pragma once

#include "eav/core/arena.hpp"
#include "eav/core/ticket.hpp"
#include "eav/ingest/parcel.hpp"

namespace eav::ingest {

struct Accepted {
  core::EventCounts counts;
  uint64 bytes;  // of the payload
  bool is_durable;
  Oid function;                        // that was called
  std::optional<int64> writer_tenant;  // that the caller was bound to
};

// Puts the parcel into the ring or, where that cannot be, into staging. Returns the ticket.
int64 hand_over(std::span<uint8> parcel, const Accepted& accepted);

// Whether the ticket was given out by this transaction, and its values so cannot be flushed yet.
bool is_own_ticket(const core::Ticket& ticket);

}  // namespace eav::ingest
