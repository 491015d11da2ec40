// How often attributes are read: a table in shared memory that any process counts into without a
// lock, and that one process empties from time to time.
//
// Protocol. The slot of an attribute is found by open addressing within a few neighbours of its
// hash. Who finds none claims an empty one by writing its key with a compare-and-swap; where none
// is empty the count is dropped, and counted as dropped. Counters are added to and taken by
// exchange, so that a count is taken once. A slot in which a whole round has found nothing is given
// up: its key becomes zero.
//
// Races accepted, for these are statistics:
//  - A gap where a slot was given up lets an attribute that stands behind it claim a second slot.
//    Both are taken, with the same key: who takes adds them up.
//  - A process that has found its slot and is held up for as long as it takes to give that slot up
//    and claim it for another attribute counts for the other one, or for nobody if it is not
//    claimed.
//  - A process that ends between claiming and counting leaves an empty slot, given up later.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "eav/core/core_only.hpp"

namespace eav::core {

struct ReadKey {
  std::uint32_t database;  // not 0
  std::int32_t attribute_id;
};

struct ReadCount {
  std::int32_t attribute_id;
  std::uint64_t filters;
  std::uint64_t reads;
};

class ReadCounts {
 public:
  static constexpr std::size_t bytes(std::uint32_t capacity) {
    return sizeof(ReadCounts) + capacity * sizeof(Slot);
  }
  // In memory of that many bytes, aligned for 8; capacity is a power of two.
  static ReadCounts* create(void* memory, std::uint32_t capacity) {
    return new (memory) ReadCounts(capacity);
  }

  std::uint32_t capacity() const { return capacity_; }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  void count_filter(const ReadKey& key) { count(key, &Slot::filters); }
  void count_read(const ReadKey& key) { count(key, &Slot::reads); }

  bool has_counts(std::uint32_t database) const;
  // Calls see(ReadCount) for each slot of the database with counts in it.
  template <typename See>
  void look(std::uint32_t database, See&& see) const;
  // The same, and empties them; gives up slots that were empty, and those of databases for which
  // is_gone(database) is true. One process at a time for each database.
  template <typename See, typename IsGone>
  void take(std::uint32_t database, See&& see, IsGone&& is_gone);

 private:
  using Counter = std::atomic<std::uint64_t>;
  static_assert(Counter::is_always_lock_free);
  struct Slot {
    std::atomic<std::uint64_t> key;  // packed(); 0: nobody's
    Counter filters;
    Counter reads;
  };
  static constexpr std::uint32_t max_distance = 128;

  explicit ReadCounts(std::uint32_t capacity);
  static std::uint64_t packed(const ReadKey& key) {
    return std::uint64_t{key.database} << 32U | static_cast<std::uint32_t>(key.attribute_id);
  }
  static std::uint32_t database_of(std::uint64_t key) {
    return static_cast<std::uint32_t>(key >> 32U);
  }
  static std::int32_t attribute_of(std::uint64_t key) { return static_cast<std::int32_t>(key); }
  Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
  const Slot* slots() const { return reinterpret_cast<const Slot*>(this + 1); }
  Slot* claim(std::uint64_t key);
  void count(const ReadKey& key, Counter Slot::*counter);

  std::uint32_t capacity_;
  Counter dropped_;
};

template <typename See>
void ReadCounts::look(std::uint32_t database, See&& see) const {
  for (std::uint32_t i = 0; i < capacity_; ++i) {
    const Slot& slot = slots()[i];
    const std::uint64_t key = slot.key.load(std::memory_order_relaxed);
    if (key == 0 || database_of(key) != database) {
      continue;
    }
    const ReadCount count{attribute_of(key), slot.filters.load(std::memory_order_relaxed),
                          slot.reads.load(std::memory_order_relaxed)};
    if (count.filters + count.reads > 0) {
      see(count);
    }
  }
}

template <typename See, typename IsGone>
void ReadCounts::take(std::uint32_t database, See&& see, IsGone&& is_gone) {
  for (std::uint32_t i = 0; i < capacity_; ++i) {
    Slot& slot = slots()[i];
    const std::uint64_t key = slot.key.load(std::memory_order_relaxed);
    if (key == 0 || (database_of(key) != database && !is_gone(database_of(key)))) {
      continue;
    }
    const ReadCount count{attribute_of(key), slot.filters.exchange(0, std::memory_order_relaxed),
                          slot.reads.exchange(0, std::memory_order_relaxed)};
    if (database_of(key) != database || count.filters + count.reads == 0) {
      slot.key.store(0, std::memory_order_relaxed);
    } else {
      see(count);
    }
  }
}

}  // namespace eav::core
