// How far the server is, and what the flush worker costs.
#pragma once

#include <unistd.h>

#include <fstream>
#include <sstream>

#include "client.hpp"

namespace bench {

// What the server has done so far: one look.
struct Progress {
  long flushed;  // rejected ones included
  int worker;    // process id, 0 without one
  double worker_cpu;
};

// User and system time, in seconds.
inline double cpu_of(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) {
    return 0;
  }
  std::istringstream fields(line.substr(name_end + 2));
  std::string skipped;
  for (int field = 3; field < 14; ++field) {
    fields >> skipped;
  }
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

inline Progress look(Connection& db) {
  const auto row =
      db.run("SELECT flushed + rejected, coalesce(eav._worker_pid(), 0) FROM eav.flush_state");
  const auto pid = static_cast<int>(row.number(0, 1));
  return {static_cast<long>(row.number(0, 0)), pid, pid == 0 ? 0 : cpu_of(pid)};
}

}  // namespace bench
