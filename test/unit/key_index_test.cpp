#include "eav/core/key_index.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "memory.hpp"
#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

using test::CountingArena;

TEST(KeyIndex, NumbersPairsInOrderOfAppearance) {
  CountingArena memory;
  KeyIndex index(memory.arena());
  EXPECT_EQ(index.size(), 0U);
  EXPECT_EQ(index.number_of({1, "a"}), 0U);
  EXPECT_EQ(index.number_of({1, "b"}), 1U);
  EXPECT_EQ(index.number_of({1, "a"}), 0U);
  EXPECT_EQ(index.number_of({2, "a"}), 2U) << "a name belongs to its tenant";
  EXPECT_EQ(index.number_of({-2, "a"}), 3U);
  EXPECT_EQ(index.number_of({0, ""}), 4U);
  EXPECT_EQ(index.number_of({1, "b"}), 1U);
  EXPECT_EQ(index.size(), 5U);
  EXPECT_EQ(index[2].tenant_id, 2);
  EXPECT_EQ(index[2].name, "a");
}

TEST(KeyIndex, TellsNamesWithZeroBytesApart) {
  CountingArena memory;
  KeyIndex index(memory.arena());
  EXPECT_EQ(index.number_of({1, std::string_view("a\0b", 3)}), 0U);
  EXPECT_EQ(index.number_of({1, std::string_view("a\0c", 3)}), 1U);
  EXPECT_EQ(index.number_of({1, "a"}), 2U);
}

TEST(KeyIndex, KeepsItsNumbersWhileItGrows) {
  CountingArena memory;
  KeyIndex index(memory.arena());
  std::vector<std::string> names;
  for (int i = 0; i < 20000; ++i) {
    names.push_back("device-" + std::to_string(i));
  }
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    ASSERT_EQ(index.number_of({i % 3, names[i]}), i);
  }
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    ASSERT_EQ(index.number_of({i % 3, names[i]}), i);
    ASSERT_EQ(index[i].name, names[i]);
  }
  EXPECT_EQ(memory.blocks(), 2U);
}

TEST(KeyIndex, BehavesAsAMap) {
  EAV_RANDOM(random);
  for (int round = 0; round < 100; ++round) {
    CountingArena memory;
    KeyIndex index(memory.arena());
    std::map<std::pair<std::int64_t, std::string>, std::uint32_t> model;
    const std::int64_t tenants = random.between(1, 20);
    const auto longest = static_cast<std::size_t>(random.between(1, 6));
    for (int step = 0; step < 2000; ++step) {
      const std::int64_t tenant = random.between(1, tenants) << random.between(0, 1) * 32;
      const auto [found, is_new] = model.try_emplace({tenant, random.text("abc", longest)},
                                                     static_cast<std::uint32_t>(model.size()));
      ASSERT_EQ(index.number_of({tenant, found->first.second}), found->second);
      ASSERT_EQ(index.size(), model.size());
    }
    for (const auto& [key, number] : model) {
      ASSERT_EQ(index[number].tenant_id, key.first);
      ASSERT_EQ(index[number].name, key.second);
    }
  }
}

}  // namespace
}  // namespace eav::core
