// Existing rows of eav.entity_jsonb, found, locked and updated. See table.cpp.
#pragma once

#include <span>

#include "eav/pg/lock_wait.hpp"
#include "eav/pg/postgres.hpp"
#include "eav/projection/document.hpp"

namespace eav::projection {

struct EntityId {
  int64 tenant_id;
  int64 entity_id;
  bool operator==(const EntityId&) const = default;
};

// missing: there is no row. blocked: a client holds it.
enum class State : uint8 { missing, written, blocked };

class Table {
 public:
  // Sees what the active snapshot sees.
  explicit Table(pg::OnLock on_lock);
  void close();

  // Merges the values into the row of the entity; adds to projected.
  State update(const EntityId& id, std::span<const RowPointer> rows, int64& projected);

 private:
  bool find_at_last_place(const EntityId& id);
  bool find_by_key(const EntityId& id);
  TM_Result lock();
  Document document();
  bool needs_executor() const;
  void write(const Merge& merged);
  void insert_index_entries(bool only_summarizing);

  pg::OnLock on_lock_;
  Relation relation_;
  Relation key_;
  EState* estate_;
  ResultRelInfo* result_;
  TupleTableSlot* found_;
  TupleTableSlot* updated_;
  MemoryContext scratch_;
  EPQState epq_{};
  IndexScanDesc scan_ = nullptr;
  bool needs_executor_ = false;
};

}  // namespace eav::projection
