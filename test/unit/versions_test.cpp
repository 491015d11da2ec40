#include "eav/core/versions.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>
#include <vector>

#include "eav/core/error.hpp"
#include "memory.hpp"
#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

bool operator==(const AttributeVersion& left, const AttributeVersion& right) {
  return left.attribute_id == right.attribute_id && left.version == right.version;
}

namespace {

using Bytes = std::vector<std::uint8_t>;
using Versions = std::vector<AttributeVersion>;

constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

Bytes encode(const Versions& versions) {
  test::CountingArena memory;
  ArenaVector<std::uint8_t> bytes(memory.arena());
  encode_versions(versions, bytes);
  return {bytes.begin(), bytes.end()};
}

Versions decode(const Bytes& bytes) {
  test::CountingArena memory;
  ArenaVector<AttributeVersion> versions(memory.arena());
  decode_versions(bytes, versions);
  return {versions.begin(), versions.end()};
}

// Decodes, or tells the SQLSTATE.
std::string sqlstate_of(const Bytes& bytes) {
  try {
    decode(bytes);
    return "";
  } catch (const Error& error) {
    EXPECT_FALSE(error.message.empty());
    return error.sqlstate;
  }
}

Versions random_versions(test::Random& random) {
  std::set<std::int32_t> ids;
  const std::int64_t count = random.between(0, 30);
  const std::int64_t highest = random.chance(0.5) ? 100 : INT32_MAX;
  while (static_cast<std::int64_t>(ids.size()) < count) {
    ids.insert(static_cast<std::int32_t>(random.between(1, highest)));
  }
  Versions versions;
  for (const std::int32_t id : ids) {
    if (!versions.empty() && random.chance(0.5)) {
      versions.push_back({id, versions.back().version});  // of the same event
    } else {
      versions.push_back({id, {random.any_int64(), random.any_int64()}});
    }
  }
  return versions;
}

TEST(Version, IsOrderedByObservationThenArrival) {
  EXPECT_LT((Version{1, 9}), (Version{2, 0}));
  EXPECT_LT((Version{1, 1}), (Version{1, 2}));
  EXPECT_LT((Version{least, most}), (Version{least + 1, least}));
  EXPECT_EQ((Version{3, 4}), (Version{3, 4}));
}

TEST(Versions, NothingIsNoBytes) {
  EXPECT_EQ(encode({}), Bytes{});
  EXPECT_EQ(decode({}), Versions{});
}

TEST(Versions, FormatIsFixed) {  // bytes that are stored in databases
  EXPECT_EQ(encode({{1, {0, 0}}}), (Bytes{1, 1, 0, 0}));
  EXPECT_EQ(encode({{5, {-1, 1}}, {133, {-1, 65}}}),
            (Bytes{1, 5, 1, 2, 0x80, 0x01, 0, 0x80, 0x01}));
  EXPECT_EQ(decode({1, 5, 1, 2, 0x80, 0x01, 0, 0x80, 0x01}),
            (Versions{{5, {-1, 1}}, {133, {-1, 65}}}));
}

TEST(Versions, AnEventTakesThreeBytesPerAttribute) {
  Versions versions;
  for (std::int32_t id = 1; id <= 100; ++id) {
    versions.push_back({id, {823'000'000'123'456, 823'000'000'234'567}});
  }
  EXPECT_LE(encode(versions).size(), 1 + 3 * versions.size() + 18);
}

TEST(Versions, ExtremesComeBack) {
  const Versions versions = {{1, {least, most}},  {2, {most, least}},   {3, {0, 0}},
                             {4, {least, least}}, {1000, {most, most}}, {INT32_MAX, {-1, 1}}};
  EXPECT_EQ(decode(encode(versions)), versions);
}

TEST(Versions, WhatIsEncodedComesBack) {
  EAV_RANDOM(random);
  for (int round = 0; round < 3000; ++round) {
    const Versions versions = random_versions(random);
    ASSERT_EQ(decode(encode(versions)), versions);
  }
}

TEST(Versions, BothAppend) {
  test::CountingArena memory;
  ArenaVector<std::uint8_t> bytes(memory.arena());
  bytes.push_back(77);
  const Versions one = {{3, {4, 5}}};
  encode_versions(one, bytes);
  ASSERT_EQ(bytes.size(), 5U);
  EXPECT_EQ(bytes[0], 77);

  ArenaVector<AttributeVersion> versions(memory.arena());
  versions.push_back({1, {1, 1}});
  decode_versions(bytes.span().subspan(1), versions);
  ASSERT_EQ(versions.size(), 2U);
  EXPECT_EQ(versions[1], one[0]);
}

TEST(Versions, CorruptedBytesAreRefused) {
  const Bytes overlong(10, 0x80);
  const std::vector<Bytes> corrupted = {
      {0},                                               // no such format
      {2, 1, 0, 0},                                      //
      {0xff},                                            //
      {1, 0, 0, 0},                                      // attribute_id 0
      {1, 1, 0, 0, 0, 0, 0},                             // the same attribute twice
      {1, 1},                                            // cut off
      {1, 1, 0},                                         //
      {1, 0x80},                                         //
      {1, 1, 0, 0x80},                                   //
      {1, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 0},           // id above INT32_MAX
      {1, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 1, 0, 0},  // the sum of two is
      {1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0},  // 65 bits
      {1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0},
  };
  for (const Bytes& bytes : corrupted) {
    EXPECT_EQ(sqlstate_of(bytes), "XX001") << testing::PrintToString(bytes);
  }
}

// A list may end after any entry; after any other byte it is cut off.
TEST(Versions, TruncationIsRefusedWithinAnEntry) {
  EAV_RANDOM(random);
  for (int round = 0; round < 300; ++round) {
    const Versions versions = random_versions(random);
    const Bytes bytes = encode(versions);
    std::set<std::size_t> ends = {0};
    for (std::size_t count = 1; count <= versions.size(); ++count) {
      ends.insert(
          encode({versions.begin(), versions.begin() + static_cast<std::ptrdiff_t>(count)}).size());
    }
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
      const Bytes start(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      // The format byte alone is an empty list.
      ASSERT_EQ(sqlstate_of(start), ends.contains(size) || size == 1 ? "" : "XX001");
    }
  }
}

// Whatever the bytes are: an error, or a list in order.
TEST(Versions, AnyBytesAreSafe) {
  EAV_RANDOM(random);
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = random.chance(0.5) ? encode(random_versions(random)) : Bytes{};
    const std::int64_t changes = random.between(1, 4);
    for (std::int64_t i = 0; i < changes; ++i) {
      const auto at =
          static_cast<std::ptrdiff_t>(random.between(0, static_cast<int>(bytes.size())));
      bytes.insert(bytes.begin() + at, static_cast<std::uint8_t>(random.bits()));
    }
    try {
      const Versions versions = decode(bytes);
      for (std::size_t i = 0; i < versions.size(); ++i) {
        ASSERT_GT(versions[i].attribute_id, i == 0 ? 0 : versions[i - 1].attribute_id);
      }
      ASSERT_EQ(decode(encode(versions)), versions);
    } catch (const Error& error) {
      ASSERT_STREQ(error.sqlstate, "XX001");
    }
  }
}

}  // namespace
}  // namespace eav::core
