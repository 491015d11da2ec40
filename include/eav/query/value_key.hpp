// Sort keys of jsonb values; see core/value_key.hpp.
#pragma once

#include <string_view>

#include "eav/core/value_key.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::query {

// As much of a string in UTF-8 as a key holds. It ends before what UTF-8 has no character for; and
// bytes of no known encoding stay as they are, as jsonpath compares them.
std::string_view utf8_of(const char* text, int length);

core::ValueKey key_of(const JsonbValue& value);

bytea* bytea_of(const core::ValueKey& key);

}  // namespace eav::query
