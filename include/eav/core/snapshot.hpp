// The batch rule of the staging queue, apart from any server.
//
// A snapshot splits all transactions into those it sees (ended before it was taken) and those
// it does not. A flush takes the rows whose transaction the new snapshot sees and the snapshot
// of the previous flush did not; so each committed row is taken exactly once, in whatever order
// transactions commit. Source of the rule: PgQ's batches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "eav/core/arena.hpp"
#include "eav/core/core_only.hpp"

namespace eav::core {

// Transaction ids are 64 bits wide and never wrap.
struct SnapshotView {
  std::uint64_t xmin = 0;                      // every id below has ended
  std::uint64_t xmax = 0;                      // no id from here on is seen
  std::span<const std::uint64_t> in_progress;  // sorted; ids in [xmin, xmax) not seen

  bool sees(std::uint64_t xid) const {
    if (xid < xmin) {
      return true;
    }
    if (xid >= xmax) {
      return false;
    }
    return !std::binary_search(in_progress.begin(), in_progress.end(), xid);
  }
};

// What has been taken when a batch of `current`, up to but not including `limit`, follows all
// the batches up to `previous`: sees x exactly when previous does, or current does and
// x < limit. `limit` may lie below previous.xmax, when old transactions have ended late.
// `current` must see all that `previous` sees. The ids of the result are kept in `storage`.
SnapshotView advance(const SnapshotView& previous, const SnapshotView& current, std::uint64_t limit,
                     ArenaVector<std::uint64_t>& storage);

// How many rows a transaction has in the batch. For one that came through the ring, xid is the
// staged transaction before which it came.
struct TransactionCount {
  std::uint64_t xid;
  std::uint64_t rows;
};

// Forgets what cannot be in a batch of at most max_rows: of the counts, one for each transaction is
// left, sorted, max_rows + 2 at most. Rows of those that have been forgotten may be counted later
// on.
void forget_late(ArenaVector<TransactionCount>& counts, std::uint64_t max_rows);

// Where a batch ends.
struct BatchEnd {
  std::uint64_t limit;  // the first staged id that must wait, or UINT64_MAX
  std::size_t ring;     // so many transactions of the ring are in the batch
};
// The end of a batch of at most max_rows. Whole transactions are taken, and at least one, in the
// order in which they arrived: those of the ring as they stand, staged ones by their id.
// Changes `staged`, where ids may repeat.
BatchEnd end_batch(std::span<TransactionCount> staged, std::span<const TransactionCount> ring,
                   std::uint64_t max_rows);

}  // namespace eav::core
