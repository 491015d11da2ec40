#include "eav/core/breaker.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

constexpr std::array<std::string_view, 3> state_names = {"closed", "open", "half_open"};
constexpr std::array<std::string_view, 3> cause_names = {"none", "failures", "lag"};

}  // namespace

void Breaker::enter(BreakerState state, BreakerCause cause, Micros now) {
  state_ = state;
  cause_ = cause;
  has_changed_ = true;
  since_ = now;
  next_probe_ = now;
}

// A clock that was set back: what was to last a while begins anew instead of lasting much longer.
void Breaker::follow_clock(Micros now) {
  since_ = std::min(since_, now);
  good_since_ = std::min(good_since_, now);
}

void Breaker::on_failure(const BreakerPolicy& policy, Micros now) {
  follow_clock(now);
  is_good_ = false;
  if (failures_ < std::numeric_limits<int>::max()) {
    ++failures_;
  }
  // Open for lag it still gets tolerant reads. Open for failures it gets none: what fails then was
  // under way, and open_time goes on.
  const bool is_too_much = state_ == BreakerState::half_open || failures_ >= policy.failures;
  const bool is_open_for_failures =
      state_ == BreakerState::open && cause_ == BreakerCause::failures;
  if (is_too_much && !is_open_for_failures) {
    enter(BreakerState::open, BreakerCause::failures, now);
  }
}

void Breaker::on_success() { failures_ = 0; }

void Breaker::on_lag(const BreakerPolicy& policy, std::optional<Micros> lag, Micros now) {
  follow_clock(now);
  const bool is_beyond = lag.has_value() ? *lag > policy.max_lag : has_been_measured_;
  const bool was_good = is_good_;
  is_good_ = lag.has_value() && !is_beyond && (*lag < policy.close_lag || *lag == 0);
  if (is_good_ && !was_good) {
    good_since_ = now;
  }
  has_been_measured_ = has_been_measured_ || lag.has_value();

  if (is_beyond && state_ != BreakerState::open) {
    enter(BreakerState::open, BreakerCause::lag, now);
  } else if (state_ == BreakerState::open && is_good_ && now - since_ >= policy.open_time) {
    enter(BreakerState::half_open, cause_, now);
  } else if (state_ == BreakerState::half_open && is_good_ &&
             now - good_since_ >= policy.close_time) {
    enter(BreakerState::closed, BreakerCause::none, now);
    failures_ = 0;
  }
}

// What the breaker does not hold back, whatever the time.
bool Breaker::passes(bool is_tolerant) const {
  return state_ == BreakerState::closed || (is_tolerant && cause_ == BreakerCause::lag);
}

bool Breaker::admits(const BreakerPolicy& policy, bool is_tolerant, Micros now) const {
  // A probe that is further ahead is of a clock that was set back.
  const bool is_probe_due = now >= next_probe_ || now < next_probe_ - 2 * policy.probe_interval;
  return passes(is_tolerant) || (state_ == BreakerState::half_open && is_probe_due);
}

void Breaker::on_read(const BreakerPolicy& policy, bool is_tolerant, Micros now) {
  if (!passes(is_tolerant)) {
    next_probe_ = now + policy.probe_interval;
  }
}

std::optional<Micros> Breaker::since() const {
  return has_changed_ ? std::optional(since_) : std::nullopt;
}

std::optional<Micros> Breaker::changes_at(const BreakerPolicy& policy) const {
  if (state_ == BreakerState::closed || !is_good_) {
    return std::nullopt;
  }
  return state_ == BreakerState::open ? since_ + policy.open_time : good_since_ + policy.close_time;
}

std::string_view name_of(BreakerState state) {
  return state_names[static_cast<std::size_t>(state)];
}
std::string_view name_of(BreakerCause cause) {
  return cause_names[static_cast<std::size_t>(cause)];
}

bool RateLimit::take(int per_second, Micros now) {
  // One read is a million millionths: of these, a microsecond brings `per_second`.
  constexpr std::int64_t read = one_second;
  // Callers may come a little out of turn, and must not be given the time between twice; what is
  // far ahead is of a clock that was set back.
  const Micros elapsed = std::clamp<Micros>(now - last_, 0, one_second);
  last_ = last_ - now > one_second ? now : std::max(last_, now);
  credit_ = std::min(credit_ + elapsed * per_second, read * per_second);
  if (credit_ < read) {
    return false;
  }
  credit_ -= read;
  return true;
}

}  // namespace eav::core
