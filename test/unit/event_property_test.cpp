// EventParser against models: random events come out as they went in, and what is refused as
// malformed is what another validator refuses, for every implementation that simdjson can choose
// on this machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <vector>

#include "event_text.hpp"
#include "json_validator.hpp"
#include "random.hpp"
#include "simdjson_each.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using namespace test;
using namespace std::string_view_literals;
using Lines = std::vector<std::string>;

// Writes JSON with random blanks and escapes.
class Scribe {
 public:
  explicit Scribe(Random& random) : random_(random) {}

  std::string blank() {
    return random_.chance(0.8) ? "" : random_.text(" \t\r\n", random_.chance(0.02) ? 150 : 4);
  }
  // Any text of ASCII and whole characters beyond it.
  std::string text(std::size_t most) {
    static const std::vector<std::string> others = {"ä",  "€", "\U0001F600", "\"",
                                                    "\\", "/", "\x7f"};
    std::string result;
    const auto length = random_.between(0, static_cast<std::int64_t>(most));
    for (std::int64_t i = 0; i < length; ++i) {
      result += random_.chance(0.1) ? others[static_cast<std::size_t>(random_.between(0, 6))]
                                    : std::string(1, static_cast<char>(random_.between(' ', '~')));
    }
    return result;
  }
  std::string quoted(const std::string& text, double escapes) {
    std::string result = "\"";
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '"' || c == '\\') {
        result += '\\';
        result += c;
      } else if (static_cast<unsigned char>(c) < 0x80 && random_.chance(escapes)) {
        char escape[8];
        std::snprintf(escape, sizeof(escape), random_.chance(0.5) ? "\\u%04x" : "\\u%04X",
                      static_cast<unsigned>(c));
        result += escape;
      } else {
        result += c;
      }
    }
    return result + '"';
  }
  // Names and values between brackets, in this order.
  std::string object(const std::vector<std::pair<std::string, std::string>>& members) {
    std::string result = "{" + blank();
    for (std::size_t i = 0; i < members.size(); ++i) {
      result += (i > 0 ? blank() + "," + blank() : "") + quoted(members[i].first, 0.05) + blank() +
                ":" + blank() + members[i].second;
    }
    return result + blank() + "}";
  }
  std::string json(int depth) {
    switch (random_.between(depth > 0 ? 0 : 2, 5)) {
      case 0: {
        std::string result = "[";
        for (auto i = random_.between(0, 3); i > 0; --i) {
          result += blank() + json(depth - 1) + (i > 1 ? "," : "");
        }
        return result + blank() + "]";
      }
      case 1: {
        std::vector<std::pair<std::string, std::string>> members;
        for (auto i = random_.between(0, 3); i > 0; --i) {
          members.emplace_back(text(6), json(depth - 1));
        }
        return object(members);
      }
      case 2:
        return quoted(text(12), 0.1);
      case 3:
        return std::to_string(random_.any_int64());
      case 4:
        return "-0.5E+3";
      default:
        return random_.chance(0.5) ? "true" : "null";
    }
  }

 private:
  Random& random_;
};

// A value as JSON, and what show() makes of it.
struct Sample {
  std::string json;
  std::string shown;
};

Sample sample(Random& random, Scribe& scribe) {
  switch (random.between(0, 7)) {
    case 0: {
      const std::string number = std::to_string(random.any_int64());
      return {number, number};
    }
    case 1: {
      // Of the others some have a shortest text that lies halfway to their neighbour: see
      // event_number_test.cpp.
      const auto is_plain = [](double value) {
        return std::abs(value) < 9007199254740992.0 || std::abs(value) > 1e41;
      };
      double value = 0;
      do {
        const std::uint64_t bits = random.bits();
        std::memcpy(&value, &bits, sizeof(value));
      } while (!std::isfinite(value) || !is_plain(value));
      char digits[40];
      const char* const end =
          std::to_chars(digits, digits + sizeof(digits), value, std::chars_format::scientific).ptr;
      char shown[40];
      std::snprintf(shown, sizeof(shown), "%.17gf", value);
      return {std::string(digits, static_cast<std::size_t>(end - digits)), shown};
    }
    case 2: {
      const std::string number = (random.chance(0.5) ? "-" : "") + std::string("9") +
                                 std::to_string(random.bits()) + std::to_string(random.bits());
      return {number, number + "n"};
    }
    case 3:
      return random.chance(0.5) ? Sample{"true", "true"} : Sample{"false", "false"};
    case 4:
      return {"null", "null"};
    case 5: {
      const std::string json =
          random.chance(0.5) ? "[" + scribe.json(4) + "]" : scribe.object({{"k", scribe.json(4)}});
      return {json, "json:" + json};
    }
    default: {
      const std::string text = scribe.text(random.chance(0.05) ? 400 : 20);
      return {scribe.quoted(text, random.chance(0.5) ? 0 : 0.2), '"' + text + '"'};
    }
  }
}

