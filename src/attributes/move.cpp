// How the values of an attribute change their place, or their type, while everything goes on.
//
//   change     eav.promote_attribute() and its like change the row in eav.attributes and leave a
//   row
//              in eav.attribute_moves, in one transaction. From its commit on, values that arrive
//              go to the new place; attributes.moving_from says where others may still be, and
//              whoever writes a value takes it out of those places, whoever reads looks into all of
//              them.
//   waiting    A client's transaction (eav.upsert_hot_attributes()) may have read the registry
//   before
//              and write by it later. It locks the history before it reads the registry, so those
//              that hold this lock now are waited for; later ones see the change, for the lock on
//              eav.attribute_moves can be had only when the transaction that made the change is
//              gone and has told all others. Flushes need not be waited for: each batch of a move
//              holds the flush lock.
//   history    Values that come from projection none: rows of history go through the projection
//   once
//              more, in the order of their arrival. As there, the newest wins, whatever order.
//   entities   Else: the entities of the tenant one by one, in the order of their ids. Each is
//   locked,
//              its value put where it belongs, or converted, or dropped. One that a client holds
//              locked is passed over, and another pass follows for those.
//   end        moving_from is null again, eav.attribute_changes gets a row.
//
// Of an attribute with projection none nothing is written: its last value stays to be seen until
// the move comes by.
//
// A batch and the note how far it has come are one transaction: after a crash it goes on from
// there.
#include "eav/attributes/move.hpp"

#include <unordered_map>

#include "eav/flush/alone.hpp"
#include "eav/flush/apply.hpp"
#include "eav/flush/backlog.hpp"
#include "eav/flush/piece_size.hpp"
#include "eav/flush/registry.hpp"
#include "eav/flush/state.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/owner.hpp"
#include "eav/pg/spi.hpp"
#include "eav/pg/subtransaction.hpp"
#include "eav/projection/convert.hpp"
#include "eav/projection/table.hpp"
#include "eav/rollup/pending.hpp"
#include "eav/stop_point.hpp"

extern "C" {
#include <storage/lock.h>
#include <utils/inval.h>
#include <utils/xid8.h>
}

