// Finding entities by a filter, page by page.
#pragma once

#include <optional>
#include <span>

#include "eav/core/find_cursor.hpp"
#include "eav/query/documents.hpp"
#include "eav/query/filter.hpp"
#include "eav/query/sources.hpp"

namespace eav::query {

// By the key of a value, then by entity; entities without a value last.
struct Order {
  bool is_by_value;            // else by entity only
  const Attribute* attribute;  // null: no entity has a value
  bool is_descending;
};

Order make_order(const text* order_by, Attributes& attributes);

// Where candidates come from.
struct Plan {
  bool finds_nothing;                // no entity can meet the filter
  Stream* stream;                    // null: no index answers the filter
  std::optional<KeyIndex> in_order;  // to read entities in the order asked for
  bool is_scan;                      // every entity of the tenant may have to be looked at
};
Plan make_plan(const Filter& filter, const Order& order, int64 tenant_id);
void close_plan(const Plan& plan);

// The first argument of a call, which must not be null. Raises insufficient_privilege when the
// caller may not act for the tenant.
int64 tenant_of(FunctionCallInfo fcinfo);

// Counts the entities of a tenant, up to most, with ids from here on.
int64 count_entities(int64 tenant_id, int64 most, int64 from = PG_INT64_MIN);

// Attributes by name, whose values are about to be returned. Tells the client about those that do
// not exist.
std::span<const Attribute* const> find_attributes(ArrayType* names, Attributes& attributes);

}  // namespace eav::query
