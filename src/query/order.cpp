#include <algorithm>

#include "eav/ingest/staged_row.hpp"
#include "eav/query/find.hpp"

namespace eav::query {

namespace {

// Whether the text ends in a blank and the word; takes both away.
bool take_word(std::string_view& text, std::string_view word) {
  if (text.size() <= word.size() || text[text.size() - word.size() - 1] != ' ') {
    return false;
  }
  const std::string_view end = text.substr(text.size() - word.size());
  if (pg_strncasecmp(end.data(), word.data(), word.size()) != 0) {
    return false;
  }
  text.remove_suffix(word.size());
  while (text.ends_with(' ')) {
    text.remove_suffix(1);
  }
  return true;
}

}  // namespace

Order make_order(const text* order_by, Attributes& attributes) {
  Order order{order_by != nullptr, nullptr, false};
  if (order_by == nullptr) {
    return order;
  }
  std::string_view name = ingest::view_of(order_by);
  order.attribute = attributes.named_ever(name);
  if (order.attribute == nullptr) {
    order.is_descending = take_word(name, "desc");
    if (!order.is_descending) {
      take_word(name, "asc");
    }
    order.attribute = attributes.named_ever(name);
    if (order.attribute == nullptr) {
      notice_unknown(name);
    }
  }
  return order;
}

namespace {

// The index that has entities in this order, as long as they have a value.
std::optional<KeyIndex> index_in_order(const Order& order, int64 tenant_id) {
  if (order.attribute == nullptr) {
    return std::nullopt;
  }
  if (order.attribute->tiers.only_current()) {
    return current_index(tenant_id, *order.attribute);
  }
  return order.attribute->tiers.only_hot() ? hot_index(tenant_id, *order.attribute) : std::nullopt;
}

}  // namespace

Plan make_plan(const Filter& filter, const Order& order, int64 tenant_id) {
  Plan plan{filter.tree->kind == core::FilterNode::Kind::nothing, nullptr, std::nullopt, false};
  if (plan.finds_nothing) {
    return plan;
  }
  plan.stream = open_stream(*filter.tree, filter, tenant_id);
  const bool is_selective = plan.stream != nullptr && !plan.stream->is_more;
  if (!is_selective) {
    plan.in_order = index_in_order(order, tenant_id);
  }
  plan.is_scan =
      plan.stream == nullptr && (filter.path != nullptr || (order.is_by_value && !plan.in_order));
  return plan;
}

void close_plan(const Plan& plan) {
  if (plan.stream != nullptr) {
    close_stream(plan.stream);
  }
}

int64 count_entities(int64 tenant_id, int64 most, int64 from) {
  pg::IndexScan scan("entities", "entities_pkey", 2, pg::IndexScan::Want::entries);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(tenant_id));
  ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));
  scan.start(keys);
  int64 count = 0;
  while (count < most && scan.next_entry() != nullptr) {
    CHECK_FOR_INTERRUPTS();
    ++count;
  }
  scan.close();
  return count;
}

}  // namespace eav::query
