#include "eav/core/breaker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr Micros start = 800'000'000 * one_second;  // some day
constexpr Micros milli = 1000;

// Seconds since the start, as the tests below tell time.
constexpr Micros at(double seconds) { return start + static_cast<Micros>(seconds * one_second); }

constexpr BreakerPolicy policy;

// A breaker under a clock that only measures each second.
struct Node {
  Breaker breaker{};
  BreakerPolicy policy{};
  double now = 0;
  std::optional<Micros> lag = one_second;

  void fail(int times = 1) {
    for (int i = 0; i < times; ++i) {
      breaker.on_failure(policy, at(now));
    }
  }
  void measure(std::optional<Micros> measured) {
    lag = measured;
    breaker.on_lag(policy, lag, at(now));
  }
  // Measures each second, with the lag as it is.
  void run_until(double seconds) {
    while (now < seconds) {
      ++now;
      measure(lag);
    }
  }
  bool admits() const { return breaker.admits(policy, false, at(now)); }
  bool admits_tolerant() const { return breaker.admits(policy, true, at(now)); }
  // Whether a read goes there.
  bool read(bool is_tolerant = false) {
    if (!breaker.admits(policy, is_tolerant, at(now))) {
      return false;
    }
    breaker.on_read(policy, is_tolerant, at(now));
    return true;
  }
};

void expect_state(const Node& node, BreakerState state, BreakerCause cause,
                  std::optional<double> since) {
  EXPECT_EQ(name_of(node.breaker.state()), name_of(state));
  EXPECT_EQ(name_of(node.breaker.cause()), name_of(cause));
  EXPECT_EQ(node.breaker.since(), since.has_value() ? std::optional(at(*since)) : std::nullopt);
}
void expect_open(const Node& node, BreakerCause cause, double since) {
  expect_state(node, BreakerState::open, cause, since);
}
void expect_half_open(const Node& node, BreakerCause cause, double since) {
  expect_state(node, BreakerState::half_open, cause, since);
}
void expect_closed(const Node& node, std::optional<double> since) {
  expect_state(node, BreakerState::closed, BreakerCause::none, since);
}

Node open_for_failures() {
  Node node;
  node.fail(5);
  node.measure(one_second);
  return node;
}
Node open_for_lag() {
  Node node;
  node.measure(6 * one_second);
  return node;
}
Node half_open(Node node) {
  node.lag = one_second;
  node.run_until(31);
  return node;
}

TEST(Breaker, IsClosedAtFirst) {
  const auto breaker = std::bit_cast<Breaker>(std::array<std::byte, sizeof(Breaker)>{});
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  EXPECT_EQ(breaker.cause(), BreakerCause::none);
  EXPECT_EQ(breaker.failures(), 0);
  EXPECT_EQ(breaker.since(), std::nullopt);
  EXPECT_EQ(breaker.changes_at(policy), std::nullopt);
  EXPECT_TRUE(breaker.admits(policy, false, 0));
  EXPECT_TRUE(breaker.admits(policy, false, start));
}

TEST(Breaker, HasTheNamesOfTheTables) {
  EXPECT_EQ(name_of(BreakerState::closed), "closed");
  EXPECT_EQ(name_of(BreakerState::open), "open");
  EXPECT_EQ(name_of(BreakerState::half_open), "half_open");
  EXPECT_EQ(name_of(BreakerCause::none), "none");
  EXPECT_EQ(name_of(BreakerCause::failures), "failures");
  EXPECT_EQ(name_of(BreakerCause::lag), "lag");
}

TEST(Breaker, OpensAfterFailuresInARow) {
  Node node;
  node.fail(4);
  EXPECT_EQ(node.breaker.failures(), 4);
  node.breaker.on_success();
  EXPECT_EQ(node.breaker.failures(), 0);
  node.fail(4);
  expect_closed(node, std::nullopt);
  EXPECT_TRUE(node.admits());
  node.now = 7;
  node.fail();
  expect_open(node, BreakerCause::failures, 7);
  EXPECT_EQ(node.breaker.failures(), 5);
  EXPECT_FALSE(node.admits());
  EXPECT_FALSE(node.admits_tolerant());
}

