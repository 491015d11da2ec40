#include "eav/core/token.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <regex>
#include <string>

#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

std::string text_of(std::uint32_t timeline, std::uint64_t position) {
  return to_text({timeline, position}).data();
}

// What the header demands, said in another way.
void expect_as_demanded(const std::string& text) {
  static const std::regex form("[1-9A-Fa-f][0-9A-Fa-f]{0,7}-[1-9A-Fa-f][0-9A-Fa-f]{0,15}");
  const auto token = parse_token(text);
  ASSERT_EQ(token.has_value(), std::regex_match(text, form)) << testing::PrintToString(text);
  if (token.has_value()) {
    const std::size_t dash = text.find('-');
    ASSERT_EQ(token->timeline, std::strtoull(text.substr(0, dash).c_str(), nullptr, 16)) << text;
    ASSERT_EQ(token->position, std::strtoull(text.substr(dash + 1).c_str(), nullptr, 16)) << text;
  }
}

TEST(Token, IsShortText) {
  EXPECT_EQ(text_of(1, 0x1A2B3C8), "1-1A2B3C8");
  EXPECT_EQ(text_of(1, 1), "1-1");
  EXPECT_EQ(text_of(10, 0x100000000), "A-100000000");
  EXPECT_EQ(text_of(UINT32_MAX, UINT64_MAX), "FFFFFFFF-FFFFFFFFFFFFFFFF");
}

TEST(Token, ComesBack) {
  EAV_RANDOM(random);
  for (int i = 0; i < 100'000; ++i) {
    const auto timeline = static_cast<std::uint32_t>(random.bits() >> random.between(32, 63));
    const std::uint64_t position = random.bits() >> random.between(0, 63);
    const auto token = parse_token(text_of(timeline, position));
    ASSERT_EQ(token.has_value(), timeline != 0 && position != 0);
    if (token.has_value()) {
      ASSERT_EQ(token->timeline, timeline);
      ASSERT_EQ(token->position, position);
    }
  }
}

TEST(Token, IsReadInBothCases) {
  const auto token = parse_token("aB-cDeF");
  ASSERT_TRUE(token.has_value());
  EXPECT_EQ(token->timeline, 0xABU);
  EXPECT_EQ(token->position, 0xCDEFU);
}

TEST(Token, IsNothingElse) {
  for (const char* const text : {"",
                                 "-",
                                 "1",
                                 "1-",
                                 "-1",
                                 "1--1",
                                 "-1-1",
                                 "1-1-",
                                 "1-1-1",
                                 "1 -1",
                                 "1- 1",
                                 " 1-1",
                                 "1-1 ",
                                 "1-1\n",
                                 "+1-1",
                                 "1-+1",
                                 "1--1",
                                 "0-1",
                                 "1-0",
                                 "01-1",
                                 "1-01",
                                 "0x1-1",
                                 "1-0x1",
                                 "1/1",
                                 "0/1A2B3C8",
                                 "1_1",
                                 "G-1",
                                 "1-G",
                                 "1.0-1",
                                 "100000000-1",
                                 "1-10000000000000000",
                                 "000000001-1",
                                 "1-00000000000000001",
                                 "FFFFFFFFF-1",
                                 "1-FFFFFFFFFFFFFFFFF",
                                 "null"}) {
    EXPECT_EQ(parse_token(text).has_value(), false) << text;
    expect_as_demanded(text);
  }
  EXPECT_FALSE(parse_token(std::string_view()).has_value());
  EXPECT_FALSE(parse_token(std::string_view("1-1\0", 4)).has_value());
  EXPECT_FALSE(parse_token(std::string_view("1\0-1", 4)).has_value());
  EXPECT_FALSE(parse_token("\xEF\xBC\x91-1").has_value()) << "a wide digit";
}

// The end of the text is that of the view, not what stands behind it.
TEST(Token, EndsWithItsText) {
  const std::string_view text = "1-1A2B3C8";
  const auto token = parse_token(text.substr(0, 4));
  ASSERT_TRUE(token.has_value());
  EXPECT_EQ(token->position, 0x1AU);
  EXPECT_FALSE(parse_token(text.substr(0, 2)).has_value());
}

TEST(Token, OneWrongByteIsSeen) {
  for (const std::string& text : {text_of(1, 0x1A2B3C8), text_of(UINT32_MAX, UINT64_MAX)}) {
    for (std::size_t place = 0; place <= text.size(); ++place) {
      for (int byte = 1; byte < 256; ++byte) {
        std::string changed = text;
        changed.insert(place, 1, static_cast<char>(byte));
        expect_as_demanded(changed);
        if (place < text.size()) {
          changed.erase(place + 1, 1);
          expect_as_demanded(changed);
        }
      }
      std::string changed = text;
      changed.erase(place, 1);
      expect_as_demanded(changed);
    }
  }
}

TEST(Token, AnyTextIsReadAsDemanded) {
  EAV_RANDOM(random);
  for (int i = 0; i < 50'000; ++i) {
    expect_as_demanded(random.text("019aAfFgG-- +x", 6));
    expect_as_demanded(random.text("01F", 10) + '-' + random.text("01f", 18));
  }
}

}  // namespace
}  // namespace eav::core
