// A thousand events a call from one connection: how fast they are accepted.
//
//   batches side=ingest|ingest_bytea|copy|copy_once values=N [devices=N] [events=N a call]
//   batches write=FILE values=N         the same events as NDJSON, without a server
//
// All is made before the time starts, which ends when the last commit has been answered; the way to
// the server counts. copy: a COPY, one transaction, for every thousand events; copy_once: a single
// one for all. The same numbers give the same events. Prints seconds, and the processor time of the
// server process and of this one.
#include <sys/resource.h>

#include "fleet/devices.hpp"
#include "fleet/server.hpp"

namespace bench {
namespace {

struct Load {
  std::string side;
  std::string file;
  long values = 0;
  long events = 1000;
  Options options;
};

Load read_load(int count, char** arguments) {
  Load load;
  load.options.attributes = 8;
  load.options.tenants = 1;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const std::size_t split = argument.find('=');
    const std::string name = argument.substr(0, split);
    const std::string value = split == std::string::npos ? "" : argument.substr(split + 1);
    if (name == "side") {
      load.side = value;
    } else if (name == "write") {
      load.file = value;
    } else if (name == "values") {
      load.values = std::atol(value.c_str());
    } else if (name == "events") {
      load.events = std::atol(value.c_str());
    } else if (name == "devices") {
      load.options.devices = std::atol(value.c_str());
    } else {
      throw std::invalid_argument("not understood: " + argument);
    }
  }
  constexpr std::string_view sides[] = {"ingest", "ingest_bytea", "copy", "copy_once"};
  const bool is_known = std::find(std::begin(sides), std::end(sides), load.side) != std::end(sides);
  if (load.values < load.options.attributes || load.events < 1 || load.options.devices < 1 ||
      is_known != load.file.empty()) {
    throw std::invalid_argument("an option is missing or out of range");
  }
  return load;
}

// The events of random devices, a millisecond apart.
std::vector<std::string> make_batches(const Load& load, const Registry& registry, Form form) {
  const Calendar calendar;
  const long events = load.values / load.options.attributes;
  const Time first = Clock::now() - std::chrono::milliseconds(events);
  std::vector<std::string> batches;
  for (long event = 0; event < events; ++event) {
    if (event % load.events == 0) {
      batches.emplace_back();
    }
    const auto device = static_cast<long>(mix(static_cast<std::uint64_t>(event) + 1) %
                                          static_cast<std::uint64_t>(load.options.devices));
    add_event(registry, form, device + 1, event,
              calendar.text(first + std::chrono::milliseconds(event)), batches.back());
  }
  return batches;
}

void send(Connection& db, const Load& load, const std::vector<std::string>& batches) {
  if (load.side == "copy_once") {
    db.copy(copy_command(Form::mixed), batches);
    return;
  }
  for (const std::string& batch : batches) {
    if (load.side == "copy") {
      db.copy(copy_command(Form::mixed), {&batch, 1});
    } else if (db.run_prepared("ingest", batch, load.side == "ingest_bytea").number(0, 0) != 0) {
      throw std::runtime_error("events were rejected");
    }
  }
}

double own_cpu() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds_of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

void measure(const Load& load) {
  Connection db("batches");
  const Registry registry = register_fleet(db, load.options);
  const bool is_copy = load.side.starts_with("copy");
  const auto batches = make_batches(load, registry, is_copy ? Form::mixed : Form::json);
  const std::string type = load.side == "ingest_bytea" ? "bytea" : "text";
  db.prepare("ingest", "SELECT (eav.ingest($1::" + type + ")).rejected");
  const int server = db.server_process();
  const double server_before = cpu_of(server);
  const double own_before = own_cpu();
  const Time start = Clock::now();
  send(db, load, batches);
  std::printf("%.4f %.2f %.2f\n", seconds(Clock::now() - start), cpu_of(server) - server_before,
              own_cpu() - own_before);
}

void write(const Load& load) {
  Registry registry;
  registry.tenants.emplace_back("1");
  for (long a = 0; a < load.options.attributes; ++a) {
    registry.attributes.push_back({sensors[a].name, sensors[a], {}});
  }
  std::ofstream file(load.file);
  for (const std::string& batch : make_batches(load, registry, Form::json)) {
    file << batch;
  }
  if (!file.flush()) {
    throw std::runtime_error("cannot write " + load.file);
  }
}

}  // namespace
}  // namespace bench

int main(int count, char** arguments) {
  try {
    const bench::Load load = bench::read_load(count, arguments);
    if (load.file.empty()) {
      bench::measure(load);
    } else {
      bench::write(load);
    }
    return 0;
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "batches: %s\n", exception.what());
    return 2;
  }
}
