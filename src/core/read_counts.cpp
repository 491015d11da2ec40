#include "eav/core/read_counts.hpp"

namespace eav::core {

namespace {

std::uint64_t hash(std::uint64_t key) {
  key *= 0x9E3779B97F4A7C15ULL;
  return key ^ (key >> 32U);
}

}  // namespace

ReadCounts::ReadCounts(std::uint32_t capacity) : capacity_(capacity), dropped_(0) {
  for (std::uint32_t i = 0; i < capacity; ++i) {
    new (slots() + i) Slot{};
  }
}

ReadCounts::Slot* ReadCounts::claim(std::uint64_t key) {
  const std::uint64_t home = hash(key);
  for (std::uint32_t distance = 0; distance < max_distance; ++distance) {
    Slot& slot = slots()[(home + distance) & (capacity_ - 1)];
    std::uint64_t present = slot.key.load(std::memory_order_relaxed);
    // When another one is faster, that is what is there now.
    if (present == key || (present == 0 && (slot.key.compare_exchange_strong(
                                                present, key, std::memory_order_relaxed) ||
                                            present == key))) {
      return &slot;
    }
  }
  return nullptr;
}

void ReadCounts::count(const ReadKey& key, Counter Slot::*counter) {
  Slot* const slot = claim(packed(key));
  (slot != nullptr ? slot->*counter : dropped_).fetch_add(1, std::memory_order_relaxed);
}

bool ReadCounts::has_counts(std::uint32_t database) const {
  bool found = false;
  look(database, [&found](const ReadCount& /*count*/) { found = true; });
  return found;
}

}  // namespace eav::core
