// The clock of the server, and by what one can tell later that it has been set meanwhile.
#pragma once

#include "eav/pg/postgres.hpp"

extern "C" {
#include <utils/uuid.h>
}

namespace eav::pg {

struct ClockReading {
  TimestampTz now;
  // When the machine was started, by this clock: it moves when the clock is set, and else never.
  TimestampTz booted_at;
  pg_uuid_t boot;  // which start that was; only readings of the same one can be compared
  bool has_boot;   // false where the system does not say
};
ClockReading read_clock();

}  // namespace eav::pg
