// EventParser: payloads that are refused as a whole.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "event_text.hpp"
#include "simdjson_each.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using namespace test;

TEST(EventSyntax, OffsetsAndReasons) {
  struct Case {
    std::string payload;
    std::size_t offset;
    std::string expected;
  };
  const std::string value = "a value is expected";
  const std::string key = "a key is expected";
  const std::string colon = "a colon is expected";
  const std::string comma = "a comma or a closing bracket is expected";
  const std::string number = "a number is malformed";
  const std::string escape = "an escape sequence is malformed";
  const std::string unclosed = "a string begins that has no end";
  const std::string control = "a control character stands in a string";
  const std::string utf8 = "the text is not UTF-8";
  const std::string document = "an object or an array is expected";
  const std::vector<Case> cases = {
      {"5", 0, document},
      {" null", 1, document},
      {"\"text\"", 0, document},
      {"nonsense", 0, document},
      {"{} 5", 3, document},
      {"[],[]", 2, document},
      {"[]]", 2, document},
      {"{}}", 2, document},
      {"\xef\xbb\xbf[]", 0, document},
      {"{", 1, key},
      {"[", 1, value},
      {"{} [", 4, value},
      {"[{},", 4, value},
      {"[{}", 3, comma},
      {"[{},]", 4, value},
      {"[,]", 1, value},
      {"[[,]]", 2, value},
      {"{,}", 1, key},
      {R"({"a":1,})", 7, key},
      {R"({a:1})", 1, key},
      {R"({1:1})", 1, key},
      {R"({"a"})", 4, colon},
      {R"({"a" 1})", 5, colon},
      {R"({"a":})", 5, value},
      {R"({"a":1)", 6, comma},
      {R"({"a":1 "b":2})", 7, comma},
      {R"({"a":1]})", 6, comma},
      {R"([1 2])", 3, comma},
      {R"([1}])", 2, comma},
      {R"({"a":[1,2})", 9, comma},
      {R"({"a":"b"c":1})", 8, comma},
      {R"(["a"b])", 4, comma},
      {R"(["a""b"])", 4, comma},
      {"[tru]", 1, value},
      {"[truee]", 1, value},
      {"[true1]", 1, value},
      {"[nul", 1, value},
      {"[falsy]", 1, value},
      {"[None]", 1, value},
      {"[NaN]", 1, value},
      {"[Infinity]", 1, value},
      {"['a']", 1, value},
      {"[\\\"a\"]", 1, value},
      {"[+1]", 1, value},
      {"[.5]", 1, value},
      {"[ 01]", 2, number},
      {"[-]", 1, number},
      {"[-01]", 1, number},
      {"[1.]", 1, number},
      {"[1.e5]", 1, number},
      {"[1e]", 1, number},
      {"[1e+]", 1, number},
      {"[0x10]", 1, number},
      {"[1_000]", 1, number},
      {"[-Infinity]", 1, number},
      {"[1\"a\"]", 1, number},
      {"[1.5", 4, comma},
      {"[\"abc", 1, unclosed},
      {"[\"abc\\\"]", 1, unclosed},
      {"{\"a\": 1, \"b", 9, unclosed},
      {"[\"a\nb\"]", 3, control},
      {std::string("[\"a\0b\"]", 7), 3, control},
      {std::string("[\0]", 3), 1, value},
      {std::string("[]\0", 3), 2, document},
      {"[\"a\x1f\"]", 3, control},
      {"[1,\x0c 2]", 3, value},
      {R"(["\x"])", 2, escape},
      {R"(["ab\u12"])", 4, escape},
      {R"(["\u12g4"])", 2, escape},
      {R"(["a\ud800"])", 3, escape},
      {R"(["\ud800x"])", 2, escape},
      {R"(["\ud800\n"])", 2, escape},
      {R"(["\ud800\ud800"])", 2, escape},
      {R"(["\n\udc00"])", 4, escape},
      {R"({"\ud800":1})", 2, escape},
      {R"(["\€"])", 2, escape},
      {R"({"tenant_i"d":1,")", 11, colon},
      {"[\"a\xff\"]", 3, utf8},
      {"[\"\xc0\x80\"]", 2, utf8},
      {"[\"\xed\xa0\x80\"]", 2, utf8},
      {"[\"\xf4\x90\x80\x80\"]", 2, utf8},
      {"[\"\xe2\x82\"]", 2, utf8},
      {"[\"\xe2\x82", 2, utf8},
      // A fault of the grammar before a string without end, as comes from a missing quote.
      {R"({"a":"b"c":1} {"d":"e"})", 8, comma},
      {"[1 2, \"\xff\"]", 3, comma},
      {"[1, 01, \"a", 4, number}};
  with_each_implementation([&] {
    for (const Case& test : cases) {
      const std::string error = "22P02: At byte offset " + std::to_string(test.offset) +
                                ", counted from 0, " + test.expected + ".";
      EXPECT_EQ(parse(test.payload).error, error) << test.payload;
      // As far behind an event.
      const std::string event = event_of("\"a\":\"\\n\"") + "\n";
      const std::string later = "22P02: At byte offset " +
                                std::to_string(test.offset + event.size()) + ", counted from 0, " +
                                test.expected + ".";
      EXPECT_EQ(parse(event + test.payload).error, later) << test.payload;
    }
  });
}

