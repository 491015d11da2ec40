#include "eav/projection/current.hpp"

#include <algorithm>

#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"
#include "eav/pg/memory.hpp"

namespace eav::projection {

namespace {

enum Column : int {
  column_tenant_id = 1,
  column_entity_id,
  column_attribute_id,
  column_value,
  column_count = column_value
};

bool equal(Datum left, Datum right) {
  return compareJsonbContainers(&DatumGetJsonbP(left)->root, &DatumGetJsonbP(right)->root) == 0;
}

}  // namespace

CurrentTable::CurrentTable()
    : context_(CurrentMemoryContext),
      writer_(pg::relation_oid("entity_values_current")),
      key_(index_open(pg::relation_oid("entity_values_current_pkey"), AccessShareLock)),
      found_(writer_.make_slot()),
      formed_(writer_.make_slot()),
      // Not a snapshot from before the entity was locked: what has been committed until then
      // counts.
      scan_(pg::begin_index_scan(writer_.relation(), key_, SnapshotSelf, 3)) {}

void CurrentTable::close() {
  index_endscan(scan_);
  index_close(key_, NoLock);
  writer_.close();
}

bool CurrentTable::find_row(const EntityId& id, int32 attribute_id) {
  ScanKeyData keys[3];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id.tenant_id));
  ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id.entity_id));
  ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(attribute_id));
  MemoryContext const caller = MemoryContextSwitchTo(context_);
  index_rescan(scan_, keys, 3, nullptr, 0);
  const bool is_found = index_getnext_slot(scan_, ForwardScanDirection, found_);
  MemoryContextSwitchTo(caller);
  return is_found;
}

std::optional<Datum> CurrentTable::find(const EntityId& id, int32 attribute_id) {
  if (!find_row(id, attribute_id)) {
    return std::nullopt;
  }
  bool is_null = false;
  return PointerGetDatum(PG_DETOAST_DATUM_COPY(slot_getattr(found_, column_value, &is_null)));
}

void CurrentTable::form(const EntityId& id, const CurrentChange& change) {
  ExecClearTuple(formed_);
  std::fill_n(formed_->tts_isnull, columns(), true);
  const auto put = [this](Column column, Datum value) {
    formed_->tts_values[column - 1] = value;
    formed_->tts_isnull[column - 1] = false;
  };
  put(column_tenant_id, Int64GetDatum(id.tenant_id));
  put(column_entity_id, Int64GetDatum(id.entity_id));
  put(column_attribute_id, Int32GetDatum(change.attribute_id));
  put(column_value, change.value);
  ExecStoreVirtualTuple(formed_);
}

// Those that a user has added.
void CurrentTable::keep_further_columns(ItemPointerData place) {
  if (columns() == column_count) {
    return;
  }
  table_tuple_fetch_row_version(writer_.relation(), &place, SnapshotAny, found_);
  slot_getallattrs(found_);
  for (int column = column_count; column < columns(); ++column) {
    formed_->tts_values[column] = found_->tts_values[column];
    formed_->tts_isnull[column] = found_->tts_isnull[column];
  }
}

bool CurrentTable::write(const EntityId& id, core::ArenaVector<CurrentChange>& changes,
                         LockWaitPolicy policy) {
  // First all locks, then all changes: an entity is written as a whole or not at all.
  core::ArenaVector<ItemPointerData> places(pg::arena_of(CurrentMemoryContext));
  std::size_t kept = 0;
  for (const CurrentChange& change : changes) {
    ItemPointerData place;
    ItemPointerSetInvalid(&place);
    if (find_row(id, change.attribute_id)) {
      bool is_null = false;
      if (!change.removed && equal(slot_getattr(found_, column_value, &is_null), change.value)) {
        continue;
      }
      const TM_Result locked = writer_.lock(found_, policy);
      if (locked == TM_WouldBlock) {
        return false;
      }
      if (locked == TM_Ok) {
        place = found_->tts_tid;
      } else if (locked != TM_Deleted) {
        ereport(ERROR,
                (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                 errmsg("could not lock a value of entity " INT64_FORMAT " of tenant " INT64_FORMAT,
                        id.entity_id, id.tenant_id)));
      }
    }
    if (change.removed && !ItemPointerIsValid(&place)) {
      continue;
    }
    places.push_back(place);
    changes[kept++] = change;
  }
  changes.truncate(kept);
  for (std::size_t i = 0; i < kept; ++i) {
    ExecClearTuple(found_);
    found_->tts_tid = places[i];
    if (changes[i].removed) {
      writer_.erase(found_);
      continue;
    }
    form(id, changes[i]);
    if (ItemPointerIsValid(&places[i])) {
      keep_further_columns(places[i]);
      writer_.update(found_, formed_);
    } else {
      writer_.insert(formed_);
    }
  }
  return true;
}

}  // namespace eav::projection
