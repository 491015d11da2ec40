#include "eav/core/piece_plan.hpp"

#include <algorithm>

#include "eav/core/core_only.hpp"

namespace eav::core {

void PiecePlan::add(const ArrivalUnit& unit, const PieceSize& size) {
  if (!units_.empty() && units_.back().unit == unit) {
    units_.back().size.values += size.values;
    units_.back().size.memory += size.memory;
  } else {
    units_.push_back({unit, size});
  }
}

bool PiecePlan::sum_up() {
  std::sort(units_.begin(), units_.end(),
            [](const Part& left, const Part& right) { return left.unit < right.unit; });
  PieceSize sum = {0, 0};
  std::size_t kept = 0;
  for (std::size_t next = 0; next < units_.size();) {
    Part part = units_[next++];
    for (; next < units_.size() && units_[next].unit == part.unit; ++next) {
      part.size.values += units_[next].size.values;
      part.size.memory += units_[next].size.memory;
    }
    sum.values += part.size.values;
    sum.memory += part.size.memory;
    units_[kept++] = part;
    if (kept > 1 && (sum.values > most_.values || sum.memory > most_.memory)) {
      units_.truncate(kept);
      return true;
    }
  }
  units_.truncate(kept);
  return false;
}

void PiecePlan::forget_late() {
  if (units_.size() >= worth_summing_up_) {
    sum_up();
    worth_summing_up_ = std::max(worth_summing_up_, 2 * units_.size());
  }
}

std::optional<ArrivalUnit> PiecePlan::end() {
  return sum_up() ? std::optional<ArrivalUnit>(units_.back().unit) : std::nullopt;
}

}  // namespace eav::core
