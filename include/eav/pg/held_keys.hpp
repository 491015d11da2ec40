// Which keys of a unique index an open transaction of somebody else has inserted or deleted:
// writing them would have to wait for its end.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

class HeldKeys {
 public:
  // A table of schema eav and a unique index of it on (tenant_id bigint, key).
  HeldKeys(const char* table, const char* index);
  void close();

  // `equal` is the oid of the equality function of the key's type.
  bool contains(int64 tenant_id, Datum key, RegProcedure equal);

 private:
  Relation table_;
  Relation index_;
  TupleTableSlot* slot_;
  SnapshotData dirty_;
  IndexScanDesc scan_;
};

}  // namespace eav::pg
