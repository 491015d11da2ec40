// Work that may fail without taking the transaction with it.
#pragma once

#include "eav/pg/guard.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::pg {

// Runs body in a subtransaction. Null when it succeeded; otherwise it has been rolled back and
// the error is returned, allocated in the current memory context. C++ exceptions count as
// errors. Interrupts (cancel, shutdown) are errors too: see must_not_swallow().
template <typename Body>
ErrorData* attempt(Body&& body) {
  MemoryContext const context = CurrentMemoryContext;
  ResourceOwner const owner = CurrentResourceOwner;
  ErrorData* volatile error = nullptr;

  BeginInternalSubTransaction(nullptr);
  MemoryContextSwitchTo(context);
  PG_TRY();
  {
    guarded(body);
    ReleaseCurrentSubTransaction();
  }
  PG_CATCH();
  {
    MemoryContextSwitchTo(context);
    error = CopyErrorData();
    FlushErrorState();
    RollbackAndReleaseCurrentSubTransaction();
  }
  PG_END_TRY();
  MemoryContextSwitchTo(context);
  CurrentResourceOwner = owner;
  return error;
}

// True for errors that say nothing about the values being worked on: the server is out of
// something, was told to stop, met a lock or a deadlock, or is broken inside; or what somebody
// defined is broken (a trigger names a table that is gone) or not permitted. Class 25, 40, 42,
// 53, 55, 57, 58 and XX of the SQLSTATEs.
bool must_not_swallow(const ErrorData* error);

// The five characters of a SQLSTATE, in static memory that the next call overwrites.
const char* sqlstate_text(int sqlstate);

}  // namespace eav::pg
