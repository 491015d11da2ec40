// Writing values is not reentrant: what a flush, an upsert or a move of an attribute works with,
// such as entries of the registry and the source of a COPY, is there once in a backend, and whoever
// begins anew takes it away. Triggers of users run in the middle of it, and may call anything.
#pragma once

#include "eav/pg/guard.hpp"

namespace eav::flush {

// Between them an error must be caught; run_alone() does. Raises 55000 when somebody has begun.
void begin_alone(const char* what);
void end_alone();

// Runs body, and raises when it was called from inside of another. `what` is for the message.
template <typename Body>
void run_alone(const char* what, Body&& body) {
  begin_alone(what);
  PG_TRY();
  { pg::guarded(body); }
  PG_FINALLY();
  { end_alone(); }
  PG_END_TRY();
}

}  // namespace eav::flush
