// The sort key of a JSON value: bytes whose order is the order in which jsonpath compares values
// of one type, for a B-tree that answers ==, <, >, and `starts with` for all types.
//
// Format: one byte for the type (null, false, true, negative number, zero, positive number,
// string, array, object, in this order), then
//   number  its decimal digits in base 100, 0.d1 d2 d3 ... times 100^exponent with d1 above 0: the
//           exponent (one byte, 0x80 + exponent, from -60 to 60; else 0x00 or 0xff and four more
//           bytes), then each digit + 1 in a byte, without zeros at the end, at most max_digits; of
//           a negative number all of this is complemented, and 0xff ends it. (The idea is that of
//           the key encoding of SQLite4.)
//   string  the first max_string_bytes of it in UTF-8, whose byte order is that of code points
//   array, object  nothing: values of these types have no order
// Equal values have equal keys; different values may (beyond max_digits or max_string_bytes), so
// that what is found by key is to be looked at once more.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "eav/core/core_only.hpp"

namespace eav::core {

class ValueKey {
 public:
  static constexpr std::size_t max_digits = 40;
  static constexpr std::size_t max_string_bytes = 63;
  static constexpr std::size_t max_bytes = 1 + max_string_bytes;

  enum class Type : std::uint8_t {
    null = 0x10,
    boolean_false = 0x20,
    boolean_true = 0x21,
    negative = 0x30,
    zero = 0x31,
    positive = 0x32,
    string = 0x40,
    array = 0x50,
    object = 0x60
  };

  static ValueKey of_null() { return ValueKey(Type::null); }
  static ValueKey of_boolean(bool value) {
    return ValueKey(value ? Type::boolean_true : Type::boolean_false);
  }
  // Decimal digits with a sign and a point, if any, and no exponent, as numeric prints them.
  static ValueKey of_number(std::string_view decimal);
  static ValueKey of_string(std::string_view utf8);
  static ValueKey of_array() { return ValueKey(Type::array); }
  static ValueKey of_object() { return ValueKey(Type::object); }
  // Not above any key of a value with that type.
  static ValueKey from(Type type) { return ValueKey(type); }
  // Above all keys of values with that type, and of the types before it.
  static ValueKey above(Type type);
  // Above all keys of strings that begin with this.
  static ValueKey above_prefix(std::string_view utf8);

  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), size_}; }
  Type type() const { return static_cast<Type>(bytes_[0]); }

 private:
  explicit ValueKey(Type type) { append(static_cast<std::uint8_t>(type)); }
  void append(std::uint8_t byte) { bytes_[size_++] = byte; }
  void append_exponent(std::int32_t exponent);

  std::array<std::uint8_t, max_bytes> bytes_{};
  std::size_t size_ = 0;
};

}  // namespace eav::core
