#include "eav/core/router.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

constexpr int none = -1;
constexpr std::array<std::string_view, 12> reason_texts = {
    "a strong read goes to the primary",
    "lag is within the limit",
    "there is no such node, the primary is read",
    "no node within the limit has replayed the token, the primary is read",
    "no node is within the limit, the primary is read",
    "no node is within the limit, the result may be incomplete",
    "no node is within the limit, the result is of an earlier time",
    "no node is within the limit, older data is accepted",
    "no node is within the limit, try again later",
    "no node is within the limit, and too many reads go to the primary already",
    "there is no primary that can be read",
    "no node can be read at all, try again later"};

Micros lag_or_longest(const Candidate& node) {
  return node.lag.value_or(std::numeric_limits<Micros>::max());
}

// One of the nodes with the least lag, in turns.
template <typename Fits>
int choose(std::span<const Candidate> nodes, Fits fits, std::uint32_t turn) {
  Micros least = std::numeric_limits<Micros>::max();
  for (const Candidate& node : nodes) {
    if (fits(node)) {
      least = std::min(least, lag_or_longest(node));
    }
  }
  const auto is_equal = [&](const Candidate& node) {
    return fits(node) && lag_or_longest(node) - least < same_lag;
  };
  const auto equals = std::count_if(nodes.begin(), nodes.end(), is_equal);
  if (equals == 0) {
    return none;
  }
  auto skip = static_cast<std::int64_t>(turn) % equals;
  const auto chosen = std::find_if(nodes.begin(), nodes.end(), [&](const Candidate& node) {
    return is_equal(node) && skip-- == 0;
  });
  return static_cast<int>(chosen - nodes.begin());
}

template <typename Fits>
int find(std::span<const Candidate> nodes, Fits fits) {
  const auto found = std::find_if(nodes.begin(), nodes.end(), fits);
  return found == nodes.end() ? none : static_cast<int>(found - nodes.begin());
}

Route decide(std::span<const Candidate> nodes, const ReadRequest& request, FallbackLimit limit,
             std::uint32_t turn, Micros now) {
  const int primary = find(nodes, [](const Candidate& node) {
    return node.role == NodeRole::primary && node.is_usable;
  });
  const auto primary_for = [primary](RouteReason reason, bool is_degraded = false) -> Route {
    return primary == none ? Route{none, false, RouteReason::no_primary}
                           : Route{primary, is_degraded, reason};
  };
  if (request.consistency == Consistency::strong || request.wanted == NodeRole::primary) {
    return primary_for(RouteReason::strong);
  }

  const auto is_wanted = [&](const Candidate& node) {
    return node.role == request.wanted && node.is_usable;
  };
  if (find(nodes, is_wanted) == none) {
    return primary_for(RouteReason::no_such_node);
  }
  const auto is_within = [&](const Candidate& node) {
    return is_wanted(node) && node.lag.has_value() && *node.lag <= request.max_lag &&
           node.breaker->admits(node.policy, request.max_lag > node.policy.max_lag, now);
  };
  const auto qualifies = [&](const Candidate& node) { return is_within(node) && node.has_token; };
  int node = find(nodes, [&](const Candidate& it) { return it.is_self && qualifies(it); });
  if (node == none) {
    node = choose(nodes, qualifies, turn);
  }
  if (node != none) {
    return {node, false, RouteReason::within_limit};
  }
  if (find(nodes, is_within) != none) {
    return primary_for(RouteReason::token_not_reached);
  }

  const auto older = [&](RouteReason reason) -> Route {
    const int oldest = choose(
        nodes,
        [&](const Candidate& it) {
          return is_wanted(it) && it.has_token && it.breaker->admits(it.policy, true, now);
        },
        turn);
    return oldest == none ? Route{none, false, RouteReason::no_node} : Route{oldest, true, reason};
  };
  switch (request.fallback) {
    case Fallback::abort:
      return {none, false, RouteReason::aborted};
    case Fallback::partial:
      return older(RouteReason::fallback_partial);
    case Fallback::as_of:
      return older(RouteReason::fallback_as_of);
    case Fallback::accept:
      return older(RouteReason::fallback_accept);
    case Fallback::primary:
    case Fallback::failover:
      break;
  }
  if (primary != none && !limit.rate->take(limit.per_second, now)) {
    return {none, false, RouteReason::limited};
  }
  return primary_for(RouteReason::fallback_primary, true);
}

}  // namespace

Route route(std::span<const Candidate> nodes, const ReadRequest& request, FallbackLimit limit,
            std::uint32_t turn, Micros now) {
  const Route result = decide(nodes, request, limit, turn, now);
  if (result.node != none) {
    const Candidate& node = nodes[static_cast<std::size_t>(result.node)];
    const bool is_tolerant = result.is_degraded || request.max_lag > node.policy.max_lag;
    node.breaker->on_read(node.policy, is_tolerant, now);
  }
  return result;
}

std::string_view text_of(RouteReason reason) {
  return reason_texts[static_cast<std::size_t>(reason)];
}

}  // namespace eav::core
