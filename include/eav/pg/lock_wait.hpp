// Writing rows that a client may hold uncommitted, without ever waiting for that client.
#pragma once

#include <span>

#include "eav/core/arena.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/spi.hpp"
#include "eav/pg/subtransaction.hpp"

namespace eav::pg {

// What to do about a row that another open transaction holds: a flush skips it, for it serves
// everybody; a client's own statement waits, as any statement does.
enum class OnLock : uint8 { skip, wait };

// Runs body(span), which inserts one row per element. With skip, elements for which is_held()
// says that an open transaction has their key are left out beforehand. Should another key be
// taken in between, a subtransaction gives up when it has to wait for it, and goes on element
// by element. True when none was left out. Other errors are raised.
template <typename Element, typename IsHeld, typename Body>
bool insert_rows(std::span<const Element> elements, OnLock on_lock, IsHeld&& is_held, Body&& body) {
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
  core::ArenaVector<Element> free(arena_of(CurrentMemoryContext));
  for (const Element& element : elements) {
    if (!is_held(element)) {
      free.push_back(element);
    }
  }
  bool complete = free.size() == elements.size();
  const std::span<const Element> wanted(free.data(), free.size());
  if (wanted.empty() || run(wanted, "20ms")) {
    return complete;
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    complete = run(wanted.subspan(i, 1), "1ms") && complete;
  }
  return complete;
}

}  // namespace eav::pg