TEST(Breaker, OpensForLagBeyondTheMaximum) {
  Node node;
  node.measure(5 * one_second);
  expect_closed(node, std::nullopt);
  node.now = 7;
  node.measure(5 * one_second + 1);
  expect_open(node, BreakerCause::lag, 7);
  EXPECT_FALSE(node.admits());
}

TEST(Breaker, OpensWhenTheLagIsNotKnownAnyMore) {
  Node node;
  node.measure(std::nullopt);
  expect_closed(node, std::nullopt);
  node.measure(0);
  node.now = 7;
  node.measure(std::nullopt);
  expect_open(node, BreakerCause::lag, 7);
}

TEST(Breaker, StaysOpenForOpenTime) {
  for (Node node : {open_for_failures(), open_for_lag()}) {
    const BreakerCause cause = node.breaker.cause();
    node.lag = one_second;
    node.run_until(29);
    expect_open(node, cause, 0);
    EXPECT_EQ(node.breaker.changes_at(policy), at(30));
    EXPECT_FALSE(node.read());
    node.run_until(30);
    expect_half_open(node, cause, 30);
  }
}

TEST(Breaker, StaysOpenWhileTheLagIsNotLow) {
  for (const std::optional<Micros> lag :
       {std::optional(3 * one_second), std::optional(9 * one_second), std::optional<Micros>()}) {
    Node node = open_for_lag();
    node.lag = lag;
    node.run_until(100);
    expect_open(node, BreakerCause::lag, 0);
    EXPECT_EQ(node.breaker.changes_at(policy), std::nullopt);
    node.now = 101;
    node.measure(3 * one_second - 1);
    expect_half_open(node, BreakerCause::lag, 101);
  }
}

TEST(Breaker, StaysOpenWhenItHasNeverBeenMeasured) {
  Node node;
  node.fail(5);
  node.lag = std::nullopt;
  node.run_until(500);
  expect_open(node, BreakerCause::failures, 0);
}

TEST(Breaker, KeepsItsFirstCause) {
  Node node = open_for_failures();
  node.measure(100 * one_second);
  expect_open(node, BreakerCause::failures, 0);
  EXPECT_FALSE(node.admits_tolerant());
}

TEST(Breaker, ClosesAfterCloseTimeWithLowLag) {
  for (const bool is_for_lag : {false, true}) {
    Node node = is_for_lag ? open_for_lag() : open_for_failures();
    const double good_since = is_for_lag ? 1 : 0;  // counts while it is open, too
    node.lag = one_second;
    node.run_until(good_since + 119);
    expect_half_open(node, node.breaker.cause(), 30);
    EXPECT_EQ(node.breaker.changes_at(policy), at(good_since + 120));
    node.run_until(good_since + 120);
    expect_closed(node, good_since + 120);
    EXPECT_EQ(node.breaker.changes_at(policy), std::nullopt);
    EXPECT_TRUE(node.admits());
    node.fail(4);
    EXPECT_EQ(node.breaker.failures(), 4) << "of before none is left";
    expect_closed(node, good_since + 120);
  }
}

TEST(Breaker, CountsCloseTimeAnewAfterLagThatIsNotLow) {
  Node node = half_open(open_for_lag());
  node.run_until(100);
  node.measure(3 * one_second);
  expect_half_open(node, BreakerCause::lag, 30);
  EXPECT_EQ(node.breaker.changes_at(policy), std::nullopt);
  node.now = 101;
  node.lag = one_second;
  node.run_until(102);
  EXPECT_EQ(node.breaker.changes_at(policy), at(222));
  node.run_until(221);
  expect_half_open(node, BreakerCause::lag, 30);
  node.run_until(222);
  expect_closed(node, 222);
}

