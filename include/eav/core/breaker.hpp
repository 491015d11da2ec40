// The breaker of a node: keeps reads away from one that fails or lags, and lets it come back with
// hysteresis. A state machine under the clock of its caller; times as in freshness.hpp.
//
//           `failures` failed reads in a row,
//           or lag beyond max_lag, or not known any more
//   closed ────────────────────────────────────────────▶ open ◀───────────────┐
//     ▲                                                    │                  │ a failed read,
//     │ lag below close_lag and                            │ open_time over,  │ or lag beyond
//     │ no failed read for all                             │ lag below        │ max_lag, or
//     │ of close_time                                      ▼ close_lag        │ not known
//     └──────────────────────────────────────────────── half-open ────────────┘
//                                                one read per probe_interval
//
// close_time counts from the first measurement below close_lag, in open state as well; a
// measurement that is not below, and a failed read, begin it anew. Below is never beyond max_lag; a
// lag of 0 is always below. A measurement moves the breaker by one state at most.
//
// A node that has never been measured is not opened for that: it is not routed to anyway.
//
// Lag opens the breaker for the node's own budget. Reads that tolerate more than that budget
// pass a breaker that lag has opened (their own limit is still checked by the router); they do not
// pass one that failures have opened.
#pragma once

#include <type_traits>

#include "eav/core/core_only.hpp"
#include "eav/core/freshness.hpp"

namespace eav::core {

enum class BreakerState : std::uint8_t { closed, open, half_open };
enum class BreakerCause : std::uint8_t { none, failures, lag };

struct BreakerPolicy {
  int failures = 5;
  Micros open_time = 30 * one_second;
  Micros close_time = 120 * one_second;
  Micros probe_interval = one_second;
  Micros max_lag = 5 * one_second;
  Micros close_lag = 3 * one_second;
};

// Plain memory: lies in shared memory, all zero bytes is closed.
class Breaker {
 public:
  void on_failure(const BreakerPolicy& policy, Micros now);
  void on_success();
  // A measurement, or that it was not possible.
  void on_lag(const BreakerPolicy& policy, std::optional<Micros> lag, Micros now);

  // Whether a read may go to the node now. `is_tolerant`: it allows more lag than policy.max_lag.
  bool admits(const BreakerPolicy& policy, bool is_tolerant, Micros now) const;
  // A read goes there that admits() has let through.
  void on_read(const BreakerPolicy& policy, bool is_tolerant, Micros now);

  BreakerState state() const { return state_; }
  BreakerCause cause() const { return cause_; }  // none when closed
  int failures() const { return failures_; }     // in a row
  // When the state was entered; nullopt when it has always been closed.
  std::optional<Micros> since() const;
  // Open: when it can half-open at the earliest. Half-open: when it closes, should all stay well.
  // nullopt: closed, or the lag is not below close_lag.
  std::optional<Micros> changes_at(const BreakerPolicy& policy) const;

 private:
  void enter(BreakerState state, BreakerCause cause, Micros now);
  void follow_clock(Micros now);
  bool passes(bool is_tolerant) const;

  BreakerState state_;
  BreakerCause cause_;
  bool has_been_measured_;
  bool has_changed_;
  bool is_good_;  // the last measurement was below close_lag, and no read has failed since
  int failures_;
  Micros since_;
  Micros good_since_;
  Micros next_probe_;
};
static_assert(std::is_trivial_v<Breaker> && std::is_standard_layout_v<Breaker>);

std::string_view name_of(BreakerState state);
std::string_view name_of(BreakerCause cause);

// So many per second, and as many at once after a pause of a second (a token bucket).
// Plain memory, as above.
class RateLimit {
 public:
  // False when it is too much. `per_second` from 1 to 1,000,000; 0: never.
  bool take(int per_second, Micros now);

 private:
  Micros last_;
  std::int64_t credit_;  // in millionths of a read
};
static_assert(std::is_trivial_v<RateLimit> && std::is_standard_layout_v<RateLimit>);

}  // namespace eav::core
