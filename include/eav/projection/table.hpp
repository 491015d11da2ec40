// Existing rows of eav.entity_jsonb, found, locked and updated. See table.cpp.
#pragma once

#include <optional>
#include <span>

#include "eav/pg/lock_wait.hpp"
#include "eav/pg/row_writer.hpp"
#include "eav/projection/current.hpp"
#include "eav/projection/document.hpp"
#include "eav/projection/entity_id.hpp"

namespace eav::projection {

// missing: there is no row. blocked: a client holds it.
enum class State : uint8 { missing, written, blocked };

struct Written {
  int64 projected = 0;                          // values that became the newest of their attribute
  core::ArenaVector<flush::AttributeId> first;  // once for each entity that had no value before
};

struct Relocated {
  int64 moved = 0;
  int64 failed = 0;     // could not be converted
  int64 forgotten = 0;  // entities that have nothing of the attribute any more
};

class Table {
 public:
  // Sees what the active snapshot sees.
  explicit Table(pg::OnLock on_lock);
  void close();

  // Merges the values into the row of the entity; adds to projected.
  State update(const EntityId& id, std::span<const RowPointer> rows, Written& written);
  // Moves a value of the entity to where its attribute has it now; adds to the counts.
  State relocate(const EntityId& id, const Relocation& relocation, Relocated& counts);

 private:
  bool find(const EntityId& id) { return find_at_last_place(id) || find_by_key(id); }
  State lock_found(const EntityId& id);
  State relocate_locked(const EntityId& id, const Relocation& relocation, Relocated& counts);
  bool find_at_last_place(const EntityId& id);
  bool find_by_key(const EntityId& id);
  CurrentTable& current();
  Document document();
  bool needs_executor() const;
  void write(const EntityId& id, const Document& document);
  void update_by_hand();
  void insert_index_entries(bool only_summarizing);
  LockWaitPolicy lock_policy() const {
    return on_lock_ == pg::OnLock::skip ? LockWaitSkip : LockWaitBlock;
  }

  pg::OnLock on_lock_;
  pg::RowWriter writer_;
  Relation key_;
  TupleTableSlot* found_;
  TupleTableSlot* updated_;
  MemoryContext scratch_;
  IndexScanDesc scan_;
  bool needs_executor_;
  std::optional<CurrentTable> current_;  // opened when it is needed
};

}  // namespace eav::projection
