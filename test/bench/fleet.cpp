// A fleet of devices that sends events at a fixed rate, and what that does to the database.
//
//   fleet [name=value ...] [summary=FILE]      names and defaults: struct Options
//
// Producers write into staging by COPY, one small transaction per connection and interval.
// Everything is sent at times that a schedule fixes beforehand; who is late sends at once, and
// the lateness is part of the latencies: a server that stalls cannot hide by slowing us down.
//
// Probes are events of devices of their own, each with the next number as its value, committed
// on a schedule too. A second connection reads the projection of the probe devices every 2 ms;
// a probe counts as visible when the answer that shows its number has arrived.
//
// The summary is lines of name=value, for scripts; without a file they come last.
#include <unistd.h>

#include <cmath>
#include <deque>
#include <mutex>

#include "fleet/probes.hpp"
#include "fleet/server.hpp"

namespace bench {
namespace {

Options read_options(int count, char** arguments) {
  Options options;
  const std::pair<const char*, long*> known[] = {{"devices", &options.devices},
                                                 {"tenants", &options.tenants},
                                                 {"attributes", &options.attributes},
                                                 {"rate", &options.rate},
                                                 {"seconds", &options.seconds},
                                                 {"warmup", &options.warmup},
                                                 {"connections", &options.connections},
                                                 {"interval", &options.interval},
                                                 {"probe_interval", &options.probe_interval},
                                                 {"names", &options.names}};
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const std::size_t split = argument.find('=');
    if (argument.substr(0, split) == "summary") {
      options.summary = argument.substr(split + 1);
      continue;
    }
    const auto* const option = std::find_if(
        std::begin(known), std::end(known),
        [&](const auto& candidate) { return argument.substr(0, split) == candidate.first; });
    char* end = nullptr;
    const long value =
        split == std::string::npos ? -1 : std::strtol(&argument[split + 1], &end, 10);
    if (option == std::end(known) || value < 0 || end == &argument[split + 1] || *end != '\0') {
      throw std::invalid_argument("not understood: " + argument);
    }
    *option->second = value;
  }
  if (options.devices < 1 || options.tenants < 1 || options.connections < 1 ||
      options.interval < 1 || options.probe_interval < 1 || options.attributes < 1 ||
      options.attributes > 1000 || options.rate < 1 || options.seconds < 1) {
    throw std::invalid_argument("an option is out of range");
  }
  return options;
}

// What the threads share.
struct Run {
  Options options;
  Registry registry;
  Calendar calendar;
  Time start, measure_from, end;
  std::atomic<long> values_sent{0};  // committed by the fleet
  std::atomic<bool> failed{false};
  std::mutex mutex;  // of the error
  std::string error;
};

// The transactions of one connection. Their times, and how many events each carries, are fixed
// by the rate alone.
class Producer {
 public:
  Producer(Run& run, long number) : run_(run), number_(number) {}

  void produce() {
    const Options& options = run_.options;
    const std::string command =
        std::string("COPY eav.entity_values_ingest (tenant_id, ") +
        (options.names != 0
             ? "entity, attribute, observed_at, value)"
             : "entity_id, attribute_id, observed_at, value_float, value_int, value_bool, "
               "value_text)") +
        " FROM STDIN";
    Connection db("fleet producer");
    const auto interval = std::chrono::milliseconds(options.interval);
    const double events_per_tick =
        static_cast<double>(options.rate * options.interval) /
        static_cast<double>(1000 * options.attributes * options.connections);
    Time due = run_.start + interval * number_ / options.connections;
    long sent = 0;
    for (long tick = 1; due < run_.end && !run_.failed; ++tick, due += interval) {
      const long until = std::lround(std::floor(static_cast<double>(tick) * events_per_tick));
      if (until == sent) {
        continue;
      }
      const long values = (until - sent) * options.attributes;
      std::string rows;
      for (; sent < until; ++sent) {
        const long event = sent * options.connections + number_;
        add_event(run_.registry, options.names != 0, event % options.devices + 1,
                  event / options.devices, run_.calendar.text(due), rows);
      }
      std::this_thread::sleep_until(due);
      const Time begun = Clock::now();
      db.copy(command, rows);
      if (due >= run_.measure_from) {
        late.add(begun - due);
        committed.add(Clock::now() - due);
      }
      run_.values_sent += values;
    }
  }

  Samples late;       // begun after its time
  Samples committed;  // from its time to its commit

