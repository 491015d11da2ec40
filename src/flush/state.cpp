#include "eav/flush/state.hpp"

#include "eav/flush/ring_batch.hpp"
#include "eav/ingest/staging.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/snapshot.hpp"
#include "eav/pg/spi.hpp"
#include "eav/stop_point.hpp"

extern "C" {
#include <catalog/pg_class.h>
#include <storage/lwlock.h>
#include <storage/procarray.h>
}

namespace eav::flush {

namespace {

// Where this backend last saw the row. It changes ten times a second; with an old snapshot held
// elsewhere its dead versions stay, and a scan would have to pass them all.
ItemPointerData last_place = {};

// What lock_flush() last took: it cannot be looked up at the end of a transaction.
Oid locked_object = InvalidOid;

void remember_place(Datum tid) {
  ItemPointerCopy(reinterpret_cast<ItemPointer>(DatumGetPointer(tid)), &last_place);
}

void select_state() {
  static pg::Statement by_place(
      "SELECT ctid, xmin, snapshot, ingested_at, backlog, snapshot_at, boot_id, booted_at "
      "FROM eav.flush_state WHERE ctid = $1",
      {TIDOID});
  static pg::Statement by_scan(
      "SELECT ctid, xmin, snapshot, ingested_at, backlog, snapshot_at, boot_id, booted_at "
      "FROM eav.flush_state",
      {});
  if (ItemPointerIsValid(&last_place)) {
    by_place.run({PointerGetDatum(&last_place)});
    if (SPI_processed == 1) {
      return;
    }
  }
  by_scan.run({});
  if (SPI_processed != 1) {
    ereport(ERROR,
            (errcode(ERRCODE_DATA_CORRUPTED),
             errmsg("table eav.flush_state must have one row, found " UINT64_FORMAT, SPI_processed),
             errhint("Restore the row, or create the extension anew.")));
  }
}

pg::Argument boot_of(const pg::ClockReading& reading) {
  return {UUIDPGetDatum(&reading.boot), !reading.has_boot};
}
pg::Argument booted_at_of(const pg::ClockReading& reading) {
  return {TimestampTzGetDatum(reading.booted_at), !reading.has_boot};
}

}  // namespace

void lock_flush() {
  // Not the table: autovacuum works on it and would be in the way, and we in its.
  locked_object = pg::relation_oid("flush_state");
  LockDatabaseObject(RelationRelationId, locked_object, 1, ExclusiveLock);
}

bool holds_flush_lock() {
  LOCKTAG tag;
  SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, locked_object, 1);
  return pg::holds_lock(tag, ExclusiveLock);
}

State read_state() {
  select_state();
  remember_place(pg::cell(0, 1).value);
  State state;
  state.is_committed =
      !TransactionIdIsCurrentTransactionId(DatumGetTransactionId(pg::cell(0, 2).value));
  state.snapshot = pg::view_of_datum(pg::cell(0, 3).value);
  state.ingested_at = DatumGetTimestampTz(pg::cell(0, 4).value);
  state.backlog = DatumGetInt64(pg::cell(0, 5).value);
  state.taken.now = DatumGetTimestampTz(pg::cell(0, 6).value);
  const pg::Cell boot = pg::cell(0, 7);
  state.taken.has_boot = !boot.is_null;
  if (state.taken.has_boot) {
    state.taken.boot = *DatumGetUUIDP(boot.value);
    state.taken.booted_at = DatumGetTimestampTz(pg::cell(0, 8).value);
  }
  return state;
}

void write_state(const Progress& progress) {
  static pg::Statement update(
      "UPDATE eav.flush_state SET snapshot = $2, snapshot_at = $8, boot_id = $9, booted_at = $10, "
      "ingested_at = $3, flushes = flushes + 1, flushed = flushed + $4, "
      "projected = projected + $5, rejected = rejected + $6, "
      // The first flush after a restore from a dump finds a backlog it was not told of.
      "backlog = CASE WHEN flushes = 0 THEN (SELECT count(*) FROM eav.flush_backlog) ELSE $7 END "
      "WHERE ctid = $1 RETURNING ctid",
      {TIDOID, PG_SNAPSHOTOID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID,
       UUIDOID, TIMESTAMPTZOID});
  update.run({PointerGetDatum(&last_place), pg::datum_of(progress.snapshot),
              TimestampTzGetDatum(progress.ingested_at), Int64GetDatum(progress.flushed),
              Int64GetDatum(progress.projected), Int64GetDatum(progress.rejected),
              Int64GetDatum(progress.backlog), TimestampTzGetDatum(progress.taken.now),
              boot_of(progress.taken), booted_at_of(progress.taken)});
  if (SPI_processed != 1) {
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("the row of eav.flush_state has been changed by another transaction")));
  }
  remember_place(pg::cell(0, 1).value);
}

