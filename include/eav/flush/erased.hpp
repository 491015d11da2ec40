// Values of entities and tenants that have been erased do not come back.
#pragma once

#include "eav/flush/resolve.hpp"

namespace eav::flush {

// Takes such values out of `rows`, before anything is registered for them: discarded and counted,
// or, for a caller who waits for locks, rejected. Tenants are loaded. Within an SPI connection.
void discard_erased(Rows& rows, const Unresolved& unresolved);

}  // namespace eav::flush
