// Values of a batch summed up per tenant, attribute and hour.
//
// The sums of a batch are added to those of others later (rollup/merge.cpp), so one hour of an
// attribute may well have several in one batch: that costs a row, and nothing else. It happens when
// a batch jumps between hours far apart, when the numbers of an attribute change their type, and
// when a sum of floats would overflow.
#pragma once

#include <array>
#include <cstdint>

#include "eav/core/arena.hpp"
#include "eav/core/value.hpp"
#include "eav/core/versions.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

// Microseconds since 2000-01-01 UTC, rounded down to the hour.
std::int64_t hour_of(std::int64_t timestamp);

// The sum of 2^64 int64 fits into it. Aligned as the memory of the server is.
__extension__ typedef __int128 WideInteger  // NOLINT(modernize-use-using)
    __attribute__((aligned(8)));

struct Rollup {
  enum class Numbers : std::uint8_t { none, integer, floating, numeric };

  std::int64_t tenant_id;
  std::int64_t hour;
  std::int32_t attribute_id;
  Numbers numbers;
  std::int64_t values;
  std::int64_t cleared;
  std::int64_t number_count;
  std::int64_t first_observed_at;
  std::int64_t last_observed_at;
  std::int64_t last_ingested_at;
  // With numbers == integer
  std::int64_t least_integer;
  std::int64_t greatest_integer;
  WideInteger sum_of_integers;
  // With numbers == floating
  double least_floating;
  double greatest_floating;
  double sum_of_floatings;
};

class RollupBatch {
 public:
  explicit RollupBatch(const Arena& arena) : rollups_(arena) {}

  struct Key {
    std::int64_t tenant_id;
    std::int32_t attribute_id;
    Version version;
  };
  // Each returns the number of the rollup that took the value.
  std::size_t add_cleared(const Key& key);
  std::size_t add_other(const Key& key);  // a value that is no number, NaN and infinity included
  std::size_t add_integer(const Key& key, std::int64_t value);
  std::size_t add_floating(const Key& key, double value);
  // The sums of numerics are kept by the caller.
  std::size_t add_numeric(const Key& key);

  std::span<const Rollup> rollups() const { return rollups_.span(); }

 private:
  // Where the hours that a batch usually has have their rollup: a few weeks of them, one after the
  // other. A place holds any number, looked at before it is believed.
  static constexpr std::size_t places = 1024;

  Rollup& rollup_for(const Key& key, Rollup::Numbers numbers);
  Rollup& open(const Key& key, std::int64_t hour, Rollup::Numbers numbers);
  std::size_t number_of(const Rollup& rollup) const { return &rollup - rollups_.begin(); }

  ArenaVector<Rollup> rollups_;
  std::array<std::uint32_t, places> number_at_{};
};

}  // namespace eav::core
