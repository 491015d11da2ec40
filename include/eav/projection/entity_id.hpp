// The key of an entity.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::projection {

struct EntityId {
  int64 tenant_id;
  int64 entity_id;
  bool operator==(const EntityId&) const = default;
};

}  // namespace eav::projection
