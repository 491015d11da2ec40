#include "eav/core/filter.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "memory.hpp"
#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

using Kind = FilterNode::Kind;

class FilterTree : public testing::Test {
 protected:
  const FilterNode* named(const char* name) {
    return builder.condition({name, range_of_all(), false, no_literal});
  }

  test::CountingArena memory;
  FilterBuilder builder{memory.arena()};
};

std::string text_of(const FilterNode* node) {
  switch (node->kind) {
    case Kind::nothing:
      return "0";
    case Kind::anything:
      return "1";
    case Kind::condition:
      return std::string(node->condition.attribute);
    default:
      break;
  }
  std::string text;
  for (const FilterNode* child = node->first; child != nullptr; child = child->next) {
    text += (text.empty() ? "" : node->kind == Kind::all_of ? " & " : " | ") + text_of(child);
  }
  return "(" + text + ")";
}

TEST_F(FilterTree, AllOfKeepsWhatSaysSomething) {
  EXPECT_EQ(text_of(builder.all_of(named("a"), named("b"))), "(a & b)");
  EXPECT_EQ(text_of(builder.all_of(named("a"), builder.anything())), "a");
  EXPECT_EQ(text_of(builder.all_of(builder.anything(), named("a"))), "a");
  EXPECT_EQ(text_of(builder.all_of(builder.anything(), builder.anything())), "1");
  EXPECT_EQ(text_of(builder.all_of(builder.nothing(), named("a"))), "0");
  EXPECT_EQ(text_of(builder.all_of(builder.anything(), builder.nothing())), "0");
}

TEST_F(FilterTree, AnyOfNeedsAllOfThem) {
  EXPECT_EQ(text_of(builder.any_of(named("a"), named("b"))), "(a | b)");
  EXPECT_EQ(text_of(builder.any_of(named("a"), builder.anything())), "1");
  EXPECT_EQ(text_of(builder.any_of(builder.anything(), builder.nothing())), "1");
  EXPECT_EQ(text_of(builder.any_of(builder.nothing(), named("a"))), "a");
  EXPECT_EQ(text_of(builder.any_of(named("a"), builder.nothing())), "a");
  EXPECT_EQ(text_of(builder.any_of(builder.nothing(), builder.nothing())), "0");
}

TEST_F(FilterTree, ChildrenOfTheSameKindAreOwn) {
  const FilterNode* const left = builder.all_of(named("a"), named("b"));
  const FilterNode* const right = builder.all_of(named("c"), named("d"));
  EXPECT_EQ(text_of(builder.all_of(left, right)), "(a & b & c & d)");
  EXPECT_EQ(text_of(builder.any_of(left, right)), "((a & b) | (c & d))");
  EXPECT_EQ(text_of(builder.any_of(builder.any_of(left, named("e")), named("f"))),
            "((a & b) | e | f)");
  EXPECT_EQ(text_of(left), "(a & b)") << "a tree that is used twice stays as it is";
}

TEST_F(FilterTree, ConditionsOfOneAttributeAreOne) {
  const auto compare = [&](const char* name, Comparison comparison, const char* number) {
    return builder.condition(
        {name, range_of(comparison, ValueKey::of_number(number)), true, no_literal});
  };
  const FilterNode* const between =
      builder.all_of(compare("a", Comparison::greater, "5"), compare("a", Comparison::less, "7"));
  EXPECT_EQ(text_of(between), "a");
  EXPECT_TRUE(between->condition.or_array);
  EXPECT_TRUE(between->condition.range.contains(ValueKey::of_number("6")));
  EXPECT_FALSE(between->condition.range.contains(ValueKey::of_number("4")));
  EXPECT_FALSE(between->condition.range.contains(ValueKey::of_number("8")));
  EXPECT_EQ(text_of(builder.all_of(between, named("b"))), "(a & b)");
  EXPECT_EQ(text_of(builder.all_of(builder.all_of(named("b"), named("c")), named("b"))), "(b & c)");
  EXPECT_EQ(text_of(builder.any_of(named("a"), named("a"))), "(a | a)");

  // 1 and 9 in an array are below 2 and above 8.
  const FilterNode* const outside =
      builder.all_of(compare("a", Comparison::less, "2"), compare("a", Comparison::greater, "8"));
  EXPECT_TRUE(outside->condition.range.contains(ValueKey::of_array()));
  EXPECT_FALSE(outside->condition.range.contains(ValueKey::of_number("1")));
}

TEST_F(FilterTree, EqualitiesStayApart) {
  const auto equal = [&](const char* number, std::uint32_t literal) {
    return builder.condition(
        {"a", range_of(Comparison::equal, ValueKey::of_number(number)), true, literal});
  };
  EXPECT_EQ(text_of(builder.all_of(equal("1", 0), equal("2", 1))), "(a & a)");
  const FilterNode* const one = builder.all_of(named("a"), equal("1", 7));
  EXPECT_EQ(text_of(one), "a");
  EXPECT_EQ(one->condition.literal, 7U);
  EXPECT_TRUE(one->condition.range.is_point());
  EXPECT_TRUE(one->condition.or_array);
}

