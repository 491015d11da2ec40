#include "eav/ingest/spill.hpp"

#include "eav/ingest/door.hpp"
#include "eav/ingest/event_row.hpp"
#include "eav/ingest/staging.hpp"
#include "eav/pg/bulk_insert.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/spi.hpp"

namespace eav::ingest {

namespace {

struct Source {
  std::span<const StagedRow> rows;
  Datum xact;
  Datum slot;
};

void fill_row(void* state, std::size_t number, Datum* values, bool* nulls) {
  const auto& source = *static_cast<const Source*>(state);
  set_columns(source.rows[number], values, nulls);
  values[column_xact - 1] = source.xact;
  nulls[column_xact - 1] = false;
  values[column_slot - 1] = source.slot;
  nulls[column_slot - 1] = false;
}

void write(std::span<const uint8> parcel) {
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  core::ArenaVector<StagedRow> rows(arena);
  Rejects rejects(arena);
  const int slot = current_slot();
  Relation const leaf = open_leaf_for_writing(slot);
  ParcelReader reader(parcel);
  read_events(reader, reader.values_left, RelationGetDescr(leaf), rows, rejects);
  if (!rows.empty()) {
    Source source{rows.span(), UInt64GetDatum(U64FromFullTransactionId(GetTopFullTransactionId())),
                  Int16GetDatum(slot)};
    pg::append_rows(leaf, fill_row, &source, rows.size());
  }
  table_close(leaf, NoLock);
  write_rejects(rejects);
}

}  // namespace

void spill(std::span<const uint8> parcel) {
  const bool was_read_only = XactReadOnly;
  PG_TRY();
  {
    XactReadOnly = false;
    pg::guarded([&] { write(parcel); });
  }
  PG_FINALLY();
  { XactReadOnly = was_read_only; }
  PG_END_TRY();
}

int64 staging_epoch() {
  // One more when the next flush will find that values have been lost before these.
  static pg::Statement select(
      "SELECT s.epoch + CASE WHEN EXISTS (SELECT FROM eav.staging_epoch e "
      "WHERE e.ring IS NULL OR e.ring = $1) THEN 0 ELSE 1 END FROM eav.flush_state s",
      {INT8OID});
  const Door* const door = own_door();
  if (door != nullptr && door->epoch != 0) {
    return door->epoch;
  }
  select.run({Int64GetDatum(ring_generation())});
  return DatumGetInt64(pg::cell(0, 1).value);
}

}  // namespace eav::ingest
