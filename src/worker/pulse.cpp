#include "eav/worker/pulse.hpp"

#include "eav/freshness/sample.hpp"
#include "eav/pg/spi.hpp"
#include "eav/settings.hpp"

namespace eav::worker {

namespace {

constexpr int longest_delay = 30 * 1000;  // ms between tries that fail
constexpr const char* heartbeat_table = "replication_heartbeat";
constexpr int looks_per_heartbeat = 10;        // on a standby
constexpr int shortest_standby_interval = 10;  // ms
constexpr int longest_standby_interval = 100;

int period() { return static_cast<int>(freshness::heartbeat_period() / 1000); }

// Standbys get it no sooner than it is on disk here, and wait for no one else.
void beat() {
  begin_as_owner(heartbeat_table, "SELECT eav.heartbeat()");
  pg::set_local("synchronous_commit", "local");
  const freshness::Beat sent = freshness::write_heartbeat();
  const bool is_large = freshness::are_heartbeats_large();
  end();
  freshness::remember_heartbeat(sent);
  if (is_large) {
    begin_as_owner(heartbeat_table, "truncating eav.replication_heartbeat");
    freshness::shrink_heartbeats();
    end();
  }
}

void look() {
  begin_as_owner(heartbeat_table, "looking at the nodes");
  freshness::read_tables();
  end();
  begin("looking at the standbys");
  freshness::read_server();
  end();
}

void look_for_heartbeat() {
  begin_as_owner(heartbeat_table, "looking for a heartbeat");
  freshness::observe();
  end();
}

void start() {
  begin("looking for the extension");
  leave_if_not_needed();
  attach_door();
  freshness::forget_measurements();
  end();
}

}  // namespace

bool Pulse::is_wanted() const { return is_attached_ && freshness::is_refresh_wanted(); }

int Pulse::standby_interval() {
  return Max(shortest_standby_interval,
             Min(period() / looks_per_heartbeat, longest_standby_interval));
}

void Pulse::schedule() {
  const int delay =
      failures() == 0 ? period() : Min(Max(period(), 1000) << Min(failures(), 5), longest_delay);
  next_ = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay);
}

void Pulse::on_new_time() {
  next_ = Min(next_, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), period()));
}

void Pulse::on_primary() {
  const bool is_time = GetCurrentTimestamp() >= next_;
  if (!has_begun_ || was_standby_) {
    has_begun_ = attempt(look_, start);
    is_attached_ = has_begun_;
    was_standby_ = was_standby_ && !has_begun_;
  }
  if (is_time && settings.heartbeat_interval > 0) {
    attempt(heartbeat_, beat);
  }
  attempt(look_, look);
  if (is_time) {
    schedule();
  }
}

void Pulse::on_standby() {
  const bool is_time = GetCurrentTimestamp() >= next_ || is_wanted();
  was_standby_ = true;
  if (!is_time && failures() > 0) {
    return;
  }
  if (!has_begun_) {
    has_begun_ = attempt(look_, start);
    is_attached_ = has_begun_;
  }
  if (is_attached_ && (freshness::listen() || is_time)) {
    attempt(heartbeat_, look_for_heartbeat);
  }
  if (is_time) {
    attempt(look_, look);
    schedule();
  }
}

}  // namespace eav::worker
