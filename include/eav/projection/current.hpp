// eav.entity_values_current, written: one row per entity and attribute with projection current.
// Whoever writes the rows of an entity holds its row in eav.entity_jsonb locked.
#pragma once

#include <optional>
#include <span>

#include "eav/pg/row_writer.hpp"
#include "eav/projection/document.hpp"
#include "eav/projection/entity_id.hpp"

namespace eav::projection {

class CurrentTable {
 public:
  CurrentTable();
  void close();

  // Writes what differs from what is there, and returns true; with LockWaitSkip does nothing and
  // returns false when a client holds one of the rows locked. `changes` loses what did not differ.
  bool write(const EntityId& id, core::ArenaVector<CurrentChange>& changes, LockWaitPolicy policy);

  // The value of an attribute, in the current memory context.
  std::optional<Datum> find(const EntityId& id, int32 attribute_id);

 private:
  bool find_row(const EntityId& id, int32 attribute_id);
  void form(const EntityId& id, const CurrentChange& change);
  void keep_further_columns(ItemPointerData place);
  int columns() const { return RelationGetDescr(writer_.relation())->natts; }

  MemoryContext context_;  // for what the index scan allocates when it first needs it
  pg::RowWriter writer_;
  Relation key_;
  TupleTableSlot* found_;
  TupleTableSlot* formed_;
  IndexScanDesc scan_;
};

}  // namespace eav::projection
