#include "eav/core/value.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "eav/core/core_only.hpp"
#include "eav/core/names.hpp"

namespace eav::core {

namespace {

constexpr std::array<std::string_view, 7> data_type_names = {
    "text", "int", "float", "numeric", "bool", "timestamp", "json"};
constexpr std::array<std::string_view, 4> projection_names = {"hot", "live", "current", "none"};

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_blank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

bool equal_ignoring_case(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(), [](char left, char right) {
           return (left >= 'A' && left <= 'Z' ? left - 'A' + 'a' : left) == right;
         });
}

// std::from_chars takes no plus sign, and SQL does; a sign may stand once.
bool strip_plus(std::string_view& text) {
  if (!text.empty() && text.front() == '+') {
    text.remove_prefix(1);
    return text.empty() || (text.front() != '-' && text.front() != '+');
  }
  return true;
}

std::size_t count_digits(std::string_view text) {
  return static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) -
                                  text.begin());
}

// A decimal number cut in its parts.
struct Decimal {
  std::string_view integral;
  std::string_view fraction;
  std::int64_t exponent = 0;
};

// nullopt when the text is no decimal number. An exponent that is absurdly large is clamped.
std::optional<Decimal> split_decimal(std::string_view text) {
  Decimal result;
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) {
    text.remove_prefix(1);
  }
  result.integral = text.substr(0, count_digits(text));
  text.remove_prefix(result.integral.size());
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    result.fraction = text.substr(0, count_digits(text));
    text.remove_prefix(result.fraction.size());
  }
  if (result.integral.empty() && result.fraction.empty()) {
    return std::nullopt;
  }
  if (!text.empty() && (text.front() == 'e' || text.front() == 'E')) {
    text.remove_prefix(1);
    if (!strip_plus(text)) {
      return std::nullopt;
    }
    const bool negative = !text.empty() && text.front() == '-';
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), result.exponent);
    if (error == std::errc::invalid_argument) {
      return std::nullopt;
    }
    constexpr std::int64_t absurd = 1'000'000'000;
    result.exponent = error == std::errc::result_out_of_range
                          ? (negative ? -absurd : absurd)
                          : std::clamp(result.exponent, -absurd, absurd);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  if (!text.empty()) {
    return std::nullopt;
  }
  return result;
}

// Days since 2000-01-01 of a date of the proleptic Gregorian calendar. Years are counted from
// March, so that the leap day is the last of its year.
std::int64_t days_from_civil(std::int64_t year, unsigned month, unsigned day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const auto year_of_era = static_cast<std::int64_t>(year - era * 400);
  const std::int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  constexpr std::int64_t days_before_2000 = 730425;
  return era * 146097 + day_of_era - days_before_2000;
}

unsigned days_in_month(unsigned year, unsigned month) {
  constexpr std::array<unsigned, 12> days = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : days[month - 1];
}

// Reads exactly `digits` digits off the front.
bool take_number(std::string_view& text, std::size_t digits, unsigned& result) {
  if (text.size() < digits || count_digits(text.substr(0, digits)) != digits) {
    return false;
  }
  std::from_chars(text.data(), text.data() + digits, result);
  text.remove_prefix(digits);
  return true;
}

bool take_char(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) {
    return false;
  }
  text.remove_prefix(1);
  return true;
}

// Z, +hh:mm, +hhmm or +hh; result in seconds east of Greenwich.
bool take_zone(std::string_view& text, std::int64_t& seconds) {
  if (take_char(text, "Zz")) {
    seconds = 0;
    return true;
  }
  const bool west = !text.empty() && text.front() == '-';
  unsigned hours = 0;
  unsigned minutes = 0;
  if (!take_char(text, "+-") || !take_number(text, 2, hours)) {
    return false;
  }
  if (!text.empty()) {
    take_char(text, ":");
    if (!take_number(text, 2, minutes)) {
      return false;
    }
  }
  if (hours > 15 || minutes > 59) {
    return false;
  }
  seconds = (static_cast<std::int64_t>(hours) * 60 + minutes) * 60 * (west ? -1 : 1);
  return true;
}

}  // namespace

std::optional<DataType> data_type_from_name(std::string_view name) {
  return find_name<DataType>(data_type_names, name);
}

std::string_view name_of(DataType type) { return data_type_names[static_cast<std::size_t>(type)]; }

std::optional<Projection> projection_from_name(std::string_view name) {
  return find_name<Projection>(projection_names, name);
}

std::string_view name_of(Projection projection) {
  return projection_names[static_cast<std::size_t>(projection)];
}

Projection default_projection(DataType type) {
  return type == DataType::text || type == DataType::boolean ? Projection::hot : Projection::live;
}

ParseStatus parse_integer(std::string_view text, std::int64_t& result) {
  text = trim(text);
  if (!strip_plus(text)) {
    return ParseStatus::syntax;
  }
  std::int64_t parsed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) {
    return ParseStatus::syntax;
  }
  if (error != std::errc()) {
    return ParseStatus::out_of_range;
  }
  result = parsed;
  return ParseStatus::ok;
}

