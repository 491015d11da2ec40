#include "eav/pg/bulk_insert.hpp"

#include <algorithm>

#include "eav/pg/compat.hpp"

extern "C" {
#include <catalog/pg_am.h>
#include <executor/execPartition.h>
#include <nodes/makefuncs.h>
}

namespace eav::pg {

namespace {

// Rows that go to the heap together: a page of them, or two.
constexpr std::size_t slots_per_round = 128;

struct Target {
  EState* estate;
  PartitionTupleRouting* routing;
  ModifyTableState* modify;
  ResultRelInfo* root;
  ResultRelInfo* leaf;
};

// The least that the server's routing wants around it; COPY does the same.
Target open_target(Relation parent) {
  Target target{};
  target.estate = CreateExecutorState();
  init_range_table(target.estate, parent);
  target.root = makeNode(ResultRelInfo);
  ExecInitResultRelation(target.estate, target.root, 1);
  target.modify = makeNode(ModifyTableState);
  target.modify->ps.state = target.estate;
  target.modify->operation = CMD_INSERT;
  target.modify->mt_nrels = 1;
  target.modify->resultRelInfo = target.root;
  target.modify->rootResultRelInfo = target.root;
  target.routing = ExecSetupPartitionTupleRouting(target.estate, parent);
  return target;
}

void close_target(Target& target) {
  ExecCleanupTupleRouting(target.modify, target.routing);
  ExecResetTupleTable(target.estate->es_tupleTable, false);
  ExecCloseResultRelations(target.estate);
  ExecCloseRangeTableRelations(target.estate);
  FreeExecutorState(target.estate);
}

void fill_slot(TupleTableSlot* slot, FillRow fill, void* state, std::size_t row) {
  ExecClearTuple(slot);
  fill(state, row, slot->tts_values, slot->tts_isnull);
  ExecStoreVirtualTuple(slot);
}

bool is_plain(const IndexInfo* index) {
  return index->ii_Expressions == NIL && index->ii_Predicate == NIL && !index->ii_Unique &&
         index->ii_ExclusionOps == nullptr;
}

// COPY would check them. Those columns that the caller always fills may have one.
bool has_surprising_not_null(TupleDesc description, int filled_columns) {
  for (int column = filled_columns; column < description->natts; ++column) {
    if (TupleDescAttr(description, column)->attnotnull) {
      return true;
    }
  }
  return false;
}

bool is_plain(const Target& target, int columns, int filled_columns) {
  const ResultRelInfo* const leaf = target.leaf;
  const TupleDesc description = RelationGetDescr(leaf->ri_RelationDesc);
  const TupleConstr* const constraints = description->constr;
  return target.root->ri_TrigDesc == nullptr && leaf->ri_TrigDesc == nullptr &&
         leaf->ri_FdwRoutine == nullptr &&
         !has_other_columns_than_root(target.leaf, target.estate) &&
         description->natts == columns && !has_surprising_not_null(description, filled_columns) &&
         (constraints == nullptr ||
          (constraints->num_check == 0 && !constraints->has_generated_stored)) &&
         std::all_of(leaf->ri_IndexRelationInfo, leaf->ri_IndexRelationInfo + leaf->ri_NumIndices,
                     [](const IndexInfo* index) { return is_plain(index); });
}

// A range of blocks in a BRIN index needs to hear of a value once.
bool is_repeated(Relation index, const TupleTableSlot* slot, const TupleTableSlot* previous,
                 const IndexInfo* info) {
  if (index->rd_rel->relam != BRIN_AM_OID || previous == nullptr ||
      ItemPointerGetBlockNumber(&slot->tts_tid) != ItemPointerGetBlockNumber(&previous->tts_tid)) {
    return false;
  }
  for (int key = 0; key < info->ii_NumIndexAttrs; ++key) {
    const int column = info->ii_IndexAttrNumbers[key] - 1;
    if (!TupleDescAttr(slot->tts_tupleDescriptor, column)->attbyval ||
        slot->tts_isnull[column] != previous->tts_isnull[column] ||
        slot->tts_values[column] != previous->tts_values[column]) {
      return false;
    }
  }
  return true;
}

void insert_into_index(const ResultRelInfo* leaf, int number, TupleTableSlot** slots,
                       std::size_t count) {
  Relation const index = leaf->ri_IndexRelationDescs[number];
  IndexInfo* const info = leaf->ri_IndexRelationInfo[number];
  if (!info->ii_ReadyForInserts) {
    return;
  }
  Datum values[INDEX_MAX_KEYS];
  bool nulls[INDEX_MAX_KEYS];
  for (std::size_t i = 0; i < count; ++i) {
    TupleTableSlot* const slot = slots[i];
    if (is_repeated(index, slot, i == 0 ? nullptr : slots[i - 1], info)) {
      continue;
    }
    for (int key = 0; key < info->ii_NumIndexAttrs; ++key) {
      const int column = info->ii_IndexAttrNumbers[key] - 1;
      values[key] = slot->tts_values[column];
      nulls[key] = slot->tts_isnull[column];
    }
    index_insert(index, values, nulls, &slot->tts_tid, leaf->ri_RelationDesc, UNIQUE_CHECK_NO,
                 false, info);
  }
}

// Rows into the heap, round by round; written(slots, count) sees those of each round.
template <typename Written>
void insert_into_heap(Relation relation, FillRow fill, void* state, std::size_t count, int options,
                      Written&& written) {
  const CommandId command = GetCurrentCommandId(true);
  TupleTableSlot* slots[slots_per_round];
  const std::size_t used = std::min(count, slots_per_round);
  for (std::size_t i = 0; i < used; ++i) {
    slots[i] = table_slot_create(relation, nullptr);
  }
  MemoryContext const scratch =
      AllocSetContextCreate(CurrentMemoryContext, "eav bulk insert", ALLOCSET_DEFAULT_SIZES);
  MemoryContext const caller = MemoryContextSwitchTo(scratch);
  for (std::size_t start = 0; start < count; start += slots_per_round) {
    CHECK_FOR_INTERRUPTS();
    const std::size_t rows = std::min(slots_per_round, count - start);
    for (std::size_t i = 0; i < rows; ++i) {
      fill_slot(slots[i], fill, state, start + i);
      slots[i]->tts_tableOid = RelationGetRelid(relation);
    }
    table_multi_insert(relation, slots, static_cast<int>(rows), command, options, nullptr);
    written(slots, rows);
    MemoryContextReset(scratch);
  }
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(scratch);
  for (std::size_t i = 0; i < used; ++i) {
    ExecDropSingleTupleTableSlot(slots[i]);
  }
}

void insert_rows(const Target& target, FillRow fill, void* state, std::size_t count) {
  insert_into_heap(target.leaf->ri_RelationDesc, fill, state, count, 0,
                   [&](TupleTableSlot** slots, std::size_t rows) {
                     for (std::size_t i = 0; i < rows; ++i) {
                       slot_getallattrs(slots[i]);
                     }
                     for (int index = 0; index < target.leaf->ri_NumIndices; ++index) {
                       insert_into_index(target.leaf, index, slots, rows);
                     }
                   });
}

}  // namespace

bool insert_into_one_partition(Relation parent, int columns, int filled_columns, FillRow fill,
                               void* state, std::size_t count, std::size_t first,
                               std::size_t last) {
  if (RelationGetDescr(parent)->natts != columns) {
    return false;
  }
  Target target = open_target(parent);
  TupleTableSlot* const slot = table_slot_create(parent, &target.estate->es_tupleTable);
  const auto find_leaf = [&](std::size_t row) {
    fill_slot(slot, fill, state, row);
    return ExecFindPartition(target.modify, target.root, target.routing, slot, target.estate);
  };
  target.leaf = find_leaf(first);
  const bool fits = find_leaf(last) == target.leaf && is_plain(target, columns, filled_columns);
  if (fits) {
    insert_rows(target, fill, state, count);
  }
  close_target(target);
  return fits;
}

void append_rows(Relation table, FillRow fill, void* state, std::size_t count) {
  insert_into_heap(table, fill, state, count, TABLE_INSERT_SKIP_FSM,
                   [](TupleTableSlot** /*slots*/, std::size_t /*rows*/) {});
}

}  // namespace eav::pg
