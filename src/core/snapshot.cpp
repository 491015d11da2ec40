#include "eav/core/snapshot.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

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