// In places whose values nobody reads.
TEST(EventSyntax, HoldsForWhatIsSkipped) {
  for (const std::string wrong : {"01", "tru", R"("\x")", R"("\ud800")", "[1,]", R"({"a" 1})", "[}",
                                  "1 2", "\"\t\"", "\"\xff\"", R"({"a\x":1})", "", "1]"}) {
    for (const std::string before :
         {R"({"colour":)", R"({"tenant_id":"x","tenant_id":)", R"({"entity_id":null,"entity":)",
          R"({"x":0,"attributes":)", R"({"x":0,"attributes":{"a":)", R"({"attributes":{"":1,"a":)",
          R"({"attributes":{"a":[[)", R"({"attributes":{"a":{"b":)", R"({"x":0,"observed_at":)",
          R"({"tenant_id":)", R"({"entity":)", R"({"entity_id":)", R"({"observed_at":)",
          R"({"attributes":)"}) {
      std::string after;
      for (const char c : before) {
        if (c == '{' || c == '[') {
          after.insert(after.begin(), c == '{' ? '}' : ']');
        }
      }
      if (wrong.empty() && before.back() == '[') {
        continue;  // an empty array
      }
      EXPECT_EQ(parse(before + wrong + after).sqlstate, "22P02") << before + wrong + after;
      EXPECT_EQ(parse(before + "1" + after).error, "") << before + "1" + after;
    }
  }
}

TEST(EventSyntax, NothingIsAnError) {
  for (const std::string payload : {"", " ", "\n", " \t\r\n  "}) {
    EXPECT_EQ(parse(payload).error, "22P02: It is neither an event nor an array of events.");
  }
  EXPECT_EQ(parse(std::string(1000, ' ')).sqlstate, "22P02");
}

std::string repeat(const std::string& text, std::size_t times) {
  std::string result;
  for (std::size_t i = 0; i < times; ++i) {
    result += text;
  }
  return result;
}

TEST(EventSyntax, Depth) {
  struct Nest {
    std::string before, open, close, after;
    std::size_t around;  // arrays and objects in `before`
  };
  const std::vector<Nest> nests = {
      {"", "[", "]", "", 0},
      {R"({"tenant_id":1,"entity_id":2,"attributes":{"a":)", "[", "]", "}}", 2},
      {R"([{"tenant_id":1,"entity_id":2,"attributes":{"a":)", "[", "]", "}}]", 3},
      {R"({"tenant_id":1,"entity_id":2,"attributes":{"a":)", R"({"b":)", "}", "}}", 2},
      {R"([{"tenant_id":1,"entity_id":2,"attributes":{"b":1,"a":[{},[],)", "[", "]", "]}}]", 4},
      {R"({"colour":)", "[", "]", "}", 1},
      {R"({"tenant_id":)", "[", "]", "}", 1},
      {R"({"entity_id":)", "[", "]", "}", 1},
      {R"({"entity":)", "[", "]", "}", 1},
      {R"({"observed_at":)", "[", "]", "}", 1},
      {R"({"x":1,"attributes":)", "[", "]", "}", 1},
      {R"({"attributes":)", "[", "]", "}", 1},
      {R"({"attributes":{"":)", "[", "]", "}}", 2}};
  for (const Nest& nest : nests) {
    const std::string inner = nest.open == "[" ? "" : "[]";
    const std::size_t most = max_json_depth - nest.around - (inner.empty() ? 0 : 1);
    const auto payload = [&](std::size_t depth) {
      return nest.before + repeat(nest.open, depth) + inner + repeat(nest.close, depth) +
             nest.after;
    };
    const Parsed deep = parse(payload(most));
    EXPECT_EQ(deep.error, "") << nest.before;
    const std::size_t offset = nest.before.size() + nest.open.size() * most +
                               (inner.empty() ? 0 : nest.open.find('{')) +
                               (inner.empty() ? 0 : nest.open.size());
    const Parsed deeper = parse(payload(most + 1));
    EXPECT_EQ(deeper.error, "54001: At byte offset " + std::to_string(offset) +
                                ", counted from 0, more than 64 arrays and objects are open.")
        << nest.before;
    EXPECT_EQ(parse(payload(most) + "\n" + payload(most)).error, "") << "depth ends with an event";
  }
}

TEST(EventSyntax, DepthIsKeptWithItsValue) {
  const std::string nested = repeat("[", 62) + "1" + repeat("]", 62);
  EXPECT_EQ(value_of(nested), "json:" + nested);
}

TEST(EventSyntax, AMillionBracketsAreRefusedAtOnce) {
  for (const std::string bracket : {"[", "{\"a\":", "[{\"a\":"}) {
    EXPECT_EQ(parse(repeat(bracket, 1'000'000)).sqlstate, "54001");
    EXPECT_EQ(parse(R"({"attributes":{"a":)" + repeat(bracket, 1'000'000)).sqlstate, "54001");
    EXPECT_EQ(parse(repeat(bracket, 1'000'000) + "\xff").sqlstate, "54001");
  }
}

TEST(EventSyntax, LargestPayload) {
  EventParser parser;
  CountingArena memory;
  ArenaVector<std::uint8_t> out(memory.arena());
  const char byte = ' ';
  try {
    // Nothing of it is read.
    parser.parse({&byte, max_payload_bytes + 1}, any_rules, out);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.sqlstate, "54000");
    EXPECT_EQ(error.detail, "It has 1073741825 bytes, more than 1073741824.");
  }
}

TEST(EventSyntax, MessagesFollowTheServersStyle) {
  const auto message_of = [](std::string_view text) -> std::string {
    EventParser parser;
    CountingArena memory;
    ArenaVector<std::uint8_t> out(memory.arena());
    const Payload payload(text);
    try {
      parser.parse(payload.text(), any_rules, out);
    } catch (const Error& error) {
      return error.message;
    }
    return "";
  };
  EXPECT_EQ(message_of("{"), "payload is malformed JSON");
  EXPECT_EQ(message_of("  "), "payload is empty");
  EXPECT_EQ(message_of(repeat("[", 65)), "payload is nested too deeply");
}

}  // namespace
}  // namespace eav::core
