// Sort keys of jsonb values; see core/value_key.hpp.
#pragma once

#include "eav/core/value_key.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::query {

core::ValueKey key_of(const JsonbValue& value);

bytea* bytea_of(const core::ValueKey& key);

}  // namespace eav::query
