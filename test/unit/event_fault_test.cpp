// EventParser: events that are rejected alone.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "event_text.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using namespace test;
using Lines = std::vector<std::string>;

TEST(EventFault, NamesAndStates) {
  const Lines names = {"unknown_key",  "missing_key",  "duplicate_key", "wrong_type",
                       "out_of_range", "invalid_name", "too_large",     "wrong_tenant"};
  const Lines states = {"22023", "23502", "22030", "42804", "22003", "42602", "54000", "42501"};
  ASSERT_EQ(names.size(), event_fault_count);
  for (std::size_t i = 0; i < event_fault_count; ++i) {
    EXPECT_EQ(name_of(static_cast<EventFault>(i)), names[i]);
    EXPECT_EQ(sqlstate_of(static_cast<EventFault>(i)), states[i]);
  }
}

struct Case {
  std::string event;
  std::string tenant;  // of the reject, or -
  std::string fault_and_reason;
};

// Alone, and between neighbours that must not notice.
void expect_rejected(const Case& test, const EventRules& rules) {
  const Parsed alone = parse("[" + test.event + "]", rules);
  EXPECT_EQ(alone.error, "") << test.event;
  EXPECT_EQ(alone.values, Lines()) << test.event;
  EXPECT_EQ(alone.rejects,
            Lines{"#1 " + test.tenant + " " + test.fault_and_reason + " | " + test.event});
  EXPECT_EQ(alone.counts.accepted, 0U);
  EXPECT_EQ(alone.counts.values, 0U);
  EXPECT_EQ(alone.counts.rejected, 1U);

  const std::string good = R"({"tenant_id":1,"entity":"g","attributes":{"x":1,"y":"z"}})";
  const Lines values = {"1/'g'@0 x=1", "1/'g'@0 y=\"z\"", "1/'g'@0 x=1", "1/'g'@0 y=\"z\""};
  std::vector<std::string> payloads = {"[" + good + " , " + test.event + "\n, " + good + "]",
                                       good + "\n[" + test.event + "\t]" + good};
  if (test.event.front() == '{') {
    payloads.push_back(good + "\r\n" + test.event + " \r\n" + good + "\r\n");
    payloads.push_back(good + test.event + good);
  }
  for (const std::string& payload : payloads) {
    const Parsed parsed = parse(payload, rules);
    EXPECT_EQ(parsed.values, values) << payload;
    EXPECT_EQ(parsed.rejects,
              Lines{"#2 " + test.tenant + " " + test.fault_and_reason + " | " + test.event});
    EXPECT_EQ(parsed.counts.accepted, 2U);
    EXPECT_EQ(parsed.counts.values, 4U);
    EXPECT_EQ(parsed.counts.rejected, 1U);
    const std::string fault = test.fault_and_reason.substr(0, test.fault_and_reason.find(':'));
    for (std::size_t i = 0; i < event_fault_count; ++i) {
      EXPECT_EQ(parsed.counts.faults[i], name_of(static_cast<EventFault>(i)) == fault ? 1U : 0U);
    }
  }
}

// An event of tenant 1 and entity 2 with one value, and more keys.
std::string with(const std::string& more) {
  return R"({"tenant_id":1,"entity_id":2,"attributes":{"a":1},)" + more + "}";
}

