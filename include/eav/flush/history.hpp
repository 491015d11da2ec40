// eav.entity_values_ts, written.
#pragma once

#include <span>

#include "eav/core/batch_order.hpp"
#include "eav/ingest/staged_row.hpp"

namespace eav::flush {

// The rows of a batch in the order of the projection (core/batch_order.hpp).
using Order = std::span<const core::EntityKey>;

// History alone, in the order of its index. Rows that are there already are passed over.
int64 write_history(std::span<const ingest::StagedRow> rows, Order order);

}  // namespace eav::flush
