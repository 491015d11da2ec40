// Updating documents, also while somebody holds an old snapshot.
//
// As long as one does, no version of a document that was replaced since can be removed. An index
// then has an entry for each of them, and whoever comes by the key walks them all: to find the
// row, and to make sure that the key is unique when a new version is entered. With an update a
// second and a dump that takes an hour that is 3,600 versions, twice per update. So
//   - a flush remembers where it put the newest version of a row, and looks there first. That
//     place is only a hint: what lies there counts when the latest snapshot sees it and it has
//     the right key; otherwise the key index is asked;
//   - the key index, whose columns an update does not change, gets the new version without a
//     check for duplicates: the old version is locked by us.
// A table that a user has given row triggers, checks or more unique indexes is updated through
// the executor, which knows about all that, at its price.
#include "eav/projection/table.hpp"

#include <unordered_map>

#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <commands/trigger.h>
}

namespace eav::projection {

namespace {

enum Column : int {
  column_tenant_id = 1,
  column_entity_id,
  column_hot,
  column_live,
  column_versions,
  column_updated_at,
  column_count = column_updated_at
};

struct EntityHash {
  std::size_t operator()(const EntityId& id) const {
    return static_cast<std::size_t>(id.tenant_id) * 0x9E3779B97F4A7C15ULL + id.entity_id;
  }
};

// When they take a quarter of eav.flush_memory, they start anew.
constexpr std::size_t place_bytes = 64;
std::size_t max_places() {
  return static_cast<std::size_t>(settings.flush_memory) * 1024 / 4 / place_bytes;
}

using Places = std::unordered_map<EntityId, ItemPointerData, EntityHash>;

// On the heap for the life of the backend, like the registry's cache.
Places& places_in(Oid relation) {
  static Places* const places = new Places;
  static Oid of_relation = InvalidOid;
  if (of_relation != relation || places->size() >= max_places()) {
    places->clear();
    of_relation = relation;
  }
  return *places;
}

}  // namespace

Table::Table(pg::OnLock on_lock)
    : on_lock_(on_lock),
      writer_(pg::relation_oid("entity_jsonb")),
      key_(index_open(pg::relation_oid("entity_jsonb_pkey"), AccessShareLock)),
      found_(writer_.make_slot()),
      updated_(writer_.make_slot()),
      scratch_(AllocSetContextCreate(CurrentMemoryContext, "eav projection merge",
                                     ALLOCSET_DEFAULT_SIZES)),
      scan_(pg::begin_index_scan(writer_.relation(), key_, GetActiveSnapshot(), 2)),
      needs_executor_(needs_executor()) {}

void Table::close() {
  if (current_) {
    current_->close();
  }
  index_endscan(scan_);
  MemoryContextDelete(scratch_);
  index_close(key_, NoLock);
  writer_.close();
}

// In the context in which the table was opened: it lives as long.
CurrentTable& Table::current() {
  if (!current_) {
    MemoryContext const caller = MemoryContextSwitchTo(MemoryContextGetParent(scratch_));
    current_.emplace();
    MemoryContextSwitchTo(caller);
  }
  return *current_;
}

bool Table::needs_executor() const {
  const ResultRelInfo* const result = writer_.result();
  const TupleDesc description = RelationGetDescr(writer_.relation());
  const TupleConstr* const constraints = description->constr;
  if (result->ri_TrigDesc != nullptr || description->natts != column_count ||
      (constraints != nullptr && constraints->num_check > 0)) {
    return true;
  }
  for (int i = 0; i < result->ri_NumIndices; ++i) {
    const IndexInfo* const info = result->ri_IndexRelationInfo[i];
    const bool is_key =
        RelationGetRelid(result->ri_IndexRelationDescs[i]) == RelationGetRelid(key_);
    if (info->ii_ExclusionOps != nullptr || (info->ii_Unique && !is_key)) {
      return true;
    }
  }
  return false;
}

// missing, blocked, or written when the row that was found is locked.
State Table::lock_found(const EntityId& id) {
  switch (writer_.lock(found_, lock_policy())) {
    case TM_Ok:
      return State::written;
    case TM_WouldBlock:
      return State::blocked;
    case TM_Deleted:
      return State::missing;
    default:
      ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                      errmsg("could not lock the projection of entity " INT64_FORMAT
                             " of tenant " INT64_FORMAT,
                             id.entity_id, id.tenant_id)));
  }
  pg_unreachable();
}

State Table::update(const EntityId& id, std::span<const RowPointer> rows, Written& written) {
  State state = find(id) ? lock_found(id) : State::missing;
  if (state != State::written) {
    return state;
  }
  // Only from here on in scratch memory: the index scan keeps things of its own that it
  // allocates when it first needs them.
  MemoryContext const caller = MemoryContextSwitchTo(scratch_);
  Merge merged = merge(document(), rows);
  if (merged.projected > 0) {
    if (!merged.current.empty() && !current().write(id, merged.current, lock_policy())) {
      state = State::blocked;
    } else {
      write(id, merged.document);
      written.projected += merged.projected;
      for (const int32 attribute_id : merged.first) {
        written.first.push_back({id.tenant_id, attribute_id});
      }
    }
  }
  MemoryContextSwitchTo(caller);
  MemoryContextReset(scratch_);
  return state;
}

