#include "eav/query/value_key.hpp"

#include "eav/pg/guard.hpp"
#include "eav/pg/jsonb.hpp"

extern "C" {
#include <mb/pg_wchar.h>
}

namespace eav::query {

using core::ValueKey;

core::ValueKey key_of(const JsonbValue& value) {
  switch (value.type) {
    case jbvNull:
      return ValueKey::of_null();
    case jbvBool:
      return ValueKey::of_boolean(value.val.boolean);
    case jbvNumeric:
      return ValueKey::of_number(
          DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric))));
    case jbvString: {
      const char* const text = value.val.string.val;
      const char* const utf8 = pg_server_to_any(text, value.val.string.len, PG_UTF8);
      const auto length =
          utf8 == text ? static_cast<std::size_t>(value.val.string.len) : strlen(utf8);
      return ValueKey::of_string({utf8, length});
    }
    case jbvBinary:
      return JsonContainerIsArray(value.val.binary.data) ? ValueKey::of_array()
                                                         : ValueKey::of_object();
    case jbvArray:
      return ValueKey::of_array();
    default:
      return ValueKey::of_object();
  }
}

bytea* bytea_of(const core::ValueKey& key) {
  const std::span<const uint8> bytes = key.bytes();
  auto* const result = static_cast<bytea*>(palloc(VARHDRSZ + bytes.size()));
  SET_VARSIZE(result, VARHDRSZ + bytes.size());
  memcpy(VARDATA(result), bytes.data(), bytes.size());
  return result;
}

}  // namespace eav::query

EAV_FUNCTION(eav_value_key) {
  Jsonb* const value = PG_GETARG_JSONB_P(0);
  PG_RETURN_BYTEA_P(eav::query::bytea_of(eav::query::key_of(eav::pg::json_value(value))));
}
