// The numbers of core/value.hpp: parse_integer(), parse_floating(), check_numeric().
#include <gtest/gtest.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "random.hpp"
#include "value_names.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr ParseStatus ok = ParseStatus::ok;
constexpr ParseStatus syntax = ParseStatus::syntax;
constexpr ParseStatus out_of_range = ParseStatus::out_of_range;
constexpr double infinity = std::numeric_limits<double>::infinity();

std::string with_blanks(test::Random& random, const std::string& text) {
  return random.text(" \t\n\v\f\r", 2) + text + random.text(" \t\n\v\f\r", 2);
}

struct IntegerCase {
  std::string_view text;
  ParseStatus status;
  std::int64_t value = 0;
};

TEST(ParseInteger, Table) {
  const std::vector<IntegerCase> cases = {{"0", ok, 0},
                                          {"-0", ok, 0},
                                          {"+0", ok, 0},
                                          {"007", ok, 7},
                                          {"+42", ok, 42},
                                          {"-1", ok, -1},
                                          {" \t\n\v\f\r5 \t\n\v\f\r", ok, 5},
                                          {"9223372036854775807", ok, INT64_MAX},
                                          {"+9223372036854775807", ok, INT64_MAX},
                                          {"-9223372036854775808", ok, INT64_MIN},
                                          {"0000000000000000000000000001", ok, 1},
                                          {"9223372036854775808", out_of_range},
                                          {"-9223372036854775809", out_of_range},
                                          {"99999999999999999999999999", out_of_range},
                                          {" -99999999999999999999999999 ", out_of_range},
                                          {"", syntax},
                                          {" ", syntax},
                                          {"+", syntax},
                                          {"-", syntax},
                                          {"--1", syntax},
                                          {"+-1", syntax},
                                          {"-+1", syntax},
                                          {"++1", syntax},
                                          {"+ 1", syntax},
                                          {"- 1", syntax},
                                          {"1 2", syntax},
                                          {"1.", syntax},
                                          {"1.0", syntax},
                                          {"1e3", syntax},
                                          {"0x10", syntax},
                                          {"1_000", syntax},
                                          {"1,000", syntax},
                                          {"x", syntax},
                                          {"1x", syntax},
                                          {"x1", syntax},
                                          {"NaN", syntax},
                                          {"99999999999999999999x", syntax},
                                          {std::string_view("1\0", 2), syntax},
                                          {std::string_view("\0", 1), syntax},
                                          {"\u00a01", syntax},
                                          {"\u0661", syntax}};
  for (const IntegerCase& each : cases) {
    std::int64_t value = -77;
    EXPECT_EQ(parse_integer(each.text, value), each.status) << '"' << each.text << '"';
    EXPECT_EQ(value, each.status == ok ? each.value : -77) << '"' << each.text << '"';
  }
}

TEST(ParseInteger, ReadsWhatIsPrinted) {
  EAV_RANDOM(random);
  for (int round = 0; round < 100000; ++round) {
    const std::int64_t value = random.any_int64();
    std::array<char, 32> buffer{};
    const auto printed = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    std::string text(buffer.data(), printed.ptr);
    if (value >= 0 && random.chance(0.3)) {
      text.insert(0, "+");
    }
    std::int64_t parsed = ~value;
    ASSERT_EQ(parse_integer(with_blanks(random, text), parsed), ok) << text;
    ASSERT_EQ(parsed, value) << text;
  }
}

struct FloatingCase {
  std::string_view text;
  ParseStatus status;
  double value = 0;
};

TEST(ParseFloating, Table) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<FloatingCase> cases = {
      {"0", ok, 0},
      {"1", ok, 1},
      {"+1.5", ok, 1.5},
      {"-1.5", ok, -1.5},
      {".5", ok, .5},
      {"5.", ok, 5},
      {"-.5", ok, -.5},
      {"+.5", ok, .5},
      {"1e3", ok, 1000},
      {"1E+3", ok, 1000},
      {"1e-3", ok, 1e-3},
      {"  2.5\n", ok, 2.5},
      {"00.10", ok, .1},
      {"1e0000000003", ok, 1000},
      {"0.1", ok, 0.1},
      {"9007199254740993", ok, 9007199254740992.},  // half-way: to even
      {"9007199254740995", ok, 9007199254740996.},
      {"9007199254740993.0000000001", ok, 9007199254740994.},
      {"1.7976931348623157e308", ok, std::numeric_limits<double>::max()},
      {"2.2250738585072014e-308", ok, std::numeric_limits<double>::min()},
      {"4.9406564584124654e-324", ok, std::numeric_limits<double>::denorm_min()},
      {"-5e-324", ok, -std::numeric_limits<double>::denorm_min()},
      {"0e999", ok, 0},
      {"0.000e-999", ok, 0},
      {"inf", ok, infinity},
      {"Infinity", ok, infinity},
      {"+INF", ok, infinity},
      {"-infinity", ok, -infinity},
      {"-inf", ok, -infinity},
      {" iNf ", ok, infinity},
      {"nan", ok, nan},
      {"NaN", ok, nan},
      {" NAN ", ok, nan},
      {"1e309", out_of_range},
      {"-1e309", out_of_range},
      {"1.8e308", out_of_range},
      {"1e-400", out_of_range},
      {"-1e-400", out_of_range},
      {"2e-324", out_of_range},
      {"1e99999999999999999999", out_of_range},
      {"1e-99999999999999999999", out_of_range},
      {"", syntax},
      {" ", syntax},
      {".", syntax},
      {"+", syntax},
      {"-", syntax},
      {"e5", syntax},
      {"1e", syntax},
      {"1e+", syntax},
      {"1e-", syntax},
      {"1e1.5", syntax},
      {"--1", syntax},
      {"+-1", syntax},
      {"-+1", syntax},
      {"++1", syntax},
      {"1.2.3", syntax},
      {"1,5", syntax},
      {"1 5", syntax},
      {"0x1p3", syntax},
      {"0x10", syntax},
      {"1f", syntax},
      {"1d", syntax},
      {"1_000", syntax},
      {"infi", syntax},
      {"infinit", syntax},
      {"infinityx", syntax},
      {"nanx", syntax},
      {"nan(1)", syntax},
      {"nan()", syntax},
      {"-nan(ind)", syntax},
      {"na", syntax},
      {std::string_view("1\0", 2), syntax}};
  for (const FloatingCase& each : cases) {
    double value = -77;
    EXPECT_EQ(parse_floating(each.text, value), each.status) << '"' << each.text << '"';
    if (std::isnan(each.value)) {
      EXPECT_TRUE(std::isnan(value)) << '"' << each.text << '"';
    } else {
      EXPECT_EQ(value, each.status == ok ? each.value : -77) << '"' << each.text << '"';
    }
  }
  double zero = 1;
  EXPECT_EQ(parse_floating("-0", zero), ok);
  EXPECT_TRUE(zero == 0 && std::signbit(zero));
}

