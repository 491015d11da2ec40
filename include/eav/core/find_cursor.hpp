// Where a page of found entities ended: an opaque text that the next page is asked for with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "eav/core/core_only.hpp"
#include "eav/core/value_key.hpp"

namespace eav::core {

// A number for a query, so that a cursor of another one is noticed. Parts differ from each other
// however they are cut.
class QueryHash {
 public:
  void add(std::span<const std::uint8_t> part);
  std::uint64_t value() const { return hash_; }

 private:
  void mix(std::uint8_t byte);
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

// Place of an entity in the order of a query.
class FindCursor {
 public:
  static constexpr std::size_t max_text = 112;
  using Text = std::array<char, max_text>;

  // key: of the value that is sorted by; empty: the entity has none.
  FindCursor(std::uint64_t query, std::int64_t entity_id, std::span<const std::uint8_t> key);
  // Nothing for a text that encode() has not made.
  static std::optional<FindCursor> decode(std::string_view text);

  std::uint64_t query() const { return query_; }
  std::int64_t entity_id() const { return entity_id_; }
  std::span<const std::uint8_t> key() const { return {key_.data(), key_size_}; }

  // Letters, digits, - and _, in the text, which it returns a part of.
  std::string_view encode(Text& text) const;

 private:
  std::uint64_t query_;
  std::int64_t entity_id_;
  std::array<std::uint8_t, ValueKey::max_bytes> key_{};
  std::size_t key_size_;
};

}  // namespace eav::core
