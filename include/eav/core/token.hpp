// What a reader holds to ask whether a node has replayed its write: timeline and position in the
// log, as text such as "1-1A2B3C8" (both in hexadecimal).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "eav/core/core_only.hpp"

namespace eav::core {

struct Token {
  std::uint32_t timeline;  // from 1
  std::uint64_t position;  // from 1
};

// "FFFFFFFF-FFFFFFFFFFFFFFFF" and a zero byte at the end.
using TokenText = std::array<char, 26>;
TokenText to_text(const Token& token);
// nullopt when it is none: anything but two hexadecimal numbers that fit, without leading zeros,
// blanks or signs. Upper and lower case.
std::optional<Token> parse_token(std::string_view text);

}  // namespace eav::core
