#include "eav/ingest/spill.hpp"

#include <array>

#include "eav/ingest/door.hpp"
#include "eav/ingest/event_row.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/copy.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/spi.hpp"

extern "C" {
#include <nodes/value.h>
}

namespace eav::ingest {

namespace {

using core::DataType;

constexpr std::array<const char*, 6> key_columns = {"cleared",     "tenant_id", "entity_id",
                                                    "observed_at", "entity",    "attribute"};
constexpr std::array<std::pair<DataType, const char*>, 6> value_columns = {
    {{DataType::integer, "value_int"},
     {DataType::floating, "value_float"},
     {DataType::boolean, "value_bool"},
     {DataType::text, "value_text"},
     {DataType::numeric, "value_numeric"},
     {DataType::json, "value_json"}}};

struct Source {
  std::span<const StagedRow> rows;
  std::size_t next;
};

bool next_row(void* state, pg::CopyRow& out) {
  auto& source = *static_cast<Source*>(state);
  if (source.next == source.rows.size()) {
    return false;
  }
  const StagedRow& row = source.rows[source.next++];
  out.begin(key_columns.size() + value_columns.size());
  out.boolean(row.value.cleared);
  out.int8(row.tenant_id);
  row.entity.empty() ? out.int8(row.entity_id) : out.null();
  out.int8(row.version.observed_at);
  row.entity.empty() ? out.null() : out.bytes(row.entity.data(), row.entity.size());
  out.bytes(row.attribute.data(), row.attribute.size());
  for (const auto& [type, name] : value_columns) {
    const bool is_set = !row.value.cleared && row.value.type == type;
    is_set ? put_value(out, row.value) : out.null();
  }
  return true;
}

void stage(Relation staging, std::span<const StagedRow> rows) {
  List* names = NIL;
  for (const char* const name : key_columns) {
    names = lappend(names, makeString(pstrdup(name)));
  }
  for (const auto& [type, name] : value_columns) {
    names = lappend(names, makeString(pstrdup(name)));
  }
  Source source{rows, 0};
  pg::copy_into(staging, names, next_row, &source);
}

void write(std::span<const uint8> parcel) {
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  core::ArenaVector<StagedRow> rows(arena);
  Rejects rejects(arena);
  Relation const staging = table_open(pg::relation_oid("entity_values_ingest"), RowExclusiveLock);
  read_events(parcel, RelationGetDescr(staging), rows, rejects);
  if (!rows.empty()) {
    stage(staging, rows.span());
  }
  table_close(staging, NoLock);
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
