#include "eav/core/find_cursor.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

using Bytes = std::vector<std::uint8_t>;

std::string encoded(const FindCursor& cursor) {
  FindCursor::Text text;
  return std::string(cursor.encode(text));
}

FindCursor random_cursor(test::Random& random) {
  Bytes key(static_cast<std::size_t>(random.between(0, ValueKey::max_bytes)));
  for (std::uint8_t& byte : key) {
    byte = static_cast<std::uint8_t>(random.bits());
  }
  return {random.bits(), random.any_int64(), key};
}

TEST(FindCursor, ComesBackAsItWas) {
  EAV_RANDOM(random);
  for (int i = 0; i < 20000; ++i) {
    const FindCursor cursor = random_cursor(random);
    const std::string text = encoded(cursor);
    EXPECT_EQ(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-_"),
              std::string::npos);
    const std::optional<FindCursor> decoded = FindCursor::decode(text);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->query(), cursor.query());
    EXPECT_EQ(decoded->entity_id(), cursor.entity_id());
    EXPECT_EQ(Bytes(decoded->key().begin(), decoded->key().end()),
              Bytes(cursor.key().begin(), cursor.key().end()));
  }
}

TEST(FindCursor, OnlyWhatWasEncodedIsDecoded) {
  EAV_RANDOM(random);
  int accepted = 0;
  for (int i = 0; i < 50000; ++i) {
    std::string text = encoded(random_cursor(random));
    switch (random.between(0, 3)) {
      case 0:
        text.resize(static_cast<std::size_t>(random.between(0, 200)), 'A');
        break;
      case 1:
        text[static_cast<std::size_t>(random.between(0, 22))] = static_cast<char>(random.bits());
        break;
      case 2:
        text += random.text("A_=+/ \n", 4);
        break;
      default:
        text = random.text("ABab01-_=", 130);
        break;
    }
    if (const std::optional<FindCursor> decoded = FindCursor::decode(text)) {
      EXPECT_EQ(encoded(*decoded), text);
      ++accepted;
    }
  }
  EXPECT_GT(accepted, 0);
}

TEST(FindCursor, RefusesGarbage) {
  for (const char* const text : {"", "x", "not a cursor", "AAAAAAAAAAAAAAAAAAAAAAA", "===="}) {
    EXPECT_FALSE(FindCursor::decode(text)) << text;
  }
}

TEST(QueryHash, TellsPartsApart) {
  const auto hash_of = [](const std::vector<std::string>& parts) {
    QueryHash hash;
    for (const std::string& part : parts) {
      hash.add({reinterpret_cast<const std::uint8_t*>(part.data()), part.size()});
    }
    return hash.value();
  };
  EXPECT_EQ(hash_of({"ab", "c"}), hash_of({"ab", "c"}));
  EXPECT_NE(hash_of({"ab", "c"}), hash_of({"a", "bc"}));
  EXPECT_NE(hash_of({"ab"}), hash_of({"ab", ""}));
  EXPECT_NE(hash_of({"", "ab"}), hash_of({"ab", ""}));
  EXPECT_NE(hash_of({"a"}), hash_of({"b"}));
}

}  // namespace

}  // namespace eav::core
