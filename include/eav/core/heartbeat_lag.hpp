// How far a standby lags, from the heartbeats that it replays.
//
// A heartbeat carries the time of the primary at which it was sent. When it becomes visible on the
// standby, the difference is a sample of the lag. Heartbeats come once per interval, so between
// two of them the last sample stands; only when none has come for two intervals has something
// stopped, and the lag grows with the clock. An idle primary sends heartbeats too, so it does not
// look lagging; a standby that has heard none, or whose receiver is down (the caller knows), is
// not measured at all.
//
// Two clocks meet in such a sample. ClockOffset says how far the standby's is ahead of the
// sender's: every message of the replication protocol carries its time of sending, and receipt
// minus sending is the offset plus the time under way, which is never negative. So the smallest
// difference of the last minute is the best estimate (the clock filter of NTP, one way), too large
// by the shortest time under way. A lag is never negative: what remains below zero is zero.
#pragma once

#include <array>
#include <type_traits>

#include "eav/core/core_only.hpp"
#include "eav/core/freshness.hpp"

namespace eav::core {

// Plain memory: both lie in shared memory, all zero bytes is "nothing known".

class ClockOffset {
 public:
  // Of one message: by the clocks of its sender and its receiver.
  void on_message(Micros sent_at, Micros received_at);
  // Receiver's clock minus sender's, of the messages of the last minute before `now` (of the
  // receiver's clock). A clock that is set back may put buckets into the future: they do not count.
  std::optional<Micros> estimate(Micros now) const;

 private:
  static constexpr Micros bucket_width = 10 * one_second;
  static constexpr std::size_t bucket_count = 7;  // the present one and six full ones
  struct Bucket {
    std::int64_t number;  // received_at / bucket_width + 1; 0: empty
    Micros least;
  };
  std::array<Bucket, bucket_count> buckets_;
};
static_assert(std::is_trivial_v<ClockOffset> && std::is_standard_layout_v<ClockOffset>);

class HeartbeatLag {
 public:
  // A heartbeat that was not visible before. `offset`: as ClockOffset has it. `count`: how many
  // have been sent since the last one that was seen, this one included; replay catches up in
  // bursts.
  void on_heartbeat(Micros sent_at, Micros seen_at, Micros offset, std::int64_t count = 1);
  void forget() { *this = HeartbeatLag(); }

  bool has_heard() const { return has_heard_; }
  // `interval`: between heartbeats, as it should be. That they come faster is believed when two of
  // the last eight did, one of which may have been sent by hand; that they come more slowly, when
  // seven were that far apart, for a primary that is away between two of them looks the same. What
  // is learned is no less than a second. nullopt when it has never heard a heartbeat, or when its
  // clock has been set back by more than two intervals since the last one: the lag would not grow
  // then.
  std::optional<Micros> lag(Micros now, Micros interval) const;
  // The data is complete up to here, by the primary's clock. Only when has_heard().
  Micros as_of() const { return sent_at_; }
  Micros seen_at() const { return seen_at_; }

 private:
  Micros pace(Micros interval) const;

  bool has_heard_;
  Micros sent_at_;
  Micros seen_at_;
  Micros sample_;
  std::array<Micros, 8> gaps_;  // between heartbeats, of the last looks, newest first, 0: not known
};
static_assert(std::is_trivial_v<HeartbeatLag> && std::is_standard_layout_v<HeartbeatLag>);

}  // namespace eav::core
