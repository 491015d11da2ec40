#include "eav/core/json_number.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cfloat>
#include <charconv>
#include <limits>
#include <string_view>

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

// More digits may not fit in 64 bits.
constexpr std::int64_t max_exact_digits = 19;

// A number taken apart, its digits as one integer.
struct Scan {
  const char* end = nullptr;  // null when it is malformed
  bool negative = false;
  bool is_integer = true;      // no point and no exponent
  std::int64_t digits = 0;     // as written, leading zeros included
  std::int64_t fraction = 0;   // digits after the point
  std::int64_t exponent = 0;   // as written, clamped
  std::uint64_t mantissa = 0;  // of up to max_exact_digits digits
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

const char* scan_digits(const char* at, std::uint64_t& value) {
  for (; is_digit(*at); ++at) {
    value = value * 10 + static_cast<std::uint64_t>(*at - '0');
  }
  return at;
}

const char* scan_exponent(const char* at, std::int64_t& exponent) {
  const bool negative = *at == '-';
  at += negative || *at == '+' ? 1 : 0;
  if (!is_digit(*at)) {
    return nullptr;
  }
  for (; is_digit(*at); ++at) {
    constexpr std::int64_t absurd = 1'000'000'000'000;
    exponent = std::min(absurd, exponent * 10 + (*at - '0'));
  }
  exponent = negative ? -exponent : exponent;
  return at;
}

Scan scan_number(const char* at) {
  Scan scan;
  scan.negative = *at == '-';
  at += scan.negative ? 1 : 0;
  const char* const integral = at;
  at = scan_digits(at, scan.mantissa);
  scan.digits = at - integral;
  if (scan.digits == 0 || (*integral == '0' && scan.digits > 1)) {
    return scan;
  }
  if (*at == '.') {
    scan.is_integer = false;
    const char* const fraction = ++at;
    at = scan_digits(at, scan.mantissa);
    scan.fraction = at - fraction;
    scan.digits += scan.fraction;
    if (scan.fraction == 0) {
      return scan;
    }
  }
  if (*at == 'e' || *at == 'E') {
    scan.is_integer = false;
    at = scan_exponent(at + 1, scan.exponent);
  }
  scan.end = at;
  return scan;
}

// The digits of a decimal number, without zeros at either end, and the power of ten of the last.
struct Digits {
  std::string_view text;  // from the first digit that is not zero; may hold a point
  std::int64_t exponent = 0;
};

// Takes the exponent from the scan, which has read the same text.
Digits significant_digits(const char* begin, const Scan& scan) {
  std::string_view text(begin, static_cast<std::size_t>(scan.end - begin));
  text = text.substr(0, text.find_first_of("eE"));
  const std::size_t first = text.find_first_of("123456789");
  if (first == std::string_view::npos) {
    return {};
  }
  const std::size_t last = text.find_last_of("123456789");
  std::int64_t exponent = scan.exponent - scan.fraction;
  for (const char c : text.substr(last + 1)) {
    exponent += c == '0' ? 1 : 0;
  }
  return {text.substr(first, last - first + 1), exponent};
}

bool same_digits(std::string_view left, std::string_view right) {
  const char* l = left.data();
  const char* r = right.data();
  const char* const l_end = l + left.size();
  const char* const r_end = r + right.size();
  while (true) {
    l += l != l_end && *l == '.' ? 1 : 0;
    r += r != r_end && *r == '.' ? 1 : 0;
    if (l == l_end || r == r_end) {
      return l == l_end && r == r_end;
    }
    if (*l++ != *r++) {
      return false;
    }
  }
}

// Whether mantissa times ten to the exponent lies halfway between two doubles: without its factors
// of two it has one bit more than a double. Such a number is the shortest text for one of them to
// some, and not to PostgreSQL.
bool is_halfway(std::uint64_t mantissa, std::int64_t exponent) {
  constexpr std::uint64_t least = std::uint64_t{1} << DBL_MANT_DIG;
  if (mantissa == 0) {
    return false;
  }
  std::uint64_t odd = mantissa >> std::countr_zero(mantissa);
  for (; exponent > 0 && odd < 2 * least; --exponent) {
    odd *= 5;
  }
  for (; exponent < 0 && odd % 5 == 0; ++exponent) {
    odd /= 5;
  }
  return exponent == 0 && odd >= least && odd < 2 * least;
}

bool is_halfway(const Digits& written) {
  std::uint64_t mantissa = 0;
  std::int64_t digits = 0;
  for (const char c : written.text) {
    if (c != '.') {
      mantissa = mantissa * 10 + static_cast<std::uint64_t>(c - '0');
      ++digits;
    }
  }
  return digits <= max_exact_digits && is_halfway(mantissa, written.exponent);
}

// Whether the shortest text that reads back as `value` is the number that was written.
bool holds(double value, const char* begin, const Scan& scan) {
  std::array<char, 32> shortest{};
  char* const end = std::to_chars(shortest.data(), shortest.data() + shortest.size() - 1, value,
                                  std::chars_format::scientific)
                        .ptr;
  *end = '\0';
  const Digits written = significant_digits(begin, scan);
  const Digits kept = significant_digits(shortest.data(), scan_number(shortest.data()));
  return written.exponent == kept.exponent && same_digits(written.text, kept.text) &&
         !is_halfway(written);
}

// Up to 15 digits always survive a double. Powers of ten up to 22 are doubles themselves, so one
// operation rounds correctly, where the processor computes in doubles.
bool convert_exactly(const Scan& scan, double& result) {
  constexpr std::uint64_t most = 999'999'999'999'999;
  constexpr std::array<double, 23> powers = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                             1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                             1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  constexpr auto top = static_cast<std::int64_t>(powers.size()) - 1;
  const std::int64_t exponent = scan.exponent - scan.fraction;
  if (FLT_EVAL_METHOD != 0 || scan.digits > max_exact_digits || scan.mantissa > most ||
      exponent < -top || exponent > top || (exponent > 0 && is_halfway(scan.mantissa, exponent))) {
    return false;
  }
  const auto mantissa = static_cast<double>(scan.mantissa);
  result = exponent < 0 ? mantissa / powers[static_cast<std::size_t>(-exponent)]
                        : mantissa * powers[static_cast<std::size_t>(exponent)];
  result = scan.negative ? -result : result;
  return true;
}

bool convert(const char* begin, const Scan& scan, double& result) {
  if (convert_exactly(scan, result)) {
    return true;
  }
  if (significant_digits(begin, scan).text.empty()) {
    result = scan.negative ? -0.0 : 0.0;  // whatever its exponent
    return true;
  }
  return std::from_chars(begin, scan.end, result).ec == std::errc() && holds(result, begin, scan);
}

// False beyond 64 bits.
bool convert(const Scan& scan, std::int64_t& result) {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (scan.digits > max_exact_digits || scan.mantissa > most + (scan.negative ? 1 : 0)) {
    return false;
  }
  result = static_cast<std::int64_t>(scan.negative ? 0 - scan.mantissa : scan.mantissa);
  return true;
}

}  // namespace

JsonNumber read_number(const char* begin) {
  const Scan scan = scan_number(begin);
  JsonNumber number = {NumberKind::malformed, 0, 0, scan.end};
  if (scan.end == nullptr) {
    return number;
  }
  if (scan.is_integer) {
    number.kind = convert(scan, number.integer) ? NumberKind::integer : NumberKind::big_integer;
  } else {
    number.kind =
        convert(begin, scan, number.floating) ? NumberKind::floating : NumberKind::decimal;
  }
  return number;
}

const char* skip_number(const char* begin) { return scan_number(begin).end; }

}  // namespace eav::core