TEST(ParseFloating, ReadsWhatIsPrinted) {
  EAV_RANDOM(random);
  for (int round = 0; round < 100000; ++round) {
    const std::uint64_t bits = random.bits();
    double value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    if (!std::isfinite(value)) {
      continue;
    }
    std::array<char, 512> buffer{};
    const auto format = random.chance(0.5)   ? std::chars_format::general
                        : random.chance(0.5) ? std::chars_format::scientific
                                             : std::chars_format::fixed;
    const auto printed = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format);
    ASSERT_EQ(printed.ec, std::errc());
    const std::string text(buffer.data(), printed.ptr);
    double parsed = 0;
    ASSERT_EQ(parse_floating(with_blanks(random, text), parsed), ok) << text;
    ASSERT_EQ(std::memcmp(&parsed, &value, sizeof(value)), 0) << text;
  }
}

// [+-]? (digits [. digits?] | . digits) ([eE] [+-]? digits)? as an automaton: the oracle.
bool is_decimal(std::string_view text) {
  enum { start, sign, integral, lone_point, point, fraction, e, e_sign, exponent } state = start;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      state = state <= integral ? integral : state <= fraction ? fraction : exponent;
    } else if ((c == '+' || c == '-') && (state == start || state == e)) {
      state = state == start ? sign : e_sign;
    } else if (c == '.' && state <= integral) {
      state = state == integral ? point : lone_point;
    } else if ((c == 'e' || c == 'E') &&
               (state == integral || state == point || state == fraction)) {
      state = e;
    } else {
      return false;
    }
  }
  return state == integral || state == point || state == fraction || state == exponent;
}

TEST(CheckNumeric, Table) {
  const std::string zeros(131072, '0');
  for (const std::string& text :
       {std::string("0"), std::string(" -12.50 "), std::string("+.5"), std::string("5."),
        std::string("1e131071"), std::string("1e-16383"), std::string("NaN"), std::string("nan"),
        std::string("Infinity"), std::string("-infinity"), std::string("+inf"), std::string("INF"),
        "1" + zeros.substr(1), "0." + std::string(16383, '1'), std::string("1.5E+10")}) {
    EXPECT_EQ(check_numeric(text), ok) << text.substr(0, 40);
  }
  for (const std::string& text :
       {"1" + zeros, std::string("1e131072"), std::string("10e131071"), std::string("1e-16384"),
        std::string("0.1e-16383"), "0." + std::string(16384, '1'),
        std::string("1e99999999999999999999"), std::string("1e-99999999999999999999"),
        std::string("-1e+2000000000"), std::string("123e9223372036854775807"),
        std::string("123e-9223372036854775808")}) {
    EXPECT_EQ(check_numeric(text), out_of_range) << text.substr(0, 40);
  }
  for (const std::string_view text :
       {"",    " ",   ".",     "+",     "-",     "--1",   "+-1",   "1e",
        "1e+", "e1",  "1e+-5", "1e--5", "1e 5",  "1 2",   "1.2.3", "1,5",
        "0x1", "1_0", "-nan",  "+nan",  "--inf", "infin", "one"}) {
    EXPECT_EQ(check_numeric(text), syntax) << text;
  }
}

TEST(CheckNumeric, AgreesWithTheGrammar) {
  EAV_RANDOM(random);
  for (int round = 0; round < 50000; ++round) {
    const std::string text = random.text("0123456789..eE+-", 9);
    const bool matches = is_decimal(text);
    const ParseStatus status = check_numeric(with_blanks(random, text));
    ASSERT_EQ(status != syntax, matches) << text;
    double value = 0;
    ASSERT_EQ(parse_floating(with_blanks(random, text), value) != syntax, matches) << text;
    std::int64_t integer = 0;
    ASSERT_EQ(parse_integer(with_blanks(random, text), integer) != syntax,
              matches && text.find_first_of(".eE") == std::string::npos)
        << text;
  }
}

}  // namespace
}  // namespace eav::core
