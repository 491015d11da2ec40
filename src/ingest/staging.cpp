// Staging: an exactly-once queue without DELETE.
//
// Rows wait in three UNLOGGED leaves of eav.entity_values_ingest. Each carries the id of the
// transaction that wrote it (xact). A flush takes a new snapshot and the rows that it sees and
// the snapshot of the previous flush did not (core/snapshot.hpp); the snapshot is stored in
// eav.flush_state by the same transaction that writes the rows to history. So a row is flushed
// exactly once, by whichever flush first sees its transaction: commits out of order, aborts,
// savepoints and long transactions need no care. A flush never changes a staged row, so it
// leaves no dead rows behind, and an old snapshot held elsewhere costs nothing.
//
// Which leaf a row is in says nothing about whether it has been flushed; leaves exist only to
// be emptied. The sequence staging_slot_seq holds the leaf for new rows. When that leaf has
// grown and an empty one is there, the sequence is set to the empty one, at once and for all
// (sequences know no transactions; a statement that read the old number goes on writing there,
// which is as good). A leaf that is not current is truncated in place when
//   - nobody holds a lock on it (every transaction that wrote to it holds one to its end): the
//     lock is only tried for, never waited for; and
//   - under that lock, each of its rows belongs to a transaction that the snapshot of a
//     *committed* flush sees: flushed, or rolled back.
// Otherwise it is left for later. Truncation in place writes no catalog rows and cannot be
// rolled back, which is why only a committed flush counts. A leaf kept busy by a long
// transaction stays as it is, while the two others go on taking turns.
//
// Races accepted: a row may go to a leaf after it stopped being current (the check under the
// lock finds it); two flushes never run at once (flush/state.cpp holds a lock for that).
#include "eav/ingest/staging.hpp"

#include "eav/core/value.hpp"
#include "eav/ingest/staged_row.hpp"

#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/settings.hpp"
#include "eav/stop_point.hpp"

extern "C" {
#include <catalog/heap.h>
#include <commands/sequence.h>
}

namespace eav::ingest {

namespace {

// A leaf below a megabyte is not worth a rotation: reading it takes microseconds.
constexpr BlockNumber worth_rotating = 1024 * 1024 / BLCKSZ;
// A leaf of 64 MB is rotated before its time.
constexpr BlockNumber overdue = 64 * 1024 * 1024 / BLCKSZ;

TimestampTz last_rotation = 0;

bool is_drained(Relation leaf, const core::SnapshotView& flushed) {
  const BlockNumber blocks = RelationGetNumberOfBlocks(leaf);
  for (BlockNumber block = 0; block < blocks; ++block) {
    CHECK_FOR_INTERRUPTS();
    const Buffer buffer = ReadBuffer(leaf, block);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    Page const page = BufferGetPage(buffer);
    const OffsetNumber last = PageGetMaxOffsetNumber(page);
    bool drained = true;
    for (OffsetNumber at = FirstOffsetNumber; drained && at <= last; ++at) {
      ItemId const item = PageGetItemId(page, at);
      drained = !ItemIdIsNormal(item) ||
                flushed.sees(xact_of(reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item))));
    }
    UnlockReleaseBuffer(buffer);
    if (!drained) {
      return false;
    }
  }
  return true;
}

void try_to_empty(Relation leaf, const core::SnapshotView& flushed) {
  const Oid oid = RelationGetRelid(leaf);
  EAV_STOP_POINT("rotate_before_lock");
  if (!ConditionalLockRelationOid(oid, AccessExclusiveLock)) {
    return;
  }
  if (is_drained(leaf, flushed)) {
    EAV_STOP_POINT("rotate_before_truncate");
    heap_truncate_one_rel(leaf);
    EAV_STOP_POINT("rotate_after_truncate");
  }
  // Nothing of it waits for our commit.
  UnlockRelationOid(oid, AccessExclusiveLock);
}

