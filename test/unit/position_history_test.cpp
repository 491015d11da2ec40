#include "eav/core/position_history.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using Sample = PositionHistory::Sample;

constexpr Micros start = 800'000'000 * one_second;  // some day
constexpr Micros interval = one_second;

std::optional<std::uint64_t> reached_position(const PositionHistory& history,
                                              std::uint64_t position) {
  const auto sample = history.reached(position);
  return sample.has_value() ? std::optional(sample->position) : std::nullopt;
}

TEST(PositionHistory, IsEmptyAtFirst) {
  auto history = std::bit_cast<PositionHistory>(std::array<std::byte, sizeof(PositionHistory)>{});
  EXPECT_TRUE(history.empty());
  EXPECT_EQ(reached_position(history, 0), std::nullopt);
  EXPECT_EQ(reached_position(history, UINT64_MAX), std::nullopt);
  history.add({10, start});
  EXPECT_FALSE(history.empty());
  EXPECT_EQ(history.newest().position, 10U);
  EXPECT_EQ(history.newest().at, start);
  EXPECT_EQ(reached_position(history, 9), std::nullopt);
  EXPECT_EQ(reached_position(history, 10), 10U);
  history.forget();
  EXPECT_TRUE(history.empty());
  EXPECT_EQ(reached_position(history, UINT64_MAX), std::nullopt);
}

// Beside the list of all samples.
TEST(PositionHistory, ErrsByAFifteenthOfTheAgeAndOnlyToTheOldSide) {
  EAV_RANDOM(random);
  for (const int samples : {63, 64, 65, 300, 5000, 200'000}) {
    PositionHistory history{};
    std::vector<Sample> all;
    Sample sample = {static_cast<std::uint64_t>(random.between(1, 1000)), start};
    for (int i = 0; i < samples; ++i) {
      history.add(sample);
      all.push_back(sample);
      sample.position += static_cast<std::uint64_t>(random.chance(0.1) ? 0 : random.between(1, 99));
      sample.at += interval;
      if (i + 1 < samples && !random.chance(0.02)) {
        continue;
      }
      for (int look = 0; look < 20; ++look) {
        const auto back = static_cast<std::uint64_t>(random.between(0, i) >> random.between(0, 17));
        const std::uint64_t position =
            all[all.size() - 1 - back].position + static_cast<std::uint64_t>(random.between(-9, 9));
        const auto above = std::upper_bound(
            all.begin(), all.end(), position,
            [](std::uint64_t wanted, const Sample& each) { return wanted < each.position; });
        const auto found = history.reached(position);
        ASSERT_EQ(found.has_value(), above != all.begin());
        if (found.has_value()) {
          const Sample& truth = *(above - 1);
          ASSERT_LE(found->position, position);
          ASSERT_LE(found->at, truth.at) << "never newer than it is";
          const Micros age = history.newest().at - truth.at;
          ASSERT_LE((truth.at - found->at) * 15, age);
          ASSERT_EQ(found->position,
                    all[static_cast<std::size_t>((found->at - start) / interval)].position);
        }
      }
    }
  }
}

// What is known of the last 64 is exact, whatever the order of the positions.
TEST(PositionHistory, FindsTheNewestThatIsNotAbove) {
  EAV_RANDOM(random);
  for (int round = 0; round < 2000; ++round) {
    PositionHistory history{};
    std::vector<Sample> all;
    const std::int64_t samples = random.between(1, 64);
    for (std::int64_t i = 0; i < samples; ++i) {
      all.push_back({static_cast<std::uint64_t>(random.between(0, 30)), start + i});
      history.add(all.back());
    }
    const auto position = static_cast<std::uint64_t>(random.between(0, 30));
    const auto truth = std::find_if(all.rbegin(), all.rend(), [position](const Sample& sample) {
      return sample.position <= position;
    });
    const auto found = history.reached(position);
    ASSERT_EQ(found.has_value(), truth != all.rend());
    if (found.has_value()) {
      ASSERT_EQ(found->at, truth->at);
      ASSERT_EQ(found->position, truth->position);
    }
  }
}

// Of the samples that are remembered, the one with the lowest position above; those of the last
// minute are all remembered.
TEST(PositionHistory, FindsTheFirstBeyond) {
  PositionHistory history = {};
  EXPECT_FALSE(history.first_beyond(0).has_value());
  for (std::uint64_t i = 1; i <= 5000; ++i) {
    history.add({i * 10, static_cast<Micros>(i) * one_second});
    EXPECT_FALSE(history.first_beyond(i * 10).has_value());
    EXPECT_EQ(history.first_beyond(i * 10 - 1)->position, i * 10);
    for (std::uint64_t back = 1; back < std::min<std::uint64_t>(i, 60); back += 7) {
      const auto found = history.first_beyond((i - back) * 10);
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->position, (i - back + 1) * 10);
      EXPECT_EQ(found->at, static_cast<Micros>(i - back + 1) * one_second);
    }
    // Further back a sample may be missing, never one too early.
    const auto old = history.first_beyond(i * 5);
    ASSERT_TRUE(old.has_value());
    EXPECT_GT(old->position, i * 5);
    EXPECT_LE(static_cast<double>(old->position - i * 5), static_cast<double>(i * 5) / 15 + 20);
  }
}

