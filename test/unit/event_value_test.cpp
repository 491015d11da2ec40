// EventParser: what it accepts. Types of values, keys of events, forms of payloads.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "event_text.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using namespace test;
using Lines = std::vector<std::string>;

TEST(EventValue, TakesItsTypeFromJson) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"0", "0"},
      {"-0", "0"},
      {"7", "7"},
      {"-42", "-42"},
      {"9223372036854775807", "9223372036854775807"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"9223372036854775808", "9223372036854775808n"},
      {"-9223372036854775809", "-9223372036854775809n"},
      {"18446744073709551615", "18446744073709551615n"},
      {"18446744073709551616", "18446744073709551616n"},
      {"10000000000000000000", "10000000000000000000n"},
      {"-99999999999999999999999999", "-99999999999999999999999999n"},
      {"0.0", "0f"},
      {"-0.0", "-0f"},
      {"0e5", "0f"},
      {"-0E-999999999999999999999", "-0f"},
      {"1.0", "1f"},
      {"72.5", "72.5f"},
      {"-1.5e3", "-1500f"},
      {"1E2", "100f"},
      {"1e+2", "100f"},
      {"1e22", "1e+22f"},
      {"5e-324", "4.9406564584124654e-324f"},
      {"1.7976931348623157e308", "1.7976931348623157e+308f"},
      {"0.12345678901234567890", "0.12345678901234567890n"},
      {"123456789.123456789123", "123456789.123456789123n"},
      {"1e400", "1e400n"},
      {"-1E+400", "-1E+400n"},
      {"1e-400", "1e-400n"},
      {"\"\"", "\"\""},
      {"\"online\"", "\"online\""},
      {"\"72.5\"", "\"72.5\""},
      {R"("\"\\\/\b\f\n\r\t")", "\"\"\\/\b\f\n\r\t\""},
      {R"("\u00e4\u20AC\ud83d\ude00\u0001")", "\"ä€\U0001F600\x01\""},
      {R"("\ud800\udc00\udbff\udfff")", "\"\U00010000\U0010FFFF\""},
      {"\"gr\u00f6\u00dfer \x7f\"", "\"gr\u00f6\u00dfer \x7f\""},
      {"true", "true"},
      {"false", "false"},
      {"null", "null"},
      {"{}", "json:{}"},
      {"[]", "json:[]"},
      {"[1, 2.50,\t\"x\\u0041\"]", "json:[1, 2.50,\t\"x\\u0041\"]"},
      {R"({"a":{"b":[{},[],null]}} )", R"(json:{"a":{"b":[{},[],null]}})"}};
  for (const auto& [json, value] : cases) {
    EXPECT_EQ(value_of(json), value) << json;
    EXPECT_EQ(value_of(" \r\n\t" + json + "\t \n"), value) << json;
  }
}

TEST(EventValue, StringsOfEveryLengthSurvive) {
  for (std::size_t length = 0; length < 300; ++length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) {
      text += static_cast<char>('a' + i % 26);
    }
    ASSERT_EQ(value_of('"' + text + '"'), '"' + text + '"');
    ASSERT_EQ(value_of('"' + text + "\\n\""), '"' + text + "\n\"");
    ASSERT_EQ(value_of("\"\\u00e4" + text + '"'), "\"ä" + text + '"');
    if (length >= 1 && length <= max_name_bytes) {
      const Parsed parsed = parse(event_of('"' + text + "\":1,\"" + text + "\":false"));
      ASSERT_EQ(parsed.values, (Lines{"1/2@0 " + text + "=1", "1/2@0 " + text + "=false"}));
    }
  }
}

TEST(EventValue, BackslashesBesideAStringAreNotItsOwn) {
  EXPECT_EQ(parse(event_of(R"("a":"x","b":"\\","c":"z","\u0064":1)")).values,
            (Lines{"1/2@0 a=\"x\"", "1/2@0 b=\"\\\"", "1/2@0 c=\"z\"", "1/2@0 d=1"}));
}

TEST(EventValue, BothOfEqualNamesAreKept) {
  EXPECT_EQ(parse(event_of(R"("a":1,"b":2,"a":3,"\u0061":null)")).values,
            (Lines{"1/2@0 a=1", "1/2@0 b=2", "1/2@0 a=3", "1/2@0 a=null"}));
}

TEST(EventKeys, ComeInAnyOrderAndEscaped) {
  EXPECT_EQ(
      parse(
          R"({"attributes":{"a":1,"b":"x"},"observed_at":946684800001,"entity":"d","tenant_id":-5})")
          .values,
      (Lines{"-5/'d'@1000 a=1", "-5/'d'@1000 b=\"x\""}));
  EXPECT_EQ(parse(R"({"\u0074enant_id":5,"entit\u0079":"\u0064-1","attribu\u0074es":{"a":1},)"
                  R"("observed\u005fat":"2000-01-01T00:00:01\u005a"})")
                .values,
            (Lines{"5/'d-1'@1000000 a=1"}));
  const std::string longest(max_name_bytes, 'e');
  EXPECT_EQ(
      parse(R"({"tenant_id":1,"entity":")" + longest + R"(","attributes":{"a":null}})").values,
      (Lines{"1/'" + longest + "'@0 a=null"}));
}

