#include "eav/core/filter.hpp"

#include <algorithm>
#include <new>

namespace eav::core {

namespace {

using Type = ValueKey::Type;
using Kind = FilterNode::Kind;

int compare(const ValueKey& left, const ValueKey& right) {
  const std::span<const std::uint8_t> one = left.bytes();
  const std::span<const std::uint8_t> other = right.bytes();
  const int order = std::memcmp(one.data(), other.data(), std::min(one.size(), other.size()));
  return order != 0 ? order
                    : static_cast<int>(one.size() > other.size()) -
                          static_cast<int>(one.size() < other.size());
}

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

bool KeyRange::is_point() const { return has_high && compare(low, high) == 0; }

bool KeyRange::contains(const ValueKey& key) const {
  const int below_high = compare(key, high);
  return compare(low, key) <= 0 && (below_high < 0 || (has_high && below_high == 0));
}

bool KeyRange::is_empty() const {
  const int order = compare(low, high);
  return order > 0 || (order == 0 && !has_high);
}

KeyRange intersection(const KeyRange& left, const KeyRange& right) {
  const int order = compare(left.high, right.high);
  const bool is_left_shorter = order < 0 || (order == 0 && !left.has_high);
  const KeyRange& shorter = is_left_shorter ? left : right;
  return {compare(left.low, right.low) < 0 ? right.low : left.low, shorter.high, shorter.has_high};
}

std::optional<Condition> both(const Condition& left, const Condition& right) {
  const auto has_arrays = [](const Condition& condition) {
    return condition.or_array || condition.range.contains(ValueKey::of_array());
  };
  const bool with_arrays = has_arrays(left) && has_arrays(right);
  Condition result{left.attribute, intersection(left.range, right.range), false,
                   left.literal != no_literal ? left.literal : right.literal};
  if (result.range.is_empty()) {
    result.range = range_of_arrays();
    return with_arrays ? std::optional(result) : std::nullopt;
  }
  result.or_array = with_arrays && !result.range.contains(ValueKey::of_array());
  return result;
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
  for (const FilterNode* const side : {left, right}) {
    const bool is_same = side->kind == kind;
    for (const FilterNode* child = is_same ? side->first : side; child != nullptr;
         child = is_same ? child->next : nullptr) {
      append(*node, *child);
      if (node->kind == Kind::nothing) {
        return node;
      }
    }
  }
  const bool is_one = node->first != nullptr && node->first->next == nullptr;
  return is_one ? node->first : node;
}

void FilterBuilder::append(FilterNode& parent, const FilterNode& child) {
  if (parent.kind == Kind::all_of && child.kind == Kind::condition &&
      merge(parent, child.condition)) {
    return;
  }
  FilterNode** end = &parent.first;
  while (*end != nullptr) {
    end = &(*end)->next;
  }
  *end = make(child.kind);
  **end = child;
  (*end)->next = nullptr;
}

// Into the condition that there is of the same attribute. What two equalities contain does not go
// together.
bool FilterBuilder::merge(FilterNode& parent, const Condition& condition) {
  for (FilterNode* child = parent.first; child != nullptr; child = child->next) {
    if (child->kind != Kind::condition || child->condition.attribute != condition.attribute ||
        (child->condition.literal != no_literal && condition.literal != no_literal)) {
      continue;
    }
    if (const std::optional<Condition> merged = both(child->condition, condition)) {
      child->condition = *merged;
    } else {
      parent.kind = Kind::nothing;
    }
    return true;
  }
  return false;
}

}  // namespace eav::core
