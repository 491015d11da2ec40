// How fresh what this server answers is.
#pragma once

#include <optional>
#include <string_view>

#include "eav/core/freshness.hpp"

namespace eav::freshness {

struct Answer {
  std::string_view source;
  std::optional<core::Micros> lag;  // none: not known
  std::string_view consistency;
};

// As eav.freshness() tells, with its errors.
Answer answer_of_self();

}  // namespace eav::freshness
