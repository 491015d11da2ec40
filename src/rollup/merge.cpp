// eav.attribute_rollups and eav.attribute_rollups_daily: what history holds, summed up by attribute
// and hour, and by day.
//
// Two steps, so that no flush ever waits for a row of the rollups, nor a client for a flush:
//   note    who writes history appends the sums of his batch to eav.rollup_pending, in the same
//           (sub)transaction: they are there exactly when the values are (pending.cpp)
//   merge   every eav.rollup_interval the worker takes what is pending and adds it to the rollups,
//           in one transaction: a value counts once, whenever either of them is undone
// Rollups and pending together equal history at any time and for any snapshot, but for one that is
// older than the last TRUNCATE.
//
// Pending must not become a table full of dead rows when somebody holds an old snapshot, for a
// merge reads all of it. Above a certain size it is emptied by TRUNCATE, which no snapshot keeps
// from giving the space back. That wants the table for itself: as long as a transaction is open
// that has noted something, or a dump reads it, the merge does not wait for that one and deletes
// rows, as it does while there are few. eav.merge_rollups(), in the transaction of a client, never
// locks the table.
//
// Much is merged in parts, each in a transaction of its own, for flushes wait as long as the worker
// merges: after a part it flushes, and goes on.
//
// The same goes into a row for the day, with which questions about many hours are answered, and
// which stays when hours expire. How many entities have an attribute stands in a row of its own
// there, with the bucket -infinity.
#include "eav/rollup/merge.hpp"

#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/spi.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <catalog/pg_class.h>
#include <storage/lock.h>
}

namespace eav::rollup {

namespace {

// Below it, reading dead rows costs less than TRUNCATE.
constexpr BlockNumber large_pending = 1024 * 1024 / BLCKSZ;

// What is merged at a time is at most so much, in rows, and is certainly not more as long as the
// table is no larger.
constexpr int64 most_merged = 50000;
constexpr BlockNumber part_of_pending = 4 * 1024 * 1024 / BLCKSZ;

constexpr int64 most_expired = 1000000;  // in one transaction

// Not the table: autovacuum works on it and would be in the way, and we in its.
bool take_turn(pg::OnLock on_lock) {
  LOCKTAG tag;
  SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, pg::relation_oid("attribute_rollups"),
                     1);
  return LockAcquire(&tag, ExclusiveLock, false, on_lock == pg::OnLock::skip) !=
         LOCKACQUIRE_NOT_AVAIL;
}

BlockNumber blocks_of(Oid table) {
  Relation const relation = table_open(table, AccessShareLock);
  const BlockNumber blocks = RelationGetNumberOfBlocks(relation);
  table_close(relation, NoLock);
  return blocks;
}

bool is_any_pending() {
  static pg::Statement look("SELECT FROM eav.rollup_pending LIMIT 1", {});
  look.run({});
  return SPI_processed > 0;
}

// So many rows by DELETE, or all by leaving them there. Hours are summed up first: their days come
// from those.
int64 add_pending(bool by_delete, pg::Argument most) {
  static pg::Statement add(
      "WITH deleted AS (DELETE FROM eav.rollup_pending WHERE ctid = ANY (ARRAY("
      "SELECT ctid FROM eav.rollup_pending WHERE $1 LIMIT $2)) RETURNING *), "
      "taken AS MATERIALIZED ("
      "SELECT * FROM deleted UNION ALL SELECT * FROM eav.rollup_pending WHERE NOT $1), "
      "summed AS MATERIALIZED (SELECT tenant_id, attribute_id, bucket, "
      "sum(value_count)::bigint AS value_count, sum(cleared_count)::bigint AS cleared_count, "
      "sum(number_count)::bigint AS number_count, sum(new_entities)::bigint AS new_entities, "
      "min(min_value) AS min_value, max(max_value) AS max_value, sum(sum_value) AS sum_value, "
      "min(first_observed_at) AS first_observed_at, max(last_observed_at) AS last_observed_at, "
      "max(last_ingested_at) AS last_ingested_at "
      "FROM taken GROUP BY tenant_id, attribute_id, bucket "
      "ORDER BY tenant_id, attribute_id, bucket), "
      "hours AS (INSERT INTO eav.attribute_rollups AS r (tenant_id, attribute_id, bucket, "
      "value_count, cleared_count, number_count, min_value, max_value, sum_value, "
      "first_observed_at, last_observed_at, last_ingested_at) "
      "SELECT tenant_id, attribute_id, bucket, value_count, cleared_count, number_count, "
      "min_value, max_value, sum_value, first_observed_at, last_observed_at, last_ingested_at "
      "FROM summed WHERE bucket > '-infinity' "
      "ON CONFLICT (tenant_id, attribute_id, bucket) DO UPDATE SET "
      "value_count = r.value_count + EXCLUDED.value_count, "
      "cleared_count = r.cleared_count + EXCLUDED.cleared_count, "
      "number_count = r.number_count + EXCLUDED.number_count, "
      "min_value = least(r.min_value, EXCLUDED.min_value), "
      "max_value = greatest(r.max_value, EXCLUDED.max_value), "
      "sum_value = coalesce(r.sum_value + EXCLUDED.sum_value, r.sum_value, EXCLUDED.sum_value), "
      "first_observed_at = least(r.first_observed_at, EXCLUDED.first_observed_at), "
      "last_observed_at = greatest(r.last_observed_at, EXCLUDED.last_observed_at), "
      "last_ingested_at = greatest(r.last_ingested_at, EXCLUDED.last_ingested_at)), "
      "days AS (INSERT INTO eav.attribute_rollups_daily AS r (tenant_id, attribute_id, bucket, "
      "value_count, cleared_count, number_count, new_entities, min_value, max_value, sum_value, "
      "first_observed_at, last_observed_at, last_ingested_at) "
      "SELECT tenant_id, attribute_id, date_trunc('day', bucket, 'UTC') AS day, "
      "sum(value_count), sum(cleared_count), sum(number_count), sum(new_entities), "
      "min(min_value), max(max_value), sum(sum_value), "
      "min(first_observed_at), max(last_observed_at), max(last_ingested_at) "
      "FROM summed GROUP BY tenant_id, attribute_id, day ORDER BY tenant_id, attribute_id, day "
      "ON CONFLICT (tenant_id, attribute_id, bucket) DO UPDATE SET "
      "value_count = r.value_count + EXCLUDED.value_count, "
      "cleared_count = r.cleared_count + EXCLUDED.cleared_count, "
      "number_count = r.number_count + EXCLUDED.number_count, "
      "new_entities = r.new_entities + EXCLUDED.new_entities, "
      "min_value = least(r.min_value, EXCLUDED.min_value), "
      "max_value = greatest(r.max_value, EXCLUDED.max_value), "
      "sum_value = coalesce(r.sum_value + EXCLUDED.sum_value, r.sum_value, EXCLUDED.sum_value), "
      "first_observed_at = least(r.first_observed_at, EXCLUDED.first_observed_at), "
      "last_observed_at = greatest(r.last_observed_at, EXCLUDED.last_observed_at), "
      "last_ingested_at = greatest(r.last_ingested_at, EXCLUDED.last_ingested_at)) "
      "SELECT count(*) FROM taken",
      {BOOLOID, INT8OID});
  add.run({BoolGetDatum(by_delete), most});
  return DatumGetInt64(pg::cell(0, 1).value);
}

int64 move_pending(int64 most) { return add_pending(true, Int64GetDatum(most)); }
int64 move_all_pending() { return add_pending(true, {0, true}); }

// The table is locked.
void empty_pending() {
  static pg::Statement truncate("TRUNCATE ONLY eav.rollup_pending", {});
  add_pending(false, {0, true});
  truncate.run({});
}

TimestampTz oldest_kept_hour() {
  return GetCurrentTimestamp() - static_cast<int64>(settings.rollup_retention) * USECS_PER_MINUTE -
         USECS_PER_HOUR;
}

}  // namespace

