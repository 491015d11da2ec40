// What a batch adds to the rollups, kept until it is merged into them. See merge.cpp.
#pragma once

#include <span>

#include "eav/core/batch_order.hpp"
#include "eav/ingest/staged_row.hpp"

namespace eav::rollup {

// Notes the values of a batch, in the (sub)transaction that writes them to history, by which they
// are sorted.
void note_values(std::span<const ingest::StagedRow> rows, std::span<const core::HistoryKey> order);

}  // namespace eav::rollup
