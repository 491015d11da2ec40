// parse_timestamp() of core/value.hpp.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "random.hpp"
#include "value_names.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr ParseStatus ok = ParseStatus::ok;
constexpr ParseStatus syntax = ParseStatus::syntax;
constexpr ParseStatus out_of_range = ParseStatus::out_of_range;
constexpr std::int64_t second = 1'000'000;
constexpr std::int64_t hour = 3600 * second;
constexpr std::int64_t day = 24 * hour;

struct TimestampCase {
  std::string_view text;
  ParseStatus status;
  std::int64_t value = 0;
};

TEST(ParseTimestamp, Table) {
  const std::vector<TimestampCase> cases = {
      {"2000-01-01T00:00:00Z", ok, 0},
      {"2000-01-01t00:00:00z", ok, 0},
      {" 2000-01-01 00:00:00+00 \n", ok, 0},
      {"2000-01-01 00:00:01Z", ok, second},
      {"1999-12-31T23:59:59Z", ok, -second},
      {"2000-03-01T00:00:00Z", ok, 60 * day},
      {"2000-02-29T00:00:00Z", ok, 59 * day},
      {"2001-01-01T00:00:00Z", ok, 366 * day},
      {"1970-01-01T00:00:00Z", ok, -10957 * day},
      // zones
      {"2000-01-01T05:30:00+05:30", ok, 0},
      {"2000-01-01T05:30:00+0530", ok, 0},
      {"1999-12-31T19:00:00-05", ok, 0},
      {"2000-01-01T00:00:00-00:00", ok, 0},
      {"2000-01-01T00:00:00+15:59", ok, -(15 * hour + 59 * 60 * second)},
      {"2000-01-01T00:00:00-15:59", ok, 15 * hour + 59 * 60 * second},
      {"2000-01-01T00:00:00-00:01", ok, 60 * second},
      // fractions are cut to microseconds
      {"2000-01-01T00:00:00.5Z", ok, second / 2},
      {"2000-01-01T00:00:00.000001Z", ok, 1},
      {"2000-01-01T00:00:00.0000019999Z", ok, 1},
      {"2000-01-01T00:00:00.123456789Z", ok, 123456},
      {"1999-12-31T23:59:59.999999Z", ok, -1},
      {"2000-01-01T00:00:00.00000000000000000000000000000000000000000001Z", ok, 0},
      // leap seconds count as the next minute
      {"1999-12-31T23:59:60Z", ok, 0},
      {"1999-12-31T23:59:60.5Z", ok, second / 2},
      // ends of the calendar
      {"0001-01-01T00:00:00Z", ok, -730119 * day},
      {"9999-12-31T23:59:59.999999Z", ok, 2921940 * day - 1},
      {"0001-01-01T00:00:00+15:00", ok, -730119 * day - 15 * hour},
      // no such date or time
      {"2001-02-29T00:00:00Z", out_of_range},
      {"1900-02-29T00:00:00Z", out_of_range},
      {"2100-02-29T00:00:00Z", out_of_range},
      {"2000-02-30T00:00:00Z", out_of_range},
      {"2000-04-31T00:00:00Z", out_of_range},
      {"2000-01-00T00:00:00Z", out_of_range},
      {"2000-01-32T00:00:00Z", out_of_range},
      {"2000-00-01T00:00:00Z", out_of_range},
      {"2000-13-01T00:00:00Z", out_of_range},
      {"0000-01-01T00:00:00Z", out_of_range},
      {"2000-01-01T25:00:00Z", out_of_range},
      {"2000-01-01T00:60:00Z", out_of_range},
      {"2000-01-01T00:00:61Z", out_of_range},
      // other forms, which are left to PostgreSQL
      {"", syntax},
      {" ", syntax},
      {"2000-01-01", syntax},
      {"2000-01-01T00:00:00", syntax},
      {"2000-01-01T00:00Z", syntax},
      {"2000-1-01T00:00:00Z", syntax},
      {"20000101T000000Z", syntax},
      {"2000-01-01  00:00:00Z", syntax},
      {"2000-01-01X00:00:00Z", syntax},
      {"2000-01-01T0:00:00Z", syntax},
      {"2000-01-01T00:00:00.Z", syntax},
      {"2000-01-01T00:00:00,5Z", syntax},
      {"2000-01-01T00:00:00 Z", syntax},
      {"2000-01-01T00:00:00Zx", syntax},
      {"2000-01-01T00:00:00Z+00", syntax},
      {"2000-01-01T00:00:00+", syntax},
      {"2000-01-01T00:00:00+5", syntax},
      {"2000-01-01T00:00:00+05:", syntax},
      {"2000-01-01T00:00:00+05:3", syntax},
      {"2000-01-01T00:00:00+05:30:10", syntax},
      {"2000-01-01T00:00:00+16", syntax},
      {"2000-01-01T00:00:00+05:60", syntax},
      {"10000-01-01T00:00:00Z", syntax},
      {"-2000-01-01T00:00:00Z", syntax},
      {"+2000-01-01T00:00:00Z", syntax},
      {"2000-01-01T00:00:00Z BC", syntax},
      {"infinity", syntax},
      {"now", syntax},
      {"2000-+1-01T00:00:00Z", syntax},
      {"2000-01-01T00:00:00UTC", syntax}};
  for (const TimestampCase& each : cases) {
    std::int64_t value = -77;
    EXPECT_EQ(parse_timestamp(each.text, value), each.status) << '"' << each.text << '"';
    EXPECT_EQ(value, each.status == ok ? each.value : -77) << '"' << each.text << '"';
  }
}

