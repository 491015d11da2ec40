#include "eav/core/snapshot.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

SnapshotView advance(const SnapshotView& previous, const SnapshotView& current, std::uint64_t limit,
                     ArenaVector<std::uint64_t>& storage) {
  const std::uint64_t xmax = std::max(previous.xmax, std::min(limit, current.xmax));
  // Below xmax, what neither sees is in progress for the one that reaches up to xmax.
  const SnapshotView& reaching = limit >= previous.xmax ? current : previous;
  storage.clear();
  for (const std::uint64_t xid : reaching.in_progress) {
    const bool is_taken = xid < limit && current.sees(xid);
    if (xid < xmax && !is_taken) {
      storage.push_back(xid);
    }
  }
  return {storage.empty() ? xmax : storage[0], xmax, storage.span()};
}

namespace {

// Sorts the counts; one for each transaction is left.
std::span<TransactionCount> sum_up(std::span<TransactionCount> counts) {
  std::sort(counts.begin(), counts.end(),
            [](const auto& left, const auto& right) { return left.xid < right.xid; });
  std::size_t last = 0;
  for (std::size_t i = 1; i < counts.size(); ++i) {
    if (counts[i].xid == counts[last].xid) {
      counts[last].rows += counts[i].rows;
    } else {
      counts[++last] = counts[i];
    }
  }
  return counts.first(counts.empty() ? 0 : last + 1);
}

}  // namespace

void forget_late(ArenaVector<TransactionCount>& counts, std::uint64_t max_rows) {
  const std::span<TransactionCount> sums = sum_up(counts.span());
  std::size_t kept = 0;
  for (std::uint64_t rows = 0; kept < sums.size() && rows <= max_rows; ++kept) {
    rows += sums[kept].rows;
  }
  // The batch ends before the one that exceeds it, or, when that is the first, before the next.
  counts.truncate(std::min(kept + 1, sums.size()));
}

BatchEnd end_batch(std::span<TransactionCount> staged, std::span<const TransactionCount> ring,
                   std::uint64_t max_rows) {
  staged = sum_up(staged);
  std::size_t from_ring = 0;
  std::size_t from_staged = 0;
  std::uint64_t rows = 0;
  while (from_ring < ring.size() || from_staged < staged.size()) {
    const bool is_ring_next =
        from_staged == staged.size() ||
        (from_ring < ring.size() && ring[from_ring].xid <= staged[from_staged].xid);
    const std::uint64_t more = is_ring_next ? ring[from_ring].rows : staged[from_staged].rows;
    if (from_ring + from_staged > 0 && rows + more > max_rows) {
      break;
    }
    rows += more;
    ++(is_ring_next ? from_ring : from_staged);
  }
  return {from_staged < staged.size() ? staged[from_staged].xid : UINT64_MAX, from_ring};
}

}  // namespace eav::core
