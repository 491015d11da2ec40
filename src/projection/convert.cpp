#include "eav/projection/convert.hpp"

#include "eav/ingest/staged_row.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/jsonb.hpp"

namespace eav::projection {

using core::DataType;

namespace {

std::string_view text_of(const JsonbValue& value) {
  switch (value.type) {
    case jbvNull:
      return "null";
    case jbvBool:
      return value.val.boolean ? "true" : "false";
    case jbvNumeric:
      return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
    case jbvString:
      return {value.val.string.val, static_cast<std::size_t>(value.val.string.len)};
    default: {
      JsonbValue copy = value;
      Jsonb* const json = JsonbValueToJsonb(&copy);
      return JsonbToCString(nullptr, &json->root, VARSIZE(json));
    }
  }
}

bool has_type(const JsonbValue& value, DataType type) {
  return type == DataType::json || (type == DataType::text && value.type == jbvString) ||
         (type == DataType::boolean && value.type == jbvBool);
}

}  // namespace

bool read_as(const JsonbValue& value, DataType type, ingest::Value& result) {
  if (type == DataType::json) {
    JsonbValue copy = value;
    result.type = type;
    result.cleared = false;
    result.datum = JsonbPGetDatum(JsonbValueToJsonb(&copy));
    return true;
  }
  return value.type != jbvNull && !ingest::parse_value(text_of(value), type, result);
}

std::optional<JsonbValue> convert(const JsonbValue& value, DataType type) {
  if (has_type(value, type)) {
    return value;
  }
  ingest::Value read{};
  return read_as(value, type, read) ? std::optional(pg::jsonb_of(read)) : std::nullopt;
}

bool fit(ingest::Value& value, DataType type) {
  if (value.cleared || value.type == type) {
    return true;
  }
  const JsonbValue json = pg::jsonb_of(value);
  value.cleared = !read_as(json, type, value);
  value.type = type;
  return !value.cleared;
}

}  // namespace eav::projection

EAV_FUNCTION(eav_is_convertible) {
  const auto type = eav::core::data_type_from_name(eav::ingest::view_of(PG_GETARG_TEXT_PP(1)));
  PG_RETURN_BOOL(type &&
                 eav::projection::convert(eav::pg::json_value(PG_GETARG_JSONB_P(0)), *type));
}
