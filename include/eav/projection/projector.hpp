// Writes values into eav.entity_jsonb.
#pragma once

#include <span>

#include "eav/core/arena.hpp"
#include "eav/pg/lock_wait.hpp"
#include "eav/projection/document.hpp"

namespace eav::projection {

// Rows of any entities, sorted by (tenant, entity, attribute, version); those of attributes
// with projection none only make sure that their entity is registered. Within an SPI
// connection. With OnLock::skip a row that a client holds locked is left alone and its values go
// to `blocked`. Returns the number of values that became the newest of their attribute.
int64 project(std::span<const RowPointer> rows, pg::OnLock on_lock,
              core::ArenaVector<RowPointer>& blocked);

}  // namespace eav::projection
