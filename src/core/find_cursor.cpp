#include "eav/core/find_cursor.hpp"

#include <algorithm>

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

// Format: a byte for the format, eight each for the hash of the query and the entity, the key; all
// in base64 for addresses (RFC 4648), without padding.
constexpr std::uint8_t format = 1;
constexpr std::size_t head = 17;
constexpr std::size_t max_bytes = head + ValueKey::max_bytes;
static_assert((max_bytes * 8 + 5) / 6 <= FindCursor::max_text);

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void put_number(std::uint64_t number, std::uint8_t* bytes) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    *bytes++ = static_cast<std::uint8_t>(number >> shift);
  }
}

std::uint64_t take_number(const std::uint8_t* bytes) {
  std::uint64_t number = 0;
  for (int i = 0; i < 8; ++i) {
    number = number << 8 | bytes[i];
  }
  return number;
}

}  // namespace

// FNV-1a.
void QueryHash::mix(std::uint8_t byte) { hash_ = (hash_ ^ byte) * 0x100000001b3ULL; }

void QueryHash::add(std::span<const std::uint8_t> part) {
  std::uint64_t size = part.size();
  for (int i = 0; i < 8; ++i, size >>= 8) {
    mix(static_cast<std::uint8_t>(size));
  }
  for (const std::uint8_t byte : part) {
    mix(byte);
  }
}

FindCursor::FindCursor(std::uint64_t query, std::int64_t entity_id,
                       std::span<const std::uint8_t> key)
    : query_(query), entity_id_(entity_id), key_size_(key.size()) {
  std::copy(key.begin(), key.end(), key_.begin());
}

std::string_view FindCursor::encode(Text& text) const {
  std::array<std::uint8_t, max_bytes> bytes{format};
  put_number(query_, &bytes[1]);
  put_number(static_cast<std::uint64_t>(entity_id_), &bytes[9]);
  std::copy_n(key_.begin(), key_size_, bytes.begin() + head);
  std::size_t size = 0;
  std::uint32_t buffer = 0;
  int bits = 0;
  for (std::size_t i = 0; i < head + key_size_; ++i) {
    buffer = buffer << 8 | bytes[i];
    for (bits += 8; bits >= 6; bits -= 6) {
      text[size++] = alphabet[buffer >> (bits - 6) & 63];
    }
  }
  if (bits > 0) {
    text[size++] = alphabet[buffer << (6 - bits) & 63];
  }
  return {text.data(), size};
}

std::optional<FindCursor> FindCursor::decode(std::string_view text) {
  std::array<std::uint8_t, max_bytes> bytes{};
  std::size_t size = 0;
  std::uint32_t buffer = 0;
  int bits = 0;
  for (const char character : text) {
    const std::size_t digit = alphabet.find(character);
    if (digit == std::string_view::npos) {
      return std::nullopt;
    }
    buffer = buffer << 6 | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      if (size == max_bytes) {
        return std::nullopt;
      }
      bytes[size++] = static_cast<std::uint8_t>(buffer >> bits);
    }
  }
  if (size < head || bytes[0] != format) {
    return std::nullopt;
  }
  const FindCursor cursor(take_number(&bytes[1]), static_cast<std::int64_t>(take_number(&bytes[9])),
                          std::span(bytes).subspan(head, size - head));
  // A digit too many, or bits that say nothing.
  Text again;
  return cursor.encode(again) == text ? std::optional(cursor) : std::nullopt;
}

}  // namespace eav::core