// Values in the order of jsonpath, those of a type side by side.
const std::vector<std::vector<ValueKey>> values_by_type = {
    {ValueKey::of_null()},
    {ValueKey::of_boolean(false), ValueKey::of_boolean(true)},
    {ValueKey::of_number("-1000000000000"), ValueKey::of_number("-2.5"),
     ValueKey::of_number("-0.001"), ValueKey::of_number("0"), ValueKey::of_number("0.5"),
     ValueKey::of_number("7"), ValueKey::of_number("12345678901234567890")},
    {ValueKey::of_string(""), ValueKey::of_string("a"), ValueKey::of_string("a\x01"),
     ValueKey::of_string("ab"), ValueKey::of_string("b"), ValueKey::of_string("\xf4\x8f\xbf\xbf")},
    {ValueKey::of_array()},
    {ValueKey::of_object()}};

bool is_true(Comparison comparison, std::size_t left, std::size_t right) {
  switch (comparison) {
    case Comparison::equal:
      return left == right;
    case Comparison::less:
      return left < right;
    case Comparison::less_or_equal:
      return left <= right;
    case Comparison::greater:
      return left > right;
    case Comparison::greater_or_equal:
      return left >= right;
    default:
      return left != right;
  }
}

constexpr Comparison comparisons[] = {Comparison::equal,   Comparison::not_equal,
                                      Comparison::less,    Comparison::less_or_equal,
                                      Comparison::greater, Comparison::greater_or_equal};

// Every value that compares so lies in the range; others only at its ends, but for !=.
TEST(KeyRange, HoldsWhatComparesSo) {
  for (const Comparison comparison : comparisons) {
    for (std::size_t type = 0; type < 4; ++type) {
      for (std::size_t literal = 0; literal < values_by_type[type].size(); ++literal) {
        const KeyRange range = range_of(comparison, values_by_type[type][literal]);
        for (std::size_t other = 0; other < values_by_type.size(); ++other) {
          for (std::size_t i = 0; i < values_by_type[other].size(); ++i) {
            const bool matches = other == type && is_true(comparison, i, literal);
            const bool may_match =
                matches || (other == type && i == literal) || comparison == Comparison::not_equal;
            const bool is_in = range.contains(values_by_type[other][i]);
            EXPECT_TRUE(!matches || is_in) << type << " " << literal << " " << other << " " << i;
            EXPECT_TRUE(!is_in || may_match) << type << " " << literal << " " << other << " " << i;
          }
        }
      }
    }
  }
}

TEST(KeyRange, BothHoldsWhatEachHolds) {
  std::vector<Condition> conditions = {{"a", range_of_all(), false, no_literal},
                                       {"a", range_of_arrays(), false, no_literal},
                                       {"a", range_of_strings(), true, no_literal},
                                       {"a", range_of_prefix("a"), false, no_literal}};
  for (const Comparison comparison : comparisons) {
    for (std::size_t type = 0; type < 4; ++type) {
      for (const ValueKey& literal : values_by_type[type]) {
        conditions.push_back({"a", range_of(comparison, literal), true, no_literal});
      }
    }
  }
  const auto holds = [](const Condition& condition, const ValueKey& key) {
    return condition.range.contains(key) ||
           (condition.or_array && key.type() == ValueKey::Type::array);
  };
  for (const Condition& left : conditions) {
    for (const Condition& right : conditions) {
      const std::optional<Condition> merged = both(left, right);
      for (const auto& values : values_by_type) {
        for (const ValueKey& value : values) {
          EXPECT_EQ(merged && holds(*merged, value), holds(left, value) && holds(right, value));
        }
      }
    }
  }
}

TEST(KeyRange, IsAPointForEqualityOnly) {
  const ValueKey seven = ValueKey::of_number("7");
  EXPECT_TRUE(range_of(Comparison::equal, seven).is_point());
  EXPECT_TRUE(range_of_arrays().is_point());
  EXPECT_FALSE(range_of(Comparison::less, seven).is_point());
  EXPECT_FALSE(range_of(Comparison::greater_or_equal, seven).is_point());
  EXPECT_FALSE(range_of_all().is_point());
}

TEST(KeyRange, MirrorsComparisons) {
  for (const Comparison comparison : comparisons) {
    for (std::size_t left = 0; left < 3; ++left) {
      for (std::size_t right = 0; right < 3; ++right) {
        EXPECT_EQ(is_true(comparison, left, right), is_true(mirrored(comparison), right, left));
      }
    }
  }
}

TEST(KeyRange, HoldsAllAndOnlyStringsWithAPrefix) {
  EAV_RANDOM(random);
  for (int i = 0; i < 20000; ++i) {
    const std::string prefix = random.text("ab\x7f", 66);
    const std::string text =
        random.chance(0.5) ? prefix + random.text("ab\x7f", 5) : random.text("ab\x7f", 66);
    const bool is_in = range_of_prefix(prefix).contains(ValueKey::of_string(text));
    // No more than what keys hold can be told apart.
    const std::size_t most = ValueKey::max_string_bytes;
    EXPECT_EQ(is_in, text.substr(0, most).starts_with(prefix.substr(0, most))) << prefix;
    EXPECT_TRUE(range_of_strings().contains(ValueKey::of_string(text)));
  }
  EXPECT_FALSE(range_of_strings().contains(ValueKey::of_array()));
  EXPECT_FALSE(range_of_strings().contains(ValueKey::of_number("5")));
}

TEST(KeyRange, OfAllHoldsAll) {
  for (const auto& values : values_by_type) {
    for (const ValueKey& value : values) {
      EXPECT_TRUE(range_of_all().contains(value));
    }
  }
}

}  // namespace

}  // namespace eav::core