TEST(PositionHistory, ReachesBackAsFarAsItSays) {
  constexpr std::uint64_t widest = 1 << 18;  // distance on level 9
  constexpr std::uint64_t samples = 70 * widest + 5;
  constexpr Micros day = 86'400 * one_second;
  PositionHistory history{};
  for (std::uint64_t i = 0; i < samples; ++i) {
    history.add({3 * i + 1, start + static_cast<Micros>(i) * interval});
  }
  const std::uint64_t oldest = 7 * widest;
  EXPECT_EQ(reached_position(history, 3 * oldest + 1), 3 * oldest + 1);
  EXPECT_EQ(reached_position(history, 3 * oldest), std::nullopt);
  EXPECT_GT(history.newest().at - history.reached(3 * oldest + 1)->at, 190 * day);
  for (std::uint64_t age = 1; age < 63 * widest; age += age / 7 + 1) {
    const std::uint64_t truth = samples - 1 - age;
    const auto found = reached_position(history, 3 * truth + 2);
    ASSERT_TRUE(found.has_value()) << age;
    ASSERT_LE(*found, 3 * truth + 1);
    ASSERT_LE((3 * truth + 1 - *found) / 3 * 15, age);
  }
}

// True ages by a clock that is never set, beside the history of one that is.
TEST(PositionHistory, KeepsAgesWhenTheClockIsSetBack) {
  EAV_RANDOM(random);
  for (int round = 0; round < 300; ++round) {
    PositionHistory history{};
    Micros set_back = 0;
    Micros times = 0;
    std::vector<Micros> all;
    for (std::int64_t i = 0; i < 200; ++i) {
      const bool is_set = random.chance(0.02);
      if (is_set) {
        set_back += random.between(one_second, 5000 * one_second);
        ++times;
      }
      const Micros now = start + i * interval;
      history.add({static_cast<std::uint64_t>(i), now - set_back});
      all.push_back(now);
      const auto position = static_cast<std::uint64_t>(random.between(0, i));
      const auto found = history.reached(position);
      ASSERT_TRUE(found.has_value());
      ASSERT_LE(found->position, position);
      const Micros age = history.newest().at - found->at;
      const Micros truth = now - all[found->position];
      ASSERT_GE(age, 0);
      ASSERT_LE(age, truth);
      ASSERT_GE(age, truth - times * interval) << "each time the pause before it is missing";
    }
  }
}

