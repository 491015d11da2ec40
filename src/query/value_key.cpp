#include "eav/query/value_key.hpp"

#include "eav/pg/guard.hpp"
#include "eav/pg/jsonb.hpp"

extern "C" {
#include <catalog/namespace.h>
#include <mb/pg_wchar.h>
}

namespace eav::query {

using core::ValueKey;

std::string_view utf8_of(const char* text, int length) {
  const int encoding = GetDatabaseEncoding();
  const std::string_view whole(text, static_cast<std::size_t>(length));
  if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII) {
    return whole;
  }
  const Oid conversion = FindDefaultConversionProc(encoding, PG_UTF8);
  if (!OidIsValid(conversion)) {
    return whole;
  }
  const int taken = pg_mbcliplen(text, length, ValueKey::max_string_bytes);
  const int room = taken * MAX_CONVERSION_GROWTH + 1;
  auto* const utf8 = static_cast<unsigned char*>(palloc(static_cast<Size>(room)));
  auto* const source = reinterpret_cast<unsigned char*>(const_cast<char*>(text));
  pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8, source, taken, utf8, room, true);
  return reinterpret_cast<const char*>(utf8);
}

core::ValueKey key_of(const JsonbValue& value) {
  switch (value.type) {
    case jbvNull:
      return ValueKey::of_null();
    case jbvBool:
      return ValueKey::of_boolean(value.val.boolean);
    case jbvNumeric:
      return ValueKey::of_number(
          DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric))));
    case jbvString:
      return ValueKey::of_string(utf8_of(value.val.string.val, value.val.string.len));
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

EAV_UNCHECKED_FUNCTION(eav_value_key) {
  Jsonb* const value = PG_GETARG_JSONB_P(0);
  PG_RETURN_BYTEA_P(eav::query::bytea_of(eav::query::key_of(eav::pg::json_value(value))));
}
