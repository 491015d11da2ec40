#include "eav/core/router.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>
#include <vector>

#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr Micros start = 800'000'000 * one_second;  // some day
constexpr Micros milli = 1000;

// Nodes with breakers of their own.
struct Cluster {
  std::vector<Candidate> nodes;
  std::vector<Breaker> breakers;
  RateLimit rate{};
  int per_second = 1000;
  std::uint32_t turn = 0;

  explicit Cluster(std::vector<Candidate> candidates)
      : nodes(std::move(candidates)), breakers(nodes.size()) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      nodes[i].breaker = &breakers[i];
    }
  }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  Route read(const ReadRequest& request, Micros now = start) {
    return route(nodes, request, {&rate, per_second}, turn++, now);
  }
  void fail(std::size_t node, Micros now = start) {
    for (int i = 0; i < nodes[node].policy.failures; ++i) {
      breakers[node].on_failure(nodes[node].policy, now);
    }
  }
};

Candidate primary_node() { return {NodeRole::primary, false, true, true, 0, {}, nullptr}; }
Candidate replica_node(std::optional<Micros> lag) {
  return {NodeRole::replica, false, true, true, lag, {}, nullptr};
}

constexpr ReadRequest bounded = {Consistency::bounded, NodeRole::replica, 5 * one_second,
                                 Fallback::primary};

ReadRequest with_fallback(Fallback fallback) {
  ReadRequest request = bounded;
  request.fallback = fallback;
  return request;
}

void expect_route(const Route& route, int node, RouteReason reason) {
  EXPECT_EQ(route.node, node);
  EXPECT_EQ(text_of(route.reason), text_of(reason));
  const bool is_degraded =
      reason == RouteReason::fallback_primary || reason == RouteReason::fallback_partial ||
      reason == RouteReason::fallback_as_of || reason == RouteReason::fallback_accept;
  EXPECT_EQ(route.is_degraded, is_degraded);
}

TEST(Router, ReadsStrongFromThePrimary) {
  Cluster cluster({replica_node(0), primary_node()});
  ReadRequest request = bounded;
  request.consistency = Consistency::strong;
  expect_route(cluster.read(request), 1, RouteReason::strong);
  cluster.fail(1);
  expect_route(cluster.read(request), 1, RouteReason::strong);
  cluster.nodes[1].is_usable = false;
  expect_route(cluster.read(request), -1, RouteReason::no_primary);
  request = bounded;
  request.wanted = NodeRole::primary;
  expect_route(cluster.read(request), -1, RouteReason::no_primary);
  cluster.nodes[1].is_usable = true;
  expect_route(cluster.read(request), 1, RouteReason::strong);
}

TEST(Router, KnowsNoNodes) {
  Cluster cluster({});
  expect_route(cluster.read(bounded), -1, RouteReason::no_primary);
}

TEST(Router, ReadsFromTheReplicaWithTheLeastLag) {
  Cluster cluster({primary_node(), replica_node(3 * one_second), replica_node(one_second),
                   replica_node(2 * one_second)});
  expect_route(cluster.read(bounded), 2, RouteReason::within_limit);
  cluster.nodes[2].is_usable = false;
  expect_route(cluster.read(bounded), 3, RouteReason::within_limit);
  cluster.fail(3);
  expect_route(cluster.read(bounded), 1, RouteReason::within_limit);
  cluster.nodes[1].lag = 5 * one_second;
  expect_route(cluster.read(bounded), 1, RouteReason::within_limit);
  cluster.nodes[1].lag = 5 * one_second + 1;
  expect_route(cluster.read(bounded), 0, RouteReason::fallback_primary);
}

TEST(Router, PrefersTheNodeThatIsAsked) {
  Cluster cluster({primary_node(), replica_node(0), replica_node(4 * one_second)});
  cluster.nodes[2].is_self = true;
  expect_route(cluster.read(bounded), 2, RouteReason::within_limit);
  cluster.nodes[2].lag = 6 * one_second;
  expect_route(cluster.read(bounded), 1, RouteReason::within_limit);
  cluster.nodes[2].lag = 0;
  cluster.nodes[2].has_token = false;
  expect_route(cluster.read(bounded), 1, RouteReason::within_limit);
}