TEST(Breaker, OpensAgainFromHalfOpen) {
  for (const Node& before : {open_for_lag(), open_for_failures()}) {
    Node failed = half_open(before);
    failed.breaker.on_success();
    failed.fail();
    expect_open(failed, BreakerCause::failures, 31);

    Node lags = half_open(before);
    lags.measure(5 * one_second);
    EXPECT_EQ(lags.breaker.state(), BreakerState::half_open);
    lags.measure(5 * one_second + 1);
    expect_open(lags, BreakerCause::lag, 31);

    Node unknown = half_open(before);
    unknown.measure(std::nullopt);
    expect_open(unknown, BreakerCause::lag, 31);

    // All times begin anew.
    failed.now = 40;
    failed.measure(one_second);
    failed.run_until(60);
    expect_open(failed, BreakerCause::failures, 31);
    failed.run_until(61);
    expect_half_open(failed, BreakerCause::failures, 61);
    failed.run_until(159);
    expect_half_open(failed, BreakerCause::failures, 61);
    failed.run_until(160);
    expect_closed(failed, 160);
  }
}

TEST(Breaker, MovesByOneStateAtATime) {
  Node node = open_for_failures();
  node.now = 10'000;
  node.measure(one_second);
  expect_half_open(node, BreakerCause::failures, 10'000);
  node.measure(one_second);
  expect_closed(node, 10'000);
}

TEST(Breaker, ProbesOncePerInterval) {
  Node node = half_open(open_for_failures());
  const BreakerState state = node.breaker.state();
  int probes = 0;
  for (int tick = 0; tick < 600; ++tick) {
    node.now = 31 + tick * 0.1;
    probes += node.read() ? 1 : 0;
    EXPECT_FALSE(node.read()) << "at once";
    node.breaker.on_success();
  }
  EXPECT_EQ(probes, 60);
  EXPECT_EQ(node.breaker.state(), state) << "only time closes it";
}

TEST(Breaker, LetsTolerantReadsPassThatItIsOpenedForByLag) {
  for (Node node : {open_for_lag(), half_open(open_for_lag())}) {
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(node.read(true));
    }
    EXPECT_EQ(node.admits(), node.breaker.state() == BreakerState::half_open)
        << "they are no probes";
  }
  for (Node node : {open_for_failures(), half_open(open_for_failures())}) {
    EXPECT_EQ(node.read(true), node.breaker.state() == BreakerState::half_open);
    EXPECT_FALSE(node.read(true));
  }
}

TEST(Breaker, StopsTolerantReadsThatFail) {
  Node node = open_for_lag();
  node.now = 20;
  node.fail(4);
  expect_open(node, BreakerCause::lag, 0);
  node.fail();
  expect_open(node, BreakerCause::failures, 20);
  EXPECT_FALSE(node.admits_tolerant());
}

TEST(Breaker, DoesNotStayOpenForReadsThatWereUnderWay) {
  Node node = open_for_failures();
  node.run_until(20);
  node.fail(7);
  expect_open(node, BreakerCause::failures, 0);
  EXPECT_EQ(node.breaker.failures(), 12);
  EXPECT_EQ(node.breaker.changes_at(policy), std::nullopt);
  node.run_until(30);
  expect_half_open(node, BreakerCause::failures, 30);
  EXPECT_EQ(node.breaker.changes_at(policy), at(21 + 120)) << "no failed read for close_time";
}

TEST(Breaker, IsNeverBothBeyondAndBelow) {
  Node node;
  node.policy.max_lag = 100 * milli;
  node.measure(one_second);
  expect_open(node, BreakerCause::lag, 0);
  node.run_until(500);
  expect_open(node, BreakerCause::lag, 0);
  node.policy.close_lag = 0;
  node.measure(1);
  expect_open(node, BreakerCause::lag, 0);
  node.measure(0);
  expect_half_open(node, BreakerCause::lag, 500);
}

// Ten seconds well, ten seconds far behind, for an hour: it gets probes only.
TEST(Breaker, HoldsBackANodeThatFlaps) {
  Node node;
  int reads = 0;
  int opened = 0;
  int closed = 0;
  for (int second = 0; second < 3600; ++second) {
    const BreakerState before = node.breaker.state();
    node.now = second;
    node.measure(second / 10 % 2 == 0 ? one_second : 20 * one_second);
    const BreakerState after = node.breaker.state();
    opened += after == BreakerState::open && before != after ? 1 : 0;
    closed += after == BreakerState::closed && before != after ? 1 : 0;
    for (int i = 0; second >= 10 && i < 100; ++i) {
      reads += node.read() ? 1 : 0;
    }
  }
  EXPECT_EQ(closed, 0);
  EXPECT_GT(opened, 80);
  EXPECT_LE(opened, 90 + 1);
  EXPECT_GT(reads, 0);
  EXPECT_LE(reads, opened * 10);
}

// It would stay as it is for as long as the clock needs to come back.
TEST(Breaker, BeginsAnewWhenTheClockIsSetBack) {
  Node opened = open_for_failures();
  opened.now = -3600;
  opened.measure(one_second);
  EXPECT_EQ(opened.breaker.changes_at(policy), at(-3570));
  opened.run_until(-3571);
  expect_open(opened, BreakerCause::failures, -3600);
  opened.run_until(-3570);
  expect_half_open(opened, BreakerCause::failures, -3570);

  Node half = half_open(open_for_failures());
  EXPECT_TRUE(half.read());
  half.now = 30;
  EXPECT_FALSE(half.read()) << "by little";
  half.now = -3600;
  EXPECT_TRUE(half.read()) << "at once, and once";
  EXPECT_FALSE(half.read());
  half.run_until(-3600 + 120);
  EXPECT_EQ(half.breaker.state(), BreakerState::half_open);
  half.run_until(-3600 + 121);
  expect_closed(half, -3600 + 121);

  Node fails = open_for_lag();
  fails.now = -3600;
  fails.fail(2);
  expect_open(fails, BreakerCause::lag, -3600);
}

// The rules said once more: by what has happened, not by what is remembered of it.
class Model {
 public:
  explicit Model(const BreakerPolicy& policy) : policy_(policy) {}

  void failure(Micros now) {
    events_.push_back({now, Kind::failed});
    const bool is_enough = failures() >= policy_.failures;
    if (state_ == BreakerState::half_open || (state_ == BreakerState::closed && is_enough) ||
        (state_ == BreakerState::open && cause_ == BreakerCause::lag && is_enough)) {
      move(BreakerState::open, BreakerCause::failures, now);
    }
  }
  void success(Micros now) { events_.push_back({now, Kind::succeeded}); }
  void lag(std::optional<Micros> lag, Micros now) {
    const bool is_bad = lag.has_value() ? *lag > policy_.max_lag : is_measured_;
    const bool is_low = lag.has_value() && !is_bad && *lag < std::max<Micros>(policy_.close_lag, 1);
    is_measured_ |= lag.has_value();
    events_.push_back({now, is_low ? Kind::low : Kind::not_low});
    switch (state_) {
      case BreakerState::closed:
        if (is_bad) {
          move(BreakerState::open, BreakerCause::lag, now);
        }
        break;
      case BreakerState::open:
        if (is_low && now >= moved_at_ + policy_.open_time) {
          move(BreakerState::half_open, cause_, now);
        }
        break;
      case BreakerState::half_open:
        if (is_bad) {
          move(BreakerState::open, BreakerCause::lag, now);
        } else if (is_low && now >= *low_since() + policy_.close_time) {
          move(BreakerState::closed, BreakerCause::none, now);
          events_.push_back({now, Kind::succeeded});
        }
        break;
    }
  }
  bool admits(bool is_tolerant, Micros now) const {
    switch (state_) {
      case BreakerState::closed:
        return true;
      case BreakerState::open:
        return is_tolerant && cause_ == BreakerCause::lag;
      case BreakerState::half_open:
        break;
    }
    return (is_tolerant && cause_ == BreakerCause::lag) ||
           std::none_of(probes_.begin(), probes_.end(),
                        [&](Micros probe) { return now < probe + policy_.probe_interval; });
  }
  void read(bool is_tolerant, Micros now) {
    if (state_ == BreakerState::half_open && !(is_tolerant && cause_ == BreakerCause::lag)) {
      probes_.push_back(now);
    }
  }

  BreakerState state() const { return state_; }
  BreakerCause cause() const { return cause_; }
  std::optional<Micros> since() const {
    return moved_at_ != 0 ? std::optional(moved_at_) : std::nullopt;
  }
  int failures() const {
    int count = 0;
    for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
      if (event->kind == Kind::succeeded) {
        break;
      }
      count += event->kind == Kind::failed ? 1 : 0;
    }
    return count;
  }
  std::optional<Micros> changes_at() const {
    if (state_ == BreakerState::closed || !low_since().has_value()) {
      return std::nullopt;
    }
    return state_ == BreakerState::open ? moved_at_ + policy_.open_time
                                        : *low_since() + policy_.close_time;
  }

 private:
  enum class Kind : std::uint8_t { failed, succeeded, low, not_low };
  struct Event {
    Micros at;
    Kind kind;
  };

  void move(BreakerState state, BreakerCause cause, Micros now) {
    state_ = state;
    cause_ = cause;
    moved_at_ = now;
    probes_.clear();
  }
  std::optional<Micros> low_since() const {
    std::optional<Micros> since;
    for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
      if (event->kind == Kind::low) {
        since = event->at;
      } else if (event->kind != Kind::succeeded) {
        break;
      }
    }
    return since;
  }

  BreakerPolicy policy_;
  BreakerState state_ = BreakerState::closed;
  BreakerCause cause_ = BreakerCause::none;
  bool is_measured_ = false;
  Micros moved_at_ = 0;
  std::vector<Event> events_;
  std::vector<Micros> probes_;
};

