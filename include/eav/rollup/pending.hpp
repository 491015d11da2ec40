// What a batch adds to the rollups, kept until it is merged into them. See merge.cpp.
#pragma once

#include <span>

#include "eav/core/batch_order.hpp"
#include "eav/flush/registry.hpp"
#include "eav/ingest/staged_row.hpp"

namespace eav::rollup {

// Notes the values of a batch, in the (sub)transaction that writes them to history, by which they
// are sorted.
void note_values(std::span<const ingest::StagedRow> rows, std::span<const core::HistoryKey> order);

// Notes that entities got their first projected value: of each of the attributes one did, as often
// as it is listed. Sorts them.
void note_entities(std::span<flush::AttributeId> first);
// That so many entities have none any more.
void note_lost_entities(const flush::AttributeId& attribute, int64 count);

}  // namespace eav::rollup