// In the transaction of a client, which may stay open: with the table locked nobody could write to
// history.
int64 merge() {
  take_turn(pg::OnLock::wait);
  return is_any_pending() ? move_all_pending() : 0;
}

bool merge_part() {
  if (!take_turn(pg::OnLock::skip)) {
    return false;
  }
  const Oid pending = pg::relation_oid("rollup_pending");
  const BlockNumber blocks = blocks_of(pending);
  if (blocks > part_of_pending && move_pending(most_merged) == most_merged) {
    return true;
  }
  if (blocks > large_pending && ConditionalLockRelationOid(pending, AccessExclusiveLock)) {
    empty_pending();
  } else if (is_any_pending()) {
    move_pending(most_merged);
  }
  return false;
}

int64 expire(pg::OnLock on_lock) {
  static pg::Statement remove(
      "DELETE FROM eav.attribute_rollups WHERE ctid = ANY (ARRAY("
      "SELECT ctid FROM eav.attribute_rollups WHERE bucket < $1 LIMIT $2))",
      {TIMESTAMPTZOID, INT8OID});
  if (settings.rollup_retention == 0 || !take_turn(on_lock)) {
    return 0;
  }
  remove.run({TimestampTzGetDatum(oldest_kept_hour()), Int64GetDatum(most_expired)});
  return static_cast<int64>(SPI_processed);
}

// The first statement has one snapshot, which sees a transaction in history and in pending, or in
// neither.
int64 rebuild() {
  static pg::Statement start_anew(
      "WITH pending AS (DELETE FROM eav.rollup_pending), "
      "hours AS (DELETE FROM eav.attribute_rollups), "
      "days AS (DELETE FROM eav.attribute_rollups_daily) "
      "INSERT INTO eav.rollup_pending (tenant_id, attribute_id, bucket, "
      "value_count, cleared_count, number_count, new_entities, min_value, max_value, sum_value, "
      "first_observed_at, last_observed_at, last_ingested_at) "
      "SELECT * FROM eav._computed_rollups()",
      {});
  take_turn(pg::OnLock::wait);
  start_anew.run({});
  const auto computed = static_cast<int64>(SPI_processed);
  move_all_pending();
  return computed;
}

}  // namespace eav::rollup

namespace {

template <typename Work>
Datum with_spi(Work&& work) {
  SPI_connect();
  const int64 rows = work();
  SPI_finish();
  return Int64GetDatum(rows);
}

}  // namespace

EAV_FUNCTION(eav_merge_rollups) {
  return with_spi([] { return eav::rollup::merge(); });
}

EAV_FUNCTION(eav_expire_rollups) {
  return with_spi([] { return eav::rollup::expire(eav::pg::OnLock::skip); });
}

EAV_FUNCTION(eav_rebuild_rollups) { return with_spi(eav::rollup::rebuild); }
