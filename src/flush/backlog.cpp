#include "eav/flush/backlog.hpp"

#include <algorithm>
#include <array>

#include "eav/flush/piece_size.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/spi.hpp"

namespace eav::flush::backlog {

using ingest::column_count;
using ingest::StagedRow;

namespace {

// The columns from ingested_at on, in the order of the table.
constexpr int first_column = ingest::column_ingested_at;
using Fields = std::array<pg::Argument, column_count - first_column + 1>;

pg::Argument& field(Fields& fields, ingest::Column column) { return fields[column - first_column]; }

Fields all_null() {
  const pg::Argument null(Datum(0), true);
  return {null, null, null, null, null, null, null, null,
          null, null, null, null, null, null, null, null};
}

void insert(const Fields& f) {
  static pg::Statement statement(
      "INSERT INTO eav.flush_backlog (ingested_at, cleared, attribute_id, tenant_id, entity_id, "
      "observed_at, value_int, value_float, value_time, value_bool, value_text, value_numeric, "
      "value_json, entity, attribute, value) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
      {TIMESTAMPTZOID, BOOLOID, INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, INT8OID, FLOAT8OID,
       TIMESTAMPTZOID, BOOLOID, TEXTOID, NUMERICOID, JSONBOID, TEXTOID, TEXTOID, TEXTOID});
  statement.run({f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10], f[11], f[12],
                 f[13], f[14], f[15]});
}

}  // namespace

void keep_unresolved(std::span<const StagedRow> rows, TupleDesc description) {
  std::array<Datum, ingest::column_count_staged> values;
  std::array<bool, ingest::column_count_staged> nulls;
  for (const StagedRow& row : rows) {
    heap_deform_tuple(ingest::tuple_of(row, description), description, values.data(), nulls.data());
    Fields fields = all_null();
    for (int column = ingest::column_cleared; column <= column_count; ++column) {
      fields[column - first_column] = pg::Argument(values[column - 1], nulls[column - 1]);
    }
    // Its default was the moment of arrival, and must not become a later one.
    field(fields, ingest::column_observed_at) = TimestampTzGetDatum(row.version.observed_at);
    insert(fields);
  }
}

void keep_unprojected(std::span<const projection::RowPointer> rows) {
  for (const StagedRow* const row : rows) {
    Fields fields = all_null();
    field(fields, ingest::column_ingested_at) = TimestampTzGetDatum(row->version.ingested_at);
    field(fields, ingest::column_cleared) = BoolGetDatum(row->value.cleared);
    field(fields, ingest::column_attribute_id) = Int32GetDatum(row->attribute_id);
    field(fields, ingest::column_tenant_id) = Int64GetDatum(row->tenant_id);
    field(fields, ingest::column_entity_id) = Int64GetDatum(row->entity_id);
    field(fields, ingest::column_observed_at) = TimestampTzGetDatum(row->version.observed_at);
    if (!row->value.cleared) {
      field(fields, ingest::column_of(row->value.type)) = ingest::datum_of(row->value);
    }
    insert(fields);
  }
}

Page read(int64 after) {
  // Large values lie elsewhere, so that a row takes some kilobytes at most.
  constexpr int64 most = 1000;
  static pg::Statement select(
      "SELECT backlog_id, ingested_at, cleared, attribute_id, tenant_id, entity_id, observed_at, "
      "value_int, value_float, value_time, value_bool, value_text, value_numeric, value_json, "
      "entity, attribute, value "
      "FROM eav.flush_backlog WHERE backlog_id > $1 ORDER BY backlog_id LIMIT $2",
      {INT8OID, INT8OID});
  core::ArenaVector<HeapTuple> tuples(pg::arena_of(CurrentMemoryContext));
  TupleDesc description = nullptr;
  Size memory = 0;
  bool has_more = true;
  while (has_more) {
    select.run({Int64GetDatum(after), Int64GetDatum(most)});
    if (description == nullptr) {
      description = CreateTupleDescCopy(SPI_tuptable->tupdesc);
    }
    has_more = SPI_processed == static_cast<uint64>(most);
    for (uint64 row = 0; row < SPI_processed; ++row) {
      tuples.push_back(heap_copytuple(SPI_tuptable->vals[row]));
      memory += memory_for(1, ingest::memory_of(tuples.back(), description));
      if (!fits_piece(tuples.size() + 1, memory)) {
        has_more = false;
        break;
      }
    }
    if (has_more) {
      after = DatumGetInt64(pg::cell(SPI_processed - 1, 1).value);
    }
    SPI_freetuptable(SPI_tuptable);
  }
  return {tuples.span(), description};
}

void remove(std::span<const int64> backlog_ids) {
  static pg::Statement statement("DELETE FROM eav.flush_backlog WHERE backlog_id = ANY ($1)",
                                 {INT8ARRAYOID});
  if (backlog_ids.empty()) {
    return;
  }
  auto* const ids = static_cast<Datum*>(palloc(sizeof(Datum) * backlog_ids.size()));
  std::transform(backlog_ids.begin(), backlog_ids.end(), ids,
                 [](int64 id) { return Int64GetDatum(id); });
  statement.run({pg::make_array(ids, nullptr, backlog_ids.size(), INT8OID)});
}

}  // namespace eav::flush::backlog
