#include "eav/ingest/staged_row.hpp"

#include <algorithm>
#include <array>

#include "eav/core/event.hpp"
#include "eav/pg/jsonb.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <access/detoast.h>
#include <mb/pg_wchar.h>
}

namespace eav::ingest {

using core::DataType;

namespace {

// Of a name; those that are right are much shorter.
constexpr Size max_kept_name = Size{64} * 1024;

struct Fields {
  std::array<Datum, column_count_staged> values;
  std::array<bool, column_count_staged> nulls;

  Fields(HeapTuple tuple, TupleDesc description) {
    heap_deform_tuple(tuple, description, values.data(), nulls.data());
  }
  bool has(Column column) const { return !nulls[column - 1]; }
  Datum operator[](Column column) const { return values[column - 1]; }
};

constexpr std::array<Column, 7> value_columns = {
    column_value_int,  column_value_float,   column_value_time, column_value_bool,
    column_value_text, column_value_numeric, column_value_json};

// The typed value of a column; everything except text also unpacked.
Value typed_value(Datum datum, Column column) {
  Value value;
  value.cleared = false;
  switch (column) {
    case column_value_int:
      value.type = DataType::integer;
      value.integer = DatumGetInt64(datum);
      break;
    case column_value_float:
      value.type = DataType::floating;
      value.floating = DatumGetFloat8(datum);
      break;
    case column_value_time:
      value.type = DataType::timestamp;
      value.timestamp = DatumGetTimestampTz(datum);
      break;
    case column_value_bool:
      value.type = DataType::boolean;
      value.boolean = DatumGetBool(datum);
      break;
    case column_value_numeric:
      value.type = DataType::numeric;
      value.datum = PointerGetDatum(PG_DETOAST_DATUM(datum));
      break;
    case column_value_json:
      value.type = DataType::json;
      value.datum = PointerGetDatum(PG_DETOAST_DATUM(datum));
      break;
    default:
      value.type = DataType::text;
      value.datum = PointerGetDatum(PG_DETOAST_DATUM_PACKED(datum));
  }
  return value;
}

const text* text_of(Datum datum) { return DatumGetTextPP(datum); }

// Of a varlena, once it is unpacked.
Size size_of(Datum datum) { return toast_raw_datum_size(datum) - VARHDRSZ; }

bool is_varlena(Column column) { return column >= column_value_text; }

Rejection read_value(const Fields& fields, StagedRow& row) {
  Column set = column_cleared;
  int count = DatumGetBool(fields[column_cleared]) ? 1 : 0;
  for (const Column column : value_columns) {
    if (fields.has(column)) {
      set = column;
      ++count;
    }
  }
  if (fields.has(column_value)) {
    set = column_value;
    ++count;
  }
  if (count == 0) {
    return {ERRCODE_NOT_NULL_VIOLATION,
            "no value column is set; to clear the attribute set cleared to true"};
  }
  if (count > 1) {
    return {ERRCODE_CHECK_VIOLATION, "more than one value column is set"};
  }
  if (set == column_cleared) {
    row.value.type = DataType::text;
    row.value.cleared = true;
    return {};
  }
  if (is_varlena(set)) {
    const Size bytes = size_of(fields[set]);
    if (bytes > static_cast<Size>(settings.max_value_bytes)) {
      return {ERRCODE_PROGRAM_LIMIT_EXCEEDED,
              psprintf("value has %zu bytes, the limit is %d", bytes, settings.max_value_bytes)};
    }
  }
  if (set == column_value) {
    row.unparsed = view_of(text_of(fields[set]));
  } else {
    row.value = typed_value(fields[set], set);
  }
  return {};
}

Rejection check_name(Datum name, const char* of_what) {
  // One of any size is not unpacked for it.
  const Size size = size_of(name);
  const core::NameStatus status = size > core::max_name_bytes
                                      ? core::NameStatus::too_long
                                      : core::check_name(view_of(text_of(name)));
  switch (status) {
    case core::NameStatus::ok:
      return {};
    case core::NameStatus::empty:
      return {ERRCODE_INVALID_NAME, psprintf("%s is empty", of_what)};
    case core::NameStatus::too_long:
      return {ERRCODE_INVALID_NAME,
              psprintf("%s has %zu bytes, the limit is %zu", of_what, size, core::max_name_bytes)};
    case core::NameStatus::control_character:
      return {ERRCODE_INVALID_NAME, psprintf("%s has a control character", of_what)};
  }
  pg_unreachable();
}

// One of an id and a name, never both.
Rejection check_reference(const Fields& fields, Column id, Column name, const char* id_text,
                          const char* name_text) {
  if (fields.has(id) == fields.has(name)) {
    return {fields.has(id) ? ERRCODE_CHECK_VIOLATION : ERRCODE_NOT_NULL_VIOLATION,
            psprintf(fields.has(id) ? "both %s and %s are set" : "neither %s nor %s is set",
                     id_text, name_text)};
  }
  return fields.has(name) ? check_name(fields[name], name_text) : Rejection{};
}

Rejection read_times(const Fields& fields, TimestampTz now, StagedRow& row) {
  row.version.observed_at =
      fields.has(column_observed_at) ? DatumGetTimestampTz(fields[column_observed_at]) : now;
  if (TIMESTAMP_NOT_FINITE(row.version.observed_at)) {
    return {ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, "observed_at is infinite"};
  }
  const TimestampTz latest =
      TimestampTzPlusMilliseconds(now, static_cast<int64>(settings.max_future_skew) * 1000);
  if (row.version.observed_at > latest) {
    return {
        ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
        psprintf("observed_at is more than %d s ahead of the server", settings.max_future_skew)};
  }
  return {};
}

// What the payload of a reject may still keep of its values, and whether anything was too much.
struct Room {
  Size bytes = max_kept_bytes;
  bool is_exceeded = false;
};

// What is beyond is not unpacked either.
JsonbValue text_within(Datum datum, Size most, Room& room) {
  if (size_of(datum) <= most) {
    return pg::jsonb_of(typed_value(datum, column_value_text));
  }
  room.is_exceeded = true;
  // The last character may go beyond.
  Value value = typed_value(PointerGetDatum(PG_DETOAST_DATUM_SLICE(
                                datum, 0, static_cast<int32>(most) + MAX_MULTIBYTE_CHAR_LEN)),
                            column_value_text);
  JsonbValue member = pg::jsonb_of(value);
  member.val.string.len =
      pg_mbcliplen(member.val.string.val, member.val.string.len, static_cast<int>(most));
  return member;
}

// JSON cannot be cut. None when there is too much of it, or when it is nested more deeply than a
// stack is sure to allow for whoever makes jsonb of it again.
std::optional<JsonbValue> json_within(Datum datum, Room& room) {
  if (size_of(datum) <= room.bytes) {
    const Value value = typed_value(datum, column_value_json);
    if (!pg::is_deeper(DatumGetJsonbP(value.datum), core::max_json_depth)) {
      return pg::jsonb_of(value);
    }
  }
  room.is_exceeded = true;
  return std::nullopt;
}

std::optional<JsonbValue> payload_member(Datum datum, Column column, Room& room) {
  Value value;
  value.cleared = false;
  switch (column) {
    case column_cleared:
      return pg::jsonb_of(typed_value(datum, column_value_bool));
    case column_attribute_id:
      value.type = DataType::integer;
      value.integer = DatumGetInt32(datum);
      return pg::jsonb_of(value);
    case column_tenant_id:
    case column_entity_id:
      return pg::jsonb_of(typed_value(datum, column_value_int));
    case column_observed_at:
      return pg::jsonb_of(typed_value(datum, column_value_time));
    case column_entity:
    case column_attribute:
      // Not out of the same room: by its names it is told whose the values are.
      return text_within(datum, max_kept_name, room);
    case column_value_text:
    case column_value: {
      const JsonbValue member = text_within(datum, room.bytes, room);
      room.bytes -= member.val.string.len;
      return member;
    }
    case column_value_json: {
      const std::optional<JsonbValue> member = json_within(datum, room);
      room.bytes -= member ? size_of(datum) : 0;
      return member;
    }
    default:
      return pg::jsonb_of(typed_value(datum, column));
  }
}

void push(JsonbParseState** state, const char* name, JsonbValue member) {
  JsonbValue key;
  key.type = jbvString;
  key.val.string.val = const_cast<char*>(name);
  key.val.string.len = static_cast<int>(strlen(name));
  pushJsonbValue(state, WJB_KEY, &key);
  pushJsonbValue(state, WJB_VALUE, &member);
}

}  // namespace

Column column_of(DataType type) {
  switch (type) {
    case DataType::integer:
      return column_value_int;
    case DataType::floating:
      return column_value_float;
    case DataType::timestamp:
      return column_value_time;
    case DataType::boolean:
      return column_value_bool;
    case DataType::numeric:
      return column_value_numeric;
    case DataType::json:
      return column_value_json;
    case DataType::text:
      return column_value_text;
  }
  pg_unreachable();
}

Rejection read_row(HeapTuple tuple, TupleDesc description, Origin origin, TimestampTz now,
                   StagedRow& row) {
  const Fields fields(tuple, description);
  row = StagedRow{};
  row.tuple = tuple;
  row.origin = origin;
  row.tenant_id = fields.has(column_tenant_id) ? DatumGetInt64(fields[column_tenant_id]) : 0;
  row.entity_id = fields.has(column_entity_id) ? DatumGetInt64(fields[column_entity_id]) : 0;
  row.attribute_id =
      fields.has(column_attribute_id) ? DatumGetInt32(fields[column_attribute_id]) : 0;
  if (origin == Origin::staging) {
    row.arrival = {DatumGetUInt64(fields[static_cast<Column>(column_xact)]),
                   HeapTupleHeaderGetRawCommandId(tuple->t_data), true};
    if (fields.has(column_writer_tenant)) {
      row.writer_tenant = DatumGetInt64(fields[column_writer_tenant]);
    }
  }
  if (origin == Origin::backlog && fields.has(column_ingested_at)) {
    row.in_history = true;
    row.version.ingested_at = DatumGetTimestampTz(fields[column_ingested_at]);
  }
  if (!fields.has(column_tenant_id)) {
    return {ERRCODE_NOT_NULL_VIOLATION, "tenant_id is not set"};
  }
  if (const Rejection bad =
          check_reference(fields, column_entity_id, column_entity, "entity_id", "entity")) {
    return bad;
  }
  if (const Rejection bad = check_reference(fields, column_attribute_id, column_attribute,
                                            "attribute_id", "attribute")) {
    return bad;
  }
  if (fields.has(column_entity)) {
    row.entity = view_of(text_of(fields[column_entity]));
  }
  if (fields.has(column_attribute)) {
    row.attribute = view_of(text_of(fields[column_attribute]));
  }
  if (const Rejection bad = read_times(fields, now, row)) {
    return bad;
  }
  return read_value(fields, row);
}

Size memory_of(HeapTuple tuple, TupleDesc description) {
  // Short rows hide nothing: only what is worth compressing or moving out is.
  constexpr uint32 plain_bytes = 256;
  if (!HeapTupleHasExternal(tuple) && tuple->t_len < plain_bytes) {
    return tuple->t_len;
  }
  const Fields fields(tuple, description);
  Size bytes = tuple->t_len;
  for (int i = column_value_text; i <= column_count; ++i) {
    const auto column = static_cast<Column>(i);
    if (fields.has(column)) {
      bytes += toast_raw_datum_size(fields[column]);
    }
  }
  return bytes;
}

void set_columns(const StagedRow& row, Datum* values, bool* nulls) {
  std::fill_n(nulls, static_cast<int>(column_count_staged), true);
  const auto set = [&](Column column, Datum datum) {
    values[column - 1] = datum;
    nulls[column - 1] = false;
  };
  const auto text_datum = [](std::string_view view) {
    return PointerGetDatum(cstring_to_text_with_len(view.data(), static_cast<int>(view.size())));
  };
  if (row.writer_tenant) {
    set(column_writer_tenant, Int64GetDatum(*row.writer_tenant));
  }
  set(column_cleared, BoolGetDatum(row.value.cleared));
  set(column_tenant_id, Int64GetDatum(row.tenant_id));
  set(column_observed_at, TimestampTzGetDatum(row.version.observed_at));
  set(column_attribute, text_datum(row.attribute));
  if (row.entity.empty()) {
    set(column_entity_id, Int64GetDatum(row.entity_id));
  } else {
    set(column_entity, text_datum(row.entity));
  }
  if (row.is_unparsed()) {
    set(column_value, text_datum(row.unparsed));
  } else if (!row.value.cleared) {
    set(column_of(row.value.type), datum_of(row.value));
  }
}

Value value_of(Datum datum, DataType type) { return typed_value(datum, column_of(type)); }

HeapTuple tuple_of(const StagedRow& row, TupleDesc description) {
  if (row.tuple != nullptr) {
    return row.tuple;
  }
  std::array<Datum, column_count_staged> values{};
  std::array<bool, column_count_staged> nulls{};
  set_columns(row, values.data(), nulls.data());
  return heap_form_tuple(description, values.data(), nulls.data());
}

int64 backlog_id_of(const StagedRow& row, TupleDesc description) {
  bool is_null = false;
  return DatumGetInt64(heap_getattr(row.tuple, column_backlog_id, description, &is_null));
}

Jsonb* payload_of(HeapTuple tuple, TupleDesc description) {
  const Fields fields(tuple, description);
  JsonbParseState* state = nullptr;
  Room room;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  for (int i = column_cleared; i <= column_count; ++i) {
    const auto column = static_cast<Column>(i);
    const bool unset_flag = column == column_cleared && !DatumGetBool(fields[column]);
    if (!fields.has(column) || unset_flag) {
      continue;
    }
    if (const auto member = payload_member(fields[column], column, room)) {
      push(&state, NameStr(TupleDescAttr(description, i - 1)->attname), *member);
    }
  }
  if (room.is_exceeded) {
    push(&state, "truncated", pg::boolean_value(true));
  }
  return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
}

}  // namespace eav::ingest
