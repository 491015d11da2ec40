// Our areas of the server's shared memory.
#pragma once

#include <span>

#include "eav/pg/postgres.hpp"

namespace eav::pg {

struct SharedArea {
  const char* name;
  // Too large for the reserve that every server keeps for latecomers.
  bool needs_preload;
  Size (*size)();
  void (*initialize)(void* memory);
  void* memory;  // in this process; null when there is none (yet)
};

// While the server loads shared_preload_libraries: asks for all of them.
void request_shared_memory(std::span<SharedArea* const> areas);

// The area, made by the first process that asks when the library was not preloaded; null when it
// needs that. Raises out_of_memory when the server's reserve is exhausted, and
// object_not_in_prerequisite_state when a library of another version has made it.
void* shared_memory(SharedArea& area);

}  // namespace eav::pg