TEST(Router, LetsEqualNodesTakeTurns) {
  Cluster cluster({replica_node(0), primary_node(), replica_node(same_lag - 1),
                   replica_node(same_lag), replica_node(same_lag / 2)});
  std::vector<int> reads(cluster.nodes.size());
  for (int i = 0; i < 3000; ++i) {
    const Route route = cluster.read(bounded);
    ASSERT_GE(route.node, 0);
    ++reads[static_cast<std::size_t>(route.node)];
  }
  EXPECT_EQ(reads, (std::vector<int>{1000, 0, 1000, 0, 1000}));
}

TEST(Router, ReadsFromThePrimaryWhereThereIsNothingElse) {
  Cluster cluster({primary_node(), replica_node(0)});
  cluster.per_second = 0;
  cluster.nodes[1].is_usable = false;
  for (const Fallback fallback : {Fallback::primary, Fallback::abort, Fallback::accept}) {
    expect_route(cluster.read(with_fallback(fallback)), 0, RouteReason::no_such_node);
  }
  cluster.nodes[0].is_usable = false;
  expect_route(cluster.read(bounded), -1, RouteReason::no_primary);
}

TEST(Router, ReadsWhatHasBeenWritten) {
  Cluster cluster({primary_node(), replica_node(0), replica_node(2 * one_second)});
  cluster.per_second = 0;
  cluster.nodes[1].has_token = false;
  expect_route(cluster.read(bounded), 2, RouteReason::within_limit);
  cluster.nodes[2].has_token = false;
  for (const Fallback fallback : {Fallback::primary, Fallback::abort, Fallback::accept}) {
    expect_route(cluster.read(with_fallback(fallback)), 0, RouteReason::token_not_reached);
  }
  cluster.nodes[0].is_usable = false;
  expect_route(cluster.read(bounded), -1, RouteReason::no_primary);

  // None is within the limit: then it is the lag, which is capped.
  cluster.nodes[0].is_usable = true;
  cluster.nodes[1].lag = 6 * one_second;
  cluster.nodes[2].lag = std::nullopt;
  expect_route(cluster.read(bounded), -1, RouteReason::limited);
  expect_route(cluster.read(with_fallback(Fallback::accept)), -1, RouteReason::no_node);
  cluster.nodes[2].has_token = true;
  expect_route(cluster.read(with_fallback(Fallback::accept)), 2, RouteReason::fallback_accept);
}

TEST(Router, FallsBackAsDemanded) {
  Cluster cluster({replica_node(8 * one_second), replica_node(std::nullopt), primary_node(),
                   replica_node(7 * one_second)});
  expect_route(cluster.read(with_fallback(Fallback::primary)), 2, RouteReason::fallback_primary);
  expect_route(cluster.read(with_fallback(Fallback::failover)), 2, RouteReason::fallback_primary);
  expect_route(cluster.read(with_fallback(Fallback::abort)), -1, RouteReason::aborted);
  expect_route(cluster.read(with_fallback(Fallback::partial)), 3, RouteReason::fallback_partial);
  expect_route(cluster.read(with_fallback(Fallback::as_of)), 3, RouteReason::fallback_as_of);
  expect_route(cluster.read(with_fallback(Fallback::accept)), 3, RouteReason::fallback_accept);

  // Breakers that lag has opened do not count there, those of failures do.
  cluster.breakers[3].on_lag({}, 7 * one_second, start);
  expect_route(cluster.read(with_fallback(Fallback::accept)), 3, RouteReason::fallback_accept);
  cluster.fail(3);
  expect_route(cluster.read(with_fallback(Fallback::accept)), 0, RouteReason::fallback_accept);
  cluster.fail(0);
  expect_route(cluster.read(with_fallback(Fallback::accept)), 1, RouteReason::fallback_accept);
  cluster.fail(1);
  expect_route(cluster.read(with_fallback(Fallback::accept)), -1, RouteReason::no_node);
  expect_route(cluster.read(with_fallback(Fallback::primary)), 2, RouteReason::fallback_primary);
  cluster.nodes[2].is_usable = false;
  expect_route(cluster.read(with_fallback(Fallback::primary)), -1, RouteReason::no_primary);
}

