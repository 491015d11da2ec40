// Values of personal attributes are encrypted before they are written.
#pragma once

#include "eav/flush/resolve.hpp"

namespace eav::flush {

// Replaces the values of resolved rows that are personal and not yet in history. Within an SPI
// connection.
void encrypt_pii(Rows& rows);

}  // namespace eav::flush
