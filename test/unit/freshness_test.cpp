#include "eav/core/freshness.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

TEST(LagState, EndsAtTargetAndMaximum) {
  const Budget budget = {3 * one_second, 5 * one_second};
  EXPECT_EQ(state_of(0, budget), LagState::ok);
  EXPECT_EQ(state_of(3 * one_second, budget), LagState::ok);
  EXPECT_EQ(state_of(3 * one_second + 1, budget), LagState::lagging);
  EXPECT_EQ(state_of(5 * one_second, budget), LagState::lagging);
  EXPECT_EQ(state_of(5 * one_second + 1, budget), LagState::stale);
  EXPECT_EQ(state_of(std::nullopt, budget), LagState::unknown);
  EXPECT_EQ(state_of(0, {0, 0}), LagState::ok);
  EXPECT_EQ(state_of(1, {0, 0}), LagState::stale);
}

TEST(Badge, SaysHowOldUpToTheLimit) {
  constexpr Micros hour = 3600 * one_second;
  EXPECT_EQ(badge_of(0, hour), "real-time");
  EXPECT_EQ(badge_of(one_second - 1, hour), "real-time");
  EXPECT_EQ(badge_of(one_second, hour), "near-real-time");
  EXPECT_EQ(badge_of(10 * one_second, hour), "near-real-time");
  EXPECT_EQ(badge_of(10 * one_second + 1, hour), "delayed");
  EXPECT_EQ(badge_of(hour, hour), "delayed");
  EXPECT_EQ(badge_of(hour + 1, hour), "stale");
  EXPECT_EQ(badge_of(std::nullopt, hour), "stale");
  EXPECT_EQ(badge_of(100, 100), "real-time");
  EXPECT_EQ(badge_of(101, 100), "stale") << "the limit comes before all words";
}

// Each value of an enumeration has a name of its own, and is found by it; all others have none.
template <typename Enum, typename Find>
void expect_names(Enum last, Find find) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    const auto value = static_cast<Enum>(i);
    EXPECT_TRUE(names.insert(name_of(value)).second) << name_of(value);
    EXPECT_EQ(find(name_of(value)), value);
    EXPECT_EQ(find(std::string(name_of(value)) + ' '), std::nullopt);
    EXPECT_EQ(find(name_of(value).substr(1)), std::nullopt);
  }
  for (const std::string_view name : {"", "Primary", "STRONG", "as of", "none"}) {
    EXPECT_EQ(find(name), std::nullopt) << name;
  }
}

TEST(Names, GoBothWays) {
  expect_names(NodeRole::cache, node_role_named);
  expect_names(Consistency::eventual, consistency_named);
  expect_names(Fallback::accept, fallback_named);
}

TEST(Names, AreThoseOfTheTables) {
  EXPECT_EQ(node_role_named("primary"), NodeRole::primary);
  EXPECT_EQ(node_role_named("replica"), NodeRole::replica);
  EXPECT_EQ(node_role_named("stream"), NodeRole::stream);
  EXPECT_EQ(node_role_named("olap"), NodeRole::olap);
  EXPECT_EQ(node_role_named("cache"), NodeRole::cache);
  EXPECT_EQ(consistency_named("strong"), Consistency::strong);
  EXPECT_EQ(consistency_named("bounded"), Consistency::bounded);
  EXPECT_EQ(consistency_named("eventual"), Consistency::eventual);
  EXPECT_EQ(fallback_named("primary"), Fallback::primary);
  EXPECT_EQ(fallback_named("failover"), Fallback::failover);
  EXPECT_EQ(fallback_named("abort"), Fallback::abort);
  EXPECT_EQ(fallback_named("partial"), Fallback::partial);
  EXPECT_EQ(fallback_named("as_of"), Fallback::as_of);
  EXPECT_EQ(fallback_named("accept"), Fallback::accept);
  EXPECT_EQ(name_of(LagState::ok), "ok");
  EXPECT_EQ(name_of(LagState::lagging), "lagging");
  EXPECT_EQ(name_of(LagState::stale), "stale");
  EXPECT_EQ(name_of(LagState::unknown), "unknown");
}

}  // namespace
}  // namespace eav::core
