// All differences between PostgreSQL 15, 16, 17 and 18 that concern us, in one place.
#pragma once

#include "eav/pg/postgres.hpp"

extern "C" {
#include <nodes/tidbitmap.h>
#include <parser/parse_relation.h>
#include <storage/lock.h>
#include <storage/proc.h>
#if PG_VERSION_NUM >= 160000
#include <nodes/miscnodes.h>
#endif
#if PG_VERSION_NUM < 170000
#include <storage/backendid.h>
#endif
}

#if PG_VERSION_NUM < 150000
#error "eav_ext needs PostgreSQL 15 or newer"
#endif

namespace eav::pg {

// How many transactions with an id have ended since the server started. Read without a lock: 64
// bits, and a stale answer only delays what the next look finds. (The newest id that has ended
// would not do: it stays when an older transaction ends.)
inline uint64 completed_transactions() {
#if PG_VERSION_NUM >= 170000
  return TransamVariables->xactCompletionCount;
#else
  return ShmemVariableCache->xactCompletionCount;
#endif
}

inline void init_range_table(EState* estate, Relation relation) {
  ParseState* parse = make_parsestate(nullptr);
  addRangeTableEntryForRelation(parse, relation, RowExclusiveLock, nullptr, false, false);
#if PG_VERSION_NUM >= 180000
  ExecInitRangeTable(estate, parse->p_rtable, parse->p_rteperminfos, bms_make_singleton(1));
#elif PG_VERSION_NUM >= 160000
  ExecInitRangeTable(estate, parse->p_rtable, parse->p_rteperminfos);
#else
  ExecInitRangeTable(estate, parse->p_rtable);
#endif
}

inline void init_eval_plan_qual(EPQState* state, EState* estate) {
#if PG_VERSION_NUM >= 160000
  EvalPlanQualInit(state, estate, nullptr, NIL, -1, NIL);
#else
  EvalPlanQualInit(state, estate, nullptr, NIL, -1);
#endif
}

inline IndexScanDesc begin_index_scan(Relation heap, Relation index, Snapshot snapshot, int keys) {
#if PG_VERSION_NUM >= 180000
  return index_beginscan(heap, index, snapshot, nullptr, keys, 0);
#else
  return index_beginscan(heap, index, snapshot, keys, 0);
#endif
}

inline IndexScanDesc begin_bitmap_scan(Relation index, Snapshot snapshot, int keys) {
#if PG_VERSION_NUM >= 180000
  return index_beginscan_bitmap(index, snapshot, nullptr, keys);
#else
  return index_beginscan_bitmap(index, snapshot, keys);
#endif
}

// Calls visit(block, offsets, count) for each page of the bitmap, in their order; count is -1 for
// one of which the bitmap does not know the rows any more.
template <typename Visit>
void visit_pages(TIDBitmap* bitmap, Visit&& visit) {
#if PG_VERSION_NUM >= 180000
  TBMPrivateIterator* const iterator = tbm_begin_private_iterate(bitmap);
  TBMIterateResult page;
  OffsetNumber offsets[TBM_MAX_TUPLES_PER_PAGE];
  while (tbm_private_iterate(iterator, &page)) {
    visit(page.blockno, offsets,
          page.lossy ? -1 : tbm_extract_page_tuple(&page, offsets, TBM_MAX_TUPLES_PER_PAGE));
  }
  tbm_end_private_iterate(iterator);
#else
  TBMIterator* const iterator = tbm_begin_iterate(bitmap);
  while (const TBMIterateResult* const page = tbm_iterate(iterator)) {
    visit(page->blockno, page->offsets, page->ntuples);
  }
  tbm_end_iterate(iterator);
#endif
}

// True when a partition keeps its columns in another order than the partitioned table.
inline bool has_other_columns_than_root(ResultRelInfo* leaf, [[maybe_unused]] EState* estate) {
#if PG_VERSION_NUM >= 160000
  return ExecGetRootToChildMap(leaf, estate) != nullptr;
#else
  return leaf->ri_RootToPartitionMap != nullptr;
#endif
}

// Which indexes a new version of a row has to be entered into.
struct IndexChanges {
  bool any;
  bool only_summarizing;
};

inline IndexChanges update_row(Relation relation, ItemPointer old, TupleTableSlot* row,
                               Snapshot snapshot) {
#if PG_VERSION_NUM >= 160000
  TU_UpdateIndexes which = TU_None;
  simple_table_tuple_update(relation, old, row, snapshot, &which);
  return {which != TU_None, which == TU_Summarizing};
#else
  bool any = false;
  simple_table_tuple_update(relation, old, row, snapshot, &any);
  return {any, false};
#endif
}

inline bool is_summarizing([[maybe_unused]] const IndexInfo* index) {
#if PG_VERSION_NUM >= 160000
  return index->ii_Summarizing;
#else
  return false;
#endif
}

// A setting that would end a worker in the middle of its work.
constexpr bool has_transaction_timeout = PG_VERSION_NUM >= 170000;

// The number of this process among the server's, for SetLatch() by others.
inline int own_process_number() {
#if PG_VERSION_NUM >= 170000
  return MyProcNumber;
#else
  return MyProc->pgprocno;
#endif
}

// The number of the present transaction in this backend, which it has from its begin; invalid
// outside a transaction.
inline LocalTransactionId own_transaction() {
  if (MyProc == nullptr) {
    return InvalidLocalTransactionId;
  }
#if PG_VERSION_NUM >= 170000
  return MyProc->vxid.lxid;
#else
  return MyProc->lxid;
#endif
}

inline bool holds_lock(const LOCKTAG& tag, LOCKMODE mode) {
#if PG_VERSION_NUM >= 170000
  return LockHeldByMe(&tag, mode, false);
#else
  return LockHeldByMe(&tag, mode);
#endif
}

// Memory for what a check hook of a setting hands to its assign hook; the server frees it.
inline void* allocate_for_setting(Size size) {
#if PG_VERSION_NUM >= 160000
  return guc_malloc(LOG, size);
#else
  return malloc(size);
#endif
}

}  // namespace eav::pg
