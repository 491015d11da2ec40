// Probes: how long it takes from a commit until readers see it, in projection and history.
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
      : registry_(registry), uses_ingest_(options.calls > 0), first_device_(options.devices + 1) {
    const auto interval = std::chrono::milliseconds(options.probe_interval);
    for (Time due = start; due < end; due += interval) {
      probes_.push_back({due, {}, {}});
    }
  }

  // Commits the probes, each at its time. Does not wait for what becomes of them.
  template <typename Stop>
  void send(const Calendar& calendar, Stop&& stop) {
    Connection db("fleet prober");
    db.prepare("ingest", "SELECT eav.ingest($1::text)");
    for (std::size_t n = 0; n < probes_.size() && !stop(); ++n) {
      const std::string device = std::to_string(first_device_ + static_cast<long>(n) % devices);
      const std::string value = std::to_string(base_ + static_cast<long>(n));
      const std::string at = calendar.text(probes_[n].due);
      std::this_thread::sleep_until(probes_[n].due);
      if (uses_ingest_) {
        db.run_prepared("ingest", R"({"tenant_id":)" + registry_.tenants[0] + R"(,"entity_id":)" +
                                      device + R"(,"observed_at":")" + at +
                                      R"(","attributes":{"probe":)" + value + "}}");
      } else {
        const std::string row = registry_.tenants[0] + '\t' + device + '\t' +
                                registry_.probe_attribute + '\t' + at + '\t' + value + '\n';
        db.copy(
            "COPY eav.entity_values_ingest (tenant_id, entity_id, attribute_id, observed_at, "
            "value_int) FROM STDIN",
            {&row, 1});
      }
      probes_[n].committed = Clock::now();
      sent_ = static_cast<long>(n) + 1;
    }
  }

  // Reads the projection every 2 ms until all probes are visible or stop() says so. When it shows
  // something new, history is asked for it: visible is what both have.
  template <typename Stop>
  void watch(Stop&& stop) {
    Connection db("fleet reader");
    const std::string& tenant = registry_.tenants[0];
    db.prepare("projection",
               "SELECT entity_id, (live_attrs ->> 'probe')::bigint FROM eav.entity_jsonb "
               "WHERE tenant_id = " +
                   tenant + " AND entity_id BETWEEN " + std::to_string(first_device_) + " AND " +
                   std::to_string(first_device_ + devices - 1));
    // The interval is longer than any flush.
    db.prepare("history",
               "SELECT entity_id, max(value_int) FROM eav.entity_values_ts WHERE tenant_id = " +
                   tenant + " AND attribute_id = " + registry_.probe_attribute +
                   " AND ingested_at > now() - interval '30 s' GROUP BY entity_id");
    std::vector<long> next(devices);  // by device, the next probe to become visible
    for (long device = 0; device < devices; ++device) {
      next[device] = device;
    }
    const long count = static_cast<long>(probes_.size());
    long seen = 0;
    for (Time at = Clock::now(); seen < count && !stop();) {
      const std::vector<long> projected = newest(db.run_prepared("projection"));
      bool is_new = false;
      for (long device = 0; device < devices; ++device) {
        is_new = is_new || (next[device] < count && projected[device] >= next[device]);
      }
      if (is_new) {
        const std::vector<long> kept = newest(db.run_prepared("history"));
        const Time now = Clock::now();
        for (long device = 0; device < devices; ++device) {
          const long newest_visible = std::min(projected[device], kept[device]);
          for (long& probe = next[device]; probe < count && probe <= newest_visible;
               probe += devices, ++seen) {
            probes_[probe].visible = now;
            latest_delay_ =
                std::chrono::duration_cast<microseconds>(now - probes_[probe].due).count();
          }
        }
      }
      at = std::max(at + std::chrono::milliseconds(2), Clock::now());
      std::this_thread::sleep_until(at);
    }
  }

  long sent() const { return sent_; }
  // Of the probe seen last, in milliseconds.
  double latest_delay() const { return static_cast<double>(latest_delay_) / 1000; }
  const std::vector<Probe>& probes() const { return probes_; }

 private:
  // Of rows of device and value: by device, the greatest probe, or -1.
  std::vector<long> newest(const Result& rows) const {
    std::vector<long> probes(devices, -1);
    for (int row = 0; row < rows.rows(); ++row) {
      probes[rows.number(row, 0) - first_device_] = rows.number(row, 1) - base_;
    }
    return probes;
  }

  const Registry& registry_;
  bool uses_ingest_;
  long first_device_;
  long base_ =
      std::chrono::duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();            // above the numbers of all earlier runs
  std::vector<Probe> probes_;  // fixed in length: each field is written by one thread
  std::atomic<long> sent_{0};
  std::atomic<long> latest_delay_{0};
};

}  // namespace bench
