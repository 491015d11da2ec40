// The words of freshness: how old an answer may be, how old it is, and what that makes of it.
//
// A lag that is not known is std::nullopt, never a number. It counts as stale everywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "eav/core/core_only.hpp"

namespace eav::core {

// Times are microseconds since some moment that is the same for all of one clock; lags are
// differences of them.
using Micros = std::int64_t;
constexpr Micros one_second = 1'000'000;

// What a node is at the moment. A server is primary or replica by itself; the others report.
enum class NodeRole : std::uint8_t { primary, replica, stream, olap, cache };
enum class Consistency : std::uint8_t { strong, bounded, eventual };
enum class LagState : std::uint8_t { ok, lagging, stale, unknown };
// What to do when no node is within the limit of a read:
//   primary   read there            failover  there is nothing but the primary: wait for one
//   abort     do not read, retry    partial   read what there is, warn that it is not complete
//   as_of     read what there is, show as of when it is
//   accept    read what there is
enum class Fallback : std::uint8_t { primary, failover, abort, partial, as_of, accept };

struct Budget {
  Micros target_lag;
  Micros max_lag;
};

// ok: up to the target; lagging: up to the maximum; stale: beyond.
LagState state_of(std::optional<Micros> lag, const Budget& budget);

// "real-time" below 1 s, "near-real-time" up to 10 s, "delayed" beyond; "stale" past max_lag or
// when the lag is not known.
std::string_view badge_of(std::optional<Micros> lag, Micros max_lag);

// As written in tables and results: lower case, words joined by "_".
std::string_view name_of(NodeRole role);
std::string_view name_of(Consistency consistency);
std::string_view name_of(LagState state);
std::string_view name_of(Fallback fallback);
std::optional<NodeRole> node_role_named(std::string_view name);
std::optional<Consistency> consistency_named(std::string_view name);
std::optional<Fallback> fallback_named(std::string_view name);

}  // namespace eav::core