TEST(EventKeys, IdsReachTheirLimits) {
  EXPECT_EQ(parse(R"({"tenant_id":-9223372036854775808,"entity_id":9223372036854775807,)"
                  R"("attributes":{"a":1}})")
                .values,
            (Lines{"-9223372036854775808/9223372036854775807@0 a=1"}));
  EXPECT_EQ(parse(R"({"tenant_id":0,"entity_id":0,"attributes":{"a":1}})").values,
            (Lines{"0/0@0 a=1"}));
}

TEST(EventKeys, TimeIsTextMillisecondsOrNow) {
  EventRules rules = any_rules;
  rules.now = 77;
  const auto time_of = [&](const std::string& json) {
    const Parsed parsed =
        parse(R"({"tenant_id":1,"entity_id":2,"attributes":{"a":1})" + json + "}", rules);
    return parsed.values.size() == 1 ? parsed.values[0] : parsed.error;
  };
  EXPECT_EQ(time_of(""), "1/2@77 a=1");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("2000-01-01T00:00:00Z")", "0"},
      {R"("2000-01-01 00:00:00.000001+00:00")", "1"},
      {R"("2026-11-21T10:00:00Z")", "848570400000000"},
      {R"("0001-01-01T00:00:00Z")", "-63082281600000000"},
      {"946684800000", "0"},
      {"946684800001", "1000"},
      {"0", "-946684800000000"},
      {"-210866803200000", "-211813488000000000"},
      {"9224318015999999", "9223371331199999000"}};
  for (const auto& [json, time] : cases) {
    EXPECT_EQ(time_of(",\"observed_at\":" + json), "1/2@" + time + " a=1") << json;
  }
  rules.latest = 1000;
  EXPECT_EQ(time_of(",\"observed_at\":946684800001"), "1/2@1000 a=1") << "the latest is accepted";
}

TEST(EventKeys, TenantOfTheSession) {
  EventRules rules = any_rules;
  rules.tenant_id = 9;
  EXPECT_EQ(parse(R"({"entity_id":2,"attributes":{"a":1}})", rules).values, (Lines{"9/2@0 a=1"}));
  EXPECT_EQ(parse(R"({"entity_id":2,"attributes":{"a":1},"tenant_id":9})", rules).values,
            (Lines{"9/2@0 a=1"}));
}

TEST(EventPayload, Forms) {
  const auto event = [](int entity) {
    return R"({"tenant_id":1,"entity_id":)" + std::to_string(entity) + R"(,"attributes":{"a":1}})";
  };
  const std::string one = event(1);
  const std::string two = event(2);
  const std::string pretty =
      "{\r\n  \"tenant_id\" : 1 ,\r\n\t\"entity_id\" : 2,\r\n"
      "  \"attributes\" :\n  {\n    \"a\" : 1\n  }\n}";
  const Lines first = {"1/1@0 a=1"};
  const Lines both = {"1/1@0 a=1", "1/2@0 a=1"};
  const std::vector<std::pair<std::string, Lines>> cases = {
      {one, first},
      {" \t\r\n" + one + "\r\n \t", first},
      {"[" + one + "]", first},
      {"[ " + one + " ,\n" + two + " ]", both},
      {one + "\n" + two, both},
      {one + "\r\n" + two + "\r\n", both},
      {one + two, both},
      {one + "\n\n\n" + pretty + "\n", both},
      {"[" + one + "][" + pretty + "]", both},
      {"[]\n" + one + "[]" + two + "[ ]", both},
      {"[]", {}},
      {" [\n] ", {}}};
  for (const auto& [payload, values] : cases) {
    const Parsed parsed = parse(payload);
    EXPECT_EQ(parsed.error, "") << payload;
    EXPECT_EQ(parsed.values, values) << payload;
    EXPECT_EQ(parsed.rejects, Lines()) << payload;
    EXPECT_EQ(parsed.counts.accepted, values.size());
    EXPECT_EQ(parsed.counts.values, values.size());
  }
}

// Tokens fall on every place of the blocks of 64 bytes that simdjson works in, and the text ends at
// every place of them.
TEST(EventPayload, BlanksOfEveryLength) {
  const std::string one = event_of(R"("a":"x\n","b":12.5)");
  const Lines values = {"1/2@0 a=\"x\n\"", "1/2@0 b=12.5f"};
  for (std::size_t blanks = 0; blanks < 200; ++blanks) {
    const std::string blank(blanks, ' ');
    ASSERT_EQ(parse(blank + one).values, values) << blanks;
    ASSERT_EQ(parse(one + blank).values, values) << blanks;
    ASSERT_EQ(parse("[" + blank + one + blank + "]").values, values) << blanks;
    ASSERT_EQ(parse("[" + one + "]" + blank + "\n[]").values, values) << blanks;
  }
}

