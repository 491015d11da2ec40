// Where a read goes: the decision alone, over what is known of the nodes at one moment.
//
// strong, or the primary is wanted: the primary, whatever its breaker says, for nothing can stand
// in for it. Otherwise the node of the wanted role with the least lag, among those that
// may be used, are within the limit of the read, have the token and whose breaker admits the read.
// Nodes whose lag differs by less than `same_lag` count as equal and take turns. The node
// that is asked comes first when it qualifies: it costs no connection.
//
// When there is none, the fallback decides. Reads that go to the primary for want of a
// replica within the limit are capped by a rate, so that replicas that are out do not take the
// primary along; what is above gets no node. A read whose token no replica has reached, while
// there is one within the limit, is not such a read: the primary is the right place for it.
#pragma once

#include <span>

#include "eav/core/breaker.hpp"
#include "eav/core/core_only.hpp"
#include "eav/core/freshness.hpp"

namespace eav::core {

struct Candidate {
  NodeRole role;
  bool is_self;    // the node that decides
  bool is_usable;  // enabled, and there is a way to connect
  bool has_token;  // has replayed what the read must see; true when it does not matter
  std::optional<Micros> lag;
  BreakerPolicy policy;  // with the node's own budget
  Breaker* breaker;
};

struct ReadRequest {
  Consistency consistency;
  NodeRole wanted;  // for reads that are not strong
  Micros max_lag;
  Fallback fallback;
};

enum class RouteReason : std::uint8_t {
  strong,             // primary, as asked
  within_limit,       // wanted node within the limit of the read
  no_such_node,       // none of the wanted role can be used at all: primary, nothing is wrong
  token_not_reached,  // primary: no node within the limit has replayed the token
  fallback_primary,   // primary, degraded
  fallback_partial,   // wanted node beyond the limit, degraded
  fallback_as_of,     // the same
  fallback_accept,    // the same
  aborted,            // no node: the fallback is to abort
  limited,            // no node: too many fall back to the primary
  no_primary,         // no node: there is no primary that can be read
  no_node             // no node: not even beyond the limit is there one with the token that works
};

struct Route {
  int node;  // index of the candidate; -1: none
  bool is_degraded;
  RouteReason reason;
};

struct FallbackLimit {
  RateLimit* rate;
  int per_second;  // 0: no read may fall back
};

constexpr Micros same_lag = one_second / 10;

// At most one candidate is the primary. `turn`: any number that differs from call to call.
// Tells the breaker of the chosen node, and takes from the rate when the read falls back.
Route route(std::span<const Candidate> nodes, const ReadRequest& request, FallbackLimit limit,
            std::uint32_t turn, Micros now);

// In words, for people and logs: without figures, lower case.
std::string_view text_of(RouteReason reason);

}  // namespace eav::core