bool is_due(BlockNumber blocks) {
  return blocks >= overdue || (blocks >= worth_rotating &&
                               TimestampDifferenceExceeds(last_rotation, GetCurrentTimestamp(),
                                                          settings.rotation_interval * 1000));
}

Relation open_leaf(int slot, LOCKMODE lock) {
  Relation const leaf = table_open(pg::relation_oid(leaf_names[slot]), lock);
  if (RelationGetDescr(leaf)->natts != column_count_staged) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("table eav.entity_values_ingest has been altered"),
                    errdetail("It must have the columns that the extension gave it."),
                    errhint("Undo the ALTER TABLE.")));
  }
  return leaf;
}

}  // namespace

uint64 Leaves::blocks() const {
  uint64 sum = 0;
  for (Relation leaf : relations) {
    sum += RelationGetNumberOfBlocks(leaf);
  }
  return sum;
}

Leaves open_leaves() {
  Leaves leaves;
  for (int slot = 0; slot < leaf_count; ++slot) {
    leaves.relations[slot] = open_leaf(slot, AccessShareLock);
  }
  return leaves;
}

Relation open_leaf_for_writing(int slot) { return open_leaf(slot, RowExclusiveLock); }

void close_leaves(const Leaves& leaves) {
  for (Relation leaf : leaves.relations) {
    table_close(leaf, NoLock);
  }
}

int current_slot() {
  Relation const sequence = relation_open(pg::relation_oid("staging_slot_seq"), AccessShareLock);
  const Buffer buffer = ReadBuffer(sequence, 0);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  Page const page = BufferGetPage(buffer);
  auto* const tuple =
      reinterpret_cast<HeapTupleHeader>(PageGetItem(page, PageGetItemId(page, FirstOffsetNumber)));
  const auto* const data =
      reinterpret_cast<Form_pg_sequence_data>(reinterpret_cast<char*>(tuple) + tuple->t_hoff);
  const auto slot = static_cast<int>(data->last_value);
  UnlockReleaseBuffer(buffer);
  relation_close(sequence, AccessShareLock);
  return slot;
}

void rotate(const Leaves& leaves, const core::SnapshotView& flushed, When when) {
  int current = current_slot();
  int empty = -1;
  for (int slot = 0; slot < leaf_count; ++slot) {
    if (slot != current && RelationGetNumberOfBlocks(leaves.relations[slot]) == 0) {
      empty = slot;
    }
  }
  const BlockNumber blocks = RelationGetNumberOfBlocks(leaves.relations[current]);
  if (empty >= 0 && (when == When::now ? blocks > 0 : is_due(blocks))) {
    EAV_STOP_POINT("rotate_before_switch");
    DirectFunctionCall2(setval_oid, ObjectIdGetDatum(pg::relation_oid("staging_slot_seq")),
                        Int64GetDatum(empty));
    last_rotation = GetCurrentTimestamp();
    current = empty;
  }
  for (int slot = 0; slot < leaf_count; ++slot) {
    if (slot != current && RelationGetNumberOfBlocks(leaves.relations[slot]) > 0) {
      try_to_empty(leaves.relations[slot], flushed);
    }
  }
}

}  // namespace eav::ingest

EAV_FUNCTION(eav_staging_slot) {
  // Read once per statement: a COPY of a million rows asks a million times.
  auto* slot = static_cast<int*>(fcinfo->flinfo->fn_extra);
  if (slot == nullptr) {
    slot = static_cast<int*>(MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(int)));
    *slot = eav::ingest::current_slot();
    fcinfo->flinfo->fn_extra = slot;
  }
  PG_RETURN_INT16(static_cast<int16>(*slot));
}

EAV_UNCHECKED_FUNCTION(eav_is_valid_name) {
  const text* const name = PG_GETARG_TEXT_PP(0);
  PG_RETURN_BOOL(eav::core::check_name({VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)}) ==
                 eav::core::NameStatus::ok);
}
