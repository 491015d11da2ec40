#include "eav/core/freshness.hpp"

#include <algorithm>
#include <array>

#include "eav/core/core_only.hpp"
#include "eav/core/names.hpp"

namespace eav::core {

namespace {

constexpr std::array<std::string_view, 5> role_names = {"primary", "replica", "stream", "olap",
                                                        "cache"};
constexpr std::array<std::string_view, 3> consistency_names = {"strong", "bounded", "eventual"};
constexpr std::array<std::string_view, 4> state_names = {"ok", "lagging", "stale", "unknown"};
constexpr std::array<std::string_view, 6> fallback_names = {"primary", "failover", "abort",
                                                            "partial", "as_of",    "accept"};

}  // namespace

LagState state_of(std::optional<Micros> lag, const Budget& budget) {
  if (!lag.has_value()) {
    return LagState::unknown;
  }
  if (*lag > budget.max_lag) {
    return LagState::stale;
  }
  return *lag > budget.target_lag ? LagState::lagging : LagState::ok;
}

std::string_view badge_of(std::optional<Micros> lag, Micros max_lag) {
  if (!lag.has_value() || *lag > max_lag) {
    return "stale";
  }
  if (*lag < one_second) {
    return "real-time";
  }
  return *lag <= 10 * one_second ? "near-real-time" : "delayed";
}

std::string_view name_of(NodeRole role) { return role_names[static_cast<std::size_t>(role)]; }
std::string_view name_of(Consistency consistency) {
  return consistency_names[static_cast<std::size_t>(consistency)];
}
std::string_view name_of(LagState state) { return state_names[static_cast<std::size_t>(state)]; }
std::string_view name_of(Fallback fallback) {
  return fallback_names[static_cast<std::size_t>(fallback)];
}

std::optional<NodeRole> node_role_named(std::string_view name) {
  return find_name<NodeRole>(role_names, name);
}
std::optional<Consistency> consistency_named(std::string_view name) {
  return find_name<Consistency>(consistency_names, name);
}
std::optional<Fallback> fallback_named(std::string_view name) {
  return find_name<Fallback>(fallback_names, name);
}

}  // namespace eav::core
