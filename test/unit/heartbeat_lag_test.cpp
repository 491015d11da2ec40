#include "eav/core/heartbeat_lag.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr Micros start = 800'000'000 * one_second;  // some day
constexpr Micros interval = one_second;
constexpr Micros milli = 1000;

template <typename T>
T from_zero_bytes() {
  return std::bit_cast<T>(std::array<std::byte, sizeof(T)>{});
}

TEST(ClockOffset, KnowsNothingAtFirst) {
  EXPECT_EQ(from_zero_bytes<ClockOffset>().estimate(start), std::nullopt);
  EXPECT_EQ(from_zero_bytes<ClockOffset>().estimate(0), std::nullopt);
}

TEST(ClockOffset, IsTheLeastDifferenceOfTheLastMinute) {
  ClockOffset offset{};
  offset.on_message(start, start + 30 * milli);
  EXPECT_EQ(offset.estimate(start), 30 * milli);
  offset.on_message(start + one_second, start + one_second + 10 * milli);
  offset.on_message(start + 2 * one_second, start + 2 * one_second + 20 * milli);
  EXPECT_EQ(offset.estimate(start + 2 * one_second), 10 * milli);
  EXPECT_EQ(offset.estimate(start + 60 * one_second), 10 * milli);
  EXPECT_EQ(offset.estimate(start + 72 * one_second), std::nullopt);
  offset.on_message(start + 70 * one_second, start + 70 * one_second + 40 * milli);
  EXPECT_EQ(offset.estimate(start + 71 * one_second), 40 * milli) << "the place of the first ones";
}

// Skewed clocks and delays, beside a list of all messages.
TEST(ClockOffset, IsTooLargeByTheShortestDelay) {
  EAV_RANDOM(random);
  for (int round = 0; round < 200; ++round) {
    const Micros skew = random.between(-5 * one_second, 5 * one_second);
    const Micros longest_pause = random.chance(0.2) ? 90 * one_second : 3 * one_second;
    struct Message {
      Micros received_at;
      Micros delay;
    };
    std::vector<Message> messages;
    ClockOffset offset{};
    Micros now = start + random.between(0, 100 * one_second);  // of the receiver
    for (int i = 0; i < 300; ++i) {
      now += random.between(0, longest_pause);
      const Micros delay = random.between(0, random.chance(0.1) ? 5 * milli : one_second);
      offset.on_message(now - skew - delay, now);
      messages.push_back({now, delay});

      const Micros later = now + random.between(0, longest_pause);
      constexpr Micros never = std::numeric_limits<Micros>::max();
      Micros least_of_minute = never;
      Micros least_of_longer = never;
      for (const Message& message : messages) {
        if (later - message.received_at < 60 * one_second) {
          least_of_minute = std::min(least_of_minute, message.delay);
        }
        if (later - message.received_at < 70 * one_second) {
          least_of_longer = std::min(least_of_longer, message.delay);
        }
      }
      const auto estimate = offset.estimate(later);
      if (estimate.has_value()) {
        ASSERT_GE(*estimate, skew + least_of_longer);
        ASSERT_NE(least_of_longer, never) << "nothing is that young";
      }
      if (least_of_minute != never) {
        ASSERT_TRUE(estimate.has_value());
        ASSERT_LE(*estimate, skew + least_of_minute);
      }
    }
  }
}

TEST(ClockOffset, FollowsAClockThatIsSet) {
  ClockOffset offset{};
  Micros skew = 0;
  const auto run = [&](Micros from, Micros to) {
    for (Micros now = from; now < to; now += one_second) {
      offset.on_message(now - skew - milli, now);
    }
  };
  run(start, start + 100 * one_second);
  EXPECT_EQ(offset.estimate(start + 100 * one_second), milli);
  // Ahead: takes until the old messages are forgotten; too small until then, which is the safe
  // side.
  skew = 5 * one_second;
  run(start + 105 * one_second, start + 155 * one_second);
  EXPECT_EQ(offset.estimate(start + 155 * one_second), milli);
  run(start + 155 * one_second, start + 180 * one_second);
  EXPECT_EQ(offset.estimate(start + 180 * one_second), skew + milli);
  // Back: with the next message.
  skew = -3600 * one_second;
  run(start - 3415 * one_second, start - 3414 * one_second);
  EXPECT_EQ(offset.estimate(start - 3414 * one_second), skew + milli);
}

