// Rows into a table through the server's own COPY, fed from memory in its binary format:
// routing to partitions, triggers, constraints, indexes and every version's details for free.
// docs/decisions/ has the measurement against doing it by hand.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

// Writes the fields of one row, in COPY's binary format.
class CopyRow {
 public:
  explicit CopyRow(StringInfo out) : out_(out) {}
  void begin(int16 fields);
  void null();
  void int4(int32 value);
  void int8(int64 value);
  void float8(double value);
  void boolean(bool value);
  // The result of a type's send function, or the bytes of a text.
  void bytes(const void* data, std::size_t size);

 private:
  StringInfo out_;
};

// Gives the next row, or false at the end. Must not throw: the server calls it.
using NextRow = bool (*)(void* state, CopyRow& row);

// columns: a list of String nodes. Returns the number of rows written. Not to be called again by a
// trigger on the relation: who writes does so within run_alone() of flush/alone.hpp.
uint64 copy_into(Relation relation, List* columns, NextRow next, void* state);

}  // namespace eav::pg
