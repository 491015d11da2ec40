// How far nodes have got, at this moment.
#pragma once

#include <optional>

#include "eav/freshness/board.hpp"

namespace eav::freshness {

struct Measurement {
  std::optional<core::Micros> lag;  // none: not known
  std::optional<int64> bytes;       // of WAL behind
  TimestampTz as_of;                // data is complete up to here; 0: not known
  TimestampTz seen_at;              // last sign; 0: none
  const char* measured_by;          // null: by nothing
  char detail[160];                 // empty: nothing to say
};

// What the server is: a node of its own may have another role on the board for a moment.
core::NodeRole own_role();
// The role of the node now; `self`: the node is this server.
core::NodeRole role_of(const Node& node, bool is_self);

// With the lock of the board held. Raises nothing.
Measurement measure(const Board& board, const Node& node, bool is_self, TimestampTz now);
// Of this server, which need not be on the board.
Measurement measure_self(const Board& board, TimestampTz now);
// Whether another node has replayed WAL up to the position, for sure.
bool has_reached(const Board& board, const Node& node, XLogRecPtr position);

}  // namespace eav::freshness
