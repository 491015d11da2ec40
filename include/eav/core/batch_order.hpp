// The two orders in which a batch is written, as small keys that sort in cache.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <span>
#include <tuple>

#include "eav/core/versions.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

// History: the order of its index (tenant, attribute, ingested_at), so that neighbours in the
// batch go to neighbouring index entries.
struct HistoryKey {
  std::int64_t tenant_id;
  std::int64_t ingested_at;
  std::int32_t attribute_id;
  std::uint32_t row;  // position in the batch

  friend bool operator<(const HistoryKey& left, const HistoryKey& right) {
    return std::tie(left.tenant_id, left.attribute_id, left.ingested_at, left.row) <
           std::tie(right.tenant_id, right.attribute_id, right.ingested_at, right.row);
  }
};

// Projection: entity by entity, in each attribute by attribute, the newest last.
struct EntityKey {
  std::int64_t tenant_id;
  std::int64_t entity_id;
  Version version;
  std::int32_t attribute_id;
  std::uint32_t row;

  auto as_tuple() const { return std::tie(tenant_id, entity_id, attribute_id, version); }
  bool same_observation(const EntityKey& other) const {
    return tenant_id == other.tenant_id && entity_id == other.entity_id &&
           attribute_id == other.attribute_id && version.observed_at == other.version.observed_at;
  }
};

// Sorts the keys, equal ones by earlier(row, row): whether the first of two rows arrived first.
// Then values of one attribute with one observed_at that arrive in this batch, and so have the same
// ingested_at, get it one microsecond apart in the order of their arrival: the times in history
// alone decide which value is the newest. Keys with an ingested_at below that of the batch keep it.
// Returns the highest ingested_at given out, `ingested_at` at least.
template <typename Earlier>
std::int64_t order_by_entity(std::span<EntityKey> keys, std::int64_t ingested_at,
                             Earlier&& earlier) {
  std::sort(keys.begin(), keys.end(), [&](const EntityKey& left, const EntityKey& right) {
    const auto order = left.as_tuple() <=> right.as_tuple();
    return std::is_lt(order) || (std::is_eq(order) && earlier(left.row, right.row));
  });
  std::int64_t highest = ingested_at;
  for (std::size_t i = 1; i < keys.size(); ++i) {
    const std::int64_t before = keys[i - 1].version.ingested_at;
    if (before >= ingested_at && keys[i].same_observation(keys[i - 1])) {
      keys[i].version.ingested_at = before + 1;
      highest = std::max(highest, before + 1);
    }
  }
  return highest;
}

}  // namespace eav::core
