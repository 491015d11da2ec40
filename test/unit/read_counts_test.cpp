#include "eav/core/read_counts.hpp"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using Totals = std::map<std::int32_t, std::pair<std::uint64_t, std::uint64_t>>;

auto adder(Totals& totals) {
  return [&totals](const ReadCount& count) {
    totals[count.attribute_id].first += count.filters;
    totals[count.attribute_id].second += count.reads;
  };
}

struct Table {
  explicit Table(std::uint32_t capacity)
      : memory(ReadCounts::bytes(capacity) / sizeof(std::uint64_t) + 1),
        counts(ReadCounts::create(memory.data(), capacity)) {}

  Totals look(std::uint32_t database) const {
    Totals totals;
    counts->look(database, adder(totals));
    return totals;
  }
  Totals take(std::uint32_t database) {
    Totals totals;
    counts->take(database, adder(totals), [](std::uint32_t /*other*/) { return false; });
    return totals;
  }
  std::vector<std::uint64_t> memory;
  ReadCounts* counts;
};

TEST(ReadCounts, FiltersAndReadsAreCountedApart) {
  Table table(64);
  EXPECT_FALSE(table.counts->has_counts(5));
  table.counts->count_filter({5, 1});
  table.counts->count_filter({5, 1});
  table.counts->count_read({5, 2});
  EXPECT_TRUE(table.counts->has_counts(5));
  const Totals expected{{1, {2, 0}}, {2, {0, 1}}};
  EXPECT_EQ(table.look(5), expected);
  EXPECT_EQ(table.look(5), expected);
  EXPECT_EQ(table.take(5), expected);
  EXPECT_EQ(table.take(5), Totals());
  EXPECT_FALSE(table.counts->has_counts(5));
}

TEST(ReadCounts, DatabasesDoNotSeeEachOther) {
  Table table(64);
  table.counts->count_read({5, 1});
  table.counts->count_read({6, 1});
  EXPECT_EQ(table.take(5), (Totals{{1, {0, 1}}}));
  EXPECT_FALSE(table.counts->has_counts(5));
  EXPECT_EQ(table.take(6), (Totals{{1, {0, 1}}}));
}

TEST(ReadCounts, WhatFindsNoRoomIsDropped) {
  Table table(32);
  for (std::int32_t id = 1; id <= 40; ++id) {
    table.counts->count_read({5, id});
  }
  EXPECT_EQ(table.counts->dropped(), 8U);
  EXPECT_EQ(table.take(5).size(), 32U);
}

TEST(ReadCounts, RoomComesBackAfterARoundWithoutCounts) {
  Table table(32);
  for (std::int32_t id = 1; id <= 32; ++id) {
    table.counts->count_read({5, id});
  }
  table.take(5);
  table.counts->count_read({5, 100});  // the others keep their slots for a round
  EXPECT_EQ(table.counts->dropped(), 1U);
  table.take(5);
  for (std::int32_t id = 101; id <= 132; ++id) {
    table.counts->count_read({5, id});
  }
  EXPECT_EQ(table.counts->dropped(), 1U);
  EXPECT_EQ(table.take(5).size(), 32U);
}

TEST(ReadCounts, SlotsOfDroppedDatabasesComeBack) {
  Table table(32);
  for (std::int32_t id = 1; id <= 32; ++id) {
    table.counts->count_read({id <= 16 ? 5U : 6U, id});
  }
  Totals totals;
  table.counts->take(7, adder(totals), [](std::uint32_t database) { return database == 5; });
  EXPECT_EQ(totals, Totals());
  EXPECT_FALSE(table.counts->has_counts(5));
  EXPECT_EQ(table.look(6).size(), 16U);
  for (std::int32_t id = 1; id <= 16; ++id) {
    table.counts->count_read({7, id});
  }
  EXPECT_EQ(table.counts->dropped(), 0U);
}

// Slots are given up and claimed again all the time: what was counted equals what was taken.
TEST(ReadCounts, NothingIsLostOrDoubled) {
  test::Random random;
  Table table(256);
  Totals expected;
  Totals taken;
  for (int step = 0; step < 200000; ++step) {
    const auto id = static_cast<std::int32_t>(random.between(1, 150) * 1000);
    if (random.between(0, 1) == 0) {
      table.counts->count_filter({5, id});
      ++expected[id].first;
    } else {
      table.counts->count_read({5, id});
      ++expected[id].second;
    }
    if (random.between(0, 99) == 0) {
      for (const auto& [attribute, counts] : table.take(5)) {
        taken[attribute].first += counts.first;
        taken[attribute].second += counts.second;
      }
    }
  }
  for (const auto& [attribute, counts] : table.take(5)) {
    taken[attribute].first += counts.first;
    taken[attribute].second += counts.second;
  }
  EXPECT_EQ(table.counts->dropped(), 0U);
  EXPECT_EQ(taken, expected);
}

}  // namespace
}  // namespace eav::core
