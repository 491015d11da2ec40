// The insides of JSON strings, and where a text is malformed below its grammar.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "eav/core/core_only.hpp"

namespace eav::core {

// A malformed text; json_walk.hpp throws it. `expected` completes "At byte offset 7, ...".
struct JsonFault {
  std::size_t offset;
  const char* expected;
  bool too_deep = false;
};

constexpr bool is_json_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

constexpr bool is_json_operator(char c) {
  return c == '{' || c == '}' || c == '[' || c == ']' || c == ':' || c == ',';
}

// Whether the byte occurs in the text. Reads up to seven bytes beyond it.
inline bool contains_byte(std::string_view text, char byte) {
  constexpr std::uint64_t ones = 0x0101010101010101;
  constexpr std::uint64_t highs = ones << 7;
  for (std::size_t i = 0; i < text.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i, 8);
    word ^= ones * static_cast<unsigned char>(byte);
    if (((word - ones) & ~word & highs) != 0) {
      // The last word may have it beyond the end.
      return text.find(byte, i) != std::string_view::npos;
    }
  }
  return false;
}

// The escape sequences of a string, given without its quotes.
struct EscapeCheck {
  std::size_t malformed_at;  // npos when all are right
  bool has_nul;              // \u0000 is among them
};
EscapeCheck check_escapes(std::string_view raw);

// Writes the string, whose escapes are right, and returns the end; never longer than `raw`.
char* unescape(std::string_view raw, char* to);

// Why there is no index of the text: the first byte that is not UTF-8, a control character in a
// string, the begin of a string without end, or a backslash or quote where neither can be. From
// these on, what is within strings and what between them is anyone's guess; the implementations of
// simdjson differ. `begin` is that of the string if the fault is in one, else its place.
struct LexicalFault {
  JsonFault fault;
  std::size_t begin;
};
LexicalFault find_lexical_fault(std::string_view text);

// The longest beginning of at most `bytes` bytes that cuts no UTF-8 character.
std::string_view cut_utf8(std::string_view text, std::size_t bytes);

}  // namespace eav::core
