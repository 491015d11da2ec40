// A fleet of devices that sends events at a fixed rate, and what that does to the database.
//
//   fleet [name=value ...] [summary=FILE]      names and defaults: struct Options
//
// Producers write into staging by COPY, one small transaction per connection and interval, or call
// eav.ingest() (calls=N). Everything is sent at times that a schedule fixes beforehand; who is late
// sends at once, and the lateness is part of the latencies: a server that stalls cannot hide by
// slowing us down. At rate 0 there is no schedule: the next call follows when the last has
// returned, and, with a window, when less than that is under way to the flush.
//
// Probes are events of devices of their own, each with the next number as its value, committed
// on a schedule too, in the same way. A second connection reads the projection of the probe devices
// every 2 ms, and history when it shows something new; a probe counts as visible when the answers
// that show its number in both have arrived.
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
                                                 {"names", &options.names},
                                                 {"calls", &options.calls},
                                                 {"window", &options.window}};
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
      options.attributes > 1000 || options.seconds < 1 ||
      (options.rate == 0 && options.calls == 0)) {
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
  std::atomic<long> values_sent{0};     // committed by the fleet
  std::atomic<long> values_flushed{0};  // as far as the monitor knows
  std::atomic<bool> failed{false};
  std::mutex mutex;  // of the error
  std::string error;
};

// The transactions of one connection. By a schedule, their times, and how many events each carries,
// are fixed by the rate alone.
class Producer {
 public:
  Producer(Run& run, long number) : run_(run), number_(number) {}

  void produce() {
    Connection db("fleet producer");
    db.prepare("ingest", "SELECT eav.ingest($1::text)");
    if (run_.options.rate == 0) {
      produce_at_once(db);
    } else {
      produce_by_schedule(db);
    }
  }

  Samples late;       // begun after its time
  Samples committed;  // from its time to its commit

 private:
  void produce_by_schedule(Connection& db) {
    const Options& options = run_.options;
    const auto interval = std::chrono::milliseconds(options.interval);
    const double events_per_tick =
        static_cast<double>(options.rate * options.interval) /
        static_cast<double>(1000 * options.attributes * options.connections);
    Time due = run_.start + interval * number_ / options.connections;
    for (long tick = 1; due < run_.end && !run_.failed; ++tick, due += interval) {
      const long until = std::lround(std::floor(static_cast<double>(tick) * events_per_tick));
      if (until == sent_) {
        continue;
      }
      std::vector<std::string> transactions;
      while (sent_ < until) {
        const long most = options.calls == 0 ? until - sent_ : options.calls;
        transactions.push_back(next_events(std::min(most, until - sent_), due));
      }
      std::this_thread::sleep_until(due);
      const bool is_measured = due >= run_.measure_from;
      if (is_measured) {
        late.add(Clock::now() - due);
      }
      for (const std::string& events : transactions) {
        commit(db, events);
        if (is_measured) {
          committed.add(Clock::now() - due);
        }
      }
    }
  }

  void produce_at_once(Connection& db) {
    const Options& options = run_.options;
    std::this_thread::sleep_until(run_.start);
    for (Time now = Clock::now(); now < run_.end && !run_.failed; now = Clock::now()) {
      if (options.window > 0 && run_.values_sent - run_.values_flushed > options.window) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      commit(db, next_events(options.calls, now));
      if (now >= run_.measure_from) {
        committed.add(Clock::now() - now);
      }
    }
  }

  std::string next_events(long count, Time at) {
    const Options& options = run_.options;
    const std::string text = run_.calendar.text(at);
    std::string events;
    for (; count > 0; --count, ++sent_) {
      const long event = sent_ * options.connections + number_;
      add_event(run_.registry, form_, event % options.devices + 1, event / options.devices, text,
                events);
    }
    return events;
  }

  void commit(Connection& db, const std::string& events) {
    if (run_.options.calls > 0) {
      db.run_prepared("ingest", events);
    } else {
      db.copy(copy_command(form_), {&events, 1});
    }
    // A line is an event in JSON, and a value of one in COPY.
    const long lines = std::count(events.begin(), events.end(), '\n');
    run_.values_sent += lines * (run_.options.calls > 0 ? run_.options.attributes : 1);
  }

  Run& run_;
  long number_;
  Form form_ = form_of(run_.options);
  long sent_ = 0;  // events
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
  long sent_before, sent;  // values, at these times
  double drain;            // seconds from the end until all was flushed
  long left_behind;        // values that were not flushed five minutes after the end
};

// Reports until the end of the run, then waits for the flush of what was sent.
Outcome follow(Run& run, const Probes& probes, Connection& db) {
  Outcome outcome{};
  const Progress begin = look(db);
  const auto sent = [&] { return run.values_sent + probes.sent(); };
  const auto look_again = [&] {
    const Progress now = look(db);
    run.values_flushed = now.flushed - begin.flushed;
    return now;
  };
  long last = 0;
  for (long second = 0; second <= run.options.warmup + run.options.seconds && !run.failed;
       ++second) {
    const Time at = run.start + std::chrono::seconds(second);
    while (run.options.window > 0 && Clock::now() + std::chrono::milliseconds(10) < at) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      look_again();
    }
    std::this_thread::sleep_until(at);
    const Progress now = look_again();
    const long total = sent();
    if (second == run.options.warmup) {
      outcome.measure_from = now;
      outcome.sent_before = total;
    }
    outcome.end = now;
    outcome.sent = total;
    if (second > 0) {
      show_progress(second, total - last, std::max(0L, total - run.values_flushed),
                    probes.latest_delay());
    }
    last = total;
  }
  const Time end = Clock::now();
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    look_again();
    outcome.left_behind = sent() - run.values_flushed;
    outcome.drain = seconds(Clock::now() - end);
  } while (outcome.left_behind > 0 && Clock::now() < end + std::chrono::minutes(5) && !run.failed);
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
  after_commit.print("commit to visible");
  after_due.print("scheduled time to visible");
  committed.print("scheduled time to committed");
  late.print("transactions begun late by");
  const double flush_rate =
      static_cast<double>(outcome.end.flushed - outcome.measure_from.flushed) /
      static_cast<double>(run.options.seconds);
  const double accepted_rate = static_cast<double>(outcome.sent - outcome.sent_before) /
                               static_cast<double>(run.options.seconds);
  const bool same_worker =
      outcome.end.worker != 0 && outcome.end.worker == outcome.measure_from.worker;
  const double cpu = 100 * (outcome.end.worker_cpu - outcome.measure_from.worker_cpu) /
                     static_cast<double>(run.options.seconds);
  std::printf("%-34s %.0f values/s sent, %.0f flushed; worker at %s %% of one core\n", "throughput",
              accepted_rate, flush_rate,
              same_worker ? std::to_string(cpu).substr(0, 4).c_str() : "?");
  std::ostringstream out;
  out << "values=" << run.values_sent << "\nprobes=" << probes.probes().size()
      << "\nprobes_unseen=" << unseen << "\nleft_behind=" << outcome.left_behind
      << "\ndrain_s=" << outcome.drain << "\nsent_per_s=" << accepted_rate
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
