// Memory for batches: allocated piecewise, released as a whole by its owner.
//
// Everything here is trivially destructible on purpose. In the server the arena is a memory
// context, and an error there leaves by longjmp, past every destructor (CONTRIBUTING.md): what a
// batch holds must not need one.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include "eav/core/core_only.hpp"

namespace eav::core {

struct Arena {
  // Never returns null: the implementation throws std::bad_alloc or raises the server's error.
  void* (*allocate)(void* context, std::size_t bytes);
  void (*release)(void* context, void* memory);
  void* context;
};

// A growing array of trivially copyable elements. Copies are shallow: one owner grows it.
template <typename T>
class ArenaVector {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
  static_assert(alignof(T) <= 8);  // palloc() promises no more

 public:
  ArenaVector() = default;
  explicit ArenaVector(const Arena& arena) : arena_(arena) {}

  void push_back(const T& element) {
    if (size_ == capacity_) {
      const T copy = element;  // may live in the block that reserve() releases
      reserve(capacity_ == 0 ? 16 : capacity_ * 2);
      data_[size_++] = copy;
      return;
    }
    data_[size_++] = element;
  }

  void reserve(std::size_t capacity) {
    if (capacity <= capacity_) {
      return;
    }
    // T may well be a pointer. NOLINTBEGIN(bugprone-sizeof-expression)
    T* grown = static_cast<T*>(arena_.allocate(arena_.context, capacity * sizeof(T)));
    if (size_ > 0) {
      std::memcpy(static_cast<void*>(grown), data_, size_ * sizeof(T));
    }
    // NOLINTEND(bugprone-sizeof-expression)
    if (data_ != nullptr) {
      arena_.release(arena_.context, data_);
    }
    data_ = grown;
    capacity_ = capacity;
  }

  void clear() { size_ = 0; }
  void truncate(std::size_t size) { size_ = size; }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& operator[](std::size_t index) { return data_[index]; }
  const T& operator[](std::size_t index) const { return data_[index]; }
  T& back() { return data_[size_ - 1]; }
  std::span<T> span() { return {data_, size_}; }
  std::span<const T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  Arena arena_{};
};

}  // namespace eav::core