TEST(ClockOffset, ForgetsTheFuture) {
  ClockOffset offset{};
  offset.on_message(start + 100 * one_second, start);  // a receiver that is far behind
  EXPECT_EQ(offset.estimate(start - 20 * one_second), std::nullopt);
  offset.on_message(start - 20 * one_second, start - 20 * one_second + milli);
  EXPECT_EQ(offset.estimate(start - 20 * one_second), milli);
}

TEST(ClockOffset, WorksBeforeTimesBegin) {
  ClockOffset offset{};
  for (Micros now = -500 * one_second; now < 200 * one_second; now += one_second) {
    offset.on_message(now - 7 * one_second, now);
    ASSERT_EQ(offset.estimate(now).value_or(7 * one_second), 7 * one_second);
  }
  EXPECT_EQ(offset.estimate(200 * one_second), 7 * one_second);
}

TEST(HeartbeatLag, IsNotKnownBeforeTheFirstHeartbeat) {
  auto lag = from_zero_bytes<HeartbeatLag>();
  EXPECT_FALSE(lag.has_heard());
  EXPECT_EQ(lag.lag(start, interval), std::nullopt);
  EXPECT_EQ(lag.lag(0, interval), std::nullopt);
  lag.on_heartbeat(start, start + milli, 0);
  EXPECT_TRUE(lag.has_heard());
  EXPECT_EQ(lag.as_of(), start);
  EXPECT_EQ(lag.seen_at(), start + milli);
  EXPECT_EQ(lag.lag(start + milli, interval), milli);
  lag.forget();
  EXPECT_FALSE(lag.has_heard());
  EXPECT_EQ(lag.lag(start + milli, interval), std::nullopt);
}