TEST(Breaker, WalksAsTheModelDoes) {
  EAV_RANDOM(random);
  constexpr std::optional<Micros> lags[] = {
      std::nullopt, 0, 1, 2'999'999, 3'000'000, 4'000'000, 5'000'000, 5'000'001, 99'000'000};
  int visits[3][3] = {};  // from, to
  for (int round = 0; round < 300; ++round) {
    BreakerPolicy policy;
    policy.failures = static_cast<int>(random.between(1, 6));
    policy.open_time = random.between(0, 40) * one_second;
    policy.close_time = random.between(0, 130) * one_second;
    policy.close_lag = random.chance(0.2) ? 0 : 3 * one_second;
    policy.max_lag = random.chance(0.2) ? one_second : 5 * one_second;
    const double steadiness = random.chance(0.5) ? 0.99 : 0.7;
    const double failing = random.chance(0.5) ? 0.02 : 0.3;
    Breaker breaker{};
    Model model(policy);
    Micros now = start;
    std::optional<Micros> lag = 0;
    for (int step = 0; step < 600; ++step) {
      now += random.chance(0.5) ? 0 : random.between(0, 8) * one_second / 2;
      const BreakerState before = breaker.state();
      if (random.chance(0.5)) {
        lag = random.chance(steadiness) ? lag : lags[random.between(0, 8)];
        breaker.on_lag(policy, lag, now);
        model.lag(lag, now);
      } else if (random.chance(0.5)) {
        const bool is_tolerant = random.chance(0.5);
        ASSERT_EQ(breaker.admits(policy, is_tolerant, now), model.admits(is_tolerant, now));
        if (model.admits(is_tolerant, now)) {
          breaker.on_read(policy, is_tolerant, now);
          model.read(is_tolerant, now);
        }
      } else if (random.chance(failing)) {
        breaker.on_failure(policy, now);
        model.failure(now);
      } else if (random.chance(0.3)) {
        breaker.on_success();
        model.success(now);
      }
      ++visits[static_cast<int>(before)][static_cast<int>(breaker.state())];
      ASSERT_EQ(breaker.state(), model.state()) << "step " << step;
      ASSERT_EQ(breaker.cause(), model.cause());
      ASSERT_EQ(breaker.failures(), model.failures());
      ASSERT_EQ(breaker.since(), model.since());
      ASSERT_EQ(breaker.changes_at(policy), model.changes_at());
      for (const bool is_tolerant : {false, true}) {
        ASSERT_EQ(breaker.admits(policy, is_tolerant, now), model.admits(is_tolerant, now));
      }
    }
  }
  constexpr int closed = 0;
  constexpr int open = 1;
  constexpr int half = 2;
  EXPECT_GT(visits[closed][open], 50);
  EXPECT_GT(visits[open][half], 50);
  EXPECT_GT(visits[half][open], 50);
  EXPECT_GT(visits[half][closed], 50);
  EXPECT_EQ(visits[open][closed], 0);
  EXPECT_EQ(visits[closed][half], 0);
}