TEST(LagOf, IsZeroWhenNothingIsMissing) {
  PositionHistory history{};
  EXPECT_EQ(lag_of(history, {100, 100, std::nullopt}, start, interval), 0);
  EXPECT_EQ(lag_of(history, {0, 0, 7 * one_second}, start, interval), 0);
  history.add({100, start});
  EXPECT_EQ(lag_of(history, {100, 100, 7 * one_second}, start + 99 * one_second, interval), 0);
  EXPECT_EQ(lag_of(history, {101, 100, std::nullopt}, start, interval), 0) << "end was read before";
}

TEST(LagOf, IsNotKnownWithoutASampleThatIsOldEnough) {
  PositionHistory history{};
  EXPECT_EQ(lag_of(history, {99, 100, std::nullopt}, start, interval), std::nullopt);
  EXPECT_EQ(lag_of(history, {99, 100, one_second}, start, interval), std::nullopt);
  history.add({100, start});
  EXPECT_EQ(lag_of(history, {99, 200, one_second}, start, interval), std::nullopt);
}

TEST(LagOf, IsWhatWasMeasuredWhileHeartbeatsCome) {
  PositionHistory history{};
  history.add({50, start - one_second});
  history.add({100, start});
  const auto lag = [&](std::uint64_t position, std::optional<Micros> measured, Micros after) {
    return lag_of(history, {position, 200, measured}, start + after, interval);
  };
  EXPECT_EQ(lag(100, 300, 2 * interval), 300);
  EXPECT_EQ(lag(199, 300, 500), 300);
  EXPECT_EQ(lag(100, std::nullopt, 500), 500);
  EXPECT_EQ(lag(100, 501, 500), 500) << "complete as of the newest sample";
  EXPECT_EQ(lag(100, -1, 500), 0);
  EXPECT_EQ(lag(100, 300, 2 * interval + 1), 2 * interval + 1) << "heartbeats have stopped";
  EXPECT_EQ(lag(99, 300, 500), one_second + 500) << "the newest has not been reached";
}

TEST(LagOf, IsNotShorterWhenTheClockIsSetBack) {
  PositionHistory history{};
  history.add({50, start - 10 * one_second});
  history.add({100, start});
  EXPECT_EQ(lag_of(history, {60, 200, std::nullopt}, start - 3600 * one_second, interval),
            10 * one_second);
  EXPECT_EQ(lag_of(history, {100, 200, std::nullopt}, start - 3600 * one_second, interval), 0);
  history.add({150, start - 3599 * one_second});
  EXPECT_EQ(lag_of(history, {60, 200, std::nullopt}, start - 3590 * one_second, interval),
            19 * one_second);
}

// A primary that writes unevenly, and a standby somewhere behind it: the truth is how long ago the
// first byte was written that the standby does not have.
TEST(LagOf, IsNeverShorterThanTheTruthAndLittleLonger) {
  EAV_RANDOM(random);
  constexpr Micros tick = one_second / 10;
  for (int round = 0; round < 20; ++round) {
    PositionHistory history{};
    std::vector<std::uint64_t> ends;  // of the log, at each tick
    std::uint64_t end = 1000;
    for (int i = 0; i < 20'000; ++i) {
      const Micros now = start + i * tick;
      end += static_cast<std::uint64_t>(random.chance(0.7) ? 0 : random.between(1, 1000));
      if (i % 10 == 0) {
        end += 100;  // the heartbeat
        history.add({end, now});
      }
      ends.push_back(end);
      if (!random.chance(0.05)) {
        continue;
      }
      const auto back = static_cast<std::size_t>(random.between(0, i) >> random.between(0, 14));
      const std::uint64_t position = ends[ends.size() - 1 - back];
      const auto missing = std::upper_bound(ends.begin(), ends.end(), position);
      const Micros truth =
          missing == ends.end() ? 0 : now - (start + (missing - ends.begin()) * tick);
      const auto lag = lag_of(history, {position, end, std::nullopt}, now, interval);
      ASSERT_TRUE(lag.has_value());
      ASSERT_GE(*lag, truth);
      ASSERT_LE(*lag, (truth + interval + tick) * 16 / 15);
    }
  }
}

}  // namespace
}  // namespace eav::core
