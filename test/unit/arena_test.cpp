#include "eav/core/arena.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "memory.hpp"
#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using test::CountingArena;

TEST(ArenaVector, IsEmptyAndTakesNoMemoryAtFirst) {
  CountingArena memory;
  const ArenaVector<int> vector(memory.arena());
  EXPECT_TRUE(vector.empty());
  EXPECT_EQ(vector.size(), 0U);
  EXPECT_EQ(vector.begin(), vector.end());
  EXPECT_EQ(vector.span().size(), 0U);
  EXPECT_EQ(memory.blocks(), 0U);
}

TEST(ArenaVector, KeepsItsElementsWhileItGrows) {
  CountingArena memory;
  ArenaVector<std::int64_t> vector(memory.arena());
  for (std::int64_t i = 0; i < 10000; ++i) {
    vector.push_back(i * i);
    ASSERT_EQ(vector.back(), i * i);
  }
  ASSERT_EQ(vector.size(), 10000U);
  for (std::int64_t i = 0; i < 10000; ++i) {
    ASSERT_EQ(vector[static_cast<std::size_t>(i)], i * i);
  }
  EXPECT_EQ(memory.blocks(), 1U) << "outgrown blocks are released";
  EXPECT_LE(memory.allocations(), 16U) << "the capacity doubles";
}

TEST(ArenaVector, TakesAnElementOfItsOwn) {
  CountingArena memory;
  ArenaVector<std::uint64_t> vector(memory.arena());
  vector.push_back(42);
  for (int i = 0; i < 1000; ++i) {
    vector.push_back(vector[0]);
  }
  for (const std::uint64_t element : vector) {
    ASSERT_EQ(element, 42U);
  }
}

TEST(ArenaVector, ReservesOnce) {
  CountingArena memory;
  ArenaVector<int> vector(memory.arena());
  vector.reserve(500);
  const int* const place = vector.data();
  vector.reserve(10);
  for (int i = 0; i < 500; ++i) {
    vector.push_back(i);
  }
  EXPECT_EQ(vector.data(), place);
  EXPECT_EQ(memory.allocations(), 1U);
  vector.reserve(501);
  ASSERT_EQ(vector.size(), 500U);
  EXPECT_EQ(vector[499], 499);
}

TEST(ArenaVector, ClearAndTruncateKeepTheMemory) {
  CountingArena memory;
  ArenaVector<int> vector(memory.arena());
  for (int i = 0; i < 100; ++i) {
    vector.push_back(i);
  }
  vector.truncate(3);
  EXPECT_EQ(std::vector<int>(vector.begin(), vector.end()), (std::vector<int>{0, 1, 2}));
  vector.push_back(7);
  EXPECT_EQ(vector.back(), 7);
  const std::size_t allocations = memory.allocations();
  vector.clear();
  EXPECT_TRUE(vector.empty());
  for (int i = 0; i < 100; ++i) {
    vector.push_back(i);
  }
  EXPECT_EQ(memory.allocations(), allocations);
}

TEST(ArenaVector, IsUnchangedWhenMemoryRunsOut) {
  CountingArena memory;
  ArenaVector<int> vector(memory.arena());
  for (int i = 0; i < 16; ++i) {
    vector.push_back(i);
  }
  memory.fail_from_now_on();
  EXPECT_THROW(vector.push_back(16), std::bad_alloc);
  ASSERT_EQ(vector.size(), 16U);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(vector[static_cast<std::size_t>(i)], i);
  }
}

TEST(ArenaVector, BehavesAsAStandardVector) {
  EAV_RANDOM(random);
  for (int round = 0; round < 200; ++round) {
    CountingArena memory;
    ArenaVector<std::int64_t> vector(memory.arena());
    std::vector<std::int64_t> model;
    for (int step = 0; step < 300; ++step) {
      const std::int64_t action = random.between(0, 19);
      if (action == 0) {
        vector.clear();
        model.clear();
      } else if (action == 1 && !model.empty()) {
        const auto size =
            static_cast<std::size_t>(random.between(0, static_cast<int>(model.size())));
        vector.truncate(size);
        model.resize(size);
      } else if (action == 2) {
        vector.reserve(static_cast<std::size_t>(random.between(0, 400)));
      } else {
        const std::int64_t element = random.any_int64();
        vector.push_back(element);
        model.push_back(element);
      }
      ASSERT_TRUE(std::equal(vector.begin(), vector.end(), model.begin(), model.end()));
    }
    ASSERT_LE(memory.blocks(), 1U);
    ASSERT_FALSE(memory.released_unknown());
  }
}

}  // namespace
}  // namespace eav::core