int take_all(RateLimit& limit, int per_second, Micros now) {
  int taken = 0;
  while (taken < 2'000'000 && limit.take(per_second, now)) {
    ++taken;
  }
  return taken;
}

TEST(RateLimit, GivesExactlyAsManyPerSecond) {
  for (const int per_second : {1, 3, 7, 999, 1000, 700'000, 1'000'000}) {
    auto limit = std::bit_cast<RateLimit>(std::array<std::byte, sizeof(RateLimit)>{});
    EXPECT_EQ(take_all(limit, per_second, start), per_second) << "after a pause";
    for (int second = 0; second < 3; ++second) {
      int taken = 0;
      for (Micros past = 100; past <= one_second; past += 100) {
        taken += take_all(limit, per_second, start + second * one_second + past);
      }
      EXPECT_EQ(taken, per_second);
    }
    EXPECT_EQ(take_all(limit, per_second, start + 100 * one_second), per_second) << "and no more";
  }
}

TEST(RateLimit, GivesNothingWhenItIsZero) {
  RateLimit limit{};
  EXPECT_FALSE(limit.take(0, start));
  EXPECT_FALSE(limit.take(0, start + 100 * one_second));
  EXPECT_TRUE(limit.take(1, start + 200 * one_second));
}

TEST(RateLimit, FollowsItsSetting) {
  RateLimit limit{};
  EXPECT_TRUE(limit.take(1000, start));
  EXPECT_EQ(take_all(limit, 10, start), 10);
  EXPECT_EQ(take_all(limit, 1000, start + one_second / 10), 100);
}

TEST(RateLimit, GoesOnWhenTheClockIsSetBack) {
  RateLimit limit{};
  EXPECT_EQ(take_all(limit, 100, start), 100);
  const Micros back = start - 3600 * one_second;
  EXPECT_EQ(take_all(limit, 100, back), 0);
  EXPECT_EQ(take_all(limit, 100, back + one_second / 2), 50);
  EXPECT_EQ(take_all(limit, 100, back + 3 * one_second / 2), 100);
}

// Processes look at the clock and then wait for their turn.
TEST(RateLimit, GivesNoMoreToCallersOutOfTurn) {
  EAV_RANDOM(random);
  RateLimit limit{};
  int taken = 0;
  for (Micros past = 0; past < 10 * one_second; past += 50) {
    taken += limit.take(100, start + past - random.between(0, 100 * milli)) ? 1 : 0;
  }
  EXPECT_LE(taken, 100 + 10 * 100 + 10) << "the first may be that early";
  EXPECT_GE(taken, 100 + 9 * 100);
}

// A read is refused when there is some time since which there would be too many, and only then.
TEST(RateLimit, RefusesNoMoreThanItMust) {
  EAV_RANDOM(random);
  for (int round = 0; round < 200; ++round) {
    const auto per_second = static_cast<int>(random.between(1, 50));
    RateLimit limit{};
    std::vector<Micros> taken;
    Micros now = start;
    for (int i = 0; i < 300; ++i) {
      now += random.chance(0.02) ? random.between(0, 3 * one_second)
                                 : random.between(0, 2 * one_second / per_second);
      bool is_allowed = true;
      for (std::size_t first = 0; first < taken.size(); ++first) {
        const auto reads = static_cast<std::int64_t>(taken.size() - first) + 1;
        is_allowed &= (reads - per_second) * one_second <= (now - taken[first]) * per_second;
      }
      ASSERT_EQ(limit.take(per_second, now), is_allowed);
      if (is_allowed) {
        taken.push_back(now);
      }
    }
  }
}

}  // namespace
}  // namespace eav::core