TEST(EventFault, Table) {
  EventRules rules = any_rules;
  rules.latest = 1'000'000;
  const std::string long_name(256, 'n');
  const std::string cut_name(64, 'n');
  const std::vector<Case> cases = {
      {with(R"("colour":{"a":[1,"\n"]})"), "1", R"(unknown_key: unknown key "colour")"},
      {with(R"("":1)"), "1", R"(unknown_key: unknown key "")"},
      {with(R"("Entity":1)"), "1", R"(unknown_key: unknown key "Entity")"},
      {with(R"("\u0000\n":1)"), "1", R"(unknown_key: unknown key "\u0000\n")"},
      {with("\"" + long_name + "\":1"), "1", "unknown_key: unknown key \"" + cut_name + "...\""},
      {R"({"x":1,"tenant_id":7,"y":2})", "7", R"(unknown_key: unknown key "x")"},
      {"{}", "-", "missing_key: neither entity_id nor entity is given"},
      {R"({"tenant_id":1,"attributes":{"a":1}})", "1",
       "missing_key: neither entity_id nor entity is given"},
      {R"({"entity_id":1,"attributes":{"a":1}})", "-", "missing_key: tenant_id is not given"},
      {R"({"tenant_id":1,"entity_id":1})", "1", "missing_key: no attributes are given"},
      {R"({"tenant_id":1,"entity_id":1,"attributes":{ }})", "1",
       "missing_key: no attributes are given"},
      {with(R"("entity":"x")"), "1", "duplicate_key: both entity_id and entity are given"},
      {with(R"("entity_id":2)"), "1", R"(duplicate_key: key "entity_id" is given twice)"},
      {with(R"("tenant_id":5)"), "1", R"(duplicate_key: key "tenant_id" is given twice)"},
      {with(R"("attributes":[])"), "1", R"(duplicate_key: key "attributes" is given twice)"},
      {with(R"("ent\u0069ty_id":2)"), "1", R"(duplicate_key: key "ent\u0069ty_id" is given twice)"},
      {R"({"tenant_id":"1","entity_id":2,"attributes":{"a":1}})", "-",
       "wrong_type: tenant_id is no integer"},
      {R"({"tenant_id":1.0,"entity_id":2,"attributes":{"a":1}})", "-",
       "wrong_type: tenant_id is no integer"},
      {R"({"tenant_id":1e2,"entity_id":2,"attributes":{"a":1}})", "-",
       "wrong_type: tenant_id is no integer"},
      {R"({"tenant_id":null,"entity_id":2,"attributes":{"a":1}})", "-",
       "wrong_type: tenant_id is no integer"},
      {R"({"tenant_id":9223372036854775808,"entity_id":2,"attributes":{"a":1}})", "-",
       "out_of_range: tenant_id is beyond 64 bits"},
      {R"({"tenant_id":1,"entity_id":[{"a":"]"}],"attributes":{"a":1}})", "1",
       "wrong_type: entity_id is no integer"},
      {R"({"tenant_id":1,"entity_id":-9223372036854775809,"attributes":{"a":1}})", "1",
       "out_of_range: entity_id is beyond 64 bits"},
      {R"({"tenant_id":1,"entity":5,"attributes":{"a":1}})", "1",
       "wrong_type: entity is no string"},
      {R"({"tenant_id":1,"entity":"","attributes":{"a":1}})", "1", "invalid_name: entity is empty"},
      {R"({"tenant_id":1,"entity":"a\tb","attributes":{"a":1}})", "1",
       R"(invalid_name: entity "a\tb" contains a control character)"},
      {"{\"tenant_id\":1,\"entity\":\"a\x7f\",\"attributes\":{\"a\":1}}", "1",
       "invalid_name: entity \"a\x7f\" contains a control character"},
      {R"({"tenant_id":1,"entity":"a\u0000","attributes":{"a":1}})", "1",
       R"(out_of_range: entity "a\u0000" contains a NUL character)"},
      {R"({"tenant_id":1,"entity":")" + long_name + R"(","attributes":{"a":1}})", "1",
       "invalid_name: entity \"" + cut_name + "...\" is longer than 255 bytes"},
      {R"({"tenant_id":1,"entity_id":2,"attributes":[{"a":1}]})", "1",
       "wrong_type: attributes is no object"},
      {R"({"tenant_id":1,"entity_id":2,"attributes":null})", "1",
       "wrong_type: attributes is no object"},
      {with(R"("observed_at":null)"), "1",
       "wrong_type: observed_at is neither a string nor an integer"},
      {with(R"("observed_at":1.5)"), "1", "wrong_type: observed_at is no integer"},
      {with(R"("observed_at":"yesterday")"), "1",
       R"(wrong_type: observed_at "yesterday" is no time)"},
      {with(R"("observed_at":"2000-01-01")"), "1",
       R"(wrong_type: observed_at "2000-01-01" is no time)"},
      {with(R"("observed_at":"2000-01-01T00:00:00Z\u0000")"), "1",
       R"(wrong_type: observed_at "2000-01-01T00:00:00Z\u0000" is no time)"},
      {with(R"("observed_at":"1999-02-29T00:00:00Z")"), "1",
       "out_of_range: observed_at is no time that can be kept"},
      {with(R"("observed_at":-210866803200001)"), "1",
       "out_of_range: observed_at is no time that can be kept"},
      {with(R"("observed_at":9224318016000000)"), "1",
       "out_of_range: observed_at is no time that can be kept"},
      {with(R"("observed_at":-9223372036854775808)"), "1",
       "out_of_range: observed_at is no time that can be kept"},
      {with(R"("observed_at":9223372036854775807)"), "1",
       "out_of_range: observed_at is no time that can be kept"},
      {with(R"("observed_at":9223372036854775808)"), "1",
       "out_of_range: observed_at is beyond 64 bits"},
      {with(R"("observed_at":946684801001)"), "1",
       "out_of_range: observed_at is too far in the future"},
      {with(R"("observed_at":"2000-01-01T00:00:01.000001Z")"), "1",
       "out_of_range: observed_at is too far in the future"},
      {event_of(R"("a":1e999999)"), "1",
       R"(out_of_range: number of attribute "a" is beyond what numeric can keep)"},
      {event_of(R"("b":1,"a":1e-20000,"c":2)"), "1",
       R"(out_of_range: number of attribute "a" is beyond what numeric can keep)"},
      {event_of(R"("a":"x\u0000y")"), "1",
       R"(out_of_range: value of attribute "a" contains a NUL character)"},
      {event_of(R"("a":{"b":[1,"\u0000"]})"), "1",
       R"(out_of_range: value of attribute "a" contains a NUL character)"},
      {event_of(R"("a":[{"b\u0000":1}])"), "1",
       R"(out_of_range: value of attribute "a" contains a NUL character)"},
      {event_of(R"("\u0000":1)"), "1",
       R"(out_of_range: attribute name "\u0000" contains a NUL character)"},
      {event_of(R"("":1)"), "1", "invalid_name: attribute name is empty"},
      {event_of(R"("a\u001f":1)"), "1",
       R"(invalid_name: attribute name "a\u001f" contains a control character)"},
      {event_of("\"b\":1,\"" + long_name + "\":1"), "1",
       "invalid_name: attribute name \"" + cut_name + "...\" is longer than 255 bytes"},
      {"5", "-", "wrong_type: event is no object"},
      {"\"x\"", "-", "wrong_type: event is no object"},
      {"null", "-", "wrong_type: event is no object"},
      {R"([{"tenant_id":1}, 5])", "-", "wrong_type: event is no object"}};
  for (const Case& test : cases) {
    expect_rejected(test, rules);
  }
}

