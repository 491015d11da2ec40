// Enumerators by their names, for enumerations that count from 0.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "eav/core/core_only.hpp"

namespace eav::core {

// The enumerator at whose place the name stands; nullopt when it does not.
template <typename Enum, std::size_t count>
std::optional<Enum> find_name(const std::array<std::string_view, count>& names,
                              std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    return std::nullopt;
  }
  return static_cast<Enum>(found - names.begin());
}

}  // namespace eav::core
