// How failed tests show the enumerations of core/value.hpp.
#pragma once

#include <array>
#include <ostream>

#include "eav/core/value.hpp"

namespace eav::core {

inline std::ostream& operator<<(std::ostream& out, ParseStatus status) {
  constexpr std::array<const char*, 3> names = {"ok", "syntax", "out_of_range"};
  return out << names[static_cast<std::size_t>(status)];
}
inline std::ostream& operator<<(std::ostream& out, DataType type) { return out << name_of(type); }

}  // namespace eav::core
