// Snapshots of the server as the views of core.
#pragma once

#include "eav/core/snapshot.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::pg {

// What the snapshot sees, with the transaction of the caller counted as still in progress:
// its rows are left for a flush that runs after its end.
core::SnapshotView view_of(Snapshot snapshot);

// To and from SQL's pg_snapshot.
core::SnapshotView view_of_datum(Datum pg_snapshot);
Datum datum_of(const core::SnapshotView& view);

// Whether the transaction with this id, of 64 bits, has ended.
bool has_ended(uint64 xid);

}  // namespace eav::pg