TEST(Router, LetsTolerantReadsThroughABreakerThatLagHasOpened) {
  Cluster cluster({primary_node(), replica_node(7 * one_second)});
  cluster.breakers[1].on_lag({}, 7 * one_second, start);
  ReadRequest request = bounded;
  request.max_lag = 10 * one_second;
  expect_route(cluster.read(request), 1, RouteReason::within_limit);
  cluster.nodes[1].lag = one_second;
  expect_route(cluster.read(bounded), 0, RouteReason::fallback_primary);
}

// The budget of the path decides, not that of the node.
TEST(Router, WantsTheRoleThatIsAskedFor) {
  Candidate olap = replica_node(600 * one_second);
  olap.role = NodeRole::olap;
  Cluster cluster({primary_node(), replica_node(0), olap});
  const ReadRequest request = {Consistency::eventual, NodeRole::olap, 900 * one_second,
                               Fallback::as_of};
  expect_route(cluster.read(request), 2, RouteReason::within_limit);
  cluster.nodes[2].lag = 901 * one_second;
  expect_route(cluster.read(request), 2, RouteReason::fallback_as_of);
}

TEST(Router, KeepsAStampedeFromThePrimary) {
  Cluster cluster({primary_node(), replica_node(std::nullopt), replica_node(60 * one_second)});
  cluster.per_second = 100;
  const auto reads_of_second = [&](int second) {
    int reads = 0;
    for (int i = 1; i <= 5000; ++i) {
      const Route route = cluster.read(bounded, start + second * one_second + i * 200);
      reads += route.node == 0 ? 1 : 0;
      EXPECT_EQ(route.reason,
                route.node == 0 ? RouteReason::fallback_primary : RouteReason::limited);
    }
    return reads;
  };
  EXPECT_EQ(reads_of_second(0), 100 + 99) << "what was saved up, and what the second brings";
  for (int second = 1; second < 10; ++second) {
    EXPECT_EQ(reads_of_second(second), 100);
  }
  // Reads that belong on the primary are not held back by it.
  ReadRequest strong = bounded;
  strong.consistency = Consistency::strong;
  for (int i = 0; i < 1000; ++i) {
    expect_route(cluster.read(strong, start + 10 * one_second), 0, RouteReason::strong);
  }
}

TEST(Router, ProbesANodeThatIsHalfOpen) {
  Cluster cluster({primary_node(), replica_node(0)});
  cluster.fail(1);
  cluster.breakers[1].on_lag({}, 0, start);
  cluster.breakers[1].on_lag({}, 0, start + 30 * one_second);
  int probes = 0;
  for (int i = 0; i < 1000; ++i) {
    const Route route = cluster.read(bounded, start + 30 * one_second + i * 10 * milli);
    probes += route.node == 1 ? 1 : 0;
  }
  EXPECT_EQ(probes, 10);
}

TEST(Router, SaysItsReasons) {
  std::set<std::string_view> texts;
  for (int i = 0; i <= static_cast<int>(RouteReason::no_node); ++i) {
    const std::string_view text = text_of(static_cast<RouteReason>(i));
    EXPECT_TRUE(texts.insert(text).second) << text;
    EXPECT_FALSE(text.empty());
    for (const char c : text) {
      EXPECT_TRUE(std::islower(static_cast<unsigned char>(c)) != 0 || c == ' ' || c == ',') << text;
    }
  }
  EXPECT_EQ(text_of(RouteReason::no_node), "no node can be read at all, try again later");
}

// The rules, one after the other, as sets of nodes.
struct Expected {
  std::set<int> nodes;  // that may be chosen; empty: none
  bool is_degraded;
  RouteReason reason;
  bool is_counted;  // takes from the rate
};

class Rules {
 public:
  Rules(const Cluster& cluster, const ReadRequest& request, Micros now)
      : cluster_(cluster), request_(request), now_(now) {}

