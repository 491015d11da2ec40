// One projected document: what eav.entity_jsonb holds of an entity, and how values enter it.
#pragma once

#include <span>

#include "eav/ingest/staged_row.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::projection {

// Rows point into a batch.
using RowPointer = const ingest::StagedRow*;

struct Document {
  Datum hot;       // jsonb object
  Datum live;      // jsonb object
  Datum versions;  // bytea
};

Document empty_document();

struct Merge {
  Document document;
  int64 projected;  // values that became the newest of their attribute
  bool hot_changed;
  bool live_changed;
};

// Applies values of one entity, sorted by (attribute_id, version): for each attribute the
// greatest version wins, a stored one included, so that any order and any number of merges of
// the same values ends in the same document. What did not change keeps its old datum.
// projected is 0 when nothing is to be written.
Merge merge(const Document& document, std::span<const RowPointer> rows);

}  // namespace eav::projection