std::string name(Random& random, Scribe& scribe) {
  std::string text = scribe.text(random.chance(0.02) ? 60 : 12);
  text.erase(std::remove(text.begin(), text.end(), '\x7f'), text.end());
  return text.empty() ? "x" : text;
}

// An event as JSON; what its values show is added.
std::string event(Random& random, Scribe& scribe, Lines& values) {
  const std::string tenant = std::to_string(random.any_int64());
  std::vector<std::pair<std::string, std::string>> members = {{"tenant_id", tenant}};
  std::string head = tenant + "/";
  if (random.chance(0.5)) {
    const std::string entity = std::to_string(random.any_int64());
    members.emplace_back("entity_id", entity);
    head += entity;
  } else {
    const std::string entity = name(random, scribe);
    members.emplace_back("entity", scribe.quoted(entity, 0.1));
    head += "'" + entity + "'";
  }
  if (random.chance(0.7)) {
    const std::int64_t milliseconds = random.between(-200'000'000'000'000, 9'000'000'000'000'000);
    members.emplace_back("observed_at", std::to_string(milliseconds));
    head += "@" + std::to_string((milliseconds - 946'684'800'000) * 1000);
  } else {
    head += "@0";
  }
  std::vector<std::pair<std::string, std::string>> attributes;
  for (auto i = random.between(1, 10); i > 0; --i) {
    const Sample value = sample(random, scribe);
    attributes.emplace_back(name(random, scribe), value.json);
    values.push_back(head + " " + attributes.back().first + "=" + value.shown);
  }
  members.emplace_back("attributes", scribe.object(attributes));
  for (std::size_t i = members.size() - 1; i > 0; --i) {
    std::swap(members[i],
              members[static_cast<std::size_t>(random.between(0, static_cast<std::int64_t>(i)))]);
  }
  return scribe.object(members);
}

// Events as lines and arrays.
std::string payload(Random& random, Scribe& scribe, Lines& values) {
  std::string text = scribe.blank();
  for (auto documents = random.between(1, 4); documents > 0; --documents) {
    if (random.chance(0.6)) {
      text += event(random, scribe, values) + (random.chance(0.9) ? "\n" : "") + scribe.blank();
      continue;
    }
    text += "[";
    for (auto events = random.between(0, 3); events > 0; --events) {
      text +=
          scribe.blank() + event(random, scribe, values) + scribe.blank() + (events > 1 ? "," : "");
    }
    text += scribe.blank() + "]" + scribe.blank();
  }
  return text;
}

TEST(EventProperty, EventsComeOutAsTheyWentIn) {
  with_each_implementation([] {
    EAV_RANDOM(random);
    Scribe scribe(random);
    EventParser parser;
    for (int i = 0; i < 1500; ++i) {
      Lines values;
      const std::string text = payload(random, scribe, values);
      ASSERT_EQ(JsonValidator(text, max_json_depth).verdict(), JsonVerdict::valid) << text;
      const Parsed parsed = parse(parser, text);
      ASSERT_EQ(parsed.error, "") << text;
      ASSERT_EQ(parsed.rejects, Lines()) << text;
      ASSERT_EQ(parsed.values, values) << text;
      ASSERT_EQ(parsed.counts.values, values.size());
    }
  });
}

constexpr std::string_view likely_bytes =
    "{}[]:,\"\\ \t\r\n0123456789+-.eEtfnu\0\x0c\x1a\x1f\x7f\x80\xbf\xc2\xe2\xed\xf0\xff"sv;

void mutate(Random& random, std::string& text) {
  const auto place = [&](std::size_t size) {
    return static_cast<std::size_t>(random.between(0, static_cast<std::int64_t>(size)));
  };
  const auto byte = [&] {
    return random.chance(0.8) ? likely_bytes[place(likely_bytes.size() - 1)]
                              : static_cast<char>(random.bits());
  };
  switch (text.empty() ? 1 : random.between(0, 5)) {
    case 0:
      text[place(text.size() - 1)] = byte();
      break;
    case 1:
      text.insert(place(text.size()), 1, byte());
      break;
    case 2:
      text.erase(place(text.size() - 1), 1);
      break;
    case 3:
      text.resize(place(text.size()));
      break;
    case 4: {
      const std::size_t from = place(text.size() - 1);
      text.insert(place(text.size()), text.substr(from, place(8)));
      break;
    }
    default:
      text[place(text.size() - 1)] ^= static_cast<char>(1 << random.between(0, 7));
  }
}

// Exact, but for tokens that are wrong in more than one way.
void expect_same_place(const Parsed& parsed, const JsonValidator& validator,
                       const std::string& text) {
  if (parsed.error.find("At byte") == std::string::npos) {
    return;
  }
  ASSERT_GE(parsed.offset, validator.token()) << text;
  if (!validator.in_string()) {
    ASSERT_LE(parsed.offset, validator.offset()) << text;
  }
}

TEST(EventProperty, MalformedIsWhatTheValidatorRefuses) {
  static int mutations = 4000;  // for each implementation
  if (const char* const given = std::getenv("EAV_MUTATIONS")) {
    mutations = std::atoi(given);
  }
  with_each_implementation([] {
    EAV_RANDOM(random);
    Scribe scribe(random);
    EventParser parser;
    int valid = 0;
    std::string text;
    for (int i = 0; i < mutations; ++i) {
      if (i % 4 == 0) {
        Lines values;
        text = payload(random, scribe, values);
        if (text.size() > 600) {
          text.resize(600);
        }
      }
      mutate(random, text);
      JsonValidator validator(text, max_json_depth);
      const JsonVerdict verdict = validator.verdict();
      const Parsed parsed = parse(parser, text);
      const std::string expected = verdict == JsonVerdict::valid      ? ""
                                   : verdict == JsonVerdict::too_deep ? "54001"
                                                                      : "22P02";
      ASSERT_EQ(parsed.sqlstate, expected) << text;
      if (verdict == JsonVerdict::malformed) {
        ASSERT_NO_FATAL_FAILURE(expect_same_place(parsed, validator, text));
      }
      valid += verdict == JsonVerdict::valid ? 1 : 0;
    }
    EXPECT_GT(valid, mutations / 50);
    EXPECT_LT(valid, mutations * 49 / 50);
  });
}

// Every byte with those that mean something, within a string and outside.
TEST(EventProperty, ShortTexts) {
  with_each_implementation([] {
    EventParser parser;
    const auto agree = [&](const std::string& text) {
      const bool is_valid = JsonValidator(text, max_json_depth).verdict() == JsonVerdict::valid;
      return parse(parser, text).error.empty() == is_valid;
    };
    for (int first = 0; first < 256; ++first) {
      for (const char second : likely_bytes) {
        const std::string two = {static_cast<char>(first), second};
        ASSERT_TRUE(agree(two)) << two;
        ASSERT_TRUE(agree("[\"" + two + "\"]")) << two;
        ASSERT_TRUE(agree("[1" + two + "2]")) << two;
      }
    }
  });
}

// Strings, escapes and characters across the blocks that simdjson works in.
TEST(EventProperty, BlockBoundaries) {
  with_each_implementation([] {
    EventParser parser;
    for (std::size_t shift = 0; shift < 140; ++shift) {
      for (const std::string token :
           {R"("\\")", R"("\\\"")", R"("\")", R"("\\\")", R"("\ud83d\ude00")", R"("\ud83d")",
            "\"€\"", "\"\xe2\x82\"", "\"\xf0\x9f\x98\x80\"", "\"\x01\"", "12.5e-3", "12.5e-",
            "true", "tru", R"("a","b")", R"("a""b")", "1\"b\""}) {
        const std::string text = "[\"" + std::string(shift, 'x') + "\"," + token + "]";
        const bool is_valid = JsonValidator(text, max_json_depth).verdict() == JsonVerdict::valid;
        ASSERT_EQ(parse(parser, text).error.empty(), is_valid) << text;
      }
    }
  });
}

}  // namespace
}  // namespace eav::core
