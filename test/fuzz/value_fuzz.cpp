// Text as it comes from producers, through every parser. Beside not crashing, the parsers have to
// agree with each other.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "eav/core/value.hpp"

#include "eav/core/core_only.hpp"

namespace {

using namespace eav::core;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::int64_t integer = 0;
  double floating = 0;
  bool boolean = false;
  std::int64_t timestamp = 0;
  const ParseStatus as_integer = parse_integer(text, integer);
  const ParseStatus as_floating = parse_floating(text, floating);
  const ParseStatus as_numeric = check_numeric(text);
  const ParseStatus as_boolean = parse_boolean(text, boolean);
  const ParseStatus as_timestamp = parse_timestamp(text, timestamp);

  // Every integer is a decimal number, and every finite float is one.
  require(as_integer == ParseStatus::syntax || as_floating == ParseStatus::ok ||
          as_floating == ParseStatus::out_of_range);
  require(as_integer == ParseStatus::syntax || as_numeric != ParseStatus::syntax);
  require(as_floating != ParseStatus::ok || !std::isfinite(floating) ||
          as_numeric != ParseStatus::syntax);
  if (as_integer == ParseStatus::ok) {
    require(floating == static_cast<double>(integer));
  }
  require(as_boolean != ParseStatus::out_of_range);
  // Years 1 to 9999 and a zone.
  constexpr std::int64_t day = 86'400'000'000;
  require(as_timestamp != ParseStatus::ok ||
          (timestamp >= -730120 * day && timestamp <= 2921941 * day));

  switch (infer_type(text)) {
    case DataType::integer:
      require(as_integer == ParseStatus::ok);
      break;
    case DataType::floating:
      require(as_floating == ParseStatus::ok && as_integer != ParseStatus::ok &&
              std::isfinite(floating));
      break;
    case DataType::boolean:
      require(as_boolean == ParseStatus::ok);
      break;
    case DataType::text:
    case DataType::json:
      require(as_integer != ParseStatus::ok);
      break;
    case DataType::numeric:
    case DataType::timestamp:
      std::abort();  // never inferred
  }
  require(check_name(text) != NameStatus::ok || (size >= 1 && size <= max_name_bytes));
  require(!data_type_from_name(text) || name_of(*data_type_from_name(text)) == text);
  require(!projection_from_name(text) || name_of(*projection_from_name(text)) == text);
  return 0;
}