 private:
  Run& run_;
  long number_;
};

// Runs the body in a thread; an exception ends the whole run.
template <typename Body>
std::thread in_thread(Run& run, Body&& body) {
  return std::thread([&run, body = std::forward<Body>(body)] {
    try {
      body();
    } catch (const std::exception& exception) {
      const std::scoped_lock lock(run.mutex);
      run.error = exception.what();
      run.failed = true;
    }
  });
}

// A line that replaces itself on a terminal, and one every five seconds elsewhere.
void show_progress(long second, long per_second, long backlog, double delay) {
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  if (terminal || second % 5 == 0) {
    std::printf("%s   %3ld s   %7ld values/s   staged backlog %7ld   delay %6.0f ms %s",
                terminal ? "\r" : "", second, per_second, backlog, delay, terminal ? "" : "\n");
    std::fflush(stdout);
  }
}

struct Outcome {
  Progress measure_from, end;
  long left_behind;  // values that were not flushed a minute after the end
};

// Reports until the end of the run, then waits for the flush of what was sent.
Outcome follow(Run& run, const Probes& probes, Connection& db) {
  Outcome outcome{};
  const Progress begin = look(db);
  const auto sent = [&] { return run.values_sent + probes.sent(); };
  long last = 0;
  for (long second = 0; second <= run.options.warmup + run.options.seconds && !run.failed;
       ++second) {
    std::this_thread::sleep_until(run.start + std::chrono::seconds(second));
    const Progress now = look(db);
    const long total = sent();
    if (second == run.options.warmup) {
      outcome.measure_from = now;
    }
    outcome.end = now;
    if (second > 0) {
      show_progress(second, total - last, std::max(0L, total - (now.flushed - begin.flushed)),
                    probes.latest_delay());
    }
    last = total;
  }
  const Time deadline = Clock::now() + std::chrono::minutes(1);
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    outcome.left_behind = sent() - (look(db).flushed - begin.flushed);
  } while (outcome.left_behind > 0 && Clock::now() < deadline && !run.failed);
  if (isatty(STDOUT_FILENO) != 0) {
    std::printf("\n");
  }
  return outcome;
}

void summarize(std::ostream& out, const char* name, Samples& samples) {
  for (const auto& [label, share] :
       {std::pair{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1.0}}) {
    out << name << '_' << label << "_ms=" << samples.percentile(share) << '\n';
  }
}

// True when nothing was lost on the way.
bool report(const Run& run, const Probes& probes, std::deque<Producer>& producers,
            const Outcome& outcome) {
  Samples after_commit;
  Samples after_due;
  Samples late;
  Samples committed;
  long unseen = 0;
  for (const Probes::Probe& probe : probes.probes()) {
    if (probe.visible == Time{}) {
      ++unseen;
    } else if (probe.due >= run.measure_from) {
      after_commit.add(std::max(probe.visible - probe.committed, Clock::duration::zero()));
      after_due.add(probe.visible - probe.due);
    }
  }
  for (const Producer& producer : producers) {
    late.add(producer.late);
    committed.add(producer.committed);
  }
  after_commit.print("commit to visible in projection");
  after_due.print("scheduled time to visible");
  committed.print("scheduled time to committed");
  late.print("transactions begun late by");
  const double flush_rate =
      static_cast<double>(outcome.end.flushed - outcome.measure_from.flushed) /
      static_cast<double>(run.options.seconds);
  const bool same_worker =
      outcome.end.worker != 0 && outcome.end.worker == outcome.measure_from.worker;
  const double cpu = 100 * (outcome.end.worker_cpu - outcome.measure_from.worker_cpu) /
                     static_cast<double>(run.options.seconds);
  std::printf("%-34s %.0f values/s flushed, %ld offered; worker at %s %% of one core\n",
              "throughput", flush_rate, run.options.rate,
              same_worker ? std::to_string(cpu).substr(0, 4).c_str() : "?");
  std::ostringstream out;
  out << "values=" << run.values_sent << "\nprobes=" << probes.probes().size()
      << "\nprobes_unseen=" << unseen << "\nleft_behind=" << outcome.left_behind
      << "\nflushed_per_s=" << flush_rate << '\n';
  summarize(out, "visible", after_commit);
  summarize(out, "visible_since_due", after_due);
  summarize(out, "committed", committed);
  summarize(out, "late", late);
  if (same_worker) {
    out << "worker_cpu_percent=" << cpu << '\n';
  }
  if (run.options.summary.empty()) {
    std::printf("\n%s", out.str().c_str());
  } else if (!(std::ofstream(run.options.summary) << out.str())) {
    throw std::runtime_error("cannot write " + run.options.summary);
  }
  return unseen == 0 && outcome.left_behind <= 0;
}

bool run_fleet(const Options& options) {
  Run run;
  run.options = options;
  Connection db("fleet monitor");
  run.registry = register_fleet(db, options);
  run.start = Clock::now() + std::chrono::milliseconds(500);
  run.measure_from = run.start + std::chrono::seconds(options.warmup);
  run.end = run.measure_from + std::chrono::seconds(options.seconds);
  Probes probes(run.registry, options, run.start, run.end);

  std::deque<Producer> producers;
  std::vector<std::thread> threads;
  for (long number = 0; number < options.connections; ++number) {
    Producer& producer = producers.emplace_back(run, number);
    threads.push_back(in_thread(run, [&producer] { producer.produce(); }));
  }
  threads.push_back(
      in_thread(run, [&] { probes.send(run.calendar, [&] { return run.failed.load(); }); }));
  std::atomic<bool> finished{false};
  std::thread watcher =
      in_thread(run, [&] { probes.watch([&] { return run.failed || finished; }); });
  Outcome outcome{};
  std::thread follower = in_thread(run, [&] { outcome = follow(run, probes, db); });
  for (std::thread& thread : threads) {
    thread.join();
  }
  follower.join();
  // What has been flushed is visible now: one more look finds it.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  finished = true;
  watcher.join();
  if (run.failed) {
    throw std::runtime_error(run.error);
  }
  return report(run, probes, producers, outcome);
}

}  // namespace
}  // namespace bench

int main(int count, char** arguments) {
  try {
    return bench::run_fleet(bench::read_options(count, arguments)) ? 0 : 1;
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "fleet: %s\n", exception.what());
    return 2;
  }
}
