#include "eav/core/rollup.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <vector>

#include "memory.hpp"
#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr std::int64_t hour = 3600LL * 1000 * 1000;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double largest = std::numeric_limits<double>::max();

RollupBatch::Key key(std::int64_t observed_at, std::int32_t attribute_id = 1) {
  return {7, attribute_id, {observed_at, observed_at + 5}};
}

TEST(HourOf, RoundsDown) {
  EXPECT_EQ(hour_of(0), 0);
  EXPECT_EQ(hour_of(hour - 1), 0);
  EXPECT_EQ(hour_of(hour), hour);
  EXPECT_EQ(hour_of(-1), -hour);
  EXPECT_EQ(hour_of(-hour), -hour);
  EXPECT_EQ(hour_of(-hour - 1), -2 * hour);
}

TEST(RollupBatch, SumsUpAnHour) {
  test::CountingArena memory;
  RollupBatch batch(memory.arena());
  batch.add_integer(key(10), 5);
  batch.add_integer(key(3), -2);
  batch.add_cleared(key(20));
  batch.add_other(key(15));
  ASSERT_EQ(batch.rollups().size(), 1U);
  const Rollup& rollup = batch.rollups()[0];
  EXPECT_EQ(rollup.tenant_id, 7);
  EXPECT_EQ(rollup.hour, 0);
  EXPECT_EQ(rollup.attribute_id, 1);
  EXPECT_EQ(rollup.values, 3);
  EXPECT_EQ(rollup.cleared, 1);
  EXPECT_EQ(rollup.number_count, 2);
  EXPECT_EQ(rollup.least_integer, -2);
  EXPECT_EQ(rollup.greatest_integer, 5);
  EXPECT_TRUE(rollup.sum_of_integers == 3);  // as aligned as a reference wants it it is not
  EXPECT_EQ(rollup.first_observed_at, 3);
  EXPECT_EQ(rollup.last_observed_at, 20);
  EXPECT_EQ(rollup.last_ingested_at, 25);
}

TEST(RollupBatch, SumOfIntegersDoesNotOverflow) {
  test::CountingArena memory;
  RollupBatch batch(memory.arena());
  constexpr std::int64_t greatest = std::numeric_limits<std::int64_t>::max();
  for (int i = 0; i < 1000; ++i) {
    batch.add_integer(key(i), greatest);
  }
  EXPECT_TRUE(batch.rollups()[0].sum_of_integers == static_cast<WideInteger>(greatest) * 1000);
}

TEST(RollupBatch, SumOfFloatsStaysFinite) {
  test::CountingArena memory;
  RollupBatch batch(memory.arena());
  batch.add_floating(key(1), largest);
  batch.add_floating(key(2), largest);
  batch.add_floating(key(3), -largest);
  ASSERT_EQ(batch.rollups().size(), 2U);
  for (const Rollup& rollup : batch.rollups()) {
    EXPECT_TRUE(std::isfinite(rollup.sum_of_floatings));
  }
  EXPECT_EQ(batch.rollups()[0].number_count + batch.rollups()[1].number_count, 3);
}

TEST(RollupBatch, NoNumbersAreCountedOnly) {
  test::CountingArena memory;
  RollupBatch batch(memory.arena());
  batch.add_floating(key(1), infinity);
  batch.add_floating(key(1), -infinity);
  batch.add_floating(key(1), std::nan(""));
  ASSERT_EQ(batch.rollups().size(), 1U);
  EXPECT_EQ(batch.rollups()[0].values, 3);
  EXPECT_EQ(batch.rollups()[0].number_count, 0);
  EXPECT_EQ(batch.rollups()[0].numbers, Rollup::Numbers::none);
}

TEST(RollupBatch, NumbersOfOneTypeStayTogether) {
  test::CountingArena memory;
  RollupBatch batch(memory.arena());
  const std::size_t first = batch.add_cleared(key(1));
  EXPECT_EQ(batch.add_integer(key(1), 1), first);
  EXPECT_NE(batch.add_floating(key(1), 1), first);
  EXPECT_NE(batch.add_numeric(key(1)), first);
  EXPECT_EQ(batch.rollups().size(), 3U);
}

// Whatever the order: what is in the rollups of a key together is what was put in.
TEST(RollupBatch, LosesNothing) {
  test::Random random;
  for (int round = 0; round < 50; ++round) {
    test::CountingArena memory;
    RollupBatch batch(memory.arena());
    std::map<std::tuple<std::int64_t, std::int32_t, std::int64_t>, std::vector<std::int64_t>> sent;
    const std::int64_t hours = 1LL << random.between(0, 13);
    for (int i = 0; i < 3000; ++i) {
      const std::int64_t observed_at =
          random.between(-hours / 2, hours / 2) * hour + random.between(0, 2) * (hour / 2 - 1);
      const std::int64_t tenant_id = random.between(0, 1);
      const auto attribute_id = static_cast<std::int32_t>(random.between(0, 2));
      const std::int64_t value = random.between(-500, 500);
      batch.add_integer({tenant_id, attribute_id, {observed_at, i}}, value);
      sent[{tenant_id, attribute_id, hour_of(observed_at)}].push_back(value);
    }
    std::map<std::tuple<std::int64_t, std::int32_t, std::int64_t>, std::vector<std::int64_t>> got;
    for (const Rollup& rollup : batch.rollups()) {
      auto& sums = got[{rollup.tenant_id, rollup.attribute_id, rollup.hour}];
      sums.resize(4);
      const bool is_first = sums[0] == 0;
      sums[0] += rollup.values;
      sums[1] += static_cast<std::int64_t>(rollup.sum_of_integers);
      sums[2] = is_first ? rollup.least_integer : std::min(sums[2], rollup.least_integer);
      sums[3] = is_first ? rollup.greatest_integer : std::max(sums[3], rollup.greatest_integer);
      EXPECT_EQ(rollup.hour, hour_of(rollup.first_observed_at));
      EXPECT_EQ(rollup.hour, hour_of(rollup.last_observed_at));
    }
    ASSERT_EQ(got.size(), sent.size());
    for (const auto& [where, values] : sent) {
      std::int64_t sum = 0;
      for (const std::int64_t value : values) {
        sum += value;
      }
      const std::vector<std::int64_t> expected = {static_cast<std::int64_t>(values.size()), sum,
                                                  *std::min_element(values.begin(), values.end()),
                                                  *std::max_element(values.begin(), values.end())};
      EXPECT_EQ(got[where], expected);
    }
  }
}

// Hours side by side, as around a full hour, do not multiply the rollups.
TEST(RollupBatch, KeepsWeeksApartWithoutLosingTrack) {
  test::CountingArena memory;
  RollupBatch batch(memory.arena());
  for (int i = 0; i < 10000; ++i) {
    batch.add_integer(key(i % 1000 * hour), i);
  }
  EXPECT_EQ(batch.rollups().size(), 1000U);
}

}  // namespace
}  // namespace eav::core
