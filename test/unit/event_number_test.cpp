// core/json_number.hpp: which numbers a double holds.
#include <gtest/gtest.h>

#include <cfloat>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "random.hpp"

#include "eav/core/json_number.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using enum NumberKind;

JsonNumber read(const std::string& text) { return read_number(text.c_str()); }

TEST(JsonNumber, Kinds) {
  const std::vector<std::pair<std::string, NumberKind>> cases = {
      {"0", integer},
      {"-0", integer},
      {"999999999999999999", integer},
      {"9223372036854775807", integer},
      {"9223372036854775808", big_integer},
      {"-9223372036854775808", integer},
      {"-9223372036854775809", big_integer},
      {"18446744073709551616", big_integer},
      {"99999999999999999999", big_integer},
      {std::string(1000, '9'), big_integer},
      {"0.1", floating},
      {"0.10", floating},
      {"72.5", floating},
      {"1.0", floating},
      {"1e22", floating},
      {"1e23", decimal},  // halfway between two doubles, like others here
      {"-7e22", decimal},
      {"100000000000000000000000.0", decimal},
      {"3.60287970189641e16", decimal},
      {"9e22", floating},
      {"2e23", decimal},
      {"8.704557e+19", decimal},
      {"8e22", floating},
      {"9007199254740993.0", decimal},
      {"9007199254740992.0", floating},
      {"9007199254740994.0", floating},
      {"123456789012345.0", floating},
      {"1234567890123456.0", floating},
      {"12345678901234567.0", decimal},
      {"12345678901234568.0", floating},
      {"0.3", floating},
      {"0.30000000000000004", floating},
      {"0.30000000000000001", decimal},
      {"0.299999999999999988897769753748", decimal},
      {"0.12345678901234567890", decimal},
      {"123456789.123456789123", decimal},
      {"0.000000000000000000000000000000000000001", floating},
      {"1000000000000000000000000000000.0", floating},
      {"1000000000000000000000000000001.0", decimal},
      {"100000000000000000000000000000e-29", floating},
      {"1.7976931348623157e308", floating},
      {"1.7976931348623158e308", decimal},
      {"1.8e308", decimal},
      {"1e400", decimal},
      {"1e-400", decimal},
      {"5e-324", floating},
      {"4.9e-324", decimal},
      {"2e-324", decimal},
      {"2.2250738585072014e-308", floating},
      {"2.225073858507201e-308", floating},
      {"2.2250738585072011e-308", decimal},
      // A power of two, whose shortest text is not the nearest of its length.
      {"6.617444900424222e-24", floating},
      {"6.6174449004242214e-24", decimal},
      {"1e999999999999999999999", decimal},
      {"1e-999999999999999999999", decimal},
      {"0e999999999999999999999", floating},
      {"0.0000e-999999999999999999999", floating},
      {"", malformed},
      {"-", malformed},
      {"+1", malformed},
      {"01", malformed},
      {"-01", malformed},
      {"00", malformed},
      {".5", malformed},
      {"1.", malformed},
      {"1.e1", malformed},
      {"1e", malformed},
      {"1e+", malformed},
      {"1E-", malformed},
      {"e5", malformed}};
  for (const auto& [text, kind] : cases) {
    for (const std::string sign : {"", "-"}) {
      if (sign.empty() || (text[0] != '-' && text != "9223372036854775808")) {
        const std::string number = sign + text;
        EXPECT_EQ(read(number).kind, kind) << number;
        EXPECT_EQ(skip_number(number.c_str()), read(number).end) << number;
        EXPECT_EQ(read(number).end, kind == malformed ? nullptr : read(number).end);
      }
    }
  }
}

TEST(JsonNumber, EndsWhereItEnds) {
  for (const std::string number : {"0", "-0", "12", "1.5", "1e5", "1.25E-7", "1e+99"}) {
    for (const std::string rest : {"", ",", " 1", "]", "x", "."}) {
      if (rest == "." && number.find_first_of(".e") == std::string::npos) {
        continue;  // makes it another number
      }
      const std::string text = number + rest;
      EXPECT_EQ(read_number(text.c_str()).end, text.c_str() + number.size()) << text;
    }
  }
}

TEST(JsonNumber, KeepsTheSignOfZero) {
  EXPECT_FALSE(std::signbit(read("0.0").floating));
  EXPECT_TRUE(std::signbit(read("-0.0").floating));
  EXPECT_TRUE(std::signbit(read("-0e999999").floating));
}

