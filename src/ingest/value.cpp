#include "eav/ingest/value.hpp"

#include "eav/pg/input.hpp"
#include "eav/pg/jsonb.hpp"

extern "C" {
#include <common/shortest_dec.h>
#include <mb/pg_wchar.h>
}

namespace eav::ingest {

using core::DataType;
using core::ParseStatus;

namespace {

// At most this much of a value is repeated in a reason.
constexpr int shown_bytes = 64;

Rejection invalid(std::string_view text, DataType type, ParseStatus status) {
  const int shown = pg_mbcliplen(text.data(), static_cast<int>(text.size()), shown_bytes);
  const char* const rest = static_cast<std::size_t>(shown) < text.size() ? "..." : "";
  if (status == ParseStatus::out_of_range) {
    return {type == DataType::timestamp ? ERRCODE_DATETIME_FIELD_OVERFLOW
                                        : ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
            psprintf("value \"%.*s%s\" is out of range for type %s", shown, text.data(), rest,
                     core::name_of(type).data())};
  }
  return {ERRCODE_INVALID_TEXT_REPRESENTATION,
          psprintf("value \"%.*s%s\" is not of type %s", shown, text.data(), rest,
                   core::name_of(type).data())};
}

std::string_view text_view(Datum datum) {
  const text* const string = DatumGetTextPP(datum);
  return {VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string)};
}

// Through the type's input function.
Rejection parse_by_server(std::string_view text, Oid type, Datum& result) {
  char* const copy = pnstrdup(text.data(), text.size());
  const ErrorData* const error = pg::try_input(copy, type, result);
  if (error == nullptr) {
    return {};
  }
  return {error->sqlerrcode, error->message};
}

Rejection out_of_range(DataType type) {
  return {ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
          psprintf("value is out of range for type %s", core::name_of(type).data())};
}

}  // namespace

Datum numeric_of(double floating) {
  // Not by float8out(), whose digits depend on the session.
  char text[DOUBLE_SHORTEST_DECIMAL_LEN];
  text[double_to_shortest_decimal_bufn(floating, text)] = '\0';
  return DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
                             Int32GetDatum(-1));
}

Datum datum_of(const Value& value) {
  switch (value.type) {
    case DataType::integer:
      return Int64GetDatum(value.integer);
    case DataType::floating:
      return Float8GetDatum(value.floating);
    case DataType::boolean:
      return BoolGetDatum(value.boolean);
    case DataType::timestamp:
      return TimestampTzGetDatum(value.timestamp);
    default:
      return value.datum;
  }
}

Rejection parse_value(std::string_view text, DataType type, Value& value) {
  value.type = type;
  value.cleared = false;
  ParseStatus status = ParseStatus::ok;
  switch (type) {
    case DataType::text:
      value.datum =
          PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size())));
      break;
    case DataType::integer:
      status = core::parse_integer(text, value.integer);
      break;
    case DataType::floating:
      status = core::parse_floating(text, value.floating);
      break;
    case DataType::boolean:
      status = core::parse_boolean(text, value.boolean);
      break;
    case DataType::numeric:
      status = core::check_numeric(text);
      if (status == ParseStatus::ok) {
        return parse_by_server(text, NUMERICOID, value.datum);
      }
      break;
    case DataType::timestamp:
      status = core::parse_timestamp(text, value.timestamp);
      if (status == ParseStatus::syntax) {
        Datum parsed = 0;
        const Rejection rejection = parse_by_server(text, TIMESTAMPTZOID, parsed);
        value.timestamp = DatumGetTimestampTz(parsed);
        return rejection;
      }
      break;
    case DataType::json:
      return parse_by_server(text, JSONBOID, value.datum);
  }
  return status == ParseStatus::ok ? Rejection{} : invalid(text, type, status);
}

Rejection convert_value(DataType type, Value& value) {
  if (value.type == type || value.cleared) {
    value.type = type;
    return {};
  }
  if (type == DataType::floating && value.type == DataType::integer) {
    value.floating = static_cast<double>(value.integer);
  } else if (type == DataType::numeric && value.type == DataType::integer) {
    value.datum = NumericGetDatum(int64_to_numeric(value.integer));
  } else if (type == DataType::numeric && value.type == DataType::floating) {
    value.datum = numeric_of(value.floating);
  } else if (type == DataType::floating && value.type == DataType::numeric) {
    const char* const text = DatumGetCString(DirectFunctionCall1(numeric_out, value.datum));
    if (core::parse_floating(text, value.floating) != ParseStatus::ok) {
      return out_of_range(type);
    }
  } else if (type == DataType::timestamp && value.type == DataType::text) {
    return parse_value(text_view(value.datum), type, value);
  } else if (type == DataType::json) {
    JsonbValue scalar = pg::jsonb_of(value);
    value.datum = JsonbPGetDatum(JsonbValueToJsonb(&scalar));
  } else {
    return {ERRCODE_DATATYPE_MISMATCH,
            psprintf("attribute is of type %s but the value is of type %s",
                     core::name_of(type).data(), core::name_of(value.type).data())};
  }
  value.type = type;
  return {};
}

}  // namespace eav::ingest
