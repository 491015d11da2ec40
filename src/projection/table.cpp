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

// About 64 bytes each; when it is full it starts anew.
constexpr std::size_t max_places = 500000;
using Places = std::unordered_map<EntityId, ItemPointerData, EntityHash>;

// On the heap for the life of the backend, like the registry's cache.
Places& places_in(Oid relation) {
  static Places* const places = new Places;
  static Oid of_relation = InvalidOid;
  if (of_relation != relation || places->size() >= max_places) {
    places->clear();
    of_relation = relation;
  }
  return *places;
}

}  // namespace

Table::Table(pg::OnLock on_lock)
    : on_lock_(on_lock),
      relation_(table_open(pg::relation_oid("entity_jsonb"), RowExclusiveLock)),
      key_(index_open(pg::relation_oid("entity_jsonb_pkey"), AccessShareLock)),
      estate_(CreateExecutorState()),
      result_(makeNode(ResultRelInfo)),
      found_(table_slot_create(relation_, &estate_->es_tupleTable)),
      updated_(table_slot_create(relation_, &estate_->es_tupleTable)),
      scratch_(AllocSetContextCreate(CurrentMemoryContext, "eav projection merge",
                                     ALLOCSET_DEFAULT_SIZES)) {
  pg::init_range_table(estate_, relation_);
  InitResultRelInfo(result_, relation_, 1, nullptr, 0);
  estate_->es_output_cid = GetCurrentCommandId(true);
  pg::init_eval_plan_qual(&epq_, estate_);
  AfterTriggerBeginQuery();
  ExecOpenIndices(result_, false);
  CheckCmdReplicaIdentity(relation_, CMD_UPDATE);
  scan_ = pg::begin_index_scan(relation_, key_, GetActiveSnapshot(), 2);
  needs_executor_ = needs_executor();
}

void Table::close() {
  index_endscan(scan_);
  AfterTriggerEndQuery(estate_);
  EvalPlanQualEnd(&epq_);
  ExecCloseIndices(result_);
  ExecResetTupleTable(estate_->es_tupleTable, false);
  FreeExecutorState(estate_);
  MemoryContextDelete(scratch_);
  index_close(key_, NoLock);
  table_close(relation_, NoLock);
}

bool Table::needs_executor() const {
  const TupleConstr* const constraints = RelationGetDescr(relation_)->constr;
  if (result_->ri_TrigDesc != nullptr || RelationGetDescr(relation_)->natts != column_count ||
      (constraints != nullptr && constraints->num_check > 0)) {
    return true;
  }
  for (int i = 0; i < result_->ri_NumIndices; ++i) {
    const IndexInfo* const info = result_->ri_IndexRelationInfo[i];
    const bool is_key =
        RelationGetRelid(result_->ri_IndexRelationDescs[i]) == RelationGetRelid(key_);
    if (info->ii_ExclusionOps != nullptr || (info->ii_Unique && !is_key)) {
      return true;
    }
  }
  return false;
}

State Table::update(const EntityId& id, std::span<const RowPointer> rows, int64& projected) {
  if (!find_at_last_place(id) && !find_by_key(id)) {
    return State::missing;
  }
  switch (lock()) {
    case TM_Ok:
      break;
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
  // Only from here on in scratch memory: the index scan keeps things of its own that it
  // allocates when it first needs them.
  MemoryContext const caller = MemoryContextSwitchTo(scratch_);
  const Merge merged = merge(document(), rows);
  if (merged.projected > 0) {
    write(merged);
    projected += merged.projected;
    if (on_lock_ == pg::OnLock::skip) {
      places_in(RelationGetRelid(relation_))[id] = updated_->tts_tid;
    }
  }
  MemoryContextSwitchTo(caller);
  MemoryContextReset(scratch_);
  return State::written;
}

bool Table::find_at_last_place(const EntityId& id) {
  const Places& places = places_in(RelationGetRelid(relation_));
  const auto place = places.find(id);
  if (place == places.end()) {
    return false;
  }
  ItemPointerData tid = place->second;
  // The table may have been rewritten since.
  if (ItemPointerGetBlockNumber(&tid) >= RelationGetNumberOfBlocks(relation_)) {
    return false;
  }
  // Who comes by an index prunes the page on the way; so do we, before anything points into it.
  const Buffer buffer = ReadBuffer(relation_, ItemPointerGetBlockNumber(&tid));
  heap_page_prune_opt(relation_, buffer);
  ReleaseBuffer(buffer);
  if (!table_tuple_fetch_row_version(relation_, &tid, GetActiveSnapshot(), found_)) {
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

TM_Result Table::lock() {
  TM_FailureData failure;
  ItemPointerData tid = found_->tts_tid;
  return table_tuple_lock(relation_, &tid, GetActiveSnapshot(), found_, estate_->es_output_cid,
                          LockTupleNoKeyExclusive,
                          on_lock_ == pg::OnLock::skip ? LockWaitSkip : LockWaitBlock,
                          TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
}

Document Table::document() {
  slot_getallattrs(found_);
  return {found_->tts_values[column_hot - 1], found_->tts_values[column_live - 1],
          found_->tts_values[column_versions - 1]};
}

void Table::write(const Merge& merged) {
  // Further columns that a user has added keep their values.
  const int columns = RelationGetDescr(relation_)->natts;
  ExecClearTuple(updated_);
  memcpy(updated_->tts_values, found_->tts_values, sizeof(Datum) * columns);
  memcpy(updated_->tts_isnull, found_->tts_isnull, sizeof(bool) * columns);
  updated_->tts_values[column_hot - 1] = merged.document.hot;
  updated_->tts_values[column_live - 1] = merged.document.live;
  updated_->tts_values[column_versions - 1] = merged.document.versions;
  updated_->tts_values[column_updated_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
  ExecStoreVirtualTuple(updated_);
  ResetPerTupleExprContext(estate_);
  if (needs_executor_) {
    ExecSimpleRelationUpdate(result_, estate_, &epq_, found_, updated_);
    return;
  }
  updated_->tts_tableOid = RelationGetRelid(relation_);
  const pg::IndexChanges changes =
      pg::update_row(relation_, &found_->tts_tid, updated_, GetActiveSnapshot());
  if (changes.any) {
    insert_index_entries(changes.only_summarizing);
  }
}

void Table::insert_index_entries(bool only_summarizing) {
  ExprContext* const context = GetPerTupleExprContext(estate_);
  context->ecxt_scantuple = updated_;
  for (int i = 0; i < result_->ri_NumIndices; ++i) {
    Relation const index = result_->ri_IndexRelationDescs[i];
    IndexInfo* const info = result_->ri_IndexRelationInfo[i];
    if (!info->ii_ReadyForInserts || (only_summarizing && !pg::is_summarizing(info))) {
      continue;
    }
    if (info->ii_Predicate != NIL) {
      if (info->ii_PredicateState == nullptr) {
        info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, estate_);
      }
      if (!ExecQual(info->ii_PredicateState, context)) {
        continue;
      }
    }
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    FormIndexDatum(info, updated_, estate_, values, nulls);
    const bool is_key = RelationGetRelid(index) == RelationGetRelid(key_);
    index_insert(index, values, nulls, &updated_->tts_tid, relation_, UNIQUE_CHECK_NO, is_key,
                 info);
  }
}

}  // namespace eav::projection
