// The border between C++ and the server: the one way from SQL into our code.
//
// A C++ exception must not reach the server's C frames, and the server's errors (longjmp) must
// not be stopped by us. guarded() runs the body; an exception becomes an error of the server
// with its SQLSTATE, detail and hint, raised after the catch block has been left. The server's
// own errors pass through untouched; the code they jump over holds nothing that needs a
// destructor (see CONTRIBUTING.md).
#pragma once

#include <exception>
#include <new>

#include "eav/core/error.hpp"
#include "eav/pg/library.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::pg {

// Plain memory, so that it may be alive when the error is raised.
struct ErrorReport {
  int sqlstate;
  char message[1024];
  char detail[1024];
  char hint[1024];
};

void describe(const core::Error& error, ErrorReport& report);
void describe(int sqlstate, const char* message, ErrorReport& report);
[[noreturn]] void raise(const ErrorReport& report);

template <typename Body>
auto guarded(Body&& body) -> decltype(body()) {
  ErrorReport report;
  try {
    return body();
  } catch (const core::Error& error) {
    describe(error, report);
  } catch (const std::bad_alloc&) {
    describe(ERRCODE_OUT_OF_MEMORY, "out of memory", report);
  } catch (const std::exception& error) {
    describe(ERRCODE_INTERNAL_ERROR, error.what(), report);
  } catch (...) {
    describe(ERRCODE_INTERNAL_ERROR, "unknown C++ exception", report);
  }
  raise(report);
}

}  // namespace eav::pg

// Defines a function callable from SQL: EAV_FUNCTION(eav_name) { ... fcinfo ... }. It raises an
// error when the SQL in the database is not of the version of this library.
#define EAV_FUNCTION(name) EAV_GUARDED_FUNCTION(name, eav::pg::check_sql())
// The same for what has to work in between: functions whose answer depends on their arguments
// alone, for they are in constraints and indexes.
#define EAV_UNCHECKED_FUNCTION(name) EAV_GUARDED_FUNCTION(name, static_cast<void>(0))

#define EAV_GUARDED_FUNCTION(name, check)            \
  static Datum name##_body(FunctionCallInfo fcinfo); \
  extern "C" {                                       \
  PGDLLEXPORT PG_FUNCTION_INFO_V1(name);             \
  PGDLLEXPORT Datum name(FunctionCallInfo fcinfo) {  \
    return eav::pg::guarded([&] {                    \
      check;                                         \
      return name##_body(fcinfo);                    \
    });                                              \
  }                                                  \
  }                                                  \
  static Datum name##_body([[maybe_unused]] FunctionCallInfo fcinfo)
