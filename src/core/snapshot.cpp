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

std::uint64_t batch_limit(std::span<TransactionCount> counts, std::uint64_t max_rows) {
  std::sort(counts.begin(), counts.end(),
            [](const auto& left, const auto& right) { return left.xid < right.xid; });
  std::uint64_t rows = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const bool is_first = counts[i].xid == counts[0].xid;
    std::uint64_t of_transaction = 0;
    const std::uint64_t xid = counts[i].xid;
    for (; i < counts.size() && counts[i].xid == xid; ++i) {
      of_transaction += counts[i].rows;
    }
    --i;
    if (!is_first && rows + of_transaction > max_rows) {
      return xid;
    }
    rows += of_transaction;
  }
  return UINT64_MAX;
}

}  // namespace eav::core
