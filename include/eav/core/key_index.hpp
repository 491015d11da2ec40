// Numbers the distinct (tenant, name) pairs of a batch 0, 1, 2, ... in order of appearance.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "eav/core/arena.hpp"
#include "eav/core/core_only.hpp"

namespace eav::core {

struct NameKey {
  std::int64_t tenant_id;
  std::string_view name;  // must outlive the index
};

class KeyIndex {
 public:
  explicit KeyIndex(const Arena& arena) : keys_(arena), slots_(arena) {}

  // The number of the pair; a new one when it has not been seen.
  std::uint32_t number_of(const NameKey& key) {
    if (keys_.size() * 2 >= slots_.size()) {
      grow();
    }
    std::uint32_t& slot = find_slot(key);
    if (slot == empty) {
      slot = static_cast<std::uint32_t>(keys_.size());
      keys_.push_back(key);
    }
    return slot;
  }

  // The number of the pair; size() when it has not been seen.
  std::size_t find(const NameKey& key) {
    const std::uint32_t number = slots_.empty() ? empty : find_slot(key);
    return number == empty ? keys_.size() : number;
  }

  const NameKey& operator[](std::size_t number) const { return keys_[number]; }
  std::size_t size() const { return keys_.size(); }

 private:
  static constexpr std::uint32_t empty = UINT32_MAX;

  std::uint32_t& find_slot(const NameKey& key) {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = std::hash<std::string_view>()(key.name) ^
                     (static_cast<std::uint64_t>(key.tenant_id) * 0x9E3779B97F4A7C15ULL);
    for (at &= mask;; at = (at + 1) & mask) {
      const std::uint32_t number = slots_[at];
      if (number == empty ||
          (keys_[number].tenant_id == key.tenant_id && keys_[number].name == key.name)) {
        return slots_[at];
      }
    }
  }

  void grow() {
    const std::size_t size = slots_.empty() ? 64 : slots_.size() * 2;
    slots_.clear();
    slots_.reserve(size);
    for (std::size_t i = 0; i < size; ++i) {
      slots_.push_back(empty);
    }
    for (std::size_t number = 0; number < keys_.size(); ++number) {
      find_slot(keys_[number]) = static_cast<std::uint32_t>(number);
    }
  }

  ArenaVector<NameKey> keys_;
  ArenaVector<std::uint32_t> slots_;  // a power of two of them, at most half full
};

}  // namespace eav::core
