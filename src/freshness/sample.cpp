// The measuring side of freshness, run by the worker.
//
// On the primary: a heartbeat every eav.heartbeat_interval, in a transaction of its own that is
// flushed at once, and its position in WAL remembered (core/position_history.hpp). One row is
// updated in place, as far as MVCC allows: no indexed column changes, so that the update is HOT and
// the dead versions are pruned by the next one. An old snapshot keeps them; when the table has
// grown for that, it is truncated and filled anew in one transaction, unless somebody uses it.
//
// On a standby: a look at the receiver ten times per heartbeat, which costs a spinlock, and at the
// row when WAL has been replayed since.
//
// On both: all nodes once per heartbeat. Tables are read and written in transactions with the
// rights of their owner, views of the server in others with those of the worker: whatever the owner
// has made of the tables, it runs as the owner.
#include "eav/freshness/sample.hpp"

#include <algorithm>

#include "eav/freshness/measure.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/interval.hpp"
#include "eav/pg/owner.hpp"
#include "eav/pg/row.hpp"
#include "eav/pg/spi.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <access/xlog.h>
#include <access/xlogrecovery.h>
#include <replication/walreceiver.h>
#include <replication/walsender.h>
#include <storage/spin.h>
#include <utils/pg_lsn.h>
}

namespace eav::freshness {

using core::NodeRole;

namespace {

// After it and wal_sender_timeout a walsender whose standby is gone has ended.
constexpr core::Micros sender_grace = 60 * core::one_second;
constexpr BlockNumber large = 1024 * 1024 / BLCKSZ;

// Where this backend has written its row last; with an old snapshot held a search for the newest
// version would pass all dead ones.
ItemPointerData place = {};

Oid heartbeat_table() { return pg::relation_oid("replication_heartbeat"); }

void update_by_place(Datum node, Datum now) {
  static pg::Statement update(
      "UPDATE eav.replication_heartbeat SET last_heartbeat = $3, "
      "write_sequence = write_sequence + 1, wal_lsn = pg_current_wal_insert_lsn() "
      "WHERE ctid = (SELECT ctid FROM eav.replication_heartbeat "
      "WHERE ctid = $1 AND node_id = $2 AND node_type = 'primary' FOR NO KEY UPDATE SKIP LOCKED) "
      "RETURNING ctid, write_sequence, wal_lsn",
      {TIDOID, TEXTOID, TIMESTAMPTZOID});
  update.run({PointerGetDatum(&place), node, now});
}

// The first one of this backend. Another server may have been the primary before.
void update_by_name(Datum node, Datum now) {
  static pg::Statement demote(
      "UPDATE eav.replication_heartbeat SET node_type = 'replica' "
      "WHERE ctid = ANY (ARRAY(SELECT ctid FROM eav.replication_heartbeat "
      "WHERE node_type = 'primary' AND node_id <> $1 FOR NO KEY UPDATE SKIP LOCKED))",
      {TEXTOID});
  static pg::Statement update(
      "UPDATE eav.replication_heartbeat SET node_type = 'primary', last_heartbeat = $2, "
      "write_sequence = (SELECT max(write_sequence) + 1 FROM eav.replication_heartbeat "
      "WHERE node_type IN ('primary', 'replica') OR node_id = $1), "
      "wal_lsn = pg_current_wal_insert_lsn() "
      "WHERE ctid = (SELECT ctid FROM eav.replication_heartbeat "
      "WHERE node_id = $1 FOR NO KEY UPDATE SKIP LOCKED) "
      "RETURNING ctid, write_sequence, wal_lsn",
      {TEXTOID, TIMESTAMPTZOID});
  static pg::Statement insert(
      "INSERT INTO eav.replication_heartbeat "
      "SELECT $1, 'primary', $2, coalesce(max(write_sequence), 0) + 1, pg_current_wal_insert_lsn() "
      "FROM eav.replication_heartbeat WHERE node_type IN ('primary', 'replica') "
      // A row that somebody holds would be waited for.
      "HAVING NOT EXISTS (SELECT FROM eav.replication_heartbeat WHERE node_id = $1) "
      "ON CONFLICT DO NOTHING RETURNING ctid, write_sequence, wal_lsn",
      {TEXTOID, TIMESTAMPTZOID});
  demote.run({node});
  update.run({node, now});
  if (SPI_processed == 0) {
    insert.run({node, now});
  }
}

// For those who follow the changes of this database: tells them how far they have come when
// nothing else happens.
void emit_message(const Beat& beat) {
  static pg::Statement emit(
      "SELECT pg_logical_emit_message(true, 'eav.heartbeat', json_build_object("
      "'node_id', $1, 'last_heartbeat', $2, 'write_sequence', $3)::text)",
      {TEXTOID, TIMESTAMPTZOID, INT8OID});
  if (XLogLogicalInfoActive()) {
    emit.run({CStringGetTextDatum(own_node_id()), TimestampTzGetDatum(beat.sent_at),
              Int64GetDatum(beat.sequence)});
  }
}

void write(Beat& beat) {
  Datum const node = CStringGetTextDatum(own_node_id());
  Datum const now = TimestampTzGetDatum(beat.sent_at);
  SPI_processed = 0;
  if (ItemPointerIsValid(&place)) {
    update_by_place(node, now);
  }
  if (SPI_processed == 0) {
    update_by_name(node, now);
  }
  if (SPI_processed == 0) {
    return;
  }
  ItemPointerCopy(reinterpret_cast<ItemPointer>(DatumGetPointer(pg::cell(0, 1).value)), &place);
  beat.is_written = true;
  beat.sequence = DatumGetInt64(pg::cell(0, 2).value);
  beat.position = DatumGetLSN(pg::cell(0, 3).value);
  emit_message(beat);
}

void copy_text(char* target, Size size, const pg::Cell& cell) {
  strlcpy(target, cell.is_null ? "" : TextDatumGetCString(cell.value), size);
}

core::Micros micros(const pg::Cell& cell) {
  return cell.is_null ? 0 : pg::milliseconds_of(*DatumGetIntervalP(cell.value)) * 1000;
}

// What the worker gathers before it takes the lock.
struct Draft {
  Nodes nodes;
  char replication_name[max_nodes][name_size];
  char read_path[max_nodes][name_size];
  int read_path_count;
  ReadPath read_paths[max_budgets];
};

bool has_null(uint64 row, int columns) {
  for (int column = 1; column <= columns; ++column) {
    if (pg::cell(row, column).is_null) {
      return true;
    }
  }
  return false;
}

// Outlives the transaction that reads the tables.
Draft& own_draft() {
  static Draft draft;
  return draft;
}

void read_budgets(Draft& draft) {
  static pg::Statement select(
      "SELECT read_path, node_type, target_lag, max_lag, consistency, fallback, retry_after "
      "FROM eav.freshness_budget ORDER BY is_default, read_path LIMIT $1",
      {INT4OID});
  select.run({Int32GetDatum(max_budgets)});
  for (uint64 row = 0; row < SPI_processed; ++row) {
    if (has_null(row, 6)) {
      continue;  // the owner has altered the table
    }
    ReadPath& path = draft.read_paths[draft.read_path_count++];
    const auto string = [&](int column) {
      return TextDatumGetCString(pg::cell(row, column).value);
    };
    copy_text(path.name, sizeof(path.name), pg::cell(row, 1));
    path.role = core::node_role_named(string(2)).value();
    path.budget = {micros(pg::cell(row, 3)), micros(pg::cell(row, 4))};
    path.consistency = core::consistency_named(string(5)).value();
    path.fallback = core::fallback_named(string(6)).value();
    path.retry_after = micros(pg::cell(row, 7));
  }
}

NodeRole role_of_type(const char* type) {
  return strcmp(type, "server") == 0 ? NodeRole::replica : core::node_role_named(type).value();
}

void read_nodes(Draft& draft) {
  static pg::Statement select(
      "SELECT n.node_id, n.node_type, n.conninfo, coalesce(n.replication_name, n.node_id), "
      "n.read_path, n.is_enabled, h.last_heartbeat "
      "FROM eav.nodes n LEFT JOIN eav.replication_heartbeat h "
      "ON h.node_id = n.node_id AND h.node_type = n.node_type ORDER BY n.node_id LIMIT $1",
      {INT4OID});
  select.run({Int32GetDatum(max_nodes)});
  const TimestampTz now = GetCurrentTimestamp();
  for (uint64 row = 0; row < SPI_processed; ++row) {
    if (has_null(row, 2) || pg::cell(row, 6).is_null) {
      continue;
    }
    const int number = draft.nodes.count++;
    Node& node = draft.nodes.node[number];
    copy_text(node.id, sizeof(node.id), pg::cell(row, 1));
    node.role = role_of_type(TextDatumGetCString(pg::cell(row, 2).value));
    copy_text(node.conninfo, sizeof(node.conninfo), pg::cell(row, 3));
    copy_text(draft.replication_name[number], name_size, pg::cell(row, 4));
    copy_text(draft.read_path[number], name_size, pg::cell(row, 5));
    node.is_listed = true;
    node.is_enabled = DatumGetBool(pg::cell(row, 6).value);
    const pg::Cell as_of = pg::cell(row, 7);
    if (!as_of.is_null) {
      node.measure = Measure::report;
      node.as_of = DatumGetTimestampTz(as_of.value);
      node.seen_at = now;
    }
  }
}

// One that is not in eav.nodes; null when there is no room.
Node* add_unlisted(Draft& draft, const char* id, NodeRole role) {
  if (draft.nodes.count == max_nodes) {
    return nullptr;
  }
  Node& node = draft.nodes.node[draft.nodes.count++];
  strlcpy(node.id, id, sizeof(node.id));
  node.role = role;
  node.is_enabled = true;
  return &node;
}

Node* find_or_add(Draft& draft, const char* id, NodeRole role) {
  Node* const node = find_node(draft.nodes, id);
  return node != nullptr ? node : add_unlisted(draft, id, role);
}

Node* find_by_replication_name(Draft& draft, const char* name, NodeRole role) {
  for (int i = 0; i < draft.nodes.count; ++i) {
    Node& node = draft.nodes.node[i];
    if (node.role == role && node.is_listed && strcmp(draft.replication_name[i], name) == 0) {
      return &node;
    }
  }
  return nullptr;
}

const char* read_primary_id() {
  static pg::Statement select(
      "SELECT node_id FROM eav.replication_heartbeat WHERE node_type = 'primary' "
      "ORDER BY write_sequence DESC LIMIT 1",
      {});
  select.run({});
  return SPI_processed == 0 ? nullptr : TextDatumGetCString(pg::cell(0, 1).value);
}

void find_roles(Draft& draft, const char* primary) {
  if (primary != nullptr) {
    // A standby that was copied with the configuration of the primary. They have to be told apart.
    const bool is_name_of_both = strcmp(primary, own_node_id()) == 0;
    const char* const id = is_name_of_both ? psprintf("%.50s (primary)", primary) : primary;
    if (Node* const node = find_or_add(draft, id, NodeRole::primary)) {
      node->role = NodeRole::primary;
    }
  }
  if (Node* const self = find_or_add(draft, own_node_id(), own_role())) {
    self->role = own_role();
    self->measure = Measure::self;
  }
}

// After a broken connection the server keeps the old walsender until its timeout, so the newest
// counts. Two that live on side by side belong to two standbys of the same name, of which nobody
// can say which one a client would reach.
void add_sender(Draft& draft, int process, const char* name, bool is_old) {
  Node* node = find_by_replication_name(draft, name, NodeRole::replica);
  if (node != nullptr && node->process != 0) {
    node->is_ambiguous = node->is_ambiguous || node->is_old;
  }
  if (node == nullptr || node->process != 0) {
    char id[name_size];
    snprintf(id, sizeof(id), "%.40s (process %d)", name, process);
    const bool is_taken = node != nullptr || find_node(draft.nodes, name) != nullptr;
    node = add_unlisted(draft, is_taken ? id : name, NodeRole::replica);
  }
  if (node != nullptr) {
    node->measure = Measure::walsender;
    node->process = process;
    node->is_old = is_old;
  }
}

void read_senders(Draft& draft) {
  static pg::Statement select(
      "SELECT r.pid, r.application_name, pg_catalog.clock_timestamp() - r.backend_start > $1 "
      "FROM pg_catalog.pg_stat_replication r "
      "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s "
      "WHERE s.slot_type = 'logical' AND s.active_pid = r.pid) AND r.state <> 'backup' "
      "ORDER BY r.backend_start DESC, r.pid",
      {INTERVALOID});
  Interval timeout = {};
  timeout.time = static_cast<TimeOffset>(wal_sender_timeout) * 1000 + sender_grace;
  select.run({PointerGetDatum(&timeout)});
  for (uint64 row = 0; row < SPI_processed; ++row) {
    add_sender(draft, DatumGetInt32(pg::cell(row, 1).value),
               TextDatumGetCString(pg::cell(row, 2).value), DatumGetBool(pg::cell(row, 3).value));
  }
}

void read_slots(Draft& draft) {
  static pg::Statement select(
      "SELECT s.slot_name::text, s.active_pid, s.confirmed_flush_lsn "
      "FROM pg_catalog.pg_replication_slots s WHERE s.slot_type = 'logical' "
      "AND s.database = pg_catalog.current_database() AND s.confirmed_flush_lsn IS NOT NULL "
      "ORDER BY 1",
      {});
  select.run({});
  for (uint64 row = 0; row < SPI_processed; ++row) {
    const char* const name = TextDatumGetCString(pg::cell(row, 1).value);
    Node* node = find_by_replication_name(draft, name, NodeRole::stream);
    if (node == nullptr) {
      const bool is_taken = find_node(draft.nodes, name) != nullptr;
      node =
          add_unlisted(draft, is_taken ? psprintf("%.50s (slot)", name) : name, NodeRole::stream);
    }
    if (node == nullptr || node->measure == Measure::report) {
      continue;
    }
    const pg::Cell process = pg::cell(row, 2);
    node->measure = Measure::slot;
    node->process = process.is_null ? 0 : DatumGetInt32(process.value);
    node->position = DatumGetLSN(pg::cell(row, 3).value);
    node->seen_at = GetCurrentTimestamp();
  }
}

const char* default_path(NodeRole role) {
  return role == NodeRole::olap ? "olap_dashboard" : core::name_of(role).data();
}

const ReadPath* find_path(const Draft& draft, const char* name) {
  return find_read_path({draft.read_paths, static_cast<std::size_t>(draft.read_path_count)}, name);
}

void find_budgets(Draft& draft) {
  for (int i = 0; i < draft.nodes.count; ++i) {
    Node& node = draft.nodes.node[i];
    const bool has_own = draft.read_path[i][0] != '\0' && node.role != NodeRole::primary;
    const ReadPath* path = has_own ? find_path(draft, draft.read_path[i]) : nullptr;
    node.lacks_path = has_own && path == nullptr;
    if (path == nullptr) {
      path = find_path(draft, default_path(node.role));
    }
    node.budget = path != nullptr ? path->budget : core::Budget{};
  }
}

void keep_breakers(const Board& board, Draft& draft) {
  for (int i = 0; i < draft.nodes.count; ++i) {
    Node& node = draft.nodes.node[i];
    for (int old = 0; old < board.nodes.count; ++old) {
      if (strcmp(board.nodes.node[old].id, node.id) == 0 &&
          board.nodes.node[old].role == node.role) {
        node.breaker = board.nodes.node[old].breaker;
      }
    }
  }
}

void tell_breakers(Board& board, TimestampTz now) {
  for (int i = 0; i < board.nodes.count; ++i) {
    Node& node = board.nodes.node[i];
    const bool is_self = node.measure == Measure::self;
    node.breaker.on_lag(policy_of(node), measure(board, node, is_self, now).lag, now);
  }
}

struct Message {
  TimestampTz sent_at;  // by the clock of the sender
  TimestampTz received_at;
  XLogRecPtr end;  // of WAL at the sender
};

Message last_message() {
  SpinLockAcquire(&WalRcv->mutex);
  const Message message = {WalRcv->lastMsgSendTime, WalRcv->lastMsgReceiptTime,
                           WalRcv->latestWalEnd};
  SpinLockRelease(&WalRcv->mutex);
  return message;
}

// How far the clock of the sender is behind that of the primary, at least: it cannot have had a
// heartbeat before it was written. The sender is the primary itself, or another standby.
core::Micros sender_behind(const Board& board, XLogRecPtr heartbeat, TimestampTz sent_at) {
  const auto first = board.history.first_beyond(heartbeat);
  return first ? Max(0, sent_at - first->at) : 0;
}

void publish(Board& board, Draft& draft) {
  lock(board, LW_EXCLUSIVE);
  keep_breakers(board, draft);
  board.nodes = draft.nodes;
  board.read_path_count = draft.read_path_count;
  std::copy_n(draft.read_paths, draft.read_path_count, board.read_paths);
  board.in_recovery = RecoveryInProgress();
  board.refreshed_at = GetCurrentTimestamp();
  tell_breakers(board, board.refreshed_at);
  unlock(board);
}

}  // namespace

Beat write_heartbeat() {
  Beat beat = {};
  const Oid table = heartbeat_table();
  if (!ConditionalLockRelationOid(table, RowExclusiveLock)) {
    return beat;
  }
  beat.sent_at = GetCurrentTimestamp();
  write(beat);
  return beat;
}

void remember_heartbeat(const Beat& beat) {
  Board* const board = own_board();
  if (board == nullptr || !beat.is_written) {
    return;
  }
  lock(*board, LW_EXCLUSIVE);
  board->history.add({XactLastCommitEnd, beat.sent_at});
  unlock(*board);
}

bool are_heartbeats_large() {
  const Oid table = heartbeat_table();
  if (!ConditionalLockRelationOid(table, AccessShareLock)) {
    return false;
  }
  Relation const relation = table_open(table, NoLock);
  const bool is_large = RelationGetNumberOfBlocks(relation) > large;
  table_close(relation, NoLock);
  return is_large;
}

void shrink_heartbeats() {
  static pg::Statement shrink("SELECT eav._shrink_heartbeats()", {});
  shrink.run({});
}

void read_tables() {
  Draft& draft = own_draft();
  draft = Draft();
  if (Board* const board = own_board()) {
    board->is_refresh_wanted = false;
    read_budgets(draft);
    read_nodes(draft);
    find_roles(draft, RecoveryInProgress() ? read_primary_id() : nullptr);
  }
}

void read_server() {
  Draft& draft = own_draft();
  Board* const board = own_board();
  if (board == nullptr) {
    return;
  }
  if (!RecoveryInProgress()) {
    read_slots(draft);
    read_senders(draft);
  }
  find_budgets(draft);
  publish(*board, draft);
}

bool listen() {
  static XLogRecPtr replayed = InvalidXLogRecPtr;
  static TimestampTz received = 0;
  static XLogRecPtr end = InvalidXLogRecPtr;
  Board* const board = own_board();
  if (board == nullptr) {
    return false;
  }
  const Message message = last_message();
  // A receiver begins with both set to the present, by its own clock.
  if (message.received_at != received && message.sent_at != message.received_at) {
    lock(*board, LW_EXCLUSIVE);
    board->offset.on_message(message.sent_at, message.received_at);
    if (message.end != end) {
      board->history.add({message.end, message.sent_at});
    }
    unlock(*board);
    received = message.received_at;
    end = message.end;
  }
  const XLogRecPtr before = replayed;
  replayed = GetXLogReplayRecPtr(nullptr);
  return replayed != before;
}

void observe() {
  static pg::Statement select(
      "SELECT write_sequence, last_heartbeat, wal_lsn FROM eav.replication_heartbeat "
      "WHERE node_type = 'primary' AND wal_lsn IS NOT NULL ORDER BY write_sequence DESC LIMIT 1",
      {});
  static int64 seen = 0;
  Board* const board = own_board();
  if (board == nullptr) {
    return;
  }
  select.run({});
  if (SPI_processed == 0 || has_null(0, 3)) {
    return;
  }
  const int64 sequence = DatumGetInt64(pg::cell(0, 1).value);
  const TimestampTz sent_at = DatumGetTimestampTz(pg::cell(0, 2).value);
  const XLogRecPtr position = DatumGetLSN(pg::cell(0, 3).value);
  const TimestampTz now = GetCurrentTimestamp();
  lock(*board, LW_EXCLUSIVE);
  const std::optional<core::Micros> offset = board->offset.estimate(now);
  // Without a message of the sender nothing is known of the clocks, and so nothing of the lag.
  if (offset && (sequence != seen || !board->heartbeat.has_heard())) {
    board->heartbeat.on_heartbeat(sent_at, now, *offset - sender_behind(*board, position, sent_at),
                                  sequence - seen);
    seen = sequence;
  }
  unlock(*board);
}

void forget_measurements() {
  if (Board* const board = own_board()) {
    lock(*board, LW_EXCLUSIVE);
    board->history.forget();
    board->heartbeat.forget();
    unlock(*board);
  }
}

}  // namespace eav::freshness