// The calendar, counted day by day: days[year] is the number of days before it, since year 1.
class Calendar {
 public:
  static constexpr int years = 10000;

  Calendar() {
    for (int year = 1; year < years; ++year) {
      before_[year + 1] = before_[year] + (is_leap(year) ? 366 : 365);
    }
  }
  static bool is_leap(int year) { return year % 400 == 0 || (year % 4 == 0 && year % 100 != 0); }
  static int days_in(int year, int month) {
    if (month == 2) {
      return is_leap(year) ? 29 : 28;
    }
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
  }
  std::int64_t days_since_2000(int year, int month, int day_of_month) const {
    std::int64_t days = before_[year] - before_[2000] + day_of_month - 1;
    for (int earlier = 1; earlier < month; ++earlier) {
      days += days_in(year, earlier);
    }
    return days;
  }

 private:
  std::array<std::int64_t, years + 1> before_{};
};

std::string date_text(int year, int month, int day_of_month) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%04d-%02d-%02d", year, month, day_of_month);
  return buffer.data();
}

TEST(ParseTimestamp, KnowsEveryDay) {
  const Calendar calendar;
  std::int64_t expected = calendar.days_since_2000(1600, 1, 1) * day;
  for (int year = 1600; year <= 2400; ++year) {
    for (int month = 1; month <= 12; ++month) {
      for (int date = 1; date <= 31; ++date) {
        const std::string text = date_text(year, month, date) + "T00:00:00Z";
        std::int64_t value = 0;
        const ParseStatus status = parse_timestamp(text, value);
        if (date > Calendar::days_in(year, month)) {
          ASSERT_EQ(status, out_of_range) << text;
          continue;
        }
        ASSERT_EQ(status, ok) << text;
        ASSERT_EQ(value, expected) << text;
        expected += day;
      }
    }
  }
}

TEST(ParseTimestamp, AgreesWithCountingDays) {
  EAV_RANDOM(random);
  const Calendar calendar;
  const auto pick = [&random](int least, int most) {
    return static_cast<int>(random.between(least, most));
  };
  for (int round = 0; round < 50000; ++round) {
    const int year = pick(1, 9999);
    const int month = pick(1, 12);
    const int date = pick(1, Calendar::days_in(year, month));
    const int hours = pick(0, 23);
    const int minutes = pick(0, 59);
    const int seconds = pick(0, 59);
    std::array<char, 64> clock{};
    std::snprintf(clock.data(), clock.size(), "%c%02d:%02d:%02d", "T t"[pick(0, 2)], hours, minutes,
                  seconds);
    std::int64_t expected = calendar.days_since_2000(year, month, date) * day +
                            ((hours * 60LL + minutes) * 60 + seconds) * second;
    std::string text = date_text(year, month, date) + clock.data();
    if (random.chance(0.5)) {
      const std::string digits = std::to_string(random.between(1'000'000'000, 1'999'999'999));
      const auto count = static_cast<std::size_t>(pick(1, 9));
      text += "." + digits.substr(1, count);
      expected += std::stoll((digits.substr(1, count) + "000000").substr(0, 6));
    }
    if (random.chance(0.3)) {
      text += "Z";
    } else {
      const int east = pick(-15 * 60 - 59, 15 * 60 + 59);
      std::array<char, 64> zone{};
      std::snprintf(zone.data(), zone.size(), random.chance(0.5) ? "%c%02d:%02d" : "%c%02d%02d",
                    east < 0 ? '-' : '+', std::abs(east) / 60, std::abs(east) % 60);
      text += zone.data();
      expected -= east * 60 * second;
    }
    std::int64_t value = 0;
    ASSERT_EQ(parse_timestamp(text, value), ok) << text;
    ASSERT_EQ(value, expected) << text;
  }
}

TEST(ParseTimestamp, AnyTextIsSafe) {
  EAV_RANDOM(random);
  for (int round = 0; round < 100000; ++round) {
    std::string text = "2026-02-28T23:59:59.123456+05:30";
    const std::int64_t changes = random.between(1, 5);
    for (std::int64_t i = 0; i < changes && !text.empty(); ++i) {
      const auto at =
          static_cast<std::size_t>(random.between(0, static_cast<int>(text.size()) - 1));
      if (random.chance(0.5)) {
        text.erase(at, static_cast<std::size_t>(random.between(1, 3)));
      } else {
        text[at] = random.text("0123456789-+:.TZ x", 1)[0];
      }
    }
    std::int64_t value = -77;
    if (parse_timestamp(text, value) == ok) {
      ASSERT_TRUE(value >= -730121 * day && value < 2921942 * day) << text;
    } else {
      ASSERT_EQ(value, -77) << text;
    }
  }
}

}  // namespace
}  // namespace eav::core
