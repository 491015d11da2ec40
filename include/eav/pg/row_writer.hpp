// Rows of one table written one by one through the executor: indexes, triggers and constraints as
// for an UPDATE of a client.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

class RowWriter {
 public:
  // Locks the table for writing. Sees what the active snapshot sees.
  explicit RowWriter(Oid table);
  void close();

  Relation relation() const { return relation_; }
  EState* estate() const { return estate_; }
  ResultRelInfo* result() const { return result_; }
  TupleTableSlot* make_slot() { return table_slot_create(relation_, &estate_->es_tupleTable); }

  // Locks the newest version of the row in the slot, which is read anew when there is a newer one.
  TM_Result lock(TupleTableSlot* row, LockWaitPolicy policy);

  void insert(TupleTableSlot* row);
  // `old` tells the place of the row that is locked.
  void update(TupleTableSlot* old, TupleTableSlot* row);
  void erase(TupleTableSlot* old);

 private:
  Relation relation_;
  EState* estate_;
  ResultRelInfo* result_;
  EPQState epq_{};
};

}  // namespace eav::pg
