// What this server knows of the nodes, kept in shared memory so that a route costs no look at a
// table.
//
// The worker writes: tables and system views once per heartbeat, its own measurements as they come
// (sample.cpp). Backends read, and write two things: breakers and the report of a node. All of it
// is under one LWLock for each database, held for a few microseconds, with nothing in between that
// can raise. What changes faster than the worker looks (how far a standby has replayed, whether the
// receiver runs) is not on the board but read where the server keeps it (measure.cpp).
//
// A board belongs to the door of its database (ingest/door.cpp), by number, and is wiped when
// another database comes. With preload there are eav.ring_databases of them, without it there is
// one, which fits into what every server keeps for latecomers.
//
// Races accepted: between two looks of the worker a node can be known by what it was before. After
// a promotion nothing but the server itself is known until the worker has looked.
#include "eav/freshness/board.hpp"

#include "eav/ingest/door.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <postmaster/postmaster.h>
#include <storage/latch.h>
#include <storage/proc.h>
#include <unistd.h>
}

#include <algorithm>
#include <new>

namespace eav::freshness {

namespace {

struct Boards {
  int tranche;
  uint32 count;
  Board board[1];  // and more
};

// The postmaster makes the area when the library is preloaded, a backend when it is not.
uint32 board_count() {
  return IsUnderPostmaster ? 1 : static_cast<uint32>(settings.ring_databases);
}

Size size_of_boards() { return offsetof(Boards, board) + board_count() * sizeof(Board); }

void wipe(Board& board, int tranche) {
  new (&board) Board();
  LWLockInitialize(&board.lock, tranche);
}

void initialize_boards(void* memory) {
  auto* const boards = static_cast<Boards*>(memory);
  boards->tranche = LWLockNewTrancheId();
  boards->count = board_count();
  for (uint32 i = 0; i < boards->count; ++i) {
    wipe(boards->board[i], boards->tranche);
  }
}

Boards* boards() {
  static Boards* attached = nullptr;
  if (attached == nullptr) {
    attached = static_cast<Boards*>(pg::shared_memory(board_area));
    LWLockRegisterTranche(attached->tranche, "eav_freshness");
  }
  return attached;
}

// Another database had the door before.
void claim(Board& board) {
  LWLockAcquire(&board.lock, LW_EXCLUSIVE);
  if (board.database != MyDatabaseId) {
    // Not the lock that we hold.
    constexpr Size after_lock = offsetof(Board, refreshed_at);
    memset(reinterpret_cast<char*>(&board) + after_lock, 0, sizeof(Board) - after_lock);
    board.database = MyDatabaseId;
  }
  LWLockRelease(&board.lock);
}

}  // namespace

pg::SharedArea board_area = {"eav_ext freshness", false, size_of_boards, initialize_boards,
                             nullptr};

Board* own_board() {
  static Board* own = nullptr;
  if (own == nullptr) {
    const ingest::Door* const door = ingest::own_door();
    if (door == nullptr || ingest::number_of(*door) >= boards()->count) {
      return nullptr;
    }
    Board* const board = &boards()->board[ingest::number_of(*door)];
    claim(*board);
    own = board;
  }
  return own;
}

Board& required_board() {
  Board* const board = own_board();
  if (board == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("too many databases measure their freshness"),
                    errhint("Preload eav_ext, and raise eav.ring_databases.")));
  }
  return *board;
}

void lock(Board& board, LWLockMode mode) { LWLockAcquire(&board.lock, mode); }
void unlock(Board& board) { LWLockRelease(&board.lock); }

Node* find_node(Nodes& nodes, const char* id) {
  for (int i = 0; i < nodes.count; ++i) {
    if (strcmp(nodes.node[i].id, id) == 0) {
      return &nodes.node[i];
    }
  }
  return nullptr;
}

Node* find_self(Nodes& nodes) { return find_node(nodes, own_node_id()); }

const ReadPath* find_read_path(std::span<const ReadPath> paths, const char* name) {
  const auto found = std::find_if(paths.begin(), paths.end(), [name](const ReadPath& path) {
    return strcmp(path.name, name) == 0;
  });
  return found == paths.end() ? nullptr : &*found;
}

const ReadPath* find_read_path(const Board& board, const char* name) {
  return find_read_path({board.read_paths, static_cast<std::size_t>(board.read_path_count)}, name);
}

std::optional<ReadPath> read_path_named(Board& board, const char* name) {
  lock(board, LW_SHARED);
  const ReadPath* const found = find_read_path(board, name);
  const auto path = found != nullptr ? std::optional<ReadPath>(*found) : std::nullopt;
  const bool has_looked = board.refreshed_at != 0;
  unlock(board);
  if (!path && has_looked) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("read path \"%s\" does not exist", name),
             errhint("See eav.freshness_budget.")));
  }
  return path;
}

void request_refresh() {
  Board* const board = own_board();
  const ingest::Door* const door = ingest::own_door();
  const int worker = door != nullptr ? door->worker.load() : -1;
  if (board != nullptr && !board->is_refresh_wanted.exchange(true) && worker >= 0) {
    SetLatch(&ProcGlobal->allProcs[worker].procLatch);
  }
}

bool is_refresh_wanted() {
  const Board* const board = own_board();
  return board != nullptr && board->is_refresh_wanted;
}

const char* own_node_id() {
  static char address[name_size];
  static char cluster[name_size];
  if (settings.node_id[0] != '\0') {
    return settings.node_id;
  }
  if (cluster_name[0] != '\0') {
    strlcpy(cluster, cluster_name, sizeof(cluster));
    return cluster;
  }
  if (address[0] == '\0') {
    char host[name_size - 6] = "";
    gethostname(host, sizeof(host) - 1);
    snprintf(address, sizeof(address), "%s:%d", host, PostPortNumber);
  }
  return address;
}

core::Micros heartbeat_period() {
  constexpr int when_there_are_none = 1000;
  const int ms =
      settings.heartbeat_interval > 0 ? settings.heartbeat_interval : when_there_are_none;
  return static_cast<core::Micros>(ms) * 1000;
}

core::BreakerPolicy policy_of(const Node& node) {
  core::BreakerPolicy policy;
  policy.failures = settings.breaker_failures;
  policy.open_time = static_cast<core::Micros>(settings.breaker_open_time) * core::one_second;
  policy.close_time = static_cast<core::Micros>(settings.breaker_close_time) * core::one_second;
  policy.max_lag = node.budget.max_lag;
  // No measurement is below a target of zero.
  policy.close_lag = node.budget.target_lag > 0 ? node.budget.target_lag : policy.max_lag;
  return policy;
}

}  // namespace eav::freshness
