// Writing history: straight into the partition where that is all there is to do, else by COPY.
#include "eav/flush/history.hpp"

#include <algorithm>
#include <array>

#include "eav/pg/bulk_insert.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/copy.hpp"
#include "eav/pg/memory.hpp"
#include "eav/rollup/pending.hpp"

extern "C" {
#include <nodes/value.h>
}

namespace eav::flush {

using core::DataType;
using ingest::StagedRow;

namespace {

// The columns of eav.entity_values_ts, in their order.
enum Column : int {
  column_tenant_id,
  column_entity_id,
  column_observed_at,
  column_ingested_at,
  column_attribute_id,
  column_first_value,
  column_count = column_first_value + 7
};
constexpr std::array<const char*, column_count> column_names = {
    "tenant_id", "entity_id",   "observed_at", "ingested_at", "attribute_id",  "value_bool",
    "value_int", "value_float", "value_time",  "value_text",  "value_numeric", "value_json"};
constexpr std::array<DataType, 7> value_types = {
    DataType::boolean, DataType::integer, DataType::floating, DataType::timestamp,
    DataType::text,    DataType::numeric, DataType::json};

struct Source {
  std::span<const StagedRow> rows;
  std::span<const core::HistoryKey> order;
  std::size_t next;  // for COPY

  const StagedRow& operator[](std::size_t number) const { return rows[order[number].row]; }
};

void fill_row(void* state, std::size_t number, Datum* values, bool* nulls) {
  const StagedRow& row = (*static_cast<const Source*>(state))[number];
  values[column_tenant_id] = Int64GetDatum(row.tenant_id);
  values[column_entity_id] = Int64GetDatum(row.entity_id);
  values[column_observed_at] = TimestampTzGetDatum(row.version.observed_at);
  values[column_ingested_at] = TimestampTzGetDatum(row.version.ingested_at);
  values[column_attribute_id] = Int32GetDatum(row.attribute_id);
  std::fill_n(nulls, static_cast<int>(column_first_value), false);
  for (std::size_t i = 0; i < value_types.size(); ++i) {
    const bool is_set = !row.value.cleared && row.value.type == value_types[i];
    nulls[column_first_value + i] = !is_set;
    values[column_first_value + i] = is_set ? ingest::datum_of(row.value) : Datum(0);
  }
}

void put_value(pg::CopyRow& out, const ingest::Value& value) {
  switch (value.type) {
    case DataType::integer:
      out.int8(value.integer);
      break;
    case DataType::floating:
      out.float8(value.floating);
      break;
    case DataType::boolean:
      out.boolean(value.boolean);
      break;
    case DataType::timestamp:
      out.int8(value.timestamp);
      break;
    case DataType::text: {
      const std::string_view view = ingest::view_of(DatumGetTextPP(value.datum));
      out.bytes(view.data(), view.size());
      break;
    }
    case DataType::numeric:
    case DataType::json: {
      PGFunction const send = value.type == DataType::numeric ? numeric_send : jsonb_send;
      const bytea* const sent = DatumGetByteaPP(DirectFunctionCall1(send, value.datum));
      out.bytes(VARDATA_ANY(sent), VARSIZE_ANY_EXHDR(sent));
      break;
    }
  }
}

bool next_copy_row(void* state, pg::CopyRow& out) {
  auto& source = *static_cast<Source*>(state);
  if (source.next == source.order.size()) {
    return false;
  }
  const StagedRow& row = source[source.next++];
  out.begin(column_count);
  out.int8(row.tenant_id);
  out.int8(row.entity_id);
  out.int8(row.version.observed_at);
  out.int8(row.version.ingested_at);
  out.int4(row.attribute_id);
  for (const DataType type : value_types) {
    if (row.value.cleared || row.value.type != type) {
      out.null();
    } else {
      put_value(out, row.value);
    }
  }
  return true;
}

List* copy_columns() {
  List* columns = NIL;
  for (const char* const name : column_names) {
    columns = lappend(columns, makeString(pstrdup(name)));
  }
  return columns;
}

}  // namespace

int64 write_history(std::span<const StagedRow> rows, Order by_entity) {
  core::ArenaVector<core::HistoryKey> order(pg::arena_of(CurrentMemoryContext));
  order.reserve(by_entity.size());
  std::size_t earliest = 0;
  std::size_t latest = 0;
  for (const core::EntityKey& key : by_entity) {
    const StagedRow& row = rows[key.row];
    if (!row.in_history) {
      order.push_back({row.tenant_id, row.version.ingested_at, row.attribute_id, key.row});
    }
  }
  if (order.empty()) {
    return 0;
  }
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size(); ++i) {
    earliest = order[i].ingested_at < order[earliest].ingested_at ? i : earliest;
    latest = order[i].ingested_at > order[latest].ingested_at ? i : latest;
  }
  Source source{rows, {order.data(), order.size()}, 0};
  Relation const history = table_open(pg::relation_oid("entity_values_ts"), RowExclusiveLock);
  auto written = static_cast<int64>(order.size());
  if (!pg::insert_into_one_partition(history, column_count, column_first_value, fill_row, &source,
                                     order.size(), earliest, latest)) {
    // A trigger may have taken rows out.
    written = static_cast<int64>(pg::copy_into(history, copy_columns(), next_copy_row, &source));
  }
  table_close(history, NoLock);
  rollup::note_values(rows, source.order);
  return written;
}

}  // namespace eav::flush