TEST(HeartbeatLag, StandsForTwoIntervalsAndThenGrowsWithTheClock) {
  HeartbeatLag lag{};
  const Micros seen_at = start + 40 * milli;
  lag.on_heartbeat(start, seen_at, 0);
  EXPECT_EQ(lag.lag(seen_at + one_second, interval), 40 * milli);
  EXPECT_EQ(lag.lag(seen_at + 2 * interval, interval), 40 * milli);
  EXPECT_EQ(lag.lag(seen_at + 2 * interval + 1, interval), 40 * milli + 2 * interval + 1);
  for (int seconds = 3; seconds < 10'000; seconds += 7) {
    const Micros now = start + seconds * one_second;
    EXPECT_EQ(lag.lag(now, interval), now - start);
    EXPECT_EQ(lag.lag(now, 5000 * interval), 40 * milli) << "of another interval";
  }
  lag.on_heartbeat(start + 9999 * one_second, start + 10'000 * one_second, 0);
  EXPECT_EQ(lag.lag(start + 10'000 * one_second, interval), one_second) << "it goes on";
}

// A standby need not know how often the primary sends: it learns it, late ones and extra ones
// apart.
TEST(HeartbeatLag, LearnsTheInterval) {
  constexpr Micros own = 60 * one_second;
  HeartbeatLag lag = {};
  const auto beat = [&](Micros at) { lag.on_heartbeat(at, at, 0); };
  beat(100 * one_second);
  beat(101 * one_second);
  EXPECT_EQ(lag.lag(150 * one_second, own), 0) << "two are not enough";
  beat(102 * one_second);
  EXPECT_EQ(lag.lag(104 * one_second, own), 0);
  EXPECT_EQ(lag.lag(104 * one_second + 1, own), 2 * one_second + 1);
  beat(110 * one_second);  // late: the shortest one still counts
  EXPECT_EQ(lag.lag(113 * one_second, own), 3 * one_second);
  beat(110 * one_second + 1000);  // by hand
  EXPECT_EQ(lag.lag(112 * one_second, own), 0) << "no less than a second";
  EXPECT_EQ(lag.lag(114 * one_second, own), 4 * one_second - 1000);
  Micros at = 110 * one_second;
  for (int count = 0; count < 6; ++count) {
    EXPECT_EQ(lag.lag(at + 4 * one_second, own), 4 * one_second - (count == 0 ? 1000 : 0));
    beat(at += 8 * one_second);
  }
  EXPECT_EQ(lag.lag(at + 15 * one_second, own), 0) << "every 8 s";
}

// A primary that is gone and comes back again and again, each time for a single heartbeat: that is
// not their pace.
TEST(HeartbeatLag, DoesNotLearnFromOutages) {
  HeartbeatLag lag = {};
  const auto beat = [&](Micros at) { lag.on_heartbeat(at, at, 0); };
  for (int outage = 0; outage < 6; ++outage) {
    beat(100 * one_second + outage * 9 * one_second);
    EXPECT_EQ(lag.lag(103 * one_second + outage * 9 * one_second, interval), 3 * one_second);
  }
  lag = {};
  for (int second = 90; second < 100; ++second) {
    beat(second * one_second);
  }
  for (int outage = 0; outage < 6; ++outage) {
    beat(100 * one_second + outage * 9 * one_second);
    EXPECT_EQ(lag.lag(103 * one_second + outage * 9 * one_second, 60 * one_second), 3 * one_second);
  }
}

// Replay that stops and goes on shows only the newest of the heartbeats that it has caught up with.
TEST(HeartbeatLag, LearnsFromReplayThatStutters) {
  HeartbeatLag lag = {};
  for (Micros at = 100; at <= 140; at += 4) {
    lag.on_heartbeat(at * one_second, at * one_second, 0, 4);
  }
  EXPECT_EQ(lag.lag(142 * one_second, 60 * one_second), 0);
  EXPECT_EQ(lag.lag(143 * one_second, 60 * one_second), 3 * one_second);
}

TEST(HeartbeatLag, IsNeverNegative) {
  HeartbeatLag lag{};
  lag.on_heartbeat(start, start - 5 * one_second, 0);
  EXPECT_EQ(lag.lag(start - 5 * one_second, interval), 0);
  lag.on_heartbeat(start, start + milli, 2 * milli);
  EXPECT_EQ(lag.lag(start + milli, interval), 0);
}

TEST(HeartbeatLag, TakesTheOffsetOut) {
  for (const Micros skew : {-5 * one_second, 5 * one_second}) {
    HeartbeatLag lag{};
    lag.on_heartbeat(start, start + skew + 70 * milli, skew);
    EXPECT_EQ(lag.lag(start + skew + 80 * milli, interval), 70 * milli);
    EXPECT_EQ(lag.lag(start + skew + 9 * one_second, interval), 9 * one_second);
  }
}

// The lag would stand still for as long as the clock needs to come back.
TEST(HeartbeatLag, IsNotKnownWhenTheClockWasSetBack) {
  HeartbeatLag lag{};
  lag.on_heartbeat(start, start + milli, 0);
  EXPECT_EQ(lag.lag(start + milli - 2 * interval, interval), milli) << "by little";
  EXPECT_EQ(lag.lag(start + milli - 2 * interval - 1, interval), std::nullopt);
  EXPECT_EQ(lag.lag(start - 3600 * one_second, interval), std::nullopt);
  lag.on_heartbeat(start + one_second, start - 3599 * one_second, -3600 * one_second);
  EXPECT_EQ(lag.lag(start - 3599 * one_second, interval), 0);
}

// A standby with a skewed clock, and pauses of its replay, beside what is true.
TEST(HeartbeatLag, IsTrueUpToTheShortestDelay) {
  EAV_RANDOM(random);
  for (int round = 0; round < 200; ++round) {
    const Micros skew = random.between(-5 * one_second, 5 * one_second);
    const Micros shortest = random.between(0, 50 * milli);
    ClockOffset offset{};
    HeartbeatLag lag{};
    Micros seen_until = start;
    Micros true_sample = 0;
    for (int beat = 0; beat < 100; ++beat) {
      const Micros sent_at = start + beat * interval;
      const Micros delay = beat % 10 == 0 ? shortest : shortest + random.between(0, 300 * milli);
      const Micros received_at = sent_at + delay;
      offset.on_message(sent_at, received_at + skew);
      const bool is_paused = beat % 20 >= 14;
      if (!is_paused) {
        seen_until = sent_at;
        true_sample = delay;
        lag.on_heartbeat(sent_at, received_at + skew, *offset.estimate(received_at + skew));
      }
      const Micros now = sent_at + interval - 1;  // by the primary's clock
      const auto reported = lag.lag(now + skew, interval);
      ASSERT_TRUE(reported.has_value());
      const Micros truth = beat % 20 >= 15 ? now - seen_until : true_sample;
      ASSERT_LE(*reported, truth);
      ASSERT_GE(*reported, truth - shortest);
      ASSERT_GE(*reported, 0);
    }
  }
}

}  // namespace
}  // namespace eav::core