EAV_FUNCTION(eav_heartbeat) {
  using namespace eav::freshness;
  PreventCommandDuringRecovery("eav.heartbeat()");
  SPI_connect();
  Beat beat = {};
  eav::pg::as_owner(heartbeat_table(), [&] { beat = write_heartbeat(); });
  SPI_finish();
  request_refresh();
  if (!beat.is_written) {
    const eav::pg::Column none = eav::pg::Column::null();
    return eav::pg::row(fcinfo, {none, none, none, none});
  }
  return eav::pg::row(
      fcinfo,
      {eav::pg::text(own_node_id()), eav::pg::Column(TimestampTzGetDatum(beat.sent_at)),
       eav::pg::Column(Int64GetDatum(beat.sequence)), eav::pg::Column(LSNGetDatum(beat.position))});
}

EAV_FUNCTION(eav_note_report) {
  using namespace eav::freshness;
  const char* const id = text_to_cstring(PG_GETARG_TEXT_PP(0));
  Board* const board = own_board();
  if (board == nullptr) {
    PG_RETURN_VOID();
  }
  const TimestampTz now = GetCurrentTimestamp();
  lock(*board, LW_EXCLUSIVE);
  if (eav::freshness::Node* const node = find_node(board->nodes, id)) {
    node->measure = Measure::report;
    node->as_of = PG_GETARG_TIMESTAMPTZ(1);
    node->seen_at = now;
  }
  unlock(*board);
  PG_RETURN_VOID();
}
