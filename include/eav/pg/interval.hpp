// Intervals as one number: a day has 24 hours, a month 30 days.
#pragma once

#include "eav/pg/postgres.hpp"

extern "C" {
#include <datatype/timestamp.h>
}

namespace eav::pg {

// At most 100 years either way, so that there is room for arithmetic.
inline int64 milliseconds_of(const Interval& interval) {
  constexpr int64 day = USECS_PER_DAY / 1000;
  constexpr int64 longest = int64{100} * 366 * day;
  const int64 days = interval.day + static_cast<int64>(interval.month) * DAYS_PER_MONTH;
  return Max(-longest, Min(days * day + interval.time / 1000, longest));
}

}  // namespace eav::pg
