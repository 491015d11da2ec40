// Probes: how long it takes from a commit until readers of the projection see it.
#pragma once

#include <atomic>
#include <thread>

#include "devices.hpp"

namespace bench {

// Probe n is an event of probe device n % devices with base + n as its value; the ids of the probe
// devices follow those of the fleet.
class Probes {
 public:
  static constexpr long devices = 8;

  struct Probe {
    Time due;
    Time committed;
    Time visible;  // zero as long as it is not
  };

  Probes(const Registry& registry, const Options& options, Time start, Time end)
      : registry_(registry), first_device_(options.devices + 1) {
    const auto interval = std::chrono::milliseconds(options.probe_interval);
    for (Time due = start; due < end; due += interval) {
      probes_.push_back({due, {}, {}});
    }
  }

  // Commits the probes, each at its time. Does not wait for what becomes of them.
  template <typename Stop>
  void send(const Calendar& calendar, Stop&& stop) {
    Connection db("fleet prober");
    for (std::size_t n = 0; n < probes_.size() && !stop(); ++n) {
      const std::string row = registry_.tenants[0] + '\t' +
                              std::to_string(first_device_ + static_cast<long>(n) % devices) +
                              '\t' + registry_.probe_attribute + '\t' +
                              calendar.text(probes_[n].due) + '\t' +
                              std::to_string(base_ + static_cast<long>(n)) + '\n';
      std::this_thread::sleep_until(probes_[n].due);
      db.copy(
          "COPY eav.entity_values_ingest (tenant_id, entity_id, attribute_id, observed_at, "
          "value_int) FROM STDIN",
          row);
      probes_[n].committed = Clock::now();
      sent_ = static_cast<long>(n) + 1;
    }
  }

  // Reads the projection every 2 ms until all probes are visible or stop() says so.
  template <typename Stop>
  void watch(Stop&& stop) {
    Connection db("fleet reader");
    db.prepare("look",
               "SELECT entity_id, (live_attrs ->> 'probe')::bigint FROM eav.entity_jsonb "
               "WHERE tenant_id = " +
                   registry_.tenants[0] + " AND entity_id BETWEEN " +
                   std::to_string(first_device_) + " AND " +
                   std::to_string(first_device_ + devices - 1));
    std::vector<long> next(devices);  // by device, the next probe to become visible
    for (long device = 0; device < devices; ++device) {
      next[device] = device;
    }
    const long count = static_cast<long>(probes_.size());
    long seen = 0;
    for (Time at = Clock::now(); seen < count && !stop();) {
      const Result rows = db.run_prepared("look");
      const Time now = Clock::now();
      for (int row = 0; row < rows.rows(); ++row) {
        long& probe = next[rows.number(row, 0) - first_device_];
        for (; probe < count && probe <= rows.number(row, 1) - base_; probe += devices, ++seen) {
          probes_[probe].visible = now;
          latest_delay_ =
              std::chrono::duration_cast<microseconds>(now - probes_[probe].due).count();
        }
      }
      at = std::max(at + std::chrono::milliseconds(2), now);
      std::this_thread::sleep_until(at);
    }
  }

  long sent() const { return sent_; }
  // Of the probe seen last, in milliseconds.
  double latest_delay() const { return static_cast<double>(latest_delay_) / 1000; }
  const std::vector<Probe>& probes() const { return probes_; }

 private:
  const Registry& registry_;
  long first_device_;
  long base_ =
      std::chrono::duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();            // above the numbers of all earlier runs
  std::vector<Probe> probes_;  // fixed in length: each field is written by one thread
  std::atomic<long> sent_{0};
  std::atomic<long> latest_delay_{0};
};

}  // namespace bench