  Expected expected() const {
    if (request_.consistency == Consistency::strong || request_.wanted == NodeRole::primary) {
      return primary(RouteReason::strong);
    }
    const std::set<int> wanted = those(
        [&](const Candidate& node) { return node.is_usable && node.role == request_.wanted; });
    if (wanted.empty()) {
      return primary(RouteReason::no_such_node);
    }
    std::set<int> within;
    std::set<int> with_token;
    std::set<int> working;
    for (const int i : wanted) {
      const Candidate& node = cluster_.nodes[static_cast<std::size_t>(i)];
      const bool is_tolerant = request_.max_lag > node.policy.max_lag;
      if (node.lag.has_value() && *node.lag <= request_.max_lag &&
          node.breaker->admits(node.policy, is_tolerant, now_)) {
        within.insert(i);
        if (node.has_token) {
          with_token.insert(i);
        }
      }
      if (node.has_token && node.breaker->admits(node.policy, true, now_)) {
        working.insert(i);
      }
    }
    for (const int i : with_token) {
      if (cluster_.nodes[static_cast<std::size_t>(i)].is_self) {
        return {{i}, false, RouteReason::within_limit, false};
      }
    }
    if (!with_token.empty()) {
      return {freshest(with_token), false, RouteReason::within_limit, false};
    }
    if (!within.empty()) {
      return primary(RouteReason::token_not_reached);
    }
    const std::set<int> least = freshest(working);
    switch (request_.fallback) {
      case Fallback::abort:
        return {{}, false, RouteReason::aborted, false};
      case Fallback::partial:
        return older(least, RouteReason::fallback_partial);
      case Fallback::as_of:
        return older(least, RouteReason::fallback_as_of);
      case Fallback::accept:
        return older(least, RouteReason::fallback_accept);
      case Fallback::primary:
      case Fallback::failover:
        break;
    }
    Expected result = primary(RouteReason::fallback_primary);
    if (!result.nodes.empty()) {
      RateLimit rate = cluster_.rate;
      result.is_counted = true;
      result.is_degraded = rate.take(cluster_.per_second, now_);
      if (!result.is_degraded) {
        result.nodes.clear();
        result.reason = RouteReason::limited;
      }
    }
    return result;
  }

 private:
  template <typename Fits>
  std::set<int> those(Fits fits) const {
    std::set<int> result;
    for (std::size_t i = 0; i < cluster_.nodes.size(); ++i) {
      if (fits(cluster_.nodes[i])) {
        result.insert(static_cast<int>(i));
      }
    }
    return result;
  }
  Expected primary(RouteReason reason) const {
    const std::set<int> found = those(
        [](const Candidate& node) { return node.is_usable && node.role == NodeRole::primary; });
    return {found, false, found.empty() ? RouteReason::no_primary : reason, false};
  }
  static Expected older(const std::set<int>& nodes, RouteReason reason) {
    return {nodes, !nodes.empty(), nodes.empty() ? RouteReason::no_node : reason, false};
  }
  // No other is fresher by as much as counts; one that is not known is as old as can be.
  std::set<int> freshest(const std::set<int>& nodes) const {
    const auto lag = [&](int i) { return cluster_.nodes[static_cast<std::size_t>(i)].lag; };
    std::set<int> result;
    for (const int i : nodes) {
      const bool is_beaten = std::any_of(nodes.begin(), nodes.end(), [&](int other) {
        return lag(other).has_value() && (!lag(i).has_value() || *lag(other) + same_lag <= *lag(i));
      });
      if (!is_beaten) {
        result.insert(i);
      }
    }
    return result;
  }

  const Cluster& cluster_;
  const ReadRequest& request_;
  Micros now_;
};

Candidate random_node(test::Random& random, bool may_be_primary) {
  constexpr std::optional<Micros> lags[] = {
      std::nullopt,  0, same_lag - 1, same_lag, 4 * one_second, 5 * one_second, 5 * one_second + 1,
      6 * one_second};
  BreakerPolicy policy;
  policy.max_lag = random.chance(0.5) ? 5 * one_second : 4 * one_second;
  const NodeRole role = may_be_primary       ? NodeRole::primary
                        : random.chance(0.2) ? NodeRole::olap
                                             : NodeRole::replica;
  return {role,   false,  random.chance(0.8), random.chance(0.7), lags[random.between(0, 7)],
          policy, nullptr};
}