void add_to_backlog(int64 count) {
  static pg::Statement update(
      "UPDATE eav.flush_state SET backlog = backlog + $2 WHERE ctid = $1 RETURNING ctid",
      {TIDOID, INT8OID});
  if (count > 0) {
    update.run({PointerGetDatum(&last_place), Int64GetDatum(count)});
    remember_place(pg::cell(0, 1).value);
  }
}

namespace {

// The window reaches from the last flush to this moment. When the clock has been set back between
// the two, values were accepted at times before the one, and after the other: the steady clock of
// the machine tells how far it was set back. It cannot tell after the machine was started anew, nor
// on a standby that lives on another one; then a clock that is behind the last flush is all that is
// known, and what had been accepted since that flush was accepted shortly after it.
void record_gap(const char* reason) {
  static pg::Statement record(
      "WITH last AS (SELECT snapshot_at, CASE WHEN boot_id = $3 "
      "THEN greatest(booted_at - $4, interval '0') END AS set_back FROM eav.flush_state), "
      "state AS (UPDATE eav.flush_state SET epoch = epoch + 1, snapshot_at = $2, boot_id = $3, "
      "booted_at = $4 RETURNING epoch), "
      "gap AS (INSERT INTO eav.ingest_gaps (epoch, gap_start, gap_end, reason) "
      "SELECT state.epoch, least(last.snapshot_at - coalesce(set_back, '0'), $2), "
      "greatest($2 + coalesce(set_back, '0'), last.snapshot_at + "
      "CASE WHEN set_back IS NULL AND last.snapshot_at > $2 THEN interval '1 minute' "
      "ELSE interval '0' END), $1 FROM state, last), "
      "gone AS (DELETE FROM eav.staging_epoch) "
      "INSERT INTO eav.staging_epoch (epoch) SELECT epoch FROM state",
      {TEXTOID, TIMESTAMPTZOID, UUIDOID, TIMESTAMPTZOID});
  const pg::ClockReading now = pg::read_clock();
  record.run(
      {CStringGetTextDatum(reason), TimestampTzGetDatum(now.now), boot_of(now), booted_at_of(now)});
  // Tickets carry the epoch: no other crash may make it go back.
  ForceSyncCommit();
  ereport(LOG, (errmsg("eav_ext: %s", reason),
                errdetail("Values that were accepted and not yet flushed are lost; the window is "
                          "in eav.ingest_gaps.")));
}

}  // namespace

bool record_gap() {
  static pg::Statement select("SELECT ring FROM eav.staging_epoch", {});
  select.run({});
  if (SPI_processed == 0) {
    record_gap("staging was emptied by crash recovery or promotion");
    return true;
  }
  const pg::Cell ring = pg::cell(0, 1);
  if (!ring.is_null && DatumGetInt64(ring.value) != ingest::ring_generation()) {
    record_gap("the server was stopped before the ring was empty");
    return true;
  }
  return false;
}

int64 open_ring(ingest::Door& door) {
  static pg::Statement select("SELECT s.epoch, e.ring FROM eav.flush_state s, eav.staging_epoch e",
                              {});
  static pg::Statement mark("UPDATE eav.staging_epoch SET ring = $1", {INT8OID});
  lock_flush();
  record_gap();
  select.run({});
  const int64 epoch = DatumGetInt64(pg::cell(0, 1).value);
  if (queue_of(door) == core::Ring::none) {
    return epoch;
  }
  const pg::Cell marked = pg::cell(0, 2);
  // What producers have left that have not died in good order.
  take_published(&door);
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  ingest::ring()->recover(
      queue_of(door),
      [](uint32 process, void* /*context*/) {
        return BackendPidGetProc(static_cast<int>(process)) == nullptr;
      },
      nullptr);
  LWLockRelease(AddinShmemInitLock);
  if (marked.is_null) {
    mark.run({Int64GetDatum(ingest::ring_generation())});
  }
  return epoch;
}

void mark_ring_empty() {
  static pg::Statement clear("UPDATE eav.staging_epoch SET ring = NULL WHERE ring IS NOT NULL", {});
  clear.run({});
}

}  // namespace eav::flush

EAV_FUNCTION(eav_lock_flush) {
  EAV_STOP_POINT("erase_before_lock");
  eav::flush::lock_flush();
  EAV_STOP_POINT("erase_after_lock");
  PG_RETURN_VOID();
}

EAV_FUNCTION(eav_rotate_staging) {
  using namespace eav;
  EAV_STOP_POINT("erase_before_rotate");
  flush::lock_flush();
  SPI_connect();
  const ingest::Leaves leaves = ingest::open_leaves();
  const bool has_gap = flush::record_gap();
  const flush::State state = flush::read_state();
  if (state.is_committed && !has_gap) {
    ingest::rotate(leaves, state.snapshot, ingest::When::now);
  }
  ingest::close_leaves(leaves);
  SPI_finish();
  PG_RETURN_VOID();
}
