// Memory contexts for C++.
#pragma once

#include <new>

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

// The same, but running out throws std::bad_alloc: for core code that holds what needs a
// destructor.
inline core::Arena throwing_arena_of(MemoryContext context) {
  return {[](void* in, std::size_t bytes) {
            void* const memory = MemoryContextAllocExtended(static_cast<MemoryContext>(in), bytes,
                                                            MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
            return memory != nullptr ? memory : throw std::bad_alloc();
          },
          [](void* /*in*/, void* memory) { pfree(memory); }, context};
}

}  // namespace eav::pg
