// JSON numbers: which type keeps them, without loss.
#pragma once

#include <cstdint>
#include <string_view>

#include "eav/core/core_only.hpp"

namespace eav::core {

enum class NumberKind : std::uint8_t {
  malformed,
  integer,      // no point and no exponent, within 64 bits
  big_integer,  // the same, beyond 64 bits
  floating,     // the double stands for the very number that is written, such as 0.1
  decimal       // no double does
};

struct JsonNumber {
  NumberKind kind;
  std::int64_t integer;
  double floating;
  const char* end;  // of the text
};

// Reads the number that begins here. A byte that cannot continue a number must follow it.
JsonNumber read_number(const char* begin);

// Only where it ends; null when it is malformed.
const char* skip_number(const char* begin);

}  // namespace eav::core
