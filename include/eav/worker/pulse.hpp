// The freshness part of the worker: heartbeats on the primary, listening on a standby. See
// freshness/sample.cpp for what it does; here is when.
#pragma once

#include "eav/worker/job.hpp"

namespace eav::worker {

class Pulse {
 public:
  // On the primary.
  bool is_due(TimestampTz now) const { return now >= next_ || is_wanted(); }
  bool is_wanted() const;  // somebody wants the nodes looked at now
  TimestampTz next() const { return next_; }
  void on_primary();
  void on_new_time();  // the clock or eav.heartbeat_interval may have changed

  // On a standby, every standby_interval() milliseconds.
  void on_standby();
  static int standby_interval();

 private:
  void schedule();
  int failures() const { return Max(heartbeat_.failures, look_.failures); }

  TimestampTz next_ = 0;
  bool was_standby_ = false;
  bool has_begun_ = false;
  bool is_attached_ = false;
  Trouble heartbeat_;
  Trouble look_;
};

}  // namespace eav::worker
