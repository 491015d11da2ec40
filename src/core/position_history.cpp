#include "eav/core/position_history.hpp"

#include <algorithm>

#include "eav/core/core_only.hpp"

namespace eav::core {

void PositionHistory::add(Sample sample) {
  if (!empty() && sample.at < newest().at) {
    const Micros step = newest().at - sample.at;
    for (auto& level : levels_) {
      for (Sample& older : level) {
        older.at -= step;
      }
    }
  }
  std::uint64_t number = count_++;
  for (auto& level : levels_) {
    level[number % level_size] = sample;
    if (number % level_step != 0) {
      break;
    }
    number /= level_step;
  }
}

PositionHistory::Sample PositionHistory::newest() const {
  return levels_[0][(count_ - 1) % level_size];
}

std::optional<PositionHistory::Sample> PositionHistory::reached(std::uint64_t position) const {
  std::uint64_t added = count_;  // to this level
  for (const auto& level : levels_) {
    for (std::uint64_t back = 1; back <= std::min<std::uint64_t>(added, level_size); ++back) {
      const Sample& sample = level[(added - back) % level_size];
      if (sample.position <= position) {
        return sample;
      }
    }
    added = (added + level_step - 1) / level_step;
  }
  return std::nullopt;
}

std::optional<PositionHistory::Sample> PositionHistory::first_beyond(std::uint64_t position) const {
  std::optional<Sample> first;
  std::uint64_t added = count_;  // to this level
  for (const auto& level : levels_) {
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(added, level_size); ++i) {
      if (level[i].position > position && (!first || level[i].position < first->position)) {
        first = level[i];
      }
    }
    added = (added + level_step - 1) / level_step;
  }
  return first;
}

std::optional<Micros> lag_of(const PositionHistory& history, const Progress& progress, Micros now,
                             Micros interval) {
  if (progress.position >= progress.end) {
    return 0;
  }
  const auto reached = history.reached(progress.position);
  if (!reached.has_value()) {
    return std::nullopt;
  }
  const PositionHistory::Sample newest = history.newest();
  // A clock that was set back has not gone on since the newest sample; ages go back to there.
  const Micros age = std::max(now, newest.at) - reached->at;
  const bool is_close = newest.position <= progress.position && age <= 2 * interval;
  return is_close ? std::clamp<Micros>(progress.measured.value_or(age), 0, age) : age;
}

}  // namespace eav::core
