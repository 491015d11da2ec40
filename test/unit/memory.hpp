// An arena on malloc that counts, so that tests see what is still allocated.
#pragma once

#include <cstdlib>
#include <map>
#include <new>

#include "eav/core/arena.hpp"

namespace eav::test {

class CountingArena {
 public:
  CountingArena() = default;
  CountingArena(const CountingArena&) = delete;
  CountingArena& operator=(const CountingArena&) = delete;
  ~CountingArena() {
    for (const auto& [memory, bytes] : blocks_) {
      std::free(memory);
    }
  }

  core::Arena arena() {
    return {[](void* self, std::size_t bytes) {
              return static_cast<CountingArena*>(self)->allocate(bytes);
            },
            [](void* self, void* memory) { static_cast<CountingArena*>(self)->release(memory); },
            this};
  }

  std::size_t blocks() const { return blocks_.size(); }
  std::size_t allocations() const { return allocations_; }
  bool released_unknown() const { return released_unknown_; }
  void fail_from_now_on() { fails_ = true; }

 private:
  void* allocate(std::size_t bytes) {
    void* const memory = fails_ ? nullptr : std::malloc(bytes);
    if (memory == nullptr) {
      throw std::bad_alloc();
    }
    blocks_[memory] = bytes;
    ++allocations_;
    return memory;
  }
  void release(void* memory) {
    released_unknown_ = released_unknown_ || blocks_.erase(memory) == 0;
    std::free(memory);
  }

  std::map<void*, std::size_t> blocks_;
  std::size_t allocations_ = 0;
  bool released_unknown_ = false;
  bool fails_ = false;
};

}  // namespace eav::test
