#include "eav/pg/clock.hpp"

#include <ctime>

extern "C" {
#include <fmgr.h>
#include <storage/fd.h>
#include <utils/builtins.h>
#include <utils/fmgrprotos.h>
#include <utils/timestamp.h>
}

namespace eav::pg {

namespace {

// Counts while the machine sleeps, and is not set by anybody.
#ifdef CLOCK_BOOTTIME
constexpr clockid_t steady_clock = CLOCK_BOOTTIME;
#else
constexpr clockid_t steady_clock = CLOCK_MONOTONIC;
#endif

struct Boot {
  pg_uuid_t id;
  bool is_known;
};

// Of Linux. Elsewhere no two readings are compared.
Boot read_boot() {
  constexpr std::size_t length = 36;
  char text[length + 1] = {};
  Boot boot{};
  FILE* const file = AllocateFile("/proc/sys/kernel/random/boot_id", "r");
  if (file == nullptr) {
    return boot;
  }
  boot.is_known = fread(text, 1, length, file) == length;
  FreeFile(file);
  if (boot.is_known) {
    boot.id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
  }
  return boot;
}

}  // namespace

ClockReading read_clock() {
  static bool has_looked = false;
  static Boot boot;
  if (!has_looked) {
    boot = read_boot();
    has_looked = true;
  }
  timespec steady{};
  clock_gettime(steady_clock, &steady);
  ClockReading reading{};
  reading.booted_at =
      GetCurrentTimestamp() - (steady.tv_sec * USECS_PER_SEC + steady.tv_nsec / 1000);
  reading.boot = boot.id;
  reading.has_boot = boot.is_known;
  // Last: when the clock is set just now, the reading tells of the clock as it was before.
  reading.now = GetCurrentTimestamp();
  return reading;
}

}  // namespace eav::pg
