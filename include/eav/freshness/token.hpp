// Tokens of this server: see token.cpp.
#pragma once

#include "eav/core/token.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::freshness {

// Raises invalid_parameter_value when it is none.
core::Token token_from(const text* input);
// Whether this server has what the token stands for. Raises object_not_in_prerequisite_state for
// one of an older timeline, and, on the primary, for one that lies ahead.
bool is_reached(const core::Token& token);

}  // namespace eav::freshness
