// The implementations that simdjson can choose on this machine, one after the other.
#pragma once

#include <gtest/gtest.h>
#include <simdjson.h>

#include "eav/core/core_only.hpp"

namespace eav::test {

// Runs the body with each implementation of simdjson, and puts things back.
template <typename Body>
void with_each_implementation(const Body& body) {
  const simdjson::implementation* const chosen = simdjson::get_active_implementation();
  for (const simdjson::implementation* const candidate :
       simdjson::get_available_implementations()) {
    if (candidate->supported_by_runtime_system()) {
      SCOPED_TRACE(candidate->name());
      simdjson::get_active_implementation() = candidate;
      body();
    }
  }
  simdjson::get_active_implementation() = chosen;
}

}  // namespace eav::test