TEST(EventFault, TenantOfTheSession) {
  EventRules rules = any_rules;
  rules.tenant_id = 1;
  // The reject is the session's, whatever the event says.
  const std::vector<Case> cases = {
      {R"({"tenant_id":2,"entity_id":2,"attributes":{"a":1}})", "1",
       "wrong_tenant: tenant_id 2 is not the one of this session"},
      {R"({"entity_id":2,"attributes":{"a":1},"tenant_id":-9223372036854775808})", "1",
       "wrong_tenant: tenant_id -9223372036854775808 is not the one of this session"},
      {R"({"attributes":{"a":1}})", "1", "missing_key: neither entity_id nor entity is given"},
      {R"({"tenant_id":"1"})", "1", "wrong_type: tenant_id is no integer"},
      {"5", "1", "wrong_type: event is no object"}};
  for (const Case& test : cases) {
    expect_rejected(test, rules);
  }
}

TEST(EventFault, ValuesHaveALargestSize) {
  EventRules rules = any_rules;
  rules.max_value_bytes = 30;
  const auto bytes = [](std::size_t count) { return std::string(count, '1'); };
  EXPECT_EQ(value_of('"' + bytes(30) + '"', rules), '"' + bytes(30) + '"');
  EXPECT_EQ(value_of("\"\\n" + bytes(29) + '"', rules), "\"\n" + bytes(29) + '"');
  EXPECT_EQ(value_of(bytes(30), rules), bytes(30) + "n");
  EXPECT_EQ(value_of("[" + bytes(28) + "]", rules), "json:[" + bytes(28) + "]");
  const std::string refused =
      R"(#1 1 too_large: value of attribute "a" takes 31 bytes, more than 30)";
  EXPECT_EQ(value_of('"' + bytes(31) + '"', rules), refused);
  EXPECT_EQ(value_of("\"\\u00e4" + bytes(29) + '"', rules), refused);
  EXPECT_EQ(value_of(bytes(31), rules), refused);
  EXPECT_EQ(value_of("[ " + bytes(28) + "]", rules), refused);
  rules.max_value_bytes = 0;
  EXPECT_EQ(value_of("12.5", rules), "12.5f");
  EXPECT_EQ(value_of("true", rules), "true");
  EXPECT_EQ(value_of("\"\"", rules), "\"\"");
}

TEST(EventFault, ReasonsAreShortAndCutAtCharacters) {
  for (std::size_t ascii = 0; ascii < 8; ++ascii) {
    std::string name(ascii, 'a');
    for (int i = 0; i < 100; ++i) {
      name += "\U0001F600";
    }
    const Parsed parsed = parse(with("\"" + name + "\":1"));
    ASSERT_EQ(parsed.rejects.size(), 1U);
    const std::string shown = name.substr(0, ascii + (64 - ascii) / 4 * 4);
    EXPECT_TRUE(
        parsed.rejects[0].starts_with("#1 1 unknown_key: unknown key \"" + shown + "...\" |"))
        << parsed.rejects[0];
  }
}

TEST(EventFault, PositionsCountOverThePayload) {
  const std::string good = event_of("\"a\":1");
  const Parsed parsed = parse(good + "[" + good + ",1,2]\n[]{}\n" + good + "[[]]");
  EXPECT_EQ(parsed.counts.accepted, 3U);
  EXPECT_EQ(parsed.rejects, (Lines{"#3 - wrong_type: event is no object | 1",
                                   "#4 - wrong_type: event is no object | 2",
                                   "#5 - missing_key: neither entity_id nor entity is given | {}",
                                   "#7 - wrong_type: event is no object | []"}));
}

// What is wrong shows at the end, after much has been written.
TEST(EventFault, NothingIsLeftOfARejectedEvent) {
  std::string attributes = "\"a\":1";
  for (int i = 0; i < 3000; ++i) {
    attributes += ",\"n" + std::to_string(i) + "\":\"text\"";
  }
  const std::string wrong = event_of(attributes + ",\"\":1");
  const Parsed parsed = parse(wrong + wrong + event_of("\"a\":1"));
  EXPECT_EQ(parsed.counts.rejected, 2U);
  EXPECT_EQ(parsed.values, Lines{"1/2@0 a=1"});
}

}  // namespace
}  // namespace eav::core
