// One projected document: what eav.entity_jsonb holds of an entity, and how values enter it.
#pragma once

#include <optional>
#include <span>

#include "eav/core/arena.hpp"
#include "eav/flush/registry.hpp"
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

// Of a row in eav.entity_values_current.
struct CurrentChange {
  int32 attribute_id;
  bool removed;
  Datum value;  // jsonb, when not removed
};

struct Merge {
  Document document;
  int64 projected;                           // values that became the newest of their attribute
  core::ArenaVector<CurrentChange> current;  // where they go there, or may have been
  core::ArenaVector<int32> first;            // attributes that the entity had no value of before
};

// Applies values of one entity, sorted by (attribute_id, version): for each attribute the
// greatest version wins, a stored one included, so that any order and any number of merges of
// the same values ends in the same document. What did not change keeps its old datum. A value goes
// to where its attribute is projected, and leaves where it may have been before.
// projected is 0 when nothing is to be written.
Merge merge(const Document& document, std::span<const RowPointer> rows);

// What becomes of the present values of an attribute.
struct Relocation {
  const flush::Attribute* attribute;  // as it is registered now: where they belong, and their type
  bool converts;                      // they may be of another type
  bool clears_failed;                 // those that cannot be converted go, else they stay
};

struct Move {
  Document document;
  bool document_changed;
  core::ArenaVector<CurrentChange> current;
  bool failed;     // the value could not be converted
  bool forgotten;  // the entity had a value or a clearing of it, and nothing tells any more
};

bool has_version(const Document& document, int32 attribute_id);

// The value of one entity, which is in its document or is `current_value`. Of an attribute with
// projection none nothing is kept.
Move relocate(const Document& document, std::optional<Datum> current_value,
              const Relocation& relocation);

}  // namespace eav::projection