ParseStatus parse_floating(std::string_view text, double& result) {
  text = trim(text);
  if (!strip_plus(text)) {
    return ParseStatus::syntax;
  }
  if (equal_ignoring_case(text, "nan")) {
    result = std::numeric_limits<double>::quiet_NaN();
    return ParseStatus::ok;
  }
  double parsed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument ||
      text.back() == ')') {  // from_chars knows nan(...), SQL does not
    return ParseStatus::syntax;
  }
  if (error != std::errc()) {
    return ParseStatus::out_of_range;
  }
  result = parsed;
  return ParseStatus::ok;
}

ParseStatus parse_boolean(std::string_view text, bool& result) {
  text = trim(text);
  constexpr std::array<std::string_view, 6> yes = {"true", "t", "yes", "y", "on", "1"};
  constexpr std::array<std::string_view, 6> no = {"false", "f", "no", "n", "off", "0"};
  const auto is_text = [text](std::string_view name) { return equal_ignoring_case(text, name); };
  if (std::any_of(yes.begin(), yes.end(), is_text)) {
    result = true;
    return ParseStatus::ok;
  }
  if (std::any_of(no.begin(), no.end(), is_text)) {
    result = false;
    return ParseStatus::ok;
  }
  return ParseStatus::syntax;
}

ParseStatus parse_timestamp(std::string_view text, std::int64_t& result) {
  text = trim(text);
  unsigned year = 0;
  unsigned month = 0;
  unsigned day = 0;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  if (!take_number(text, 4, year) || !take_char(text, "-") || !take_number(text, 2, month) ||
      !take_char(text, "-") || !take_number(text, 2, day) || !take_char(text, "Tt ") ||
      !take_number(text, 2, hour) || !take_char(text, ":") || !take_number(text, 2, minute) ||
      !take_char(text, ":") || !take_number(text, 2, second)) {
    return ParseStatus::syntax;
  }
  std::int64_t micros = 0;
  if (take_char(text, ".")) {
    const std::size_t digits = count_digits(text);
    if (digits == 0) {
      return ParseStatus::syntax;
    }
    for (std::size_t i = 0; i < 6; ++i) {
      micros = micros * 10 + (i < digits ? text[i] - '0' : 0);
    }
    text.remove_prefix(digits);
  }
  std::int64_t zone = 0;
  if (!take_zone(text, zone) || !text.empty()) {
    return ParseStatus::syntax;
  }
  // A second of 60 is a leap second and counts as the next minute, as in PostgreSQL.
  if (year == 0 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
      hour > 23 || minute > 59 || second > 60) {
    return ParseStatus::out_of_range;
  }
  const std::int64_t seconds =
      ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - zone;
  result = seconds * 1'000'000 + micros;
  return ParseStatus::ok;
}

ParseStatus check_numeric(std::string_view text) {
  text = trim(text);
  std::string_view unsigned_text = text;
  if (!unsigned_text.empty() && (unsigned_text.front() == '+' || unsigned_text.front() == '-')) {
    unsigned_text.remove_prefix(1);
  }
  if (equal_ignoring_case(text, "nan") || equal_ignoring_case(unsigned_text, "infinity") ||
      equal_ignoring_case(unsigned_text, "inf")) {
    return ParseStatus::ok;
  }
  const auto decimal = split_decimal(text);
  if (!decimal) {
    return ParseStatus::syntax;
  }
  constexpr std::int64_t max_before_point = 131072;
  constexpr std::int64_t max_after_point = 16383;
  const auto before = static_cast<std::int64_t>(decimal->integral.size()) + decimal->exponent;
  const auto after = static_cast<std::int64_t>(decimal->fraction.size()) - decimal->exponent;
  return before > max_before_point || after > max_after_point ? ParseStatus::out_of_range
                                                              : ParseStatus::ok;
}

DataType infer_type(std::string_view text) {
  const std::string_view trimmed = trim(text);
  if (trimmed == "true" || trimmed == "false") {
    return DataType::boolean;
  }
  if (!trimmed.empty() && (trimmed.front() == '{' || trimmed.front() == '[')) {
    return DataType::json;
  }
  std::int64_t integer = 0;
  if (parse_integer(trimmed, integer) == ParseStatus::ok) {
    return DataType::integer;
  }
  // Words that float8 would take ("nan", "inf") are text until the attribute is a float.
  double floating = 0;
  if (split_decimal(trimmed) && parse_floating(trimmed, floating) == ParseStatus::ok) {
    return DataType::floating;
  }
  return DataType::text;
}

NameStatus check_name(std::string_view name) {
  if (name.empty()) {
    return NameStatus::empty;
  }
  if (name.size() > max_name_bytes) {
    return NameStatus::too_long;
  }
  const bool control = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  return control ? NameStatus::control_character : NameStatus::ok;
}

}  // namespace eav::core
