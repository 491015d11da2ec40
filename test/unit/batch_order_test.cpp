#include "eav/core/batch_order.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using Observation = std::tuple<std::int64_t, std::int64_t, std::int32_t, std::int64_t>;

Observation observation_of(const EntityKey& key) {
  return {key.tenant_id, key.entity_id, key.attribute_id, key.version.observed_at};
}

TEST(HistoryKey, SortsAsTheIndexDoes) {
  std::vector<HistoryKey> keys = {{2, 5, 1, 0}, {1, 9, 2, 1}, {1, 9, 1, 2},
                                  {1, 3, 2, 3}, {1, 3, 2, 1}, {-1, 0, 9, 4}};
  std::sort(keys.begin(), keys.end());
  std::vector<std::uint32_t> rows;
  for (const HistoryKey& key : keys) {
    rows.push_back(key.row);
  }
  EXPECT_EQ(rows, (std::vector<std::uint32_t>{4, 2, 1, 3, 1, 0}));
  EXPECT_EQ(keys[2].ingested_at, 3);
}

TEST(OrderByEntity, LeavesTimesAloneThatDiffer) {
  std::vector<EntityKey> keys = {{1, 7, {30, 100}, 1, 0},
                                 {1, 7, {20, 100}, 1, 1},
                                 {1, 7, {30, 100}, 2, 2},
                                 {1, 8, {30, 100}, 1, 3},
                                 {2, 7, {30, 100}, 1, 4}};
  EXPECT_EQ(order_by_entity(keys, 100, std::less<std::uint32_t>()), 100);
  std::vector<std::uint32_t> rows;
  for (const EntityKey& key : keys) {
    rows.push_back(key.row);
    EXPECT_EQ(key.version.ingested_at, 100);
  }
  EXPECT_EQ(rows, (std::vector<std::uint32_t>{1, 0, 2, 3, 4})) << "entity, attribute, then time";
}

TEST(OrderByEntity, SetsEqualObservationsApartInTheOrderOfArrival) {
  std::vector<EntityKey> keys = {{1, 7, {30, 100}, 1, 2},
                                 {1, 7, {30, 100}, 1, 0},
                                 {1, 7, {31, 100}, 1, 3},
                                 {1, 7, {30, 100}, 1, 1}};
  EXPECT_EQ(order_by_entity(keys, 100, std::less<std::uint32_t>()), 102);
  EXPECT_EQ(keys[0].row, 0U);
  EXPECT_EQ(keys[0].version.ingested_at, 100);
  EXPECT_EQ(keys[1].row, 1U);
  EXPECT_EQ(keys[1].version.ingested_at, 101);
  EXPECT_EQ(keys[2].row, 2U);
  EXPECT_EQ(keys[2].version.ingested_at, 102);
  EXPECT_EQ(keys[3].version.ingested_at, 100) << "another time of observation starts anew";
}

TEST(OrderByEntity, AsksWhichRowArrivedFirst) {
  std::vector<EntityKey> keys = {
      {1, 7, {30, 100}, 1, 0}, {1, 7, {30, 100}, 1, 1}, {1, 7, {30, 100}, 1, 2}};
  EXPECT_EQ(order_by_entity(keys, 100, std::greater<std::uint32_t>()), 102);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(keys[i].row, 2 - i);
    EXPECT_EQ(keys[i].version.ingested_at, 100 + static_cast<std::int64_t>(i));
  }
}

TEST(OrderByEntity, TakesNothingForNothing) {
  EXPECT_EQ(order_by_entity({}, 42, std::less<std::uint32_t>()), 42);
  EntityKey one{1, 1, {1, 42}, 1, 0};
  EXPECT_EQ(order_by_entity({&one, 1}, 42, std::less<std::uint32_t>()), 42);
  EXPECT_EQ(one.version.ingested_at, 42);
}

TEST(OrderByEntity, LeavesValuesAloneThatAreInHistory) {
  std::vector<EntityKey> keys = {{1, 7, {30, 100}, 1, 0},
                                 {1, 7, {30, 60}, 1, 1},
                                 {1, 7, {30, 61}, 1, 2},
                                 {1, 7, {30, 100}, 1, 3}};
  EXPECT_EQ(order_by_entity(keys, 100, std::less<std::uint32_t>()), 101);
  EXPECT_EQ(keys[0].version.ingested_at, 60);
  EXPECT_EQ(keys[1].version.ingested_at, 61);
  EXPECT_EQ(keys[2].version.ingested_at, 100);
  EXPECT_EQ(keys[3].version.ingested_at, 101);
  EXPECT_EQ(keys[3].row, 3U);
}

// The times tell all values of an attribute apart, those that arrive now are newer than those
// that wait from earlier batches, and among themselves ordered as they arrived.
TEST(OrderByEntity, TimesAloneTellTheNewest) {
  EAV_RANDOM(random);
  for (int round = 0; round < 3000; ++round) {
    std::vector<EntityKey> keys;
    std::map<Observation, std::vector<std::uint32_t>> arrivals;
    std::map<std::uint32_t, std::int64_t> in_history;
    const auto count = static_cast<std::uint32_t>(random.between(0, 60));
    const std::int64_t ingested_at = random.between(-1000, 1000);
    for (std::uint32_t row = 0; row < count; ++row) {
      EntityKey key{random.between(1, 2),
                    random.between(1, 2),
                    {random.between(1, 3), ingested_at},
                    static_cast<std::int32_t>(random.between(1, 2)),
                    row};
      if (random.chance(0.2)) {
        key.version.ingested_at -= 1 + row;  // unique, as in history
        in_history[row] = key.version.ingested_at;
      } else {
        arrivals[observation_of(key)].push_back(row);
      }
      keys.push_back(key);
    }
    const std::int64_t highest = order_by_entity(keys, ingested_at, std::less<std::uint32_t>());

    ASSERT_EQ(keys.size(), count);
    ASSERT_TRUE(std::is_sorted(keys.begin(), keys.end(), [](const auto& left, const auto& right) {
      return left.as_tuple() < right.as_tuple();
    }));
    std::int64_t expected_highest = ingested_at;
    std::map<Observation, std::vector<std::uint32_t>> ordered;
    std::set<std::pair<Observation, std::int64_t>> seen;
    for (const EntityKey& key : keys) {
      ASSERT_TRUE(seen.insert({observation_of(key), key.version.ingested_at}).second);
      if (in_history.contains(key.row)) {
        ASSERT_EQ(key.version.ingested_at, in_history[key.row]);
        continue;
      }
      auto& earlier = ordered[observation_of(key)];
      ASSERT_EQ(key.version.ingested_at, ingested_at + static_cast<std::int64_t>(earlier.size()));
      expected_highest = std::max(expected_highest, key.version.ingested_at);
      earlier.push_back(key.row);
    }
    ASSERT_EQ(ordered, arrivals);
    ASSERT_EQ(highest, expected_highest);
  }
}

}  // namespace
}  // namespace eav::core
