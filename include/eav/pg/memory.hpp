// Memory contexts for C++.
#pragma once

#include "eav/core/arena.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::pg {

// Allocations above 1 GB are allowed; running out raises the server's error.
inline core::Arena arena_of(MemoryContext context) {
  return {[](void* in, std::size_t bytes) {
            return MemoryContextAllocHuge(static_cast<MemoryContext>(in), bytes);
          },
          [](void* /*in*/, void* memory) { pfree(memory); }, context};
}

}  // namespace eav::pg
