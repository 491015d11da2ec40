// What an index can say about a filter, apart from any server.
//
// A filter is a tree of && and || over conditions. A condition says of one attribute that its value
// lies in a range of keys; what no range can say stands as `anything`. The tree is weaker than the
// filter: an entity that meets the filter meets the tree, but not the other way round, so that what
// is found by the tree is to be checked by the filter itself.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "eav/core/arena.hpp"
#include "eav/core/core_only.hpp"
#include "eav/core/value_key.hpp"

namespace eav::core {

// From low, which belongs to it, to high.
struct KeyRange {
  ValueKey low;
  ValueKey high;
  bool has_high;  // high belongs to it, too

  bool is_point() const;
  bool contains(const ValueKey& key) const;
  bool is_empty() const;
};

enum class Comparison : std::uint8_t {
  equal,
  not_equal,
  less,
  less_or_equal,
  greater,
  greater_or_equal
};
// The same for the operands the other way round.
Comparison mirrored(Comparison comparison);

// Where the keys of the values are that compare so with a literal, as jsonpath compares: only
// values of one type have an order. Keys are lossy, so that the ends belong to it.
KeyRange range_of(Comparison comparison, const ValueKey& literal);
KeyRange range_of_prefix(std::string_view utf8);
KeyRange range_of_strings();
// What both hold.
KeyRange intersection(const KeyRange& left, const KeyRange& right);
// Any value at all.
KeyRange range_of_all();
// Arrays, whose elements jsonpath compares one by one.
KeyRange range_of_arrays();

struct Condition {
  std::string_view attribute;
  KeyRange range;
  bool or_array;          // or the value is an array
  std::uint32_t literal;  // number of what it is compared with, for an equality; else no_literal
};
constexpr std::uint32_t no_literal = UINT32_MAX;

// Both at once, of one attribute: a scalar is in both ranges, while the elements of an array may
// meet the conditions one by one. Nothing when no value can meet both.
std::optional<Condition> both(const Condition& left, const Condition& right);

struct FilterNode {
  enum class Kind : std::uint8_t { nothing, anything, condition, all_of, any_of };
  Kind kind;
  Condition condition;  // of a condition
  FilterNode* first;    // of all_of and any_of: at least two, none of their own kind,
  FilterNode* next;     // nothing or anything
};

// Builds trees in an arena, normalised: all_of keeps the children that say something, and one
// condition of each attribute, if it can; any_of says something when all of its children do.
class FilterBuilder {
 public:
  explicit FilterBuilder(const Arena& arena) : arena_(arena) {}

  const FilterNode* nothing() { return make(FilterNode::Kind::nothing); }
  const FilterNode* anything() { return make(FilterNode::Kind::anything); }
  const FilterNode* condition(const Condition& condition);
  const FilterNode* all_of(const FilterNode* left, const FilterNode* right);
  const FilterNode* any_of(const FilterNode* left, const FilterNode* right);

 private:
  FilterNode* make(FilterNode::Kind kind);
  const FilterNode* join(FilterNode::Kind kind, const FilterNode* left, const FilterNode* right);
  void append(FilterNode& parent, const FilterNode& child);
  static bool merge(FilterNode& parent, const Condition& condition);

  Arena arena_;
};

}  // namespace eav::core
