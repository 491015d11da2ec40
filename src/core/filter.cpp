#include "eav/core/filter.hpp"

#include <algorithm>
#include <new>

namespace eav::core {

namespace {

using Type = ValueKey::Type;
using Kind = FilterNode::Kind;

bool is_number(Type type) {
  return type == Type::negative || type == Type::zero || type == Type::positive;
}

bool is_boolean(Type type) { return type == Type::boolean_false || type == Type::boolean_true; }

ValueKey least_of(Type type) {
  return ValueKey::from(is_number(type)    ? Type::negative
                        : is_boolean(type) ? Type::boolean_false
                                           : type);
}

ValueKey above_all_of(Type type) {
  return ValueKey::above(is_number(type)    ? Type::positive
                         : is_boolean(type) ? Type::boolean_true
                                            : type);
}

}  // namespace

int KeyRange::compare(std::span<const std::uint8_t> left, std::span<const std::uint8_t> right) {
  const int order = std::memcmp(left.data(), right.data(), std::min(left.size(), right.size()));
  return order != 0 ? order
                    : static_cast<int>(left.size() > right.size()) -
                          static_cast<int>(left.size() < right.size());
}

bool KeyRange::contains(const ValueKey& key) const {
  const int below_high = compare(key.bytes(), high.bytes());
  return compare(low.bytes(), key.bytes()) <= 0 &&
         (below_high < 0 || (has_high && below_high == 0));
}

Comparison mirrored(Comparison comparison) {
  switch (comparison) {
    case Comparison::less:
      return Comparison::greater;
    case Comparison::less_or_equal:
      return Comparison::greater_or_equal;
    case Comparison::greater:
      return Comparison::less;
    case Comparison::greater_or_equal:
      return Comparison::less_or_equal;
    default:
      return comparison;
  }
}

KeyRange range_of(Comparison comparison, const ValueKey& literal) {
  switch (comparison) {
    case Comparison::equal:
      return {literal, literal, true};
    case Comparison::less:
    case Comparison::less_or_equal:
      return {least_of(literal.type()), literal, true};
    case Comparison::greater:
    case Comparison::greater_or_equal:
      return {literal, above_all_of(literal.type()), false};
    default:
      return range_of_all();
  }
}

KeyRange range_of_prefix(std::string_view utf8) {
  return {ValueKey::of_string(utf8), ValueKey::above_prefix(utf8), false};
}

KeyRange range_of_strings() { return range_of_prefix({}); }

KeyRange range_of_all() {
  return {ValueKey::from(Type::null), ValueKey::above(Type::object), false};
}

KeyRange range_of_arrays() { return {ValueKey::of_array(), ValueKey::of_array(), true}; }

FilterNode* FilterBuilder::make(Kind kind) {
  return new (arena_.allocate(arena_.context, sizeof(FilterNode)))
      FilterNode{kind, {{}, range_of_all(), false, no_literal}, nullptr, nullptr};
}

const FilterNode* FilterBuilder::condition(const Condition& condition) {
  FilterNode* const node = make(Kind::condition);
  node->condition = condition;
  return node;
}

const FilterNode* FilterBuilder::all_of(const FilterNode* left, const FilterNode* right) {
  if (left->kind == Kind::nothing || right->kind == Kind::anything) {
    return left;
  }
  if (right->kind == Kind::nothing || left->kind == Kind::anything) {
    return right;
  }
  return join(Kind::all_of, left, right);
}

const FilterNode* FilterBuilder::any_of(const FilterNode* left, const FilterNode* right) {
  if (left->kind == Kind::anything || right->kind == Kind::nothing) {
    return left;
  }
  if (right->kind == Kind::anything || left->kind == Kind::nothing) {
    return right;
  }
  return join(Kind::any_of, left, right);
}

// Children of a child of the same kind are its own.
const FilterNode* FilterBuilder::join(Kind kind, const FilterNode* left, const FilterNode* right) {
  FilterNode* const node = make(kind);
  const FilterNode** end = &node->first;
  for (const FilterNode* const side : {left, right}) {
    const bool is_same = side->kind == kind;
    for (const FilterNode* child = is_same ? side->first : side; child != nullptr;
         child = is_same ? child->next : nullptr) {
      FilterNode* const copy = make(child->kind);
      *copy = *child;
      copy->next = nullptr;
      *end = copy;
      end = const_cast<const FilterNode**>(&copy->next);
    }
  }
  return node;
}

}  // namespace eav::core
