#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "eav/core/core_only.hpp"
#include "eav/core/read_counts.hpp"

namespace eav::core {
namespace {

// One takes all the time while many count: none is taken twice, and few fall between the last look
// at a slot and its end.
TEST(ReadCountsStress, TakenWhileOthersCount) {
  constexpr std::uint32_t capacity = 512;
  constexpr int threads = 3;
  constexpr int per_thread = 100000;
  std::vector<std::uint64_t> memory(ReadCounts::bytes(capacity) / sizeof(std::uint64_t) + 1);
  ReadCounts* const counts = ReadCounts::create(memory.data(), capacity);
  std::atomic<int> running = threads;
  std::vector<std::thread> counters;
  for (int t = 0; t < threads; ++t) {
    counters.emplace_back([counts, &running, t] {
      for (int i = 0; i < per_thread; ++i) {
        counts->count_read({5, 1 + (i * (t + 1)) % 97});
      }
      --running;
    });
  }
  std::uint64_t sum = 0;
  const auto take = [&] {
    counts->take(
        5,
        [&sum](const ReadCount& count) {
          EXPECT_GE(count.attribute_id, 1);
          EXPECT_LE(count.attribute_id, 97);
          sum += count.reads;
        },
        [](std::uint32_t /*database*/) { return false; });
  };
  while (running > 0) {
    take();
  }
  for (std::thread& counter : counters) {
    counter.join();
  }
  take();
  const std::uint64_t counted = std::uint64_t{threads} * per_thread;
  EXPECT_LE(sum + counts->dropped(), counted);
  EXPECT_GE(sum + counts->dropped(), counted - counted / 100);
}

}  // namespace
}  // namespace eav::core
