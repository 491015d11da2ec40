#include "eav/pg/row_writer.hpp"

#include "eav/pg/compat.hpp"

extern "C" {
#include <commands/trigger.h>
}

namespace eav::pg {

RowWriter::RowWriter(Oid table)
    : relation_(table_open(table, RowExclusiveLock)),
      estate_(CreateExecutorState()),
      result_(makeNode(ResultRelInfo)) {
  init_range_table(estate_, relation_);
  InitResultRelInfo(result_, relation_, 1, nullptr, 0);
  estate_->es_output_cid = GetCurrentCommandId(true);
  init_eval_plan_qual(&epq_, estate_);
  AfterTriggerBeginQuery();
  ExecOpenIndices(result_, false);
  CheckCmdReplicaIdentity(relation_, CMD_UPDATE);
}

void RowWriter::close() {
  AfterTriggerEndQuery(estate_);
  EvalPlanQualEnd(&epq_);
  ExecCloseIndices(result_);
  ExecResetTupleTable(estate_->es_tupleTable, false);
  FreeExecutorState(estate_);
  table_close(relation_, NoLock);
}

TM_Result RowWriter::lock(TupleTableSlot* row, LockWaitPolicy policy) {
  TM_FailureData failure;
  ItemPointerData tid = row->tts_tid;
  return table_tuple_lock(relation_, &tid, GetActiveSnapshot(), row, estate_->es_output_cid,
                          LockTupleNoKeyExclusive, policy, TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
                          &failure);
}

void RowWriter::insert(TupleTableSlot* row) {
  ResetPerTupleExprContext(estate_);
  ExecSimpleRelationInsert(result_, estate_, row);
}

void RowWriter::update(TupleTableSlot* old, TupleTableSlot* row) {
  ResetPerTupleExprContext(estate_);
  ExecSimpleRelationUpdate(result_, estate_, &epq_, old, row);
}

void RowWriter::erase(TupleTableSlot* old) {
  ResetPerTupleExprContext(estate_);
  ExecSimpleRelationDelete(result_, estate_, &epq_, old);
}

}  // namespace eav::pg
