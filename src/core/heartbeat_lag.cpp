#include "eav/core/heartbeat_lag.hpp"

#include <algorithm>
#include <limits>

#include "eav/core/core_only.hpp"

namespace eav::core {

void ClockOffset::on_message(Micros sent_at, Micros received_at) {
  const std::int64_t number = received_at / bucket_width + 1;
  // Unsigned: a clock that was never set may be far before the moment that times count from.
  Bucket& bucket = buckets_[static_cast<std::uint64_t>(number) % bucket_count];
  const Micros difference = received_at - sent_at;
  bucket = {number, bucket.number == number ? std::min(bucket.least, difference) : difference};
}

std::optional<Micros> ClockOffset::estimate(Micros now) const {
  const std::int64_t present = now / bucket_width + 1;
  std::optional<Micros> least;
  for (const Bucket& bucket : buckets_) {
    const std::int64_t age = present - bucket.number;
    if (bucket.number != 0 && age >= 0 && age < static_cast<std::int64_t>(bucket_count)) {
      least = std::min(least.value_or(bucket.least), bucket.least);
    }
  }
  return least;
}

void HeartbeatLag::on_heartbeat(Micros sent_at, Micros seen_at, Micros offset, std::int64_t count) {
  if (has_heard_ && count > 0) {
    std::shift_right(gaps_.begin(), gaps_.end(), 1);
    gaps_[0] = std::max<Micros>((sent_at - sent_at_) / count, 0);
  }
  has_heard_ = true;
  sent_at_ = sent_at;
  seen_at_ = seen_at;
  sample_ = std::max<Micros>(seen_at - sent_at - offset, 0);
}

Micros HeartbeatLag::pace(Micros interval) const {
  std::array<Micros, 2> shortest = {std::numeric_limits<Micros>::max(),
                                    std::numeric_limits<Micros>::max()};
  std::size_t known = 0;
  for (const Micros gap : gaps_) {
    if (gap > 0) {
      ++known;
      if (gap < shortest[0]) {
        shortest = {gap, shortest[0]};
      } else {
        shortest[1] = std::min(shortest[1], gap);
      }
    }
  }
  if (known < 2) {
    return interval;
  }
  return std::max(known == gaps_.size() ? shortest[1] : std::min(shortest[1], interval),
                  one_second);
}

std::optional<Micros> HeartbeatLag::lag(Micros now, Micros interval) const {
  const Micros patience = 2 * pace(interval);
  const Micros silence = now - seen_at_;
  if (!has_heard_ || silence < -patience) {
    return std::nullopt;
  }
  return silence <= patience ? sample_ : sample_ + silence;
}

}  // namespace eav::core