// Into any of its states, `now` at the end.
void drive(test::Random& random, Breaker& breaker, const BreakerPolicy& policy, Micros now) {
  const std::int64_t state = random.between(0, 5);
  const Micros before = now - 31 * one_second;
  if (state == 1 || state == 2) {
    breaker.on_lag(policy, 99 * one_second, before);
  } else if (state == 3 || state == 4) {
    for (int i = 0; i < policy.failures; ++i) {
      breaker.on_failure(policy, before);
    }
  }
  if (state == 2 || state == 4) {
    breaker.on_lag(policy, 0, now - one_second);
    if (random.chance(0.5)) {
      breaker.on_read(policy, false, now - one_second / 2);
    }
  }
}

TEST(Router, FollowsTheRules) {
  EAV_RANDOM(random);
  std::set<RouteReason> seen;
  for (int round = 0; round < 30'000; ++round) {
    std::vector<Candidate> nodes;
    const std::int64_t count = random.between(0, 6);
    const std::int64_t primary = random.between(0, count);
    const std::int64_t self = random.between(0, 2 * count);
    for (std::int64_t i = 0; i < count; ++i) {
      nodes.push_back(random_node(random, i == primary));
      nodes.back().is_self = i == self;
    }
    Cluster cluster(std::move(nodes));
    for (std::size_t i = 0; i < cluster.nodes.size(); ++i) {
      drive(random, cluster.breakers[i], cluster.nodes[i].policy, start);
    }
    cluster.per_second = static_cast<int>(random.between(0, 2));
    cluster.turn = static_cast<std::uint32_t>(random.bits());
    constexpr NodeRole roles[] = {NodeRole::replica, NodeRole::replica, NodeRole::olap,
                                  NodeRole::cache, NodeRole::primary};
    const ReadRequest request = {static_cast<Consistency>(random.chance(0.9) ? 1 : 0),
                                 roles[random.between(0, 4)],
                                 random.chance(0.5) ? 5 * one_second : 4 * one_second,
                                 static_cast<Fallback>(random.between(0, 5))};
    for (int read = 0; read < 4; ++read) {
      const Expected expected = Rules(cluster, request, start).expected();
      const std::vector<Breaker> breakers = cluster.breakers;
      RateLimit rate = cluster.rate;
      const Route route = cluster.read(request);
      seen.insert(route.reason);
      ASSERT_EQ(text_of(route.reason), text_of(expected.reason));
      ASSERT_EQ(route.is_degraded, expected.is_degraded);
      ASSERT_EQ(expected.nodes.count(route.node), expected.nodes.empty() ? 0U : 1U);
      ASSERT_EQ(route.node == -1, expected.nodes.empty());
      if (expected.is_counted) {
        rate.take(cluster.per_second, start);
      }
      ASSERT_EQ(std::memcmp(&rate, &cluster.rate, sizeof(rate)), 0);
      for (std::size_t i = 0; i < breakers.size(); ++i) {
        const Candidate& node = cluster.nodes[i];
        const bool is_read = static_cast<int>(i) == route.node;
        for (const bool is_tolerant : {false, true}) {
          Breaker told = breakers[i];
          if (is_read) {
            told.on_read(node.policy, route.is_degraded || request.max_lag > node.policy.max_lag,
                         start);
          }
          ASSERT_EQ(cluster.breakers[i].admits(node.policy, is_tolerant, start),
                    told.admits(node.policy, is_tolerant, start));
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(RouteReason::no_node) + 1) << "every reason";
}

// Among candidates at random, whoever is equal is read equally often.
TEST(Router, IsFairAmongEquals) {
  EAV_RANDOM(random);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Candidate> nodes;
    const std::int64_t count = random.between(1, 6);
    for (std::int64_t i = 0; i < count; ++i) {
      nodes.push_back(random_node(random, false));
    }
    Cluster cluster(std::move(nodes));
    ReadRequest request = with_fallback(Fallback::accept);
    request.max_lag = random.between(0, 6) * one_second;
    const std::set<int> equals = Rules(cluster, request, start).expected().nodes;
    std::vector<int> reads(cluster.nodes.size() + 1);
    for (std::size_t i = 0; i < 10 * equals.size(); ++i) {
      const Route route = cluster.read(request);
      ASSERT_EQ(equals.count(route.node), 1U);
      ++reads[static_cast<std::size_t>(route.node)];
    }
    for (const int node : equals) {
      ASSERT_EQ(reads[static_cast<std::size_t>(node)], 10);
    }
  }
}

}  // namespace
}  // namespace eav::core