TEST(EventPayload, TenThousandAttributes) {
  std::string attributes = "\"a\":0";
  for (std::size_t i = 1; i < max_event_attributes; ++i) {
    attributes += ",\"a\":" + std::to_string(i);
  }
  const Parsed most = parse(event_of(attributes));
  EXPECT_EQ(most.counts.values, max_event_attributes);
  EXPECT_EQ(most.values.back(), "1/2@0 a=9999");
  const Parsed more = parse(event_of(attributes + ",\"b\":0") + event_of("\"a\":1"));
  EXPECT_EQ(more.counts.faults[static_cast<std::size_t>(EventFault::too_large)], 1U);
  EXPECT_EQ(more.values, (Lines{"1/2@0 a=1"}));
}

TEST(EventParser, AppendsToWhatIsThere) {
  CountingArena memory;
  ArenaVector<std::uint8_t> out(memory.arena());
  EventParser parser;
  constexpr int payloads = 5000;
  for (int i = 0; i < payloads; ++i) {
    const Payload payload(event_of("\"n\":" + std::to_string(i)));
    parser.parse(payload.text(), any_rules, out);
  }
  EXPECT_EQ(memory.blocks(), 1U);
  EXPECT_LE(memory.allocations(), 20U) << "the capacity doubles";
  EventReader reader(out.span());
  EventReader::Value value{};
  EventReader::Reject reject{};
  for (int i = 0; i < payloads; ++i) {
    ASSERT_EQ(reader.next(value, reject), EventReader::Kind::value);
    ASSERT_EQ(value.integer, i);
  }
  EXPECT_EQ(reader.next(value, reject), EventReader::Kind::end);
}

TEST(EventParser, KeepsBuffersButForLargePayloads) {
  EventParser parser;
  EXPECT_EQ(parser.buffered_bytes(), 0U);
  const std::string event = event_of("\"a\":1");
  parse(parser, event);
  const std::size_t small = parser.buffered_bytes();
  EXPECT_GE(small, event.size());
  parse(parser, std::string(1'000'000, ' ') + event);
  EXPECT_GE(parser.buffered_bytes(), 1'000'000U);
  EXPECT_EQ(parse(parser, std::string(2'000'000, ' ') + event).values.size(), 1U);
  EXPECT_EQ(parser.buffered_bytes(), 0U);
  EXPECT_NE(parse(parser, std::string(2'000'000, ' ') + "{").error, "");
  EXPECT_EQ(parser.buffered_bytes(), 0U);
  EXPECT_NE(parse(parser, std::string(2'000'000, '\xff')).error, "");
  EXPECT_LT(parser.buffered_bytes(), 1'000'000U);
  EXPECT_EQ(parse(parser, event).values.size(), 1U);
}

TEST(EventParser, WhatTheOutputThrowsPassesThrough) {
  EventParser parser;
  const Payload large(event_of("\"a\":\"" + std::string(3'000'000, 'x') + "\""));
  CountingArena memory;
  memory.fail_from_now_on();
  ArenaVector<std::uint8_t> out(memory.arena());
  EXPECT_THROW(parser.parse(large.text(), any_rules, out), std::bad_alloc);
  EXPECT_EQ(parser.buffered_bytes(), 0U);

  // Names grow by what follows them, so this is more than the payload lets expect.
  std::string attributes = "\"a\":1";
  for (int i = 0; i < 5000; ++i) {
    attributes += ",\"a\":1";
  }
  const Payload growing(event_of(attributes));
  CountingArena enough_for_one;
  struct Limited {
    static void* allocate(void* context, std::size_t bytes) {
      auto* const inner = static_cast<CountingArena*>(context);
      if (inner->allocations() == 1) {
        throw std::bad_alloc();
      }
      return inner->arena().allocate(inner, bytes);
    }
  };
  Arena arena = enough_for_one.arena();
  arena.allocate = Limited::allocate;
  ArenaVector<std::uint8_t> limited(arena);
  EXPECT_THROW(parser.parse(growing.text(), any_rules, limited), std::bad_alloc);
  EXPECT_EQ(parse(parser, growing.text()).counts.values, 5001U) << "the parser is as good as new";
}

std::size_t thread_count() {
  std::size_t threads = 0;
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "Threads:") {
      status >> threads;
    }
  }
  return threads;
}

TEST(EventParser, StartsNoThread) {
  const std::size_t before = thread_count();
  ASSERT_GE(before, 1U);
  std::string payload;
  for (int i = 0; i < 50'000; ++i) {
    payload += event_of("\"a\":1") + "\n";
  }
  EventParser parser;
  const Payload padded(payload);
  CountingArena memory;
  ArenaVector<std::uint8_t> out(memory.arena());
  EXPECT_EQ(parser.parse(padded.text(), any_rules, out).accepted, 50'000U);
  EXPECT_EQ(thread_count(), before);
}

}  // namespace
}  // namespace eav::core
