#include "eav/core/value_key.hpp"

#include <algorithm>

namespace eav::core {

namespace {

constexpr std::uint8_t end_of_negative = 0xff;

// Digits before and after the point, without zeros that say nothing.
struct Decimal {
  bool is_negative;
  std::string_view whole;
  std::string_view fraction;
};

Decimal split(std::string_view decimal) {
  Decimal result{};
  result.is_negative = decimal.starts_with('-');
  if (result.is_negative || decimal.starts_with('+')) {
    decimal.remove_prefix(1);
  }
  const std::size_t point = std::min(decimal.find('.'), decimal.size());
  result.whole = decimal.substr(0, point);
  result.whole.remove_prefix(std::min(result.whole.find_first_not_of('0'), result.whole.size()));
  result.fraction = decimal.substr(std::min(point + 1, decimal.size()));
  result.fraction.remove_suffix(result.fraction.size() -
                                (result.fraction.find_last_not_of('0') + 1));
  return result;
}

// The decimal as pairs of digits, counted from the first pair of the whole part.
class Pairs {
 public:
  explicit Pairs(const Decimal& decimal)
      : decimal_(decimal),
        odd_(decimal.whole.size() % 2),
        whole_((decimal.whole.size() + 1) / 2),
        count_(whole_ + (decimal.fraction.size() + 1) / 2) {}

  std::size_t whole() const { return whole_; }
  std::size_t count() const { return count_; }
  int operator[](std::size_t pair) const {
    if (pair < whole_) {
      const std::size_t at = pair * 2;
      const int tens = at < odd_ ? 0 : decimal_.whole[at - odd_] - '0';
      return tens * 10 + (decimal_.whole[at + 1 - odd_] - '0');
    }
    const std::size_t at = (pair - whole_) * 2;
    const int ones = at + 1 < decimal_.fraction.size() ? decimal_.fraction[at + 1] - '0' : 0;
    return (decimal_.fraction[at] - '0') * 10 + ones;
  }

 private:
  const Decimal& decimal_;
  std::size_t odd_;
  std::size_t whole_;
  std::size_t count_;
};

}  // namespace

void ValueKey::append_exponent(std::int32_t exponent) {
  constexpr std::int32_t short_limit = 60;
  constexpr std::int32_t bias = 0x80;
  if (exponent >= -short_limit && exponent <= short_limit) {
    append(static_cast<std::uint8_t>(bias + exponent));
    return;
  }
  append(exponent < 0 ? 0x00 : 0xff);
  // An exponent is far from the ends of its type.
  const auto number = static_cast<std::uint32_t>(exponent) ^ 0x80000000U;
  for (int shift = 24; shift >= 0; shift -= 8) {
    append(static_cast<std::uint8_t>(number >> shift));
  }
}

ValueKey ValueKey::of_number(std::string_view text) {
  const Decimal decimal = split(text);
  const Pairs pairs(decimal);
  std::size_t first = 0;
  while (first < pairs.count() && pairs[first] == 0) {
    ++first;
  }
  if (first == pairs.count()) {
    return ValueKey(Type::zero);
  }
  ValueKey key(decimal.is_negative ? Type::negative : Type::positive);
  key.append_exponent(static_cast<std::int32_t>(pairs.whole()) - static_cast<std::int32_t>(first));
  std::size_t last = std::min(pairs.count(), first + max_digits);
  while (pairs[last - 1] == 0) {
    --last;
  }
  for (std::size_t pair = first; pair < last; ++pair) {
    key.append(static_cast<std::uint8_t>(pairs[pair] + 1));
  }
  if (decimal.is_negative) {
    std::for_each(key.bytes_.begin() + 1, key.bytes_.begin() + key.size_,
                  [](std::uint8_t& byte) { byte = static_cast<std::uint8_t>(~byte); });
    key.append(end_of_negative);
  }
  return key;
}

ValueKey ValueKey::of_string(std::string_view utf8) {
  ValueKey key(Type::string);
  for (const char byte : utf8.substr(0, max_string_bytes)) {
    key.append(static_cast<std::uint8_t>(byte));
  }
  return key;
}

ValueKey ValueKey::above(Type type) {
  ValueKey key(type);
  ++key.bytes_[0];
  return key;
}

// No byte of UTF-8 is 0xff, so that the last one can always be raised; that of an empty prefix is
// the one for the type.
ValueKey ValueKey::above_prefix(std::string_view utf8) {
  ValueKey key = of_string(utf8);
  ++key.bytes_[key.size_ - 1];
  return key;
}

}  // namespace eav::core
