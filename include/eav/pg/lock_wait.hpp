// Writing rows that a client may hold uncommitted, without ever waiting for that client.
#pragma once

#include <span>

#include "eav/pg/spi.hpp"
#include "eav/pg/subtransaction.hpp"

namespace eav::pg {

// What to do about a row that another open transaction holds: a flush skips it, for it serves
// everybody; a client's own statement waits, as any statement does.
enum class OnLock : uint8 { skip, wait };

// Runs body(span), which inserts or updates one row per element. With skip, in a subtransaction
// that gives up when it has to wait for a lock; then element by element, so that only those
// whose row is held are left out. True when none was. Other errors are raised.
template <typename Element, typename Body>
bool write_rows(std::span<const Element> elements, OnLock on_lock, Body&& body) {
  if (on_lock == OnLock::wait) {
    body(elements);
    return true;
  }
  const auto run = [&body](std::span<const Element> some, const char* timeout) {
    ErrorData* const error = attempt([&] {
      const int nest = NewGUCNestLevel();
      set_local("lock_timeout", timeout);
      body(some);
      AtEOXact_GUC(true, nest);
    });
    if (error != nullptr && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE) {
      ReThrowError(error);
    }
    return error == nullptr;
  };
  if (elements.empty() || run(elements, "20ms")) {
    return true;
  }
  bool complete = true;
  for (std::size_t i = 0; i < elements.size(); ++i) {
    complete = run(elements.subspan(i, 1), "1ms") && complete;
  }
  return complete;
}

}  // namespace eav::pg
