// A value on its way through a flush: a row of staging or of the backlog, which has the same
// columns, or a value from the ring.
#pragma once

#include <compare>
#include <optional>
#include <string_view>

#include "eav/core/arena.hpp"
#include "eav/core/value.hpp"
#include "eav/core/versions.hpp"
#include "eav/ingest/value.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::flush {
struct Attribute;
}

namespace eav::ingest {

// Columns of eav.entity_values_ingest and eav.flush_backlog; the first two differ.
enum Column : int {
  column_xact = 1,
  column_backlog_id = 1,
  column_slot = 2,
  column_ingested_at = 2,
  column_cleared,
  column_attribute_id,
  column_tenant_id,
  column_entity_id,
  column_observed_at,
  column_value_int,
  column_value_float,
  column_value_time,
  column_value_bool,
  column_value_text,
  column_value_numeric,
  column_value_json,
  column_entity,
  column_attribute,
  column_value,
  column_count = column_value,
  column_writer_tenant,  // of staging only
  column_count_staged = column_writer_tenant
};

// The column for values of the type.
Column column_of(core::DataType type);

// What such a column holds; detoasted.
Value value_of(Datum datum, core::DataType type);

enum class Origin : uint8 { staging, backlog, ring };

// When a value arrived, by the transaction and its command: where staged rows lie says little about
// it, for writers fill pages of their own, and gaps that others have left. What came through the
// ring precedes the staged command with its number. All zero for the backlog.
struct Arrival {
  uint64 xact;
  CommandId command;
  bool is_staged;
  // The check sees the 0 that a defaulted comparison uses inside.
  // NOLINTNEXTLINE(modernize-use-nullptr)
  auto operator<=>(const Arrival&) const = default;
};

// Plain memory of the batch's context.
struct StagedRow {
  HeapTuple tuple;  // private copy; null for a value from the ring
  int64 tenant_id;
  std::optional<int64> writer_tenant;  // the only one that the writer could write for
  int64 entity_id;
  core::Version version;  // observed_at as given; ingested_at given by the flush
  Arrival arrival;
  Value value;
  std::string_view entity;           // external id still to be resolved, or empty
  std::string_view attribute;        // name still to be resolved, or empty
  std::string_view unparsed;         // value as text still to be parsed, if is_unparsed()
  const flush::Attribute* resolved;  // as long as the registry is not refreshed
  int32 attribute_id;
  core::Projection projection;
  Origin origin;
  bool in_history;  // only the projection is missing

  bool is_unparsed() const { return unparsed.data() != nullptr; }
};

// Takes the tuple apart. `now` bounds observed_at; a missing observed_at becomes `now`.
Rejection read_row(HeapTuple tuple, TupleDesc description, Origin origin, TimestampTz now,
                   StagedRow& row);

// How much memory the values of the tuple take once they are unpacked. Reads no other page.
Size memory_of(HeapTuple tuple, TupleDesc description);

// The columns of staging for a value from the ring; those that say where it is staged are null.
void set_columns(const StagedRow& row, Datum* values, bool* nulls);
// The row as a tuple of staging, made when it has none.
HeapTuple tuple_of(const StagedRow& row, TupleDesc description);

int64 backlog_id_of(const StagedRow& row, TupleDesc description);

// How much of its values, or of an event, the payload of a reject keeps. No value that
// eav.max_value_bytes can allow is larger, and jsonb holds four times as much.
constexpr Size max_kept_bytes = Size{64} * 1024 * 1024;

// The columns that were set, as a JSON object: what ingest_rejects keeps. Made of any row, whatever
// is in it: an error here would stop all flushes. What is too much is cut or left out, and
// "truncated" says so.
Jsonb* payload_of(HeapTuple tuple, TupleDesc description);

inline std::string_view view_of(const text* string) {
  return {VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string)};
}

}  // namespace eav::ingest
