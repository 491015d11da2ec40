// How many rows there are, for eav.health_check(): counted where a relation is small, and else
// estimated from some of its pages, so that it takes the same time however large it has become.
//
// No lock is waited for: a check that cannot have its lock at once says so. Pages are read without
// any hint being set or anything pruned; nothing here writes.
#include "eav/ingest/staging.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/row.hpp"
#include "eav/pg/snapshot.hpp"

extern "C" {
#include <access/xlog.h>
#include <catalog/pg_am.h>
}

namespace eav::health {

namespace {

constexpr BlockNumber most_pages = 48;

struct Sample {
  double rows = 0;
  uint64 bytes = 0;
  bool is_estimate = false;

  void add(const Sample& other) {
    rows += other.rows;
    bytes += other.bytes;
    is_estimate = is_estimate || other.is_estimate;
  }
};

Relation open_at_once(Oid oid) {
  if (!ConditionalLockRelationOid(oid, AccessShareLock)) {
    ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE), errmsg("a lock could not be had at once"),
                    errdetail("Somebody holds table \"%s\".", get_rel_name(oid))));
  }
  return relation_open(oid, NoLock);
}

// Evenly spread, from the first to the last page. `count` tells how many rows of a page count.
template <typename Count>
Sample sample(Relation relation, Count&& count) {
  const BlockNumber blocks = RelationGetNumberOfBlocks(relation);
  const BlockNumber pages = Min(blocks, most_pages);
  uint64 rows = 0;
  for (BlockNumber i = 0; i < pages; ++i) {
    CHECK_FOR_INTERRUPTS();
    const auto block = static_cast<BlockNumber>(
        pages < 2 ? 0 : static_cast<uint64>(i) * (blocks - 1) / (pages - 1));
    const Buffer buffer = ReadBuffer(relation, block);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    rows += count(buffer);
    UnlockReleaseBuffer(buffer);
  }
  const double scale = pages == 0 ? 1 : static_cast<double>(blocks) / pages;
  return {static_cast<double>(rows) * scale, static_cast<uint64>(blocks) * BLCKSZ, pages < blocks};
}

uint64 visible_rows(Relation relation, Buffer buffer, Snapshot snapshot) {
  Page const page = BufferGetPage(buffer);
  const OffsetNumber last = PageGetMaxOffsetNumber(page);
  uint64 rows = 0;
  for (OffsetNumber at = FirstOffsetNumber; at <= last; ++at) {
    ItemId const item = PageGetItemId(page, at);
    if (!ItemIdIsNormal(item)) {
      continue;
    }
    HeapTupleData tuple;
    tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
    tuple.t_len = ItemIdGetLength(item);
    tuple.t_tableOid = RelationGetRelid(relation);
    ItemPointerSet(&tuple.t_self, BufferGetBlockNumber(buffer), at);
    rows += HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer) ? 1 : 0;
  }
  return rows;
}

Datum row_of(FunctionCallInfo fcinfo, const Sample& sample) {
  return pg::row(fcinfo, {pg::Column(Int64GetDatum(static_cast<int64>(sample.rows))),
                          pg::Column(Int64GetDatum(static_cast<int64>(sample.bytes))),
                          pg::Column(BoolGetDatum(sample.is_estimate))});
}

}  // namespace

}  // namespace eav::health

// What a flush that began now, after the one with the given snapshot, would take from staging.
EAV_FUNCTION(eav_staging_backlog) {
  using namespace eav;
  health::Sample total;
  // The leaves are unlogged: a standby has none of their rows.
  if (!RecoveryInProgress()) {
    const ingest::BatchRule rule{pg::view_of_datum(PG_GETARG_DATUM(0)),
                                 pg::view_of(GetActiveSnapshot()), GetActiveSnapshot(), UINT64_MAX};
    for (const char* const name : ingest::leaf_names) {
      Relation const leaf = health::open_at_once(pg::relation_oid(name));
      total.add(health::sample(leaf, [&](Buffer buffer) {
        uint64 rows = 0;
        ingest::scan_page(leaf, buffer, rule, [&](HeapTuple, uint64) { ++rows; });
        return rows;
      }));
      // Given back at once: rotation tries for the leaf while nobody has it.
      relation_close(leaf, AccessShareLock);
    }
  }
  return health::row_of(fcinfo, total);
}

EAV_FUNCTION(eav_sample_rows) {
  using namespace eav;
  Relation const table = health::open_at_once(PG_GETARG_OID(0));
  if (table->rd_rel->relam != HEAP_TABLE_AM_OID) {
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("rows of \"%s\" cannot be counted by pages", RelationGetRelationName(table))));
  }
  const health::Sample found = health::sample(table, [&](Buffer buffer) {
    return health::visible_rows(table, buffer, GetActiveSnapshot());
  });
  relation_close(table, AccessShareLock);
  return health::row_of(fcinfo, found);
}
