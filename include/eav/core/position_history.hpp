// When the primary was at which position of its log: turns the position that a standby or a
// logical slot has reached into an age, by the clock of the primary alone.
//
// A sample is taken with every heartbeat. Level 0 keeps the last ones, level i every 4^i-th, so
// that a few kilobytes reach back for days: with one sample a second, level 9 reaches 194 days.
// How much a look-up errs is bounded by the distance of the samples of the level that answers, at
// most 1/15 of the age.
#pragma once

#include <array>
#include <type_traits>

#include "eav/core/core_only.hpp"
#include "eav/core/freshness.hpp"

namespace eav::core {

// Plain memory: lies in shared memory, all zero bytes is empty.
class PositionHistory {
 public:
  struct Sample {
    std::uint64_t position;
    Micros at;
  };

  // When the clock was set back, the older samples are moved back by as much, so that their ages
  // stay as they are. Positions that do not grow are taken as they are.
  void add(Sample sample);
  void forget() { *this = PositionHistory(); }
  bool empty() const { return count_ == 0; }
  // Only when not empty.
  Sample newest() const;
  // The newest sample whose position is not above this one: what has been reached is complete as
  // of then. nullopt when the position is older than all that is known.
  std::optional<Sample> reached(std::uint64_t position) const;
  // The sample with the lowest position above this one that is still known.
  std::optional<Sample> first_beyond(std::uint64_t position) const;

 private:
  static constexpr std::size_t level_count = 10;
  static constexpr std::size_t level_size = 64;
  static constexpr std::size_t level_step = 4;
  std::uint64_t count_;  // samples ever added
  std::array<std::array<Sample, level_size>, level_count> levels_;
};
static_assert(std::is_trivial_v<PositionHistory> && std::is_standard_layout_v<PositionHistory>);

struct Progress {
  std::uint64_t position;  // that has been reached
  std::uint64_t end;       // where the primary is now
  // As the server has measured it for the last record that was applied; nullopt: has not.
  std::optional<Micros> measured;
};

// The lag of a node that has got so far; `interval`: time between samples. Never negative.
// 0 when nothing is missing. While heartbeats come and the newest has been reached: what was
// measured, at most the age of the newest sample, which it also is when nothing was measured.
// Otherwise the age of the sample that has been reached, which is the longest that it can be.
// nullopt when no sample is old enough.
std::optional<Micros> lag_of(const PositionHistory& history, const Progress& progress, Micros now,
                             Micros interval);

}  // namespace eav::core
