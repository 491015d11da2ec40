#include "eav/core/piece_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "memory.hpp"
#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr PieceSize row = {1, 10};

TEST(PiecePlan, TakesEverythingThatFits) {
  test::CountingArena memory;
  PiecePlan plan(memory.arena(), {3, 30});
  EXPECT_EQ(plan.end(), std::nullopt);
  for (const std::uint64_t xact : {7U, 5U, 6U}) {
    plan.add({xact, 0, true, 0}, row);
    EXPECT_EQ(plan.end(), std::nullopt);
  }
}

TEST(PiecePlan, EndsBeforeTheUnitThatIsTooMuch) {
  test::CountingArena memory;
  PiecePlan by_values(memory.arena(), {3, 1000});
  PiecePlan by_memory(memory.arena(), {1000, 30});
  for (const std::uint64_t xact : {8U, 6U, 5U, 7U}) {
    by_values.add({xact, 0, true, 0}, row);
    by_memory.add({xact, 0, true, 0}, row);
  }
  const ArrivalUnit last = {8, 0, true, 0};
  EXPECT_EQ(by_values.end(), last);
  EXPECT_EQ(by_memory.end(), last);
}

TEST(PiecePlan, TakesOneUnitHoweverLarge) {
  test::CountingArena memory;
  PiecePlan plan(memory.arena(), {3, 30});
  plan.add({5, 0, true, 0}, {1000, 10'000});
  EXPECT_EQ(plan.end(), std::nullopt);
  plan.add({5, 1, true, 0}, row);
  EXPECT_EQ(plan.end(), (ArrivalUnit{5, 1, true, 0}));
}

TEST(PiecePlan, PutsParcelsBeforeTheStagedCommandInTheirOrder) {
  const ArrivalUnit units[] = {{4, 9, true, 0},  {5, 0, false, 0}, {5, 0, false, 1},
                               {5, 0, true, 0},  {5, 1, false, 7}, {5, 1, true, 0},
                               {6, 0, false, 2}, {6, 0, true, 0}};
  EXPECT_TRUE(std::is_sorted(std::begin(units), std::end(units)));
}

// Pieces in turn, beside a list of all units.
TEST(PiecePlan, CutsWhatASortedListWould) {
  EAV_RANDOM(random);
  for (int round = 0; round < 300; ++round) {
    test::CountingArena memory;
    // Of many rows so many that units are forgotten.
    const std::int64_t scale = round % 50 == 0 ? 100 : 1;
    const PieceSize most = {static_cast<std::uint64_t>(scale * random.between(1, 40)),
                            static_cast<std::uint64_t>(scale * random.between(1, 400))};
    std::map<ArrivalUnit, PieceSize> sizes;
    std::vector<ArrivalUnit> rows;
    const auto count = random.between(0, scale * 300);
    for (std::int64_t i = 0; i < count; ++i) {
      const bool is_staged = random.chance(0.6);
      const ArrivalUnit unit = {static_cast<std::uint64_t>(random.between(1, 200)),
                                static_cast<std::uint32_t>(random.between(0, 3)), is_staged,
                                is_staged ? 0 : static_cast<std::size_t>(random.between(0, 5))};
      rows.push_back(unit);
      sizes[unit].values += row.values;
      sizes[unit].memory += row.memory;
    }
    std::optional<ArrivalUnit> begin;
    auto next = sizes.begin();
    do {
      PiecePlan plan(memory.arena(), most);
      for (const ArrivalUnit& unit : rows) {
        if (!begin || unit >= *begin) {
          plan.add(unit, row);
          plan.forget_late();
        }
      }
      PieceSize sum = {0, 0};
      for (bool is_first = true; next != sizes.end(); ++next, is_first = false) {
        sum.values += next->second.values;
        sum.memory += next->second.memory;
        if (!is_first && (sum.values > most.values || sum.memory > most.memory)) {
          break;
        }
      }
      begin = plan.end();
      ASSERT_EQ(begin, next == sizes.end() ? std::nullopt : std::optional(next->first));
    } while (begin);
  }
}

}  // namespace
}  // namespace eav::core
