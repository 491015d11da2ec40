// The values of a parcel as rows of a flush.
#pragma once

#include "eav/ingest/parcel.hpp"
#include "eav/ingest/rejects.hpp"
#include "eav/ingest/staged_row.hpp"

namespace eav::ingest {

// Appends the next values of the parcel, so many at most, to `rows`, and to `rejects` its rejected
// events, which count as well, and the values that are no value of their type for the server;
// nothing when the parcel is not for this extension. Rows refer to the parcel. `description` is
// that of staging.
void read_events(ParcelReader& parcel, uint64 most, TupleDesc description,
                 core::ArenaVector<StagedRow>& rows, Rejects& rejects);

}  // namespace eav::ingest