namespace eav::attributes {

using core::DataType;
using core::Projection;
using ingest::StagedRow;

namespace {

enum class Phase : uint8 { waiting, history, entities };

struct Move {
  int64 tenant_id;
  int32 attribute_id;
  bool changes_type;
  bool clears_failed;
  Phase phase;
  uint64 xact;  // that has asked for it, or last changed its goal
  TimestampTz history_position;
  pg::Cell last_entity_id;
  int64 entities_locked;
  int passes;
};

// What a batch has done.
struct Progress {
  int64 history = 0;
  int64 entities = 0;
  int64 moved = 0;
  int64 failed = 0;
};

Oid moves_oid = InvalidOid;
// Counts what may be a new move; and how far nothing was left to do.
uint64 changes = 1;
uint64 changes_done = 0;

void on_relcache_change(Datum /*argument*/, Oid relation) {
  changes += relation == moves_oid || relation == InvalidOid;
}

// The transactions that a move waits for. On the heap for the life of the backend, like the
// registry's cache; the array is malloc()ed.
struct Wait {
  int32 attribute_id;
  uint64 xact;
  bool operator==(const Wait&) const = default;
};
struct WaitHash {
  std::size_t operator()(const Wait& wait) const {
    return static_cast<std::size_t>(wait.attribute_id) ^ (wait.xact << 24U);
  }
};
struct Writers {
  VirtualTransactionId* ids;
  int count;
};
using Waits = std::unordered_map<Wait, Writers, WaitHash>;
Waits& waits() {
  static Waits* const all = new Waits;
  return *all;
}

bool writers_have_ended(Writers& writers) {
  while (writers.count > 0) {
    if (!VirtualXactLock(writers.ids[writers.count - 1], false)) {
      return false;
    }
    --writers.count;
  }
  return true;
}

// Who may write by the registry as it was before the move.
bool find_writers(const Wait& wait) {
  if (!ConditionalLockRelationOid(moves_oid, ShareRowExclusiveLock)) {
    return false;
  }
  UnlockRelationOid(moves_oid, ShareRowExclusiveLock);
  LOCKTAG history;
  SET_LOCKTAG_RELATION(history, MyDatabaseId, pg::relation_oid("entity_values_ts"));
  int count = 0;
  const VirtualTransactionId* const holders = GetLockConflicts(&history, ShareLock, &count);
  const Size bytes = sizeof(VirtualTransactionId) * static_cast<Size>(Max(count, 1));
  auto* const ids = static_cast<VirtualTransactionId*>(MemoryContextAlloc(TopMemoryContext, bytes));
  memcpy(ids, holders, sizeof(VirtualTransactionId) * static_cast<Size>(count));
  waits()[wait] = {ids, count};
  return true;
}

bool may_begin(const Move& move) {
  const Wait wait{move.attribute_id, move.xact};
  if (!waits().contains(wait) && !find_writers(wait)) {
    return false;
  }
  EAV_STOP_POINT("move_after_waits");
  Writers& writers = waits()[wait];
  if (!writers_have_ended(writers)) {
    return false;
  }
  pfree(writers.ids);
  waits().erase(wait);
  return true;
}

// Locked, so that nobody sets another goal during the batch. A move of the transaction that asks is
// not known to others yet.
std::span<Move> lock_moves() {
  static pg::Statement select(
      "SELECT tenant_id, attribute_id, change = 'type', clears_failed, "
      "array_position('{waiting,history,entities}', phase), xact, history_position, "
      "last_entity_id, entities_locked, passes FROM eav.attribute_moves "
      "WHERE xact IS DISTINCT FROM pg_current_xact_id_if_assigned() "
      "AND next_attempt_at <= clock_timestamp() "
      "ORDER BY started_at, attribute_id FOR NO KEY UPDATE SKIP LOCKED",
      {});
  select.run({});
  auto* const moves = static_cast<Move*>(palloc(sizeof(Move) * (SPI_processed + 1)));
  for (uint64 row = 0; row < SPI_processed; ++row) {
    const auto value = [row](int column) { return pg::cell(row, column).value; };
    moves[row] = {DatumGetInt64(value(1)),
                  DatumGetInt32(value(2)),
                  DatumGetBool(value(3)),
                  DatumGetBool(value(4)),
                  static_cast<Phase>(DatumGetInt32(value(5)) - 1),
                  U64FromFullTransactionId(DatumGetFullTransactionId(value(6))),
                  DatumGetTimestampTz(value(7)),
                  pg::cell(row, 8),
                  DatumGetInt64(value(9)),
                  DatumGetInt32(value(10))};
  }
  return {moves, SPI_processed};
}

Datum phase_name(Phase phase) {
  constexpr const char* names[] = {"waiting", "history", "entities"};
  return CStringGetTextDatum(names[static_cast<int>(phase)]);
}

void write_progress(const Move& move, const Progress& progress) {
  static pg::Statement update(
      "UPDATE eav.attribute_moves SET phase = $3, history_position = $4, last_entity_id = $5, "
      "entities_locked = $6, passes = $7, history_done = history_done + $8, "
      "entities_done = CASE WHEN passes = $7 THEN entities_done ELSE 0 END + $9, "
      "values_moved = values_moved + $10, values_failed = values_failed + $11, "
      "failures = 0, last_error = NULL, updated_at = clock_timestamp() "
      "WHERE tenant_id = $1 AND attribute_id = $2",
      {INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID, INT4OID, INT8OID, INT8OID,
       INT8OID, INT8OID});
  update.run({Int64GetDatum(move.tenant_id), Int32GetDatum(move.attribute_id),
              phase_name(move.phase), TimestampTzGetDatum(move.history_position),
              pg::Argument(move.last_entity_id.value, move.last_entity_id.is_null),
              Int64GetDatum(move.entities_locked), Int32GetDatum(move.passes),
              Int64GetDatum(progress.history), Int64GetDatum(progress.entities),
              Int64GetDatum(progress.moved), Int64GetDatum(progress.failed)});
}

// Tried again later and later.
void write_failure(const Move& move, const ErrorData* error) {
  static pg::Statement update(
      "UPDATE eav.attribute_moves SET failures = failures + 1, last_error = $3, "
      "next_attempt_at = clock_timestamp() + least(2 ^ least(failures, 12), 3600) * interval '1 s' "
      "WHERE tenant_id = $1 AND attribute_id = $2",
      {INT8OID, INT4OID, TEXTOID});
  update.run({Int64GetDatum(move.tenant_id), Int32GetDatum(move.attribute_id),
              CStringGetTextDatum(error->message)});
}

// About how many there are to go through: the planner's estimate.
void note_total(const Move& move) {
  static pg::Statement note("SELECT eav._estimate_entities($1, $2)", {INT8OID, INT4OID});
  note.run({Int64GetDatum(move.tenant_id), Int32GetDatum(move.attribute_id)});
}

// Unless a client holds the row of the attribute: then the next batch does it.
void finish(const Move& move) {
  static pg::Statement lock(
      "SELECT FROM eav.attributes WHERE tenant_id = $1 AND attribute_id = $2 "
      "FOR NO KEY UPDATE SKIP LOCKED",
      {INT8OID, INT4OID});
  static pg::Statement end(
      "WITH attribute AS (UPDATE eav.attributes SET moving_from = NULL "
      "WHERE tenant_id = $1 AND attribute_id = $2), "
      "ended AS (DELETE FROM eav.attribute_moves "
      "WHERE tenant_id = $1 AND attribute_id = $2 RETURNING *) "
      "INSERT INTO eav.attribute_changes "
      "(tenant_id, attribute_id, changed_by, change, old_value, new_value, details) "
      "SELECT tenant_id, attribute_id, started_by, change, old_value, new_value, "
      "jsonb_build_object('started_at', started_at, 'values_moved', values_moved, "
      "'values_failed', values_failed, 'history_done', history_done) FROM ended",
      {INT8OID, INT4OID});
  EAV_STOP_POINT("move_before_end");
  lock.run({Int64GetDatum(move.tenant_id), Int32GetDatum(move.attribute_id)});
  if (SPI_processed > 0) {
    end.run({Int64GetDatum(move.tenant_id), Int32GetDatum(move.attribute_id)});
  }
}

// The columns of what read_history() selects.
enum Column : int {
  column_entity_id = 1,
  column_observed_at,
  column_ingested_at,
  column_first_value
};
constexpr DataType value_types[] = {DataType::boolean,   DataType::integer, DataType::floating,
                                    DataType::timestamp, DataType::text,    DataType::numeric,
                                    DataType::json};

ingest::Value value_of(uint64 row) {
  ingest::Value value{};
  value.type = DataType::text;
  value.cleared = true;
  for (int i = 0; i < static_cast<int>(std::size(value_types)); ++i) {
    const pg::Cell cell = pg::cell(row, column_first_value + i);
    if (!cell.is_null) {
      value = ingest::value_of(cell.value, value_types[i]);
    }
  }
  return value;
}

Size memory_of(const ingest::Value& value) {
  const bool is_plain = value.cleared || value.type == DataType::integer ||
                        value.type == DataType::floating || value.type == DataType::boolean ||
                        value.type == DataType::timestamp;
  return is_plain ? 0 : VARSIZE_ANY(DatumGetPointer(value.datum));
}

// A slice of history, with all of what arrived at one time.
void read_history(const Move& move, int64 max_values) {
  static pg::Statement select(
      "SELECT entity_id, observed_at, ingested_at, value_bool, value_int, value_float, value_time, "
      "value_text, value_numeric, value_json FROM eav.entity_values_ts "
      "WHERE tenant_id = $1 AND attribute_id = $2 AND ingested_at > $3 "
      "ORDER BY ingested_at FETCH FIRST $4 ROWS WITH TIES",
      {INT8OID, INT4OID, TIMESTAMPTZOID, INT8OID});
  select.run({Int64GetDatum(move.tenant_id), Int32GetDatum(move.attribute_id),
              TimestampTzGetDatum(move.history_position), Int64GetDatum(max_values)});
}

void project_history(Move& move, const flush::Attribute& attribute, int64 max_values,
                     Progress& progress) {
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  flush::Rows rows(arena);
  read_history(move, max_values);
  const bool is_last = SPI_processed < static_cast<uint64>(max_values);
  const uint64 found = SPI_processed;
  uint64 row = 0;
  Size memory = 0;
  for (; row < found; ++row) {
    const TimestampTz arrived_at = DatumGetTimestampTz(pg::cell(row, column_ingested_at).value);
    if (memory > flush::piece_memory() && arrived_at > move.history_position) {
      break;
    }
    StagedRow staged{};
    staged.tenant_id = move.tenant_id;
    staged.entity_id = DatumGetInt64(pg::cell(row, column_entity_id).value);
    staged.version = {DatumGetTimestampTz(pg::cell(row, column_observed_at).value), arrived_at};
    staged.value = value_of(row);
    memory += flush::memory_for(1, memory_of(staged.value));
    progress.failed += attribute.type && !projection::fit(staged.value, *attribute.type);
    staged.resolved = &attribute;
    staged.attribute_id = move.attribute_id;
    staged.projection = attribute.projection;
    staged.in_history = true;
    rows.push_back(staged);
    move.history_position = arrived_at;
  }
  progress.history = static_cast<int64>(rows.size());
  TimestampTz none_is_new = PG_INT64_MAX;
  const auto order = flush::set_arrival(rows, none_is_new);
  core::ArenaVector<projection::RowPointer> blocked(arena);
  progress.moved += flush::write_projection(rows.span(), order.span(), pg::OnLock::skip, blocked);
  flush::backlog::keep_unprojected({blocked.data(), blocked.size()});
  flush::add_to_backlog(static_cast<int64>(blocked.size()));
  if (is_last && row == found) {
    move.phase = Phase::entities;
  }
}

std::span<const int64> next_entities(const Move& move, int64 max_entities) {
  static pg::Statement select(
      "SELECT entity_id FROM eav.entity_jsonb WHERE tenant_id = $1 AND entity_id > $2 "
      "ORDER BY entity_id LIMIT $3",
      {INT8OID, INT8OID, INT8OID});
  static pg::Statement select_first(
      "SELECT entity_id FROM eav.entity_jsonb WHERE tenant_id = $1 ORDER BY entity_id LIMIT $2",
      {INT8OID, INT8OID});
  if (move.last_entity_id.is_null) {
    select_first.run({Int64GetDatum(move.tenant_id), Int64GetDatum(max_entities)});
  } else {
    select.run(
        {Int64GetDatum(move.tenant_id), move.last_entity_id.value, Int64GetDatum(max_entities)});
  }
  auto* const ids = static_cast<int64*>(palloc(sizeof(int64) * (SPI_processed + 1)));
  for (uint64 row = 0; row < SPI_processed; ++row) {
    ids[row] = DatumGetInt64(pg::cell(row, 1).value);
  }
  return {ids, SPI_processed};
}

// True when a pass has ended that left nobody out.
bool relocate_entities(Move& move, const flush::Attribute& attribute, int64 max_entities,
                       Progress& progress) {
  if (move.last_entity_id.is_null && move.passes == 1) {
    note_total(move);
  }
  const std::span<const int64> ids = next_entities(move, max_entities);
  const projection::Relocation relocation{&attribute, move.changes_type, move.clears_failed};
  projection::Relocated counts;
  PushActiveSnapshot(GetLatestSnapshot());
  projection::Table table(pg::OnLock::skip);
  for (const int64 entity_id : ids) {
    CHECK_FOR_INTERRUPTS();
    const projection::State state = table.relocate({move.tenant_id, entity_id}, relocation, counts);
    move.entities_locked += state == projection::State::blocked;
    move.last_entity_id = {Int64GetDatum(entity_id), false};
  }
  table.close();
  PopActiveSnapshot();
  rollup::note_lost_entities({move.tenant_id, move.attribute_id}, counts.forgotten);
  progress.moved += counts.moved;
  progress.failed += counts.failed;
  progress.entities = static_cast<int64>(ids.size());
  if (static_cast<int64>(ids.size()) == max_entities) {
    return false;
  }
  if (move.entities_locked == 0) {
    return true;
  }
  move.last_entity_id.is_null = true;
  move.entities_locked = 0;
  ++move.passes;
  return false;
}

int count_moves() {
  static pg::Statement count("SELECT count(*)::integer FROM eav.attribute_moves", {});
  count.run({});
  return DatumGetInt32(pg::cell(0, 1).value);
}

// One batch of one move. Returns how many entities, or values of history, it has gone through.
int64 advance(Move& move, int64 max_entities) {
  flush::registry::refresh();
  const flush::AttributeId id{move.tenant_id, move.attribute_id};
  flush::registry::load({&id, 1});
  const flush::Attribute* const attribute = flush::registry::find(id);
  if (attribute == nullptr) {
    static pg::Statement forget(
        "DELETE FROM eav.attribute_moves WHERE tenant_id = $1 AND attribute_id = $2",
        {INT8OID, INT4OID});
    forget.run({Int64GetDatum(id.tenant_id), Int32GetDatum(id.attribute_id)});
    return 0;
  }
  Progress progress;
  bool has_ended = false;
  if (move.phase == Phase::waiting) {
    if (!may_begin(move)) {
      return 0;
    }
    const bool from_history = !move.changes_type && attribute->may_be_in(Projection::none);
    move.phase = from_history ? Phase::history : Phase::entities;
  }
  if (move.phase == Phase::history) {
    project_history(move, *attribute, max_entities, progress);
  } else {
    has_ended = relocate_entities(move, *attribute, max_entities, progress);
  }
  EAV_STOP_POINT("move_before_progress");
  write_progress(move, progress);
  if (has_ended) {
    finish(move);
  }
  return Max(progress.history, progress.entities);
}

// One that fails keeps no other from going on.
int64 try_to_advance(Move& move, int64 max_entities) {
  int64 done = 0;
  const ErrorData* const error = pg::attempt([&] { done = advance(move, max_entities); });
  if (error == nullptr) {
    return done;
  }
  if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION) {
    ReThrowError(const_cast<ErrorData*>(error));
  }
  write_failure(move, error);
  return 0;
}

}  // namespace

bool may_have_moves() { return changes != changes_done; }

void expect_moves() { ++changes; }

int move_batch(int64 max_entities) {
  if (!OidIsValid(moves_oid)) {
    CacheRegisterRelcacheCallback(on_relcache_change, 0);
  }
  moves_oid = pg::relation_oid("attribute_moves");
  flush::lock_flush();
  SPI_connect();
  flush::read_state();
  const uint64 changes_before = changes;
  for (Move& move : lock_moves()) {
    if (max_entities > 0) {
      max_entities -= try_to_advance(move, max_entities);
    }
  }
  const int left = count_moves();
  changes_done = left > 0 ? changes_before - 1 : changes_before;
  SPI_finish();
  return left;
}

}  // namespace eav::attributes

EAV_FUNCTION(eav_move_attributes) {
  if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_entities must be at least 1"),
             errhint("Leave it out to get its default.")));
  }
  int left = 0;
  // What waits for an entity that somebody holds is not for the caller to read.
  eav::pg::as_owner(eav::pg::relation_oid("attribute_moves"), [&] {
    eav::flush::run_alone("a move of attributes",
                          [&] { left = eav::attributes::move_batch(PG_GETARG_INT32(0)); });
  });
  PG_RETURN_INT32(left);
}