// Digits without zeros at the ends, and the power of ten of the last.
std::pair<std::string, long> normal(const std::string& text) {
  std::string digits;
  long exponent = 0;
  std::size_t at = text[0] == '-' ? 1 : 0;
  bool after_point = false;
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    if (text[at] == '.') {
      after_point = true;
    } else {
      digits += text[at];
      exponent -= after_point ? 1 : 0;
    }
  }
  if (at < text.size()) {
    exponent += std::strtol(text.c_str() + at + 1, nullptr, 10);
  }
  digits.erase(0, digits.find_first_not_of('0'));
  while (!digits.empty() && digits.back() == '0') {
    digits.pop_back();
    ++exponent;
  }
  return {digits, digits.empty() ? 0 : exponent};
}

// The shortest text that reads back as the same double, found by trying.
std::string shortest(double value) {
  char text[64];
  for (int digits = 0; digits <= 17; ++digits) {
    std::snprintf(text, sizeof(text), "%.*e", digits, value);
    if (std::strtod(text, nullptr) == value) {
      break;
    }
  }
  return text;
}

// Whether the text lies halfway between the double next to it and a neighbour of that.
bool is_halfway(const std::string& text, double value) {
  static_assert(LDBL_MANT_DIG > DBL_MANT_DIG, "has room for the middle of two doubles");
  const auto is_middle = [&](double neighbour) {
    char printed[128];
    const long double middle = (static_cast<long double>(value) + neighbour) / 2;
    std::snprintf(printed, sizeof(printed), "%.60Le", middle);
    return normal(printed) == normal(text);
  };
  return is_middle(std::nextafter(value, HUGE_VAL)) || is_middle(std::nextafter(value, -HUGE_VAL));
}

TEST(JsonNumber, AgreesWithPrintfAndStrtod) {
  EAV_RANDOM(random);
  const auto digits = [&](std::int64_t least, std::int64_t most) {
    std::string text;
    for (std::int64_t i = random.between(least, most); i > 0; --i) {
      text += static_cast<char>(random.chance(0.3) ? '0' : '0' + random.between(0, 9));
    }
    return text;
  };
  int floats = 0;
  for (int i = 0; i < 30'000; ++i) {
    std::string text = random.chance(0.5) ? "-" : "";
    if (random.chance(0.2)) {
      // A double as others print it.
      const double value = std::ldexp(static_cast<double>(random.any_int64()),
                                      static_cast<int>(random.between(-200, 200)));
      char printed[64];
      std::snprintf(printed, sizeof(printed), "%.*e", static_cast<int>(random.between(1, 20)),
                    std::abs(value));
      text += printed;
    } else {
      text += random.chance(0.3) ? "0" : std::to_string(random.between(1, 9)) + digits(0, 20);
      text += "." + digits(1, 22);
      if (random.chance(0.5)) {
        text += (random.chance(0.5) ? "e" : "E-") + std::to_string(random.between(0, 300));
      }
    }
    const JsonNumber number = read(text);
    const double value = std::strtod(text.c_str(), nullptr);
    int power = 0;
    if (std::abs(std::frexp(value, &power)) == 0.5) {
      continue;  // printf does not find the shortest text of powers of two
    }
    const bool holds =
        std::isfinite(value) && normal(shortest(value)) == normal(text) && !is_halfway(text, value);
    ASSERT_EQ(number.kind, holds ? floating : decimal) << text;
    if (holds) {
      ASSERT_EQ(number.floating, value) << text;
      ASSERT_EQ(std::signbit(number.floating), std::signbit(value)) << text;
      ++floats;
    }
  }
  EXPECT_GT(floats, 3000);
  EXPECT_LT(floats, 27'000);
}

TEST(JsonNumber, AgreesWithStrtodOnWhatIsUsual) {
  EAV_RANDOM(random);
  for (int i = 0; i < 30'000; ++i) {
    char text[64];
    std::snprintf(text, sizeof(text), "%.*f", static_cast<int>(random.between(1, 6)),
                  static_cast<double>(random.between(-1'000'000'000, 1'000'000'000)) / 1e4);
    const JsonNumber number = read(text);
    ASSERT_EQ(number.kind, floating) << text;
    ASSERT_EQ(number.floating, std::strtod(text, nullptr)) << text;
  }
  for (int i = 0; i < 30'000; ++i) {
    const std::int64_t value = random.any_int64();
    const JsonNumber number = read(std::to_string(value));
    ASSERT_EQ(number.kind, integer) << value;
    ASSERT_EQ(number.integer, value);
  }
}

}  // namespace
}  // namespace eav::core
