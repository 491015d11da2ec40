// What does not fit into memory at once is written piece by piece, and a later piece counts as
// later: so the pieces have to follow the order of arrival, whatever the order in which rows are
// found. A plan is told of everything that is left, and says where the next piece ends.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "eav/core/arena.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

// What arrived together: the rows that a command has staged, or a parcel of the ring, which came
// before the staged command with its numbers.
struct ArrivalUnit {
  std::uint64_t xact;
  std::uint32_t command;
  bool is_staged;
  std::size_t parcel;  // its place in the ring

  // The check sees the 0 that a defaulted comparison uses inside.
  // NOLINTNEXTLINE(modernize-use-nullptr)
  friend auto operator<=>(const ArrivalUnit&, const ArrivalUnit&) = default;
};

struct PieceSize {
  std::uint64_t values;
  std::uint64_t memory;  // bytes
};

class PiecePlan {
 public:
  // For a piece of at most `most`, or of one unit that is larger.
  PiecePlan(const Arena& arena, const PieceSize& most) : most_(most), units_(arena) {}

  // Units come in any order, and each in any number of parts.
  void add(const ArrivalUnit& unit, const PieceSize& size);
  // Forgets units that cannot be in the piece, when there are many. To be called now and then.
  void forget_late();
  // The first unit that is not in the piece; none when everything is.
  std::optional<ArrivalUnit> end();

 private:
  struct Part {
    ArrivalUnit unit;
    PieceSize size;
  };
  // Leaves each unit of the piece once, sorted, and the one after them. Whether there is one.
  bool sum_up();

  PieceSize most_;
  ArenaVector<Part> units_;
  std::size_t worth_summing_up_ = 10'000;
};

}  // namespace eav::core
