// Parcels that go through staging.
#pragma once

#include <span>

#include "eav/pg/postgres.hpp"

namespace eav::ingest {

// Inserts the values of the parcel into eav.entity_values_ingest and its rejected events into
// eav.ingest_rejects, in the transaction of the caller, a read-only one too: for the caller
// nothing changes because the ring is full.
void spill(std::span<const uint8> parcel);

// The epoch of flush_state that values staged now belong to. Within an SPI connection.
int64 staging_epoch();

}  // namespace eav::ingest