State Table::relocate(const EntityId& id, const Relocation& relocation, Relocated& counts) {
  if (!find(id)) {
    return State::missing;
  }
  MemoryContext const caller = MemoryContextSwitchTo(scratch_);
  const int32 attribute_id = relocation.attribute->attribute_id;
  State state = State::written;
  // Without a version it has no value, and who gives it one puts it where it belongs. Most entities
  // may have none: they are not locked, which would write each of their rows.
  if (has_version(document(), attribute_id)) {
    state = lock_found(id);
    if (state == State::written) {
      state = relocate_locked(id, relocation, counts);
    }
  }
  MemoryContextSwitchTo(caller);
  MemoryContextReset(scratch_);
  return state;
}

State Table::relocate_locked(const EntityId& id, const Relocation& relocation, Relocated& counts) {
  const Document stored = document();
  const std::optional<Datum> current_value = current().find(id, relocation.attribute->attribute_id);
  Move move = eav::projection::relocate(stored, current_value, relocation);
  if (!move.current.empty() && !current().write(id, move.current, lock_policy())) {
    return State::blocked;
  }
  if (move.document_changed) {
    write(id, move.document);
  }
  counts.moved += move.document_changed || !move.current.empty();
  counts.failed += move.failed;
  counts.forgotten += move.forgotten;
  return State::written;
}

bool Table::find_at_last_place(const EntityId& id) {
  const Places& places = places_in(RelationGetRelid(writer_.relation()));
  const auto place = places.find(id);
  if (place == places.end()) {
    return false;
  }
  ItemPointerData tid = place->second;
  // The table may have been rewritten since.
  if (ItemPointerGetBlockNumber(&tid) >= RelationGetNumberOfBlocks(writer_.relation())) {
    return false;
  }
  // Who comes by an index prunes the page on the way; so do we, before anything points into it.
  const Buffer buffer = ReadBuffer(writer_.relation(), ItemPointerGetBlockNumber(&tid));
  heap_page_prune_opt(writer_.relation(), buffer);
  ReleaseBuffer(buffer);
  if (!table_tuple_fetch_row_version(writer_.relation(), &tid, GetActiveSnapshot(), found_)) {
    return false;
  }
  bool is_null = false;
  return DatumGetInt64(slot_getattr(found_, column_tenant_id, &is_null)) == id.tenant_id &&
         DatumGetInt64(slot_getattr(found_, column_entity_id, &is_null)) == id.entity_id;
}

bool Table::find_by_key(const EntityId& id) {
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id.tenant_id));
  ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id.entity_id));
  index_rescan(scan_, keys, 2, nullptr, 0);
  return index_getnext_slot(scan_, ForwardScanDirection, found_);
}

Document Table::document() {
  slot_getallattrs(found_);
  return {found_->tts_values[column_hot - 1], found_->tts_values[column_live - 1],
          found_->tts_values[column_versions - 1]};
}

void Table::write(const EntityId& id, const Document& document) {
  // Further columns that a user has added keep their values.
  const int columns = RelationGetDescr(writer_.relation())->natts;
  ExecClearTuple(updated_);
  memcpy(updated_->tts_values, found_->tts_values, sizeof(Datum) * columns);
  memcpy(updated_->tts_isnull, found_->tts_isnull, sizeof(bool) * columns);
  updated_->tts_values[column_hot - 1] = document.hot;
  updated_->tts_values[column_live - 1] = document.live;
  updated_->tts_values[column_versions - 1] = document.versions;
  updated_->tts_values[column_updated_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
  ExecStoreVirtualTuple(updated_);
  if (needs_executor_) {
    writer_.update(found_, updated_);
  } else {
    update_by_hand();
  }
  if (on_lock_ == pg::OnLock::skip) {
    places_in(RelationGetRelid(writer_.relation()))[id] = updated_->tts_tid;
  }
}

void Table::update_by_hand() {
  ResetPerTupleExprContext(writer_.estate());
  updated_->tts_tableOid = RelationGetRelid(writer_.relation());
  const pg::IndexChanges changes =
      pg::update_row(writer_.relation(), &found_->tts_tid, updated_, GetActiveSnapshot());
  if (changes.any) {
    insert_index_entries(changes.only_summarizing);
  }
}

void Table::insert_index_entries(bool only_summarizing) {
  ExprContext* const context = GetPerTupleExprContext(writer_.estate());
  context->ecxt_scantuple = updated_;
  for (int i = 0; i < writer_.result()->ri_NumIndices; ++i) {
    Relation const index = writer_.result()->ri_IndexRelationDescs[i];
    IndexInfo* const info = writer_.result()->ri_IndexRelationInfo[i];
    if (!info->ii_ReadyForInserts || (only_summarizing && !pg::is_summarizing(info))) {
      continue;
    }
    if (info->ii_Predicate != NIL) {
      if (info->ii_PredicateState == nullptr) {
        info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, writer_.estate());
      }
      if (!ExecQual(info->ii_PredicateState, context)) {
        continue;
      }
    }
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    FormIndexDatum(info, updated_, writer_.estate(), values, nulls);
    const bool is_key = RelationGetRelid(index) == RelationGetRelid(key_);
    index_insert(index, values, nulls, &updated_->tts_tid, writer_.relation(), UNIQUE_CHECK_NO,
                 is_key, info);
  }
}

}  // namespace eav::projection
