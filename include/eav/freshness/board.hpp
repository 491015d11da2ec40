// The board in shared memory: what this server knows of the nodes, one board for each database.
// Protocol in board.cpp.
#pragma once

#include <atomic>
#include <optional>
#include <span>

#include "eav/core/breaker.hpp"
#include "eav/core/heartbeat_lag.hpp"
#include "eav/core/position_history.hpp"
#include "eav/pg/postgres.hpp"
#include "eav/pg/shared_memory.hpp"

extern "C" {
#include <storage/lwlock.h>
}

namespace eav::freshness {

constexpr int max_nodes = 32;    // as eav._limit_nodes() has it
constexpr int max_budgets = 32;  // more are not looked at
constexpr int name_size = 64;
constexpr int conninfo_size = 512;

struct ReadPath {
  char name[name_size];
  core::NodeRole role;
  core::Budget budget;
  core::Consistency consistency;
  core::Fallback fallback;
  core::Micros retry_after;  // 0: not given
};

// By what the lag of a node is measured.
enum class Measure : uint8 { none, self, walsender, slot, report };

struct Node {
  char id[name_size];
  char conninfo[conninfo_size];  // empty: none
  core::NodeRole role;
  bool is_listed;  // in eav.nodes
  bool is_enabled;
  bool lacks_path;    // its read_path is unknown
  bool is_ambiguous;  // several standbys have its name
  bool is_old;        // its walsender would have ended if its standby were gone
  core::Budget budget;
  Measure measure;
  int process;          // walsender, or reader of the slot; 0: none
  uint64 position;      // of a slot
  TimestampTz as_of;    // of a report
  TimestampTz seen_at;  // when position or as_of was read
  core::Breaker breaker;
};

struct Nodes {
  int count;
  Node node[max_nodes];
};

struct Board {
  Oid database;  // whose it is
  LWLock lock;   // for all that follows, but for the atomics

  TimestampTz refreshed_at;  // 0: never
  bool in_recovery;          // when it was refreshed
  Nodes nodes;
  int read_path_count;
  ReadPath read_paths[max_budgets];

  core::PositionHistory history;  // of heartbeats on the primary, of messages on a standby
  core::HeartbeatLag heartbeat;   // on a standby
  core::ClockOffset offset;       // of the sender of WAL, on a standby
  core::RateLimit fallbacks;

  std::atomic<uint32> turn;
  std::atomic<bool> is_refresh_wanted;
};

extern pg::SharedArea board_area;

// The board of this database; null when there is no room for one.
Board* own_board();
// The same; raises program_limit_exceeded with a hint.
Board& required_board();

// With the lock held nothing may be raised.
void lock(Board& board, LWLockMode mode);
void unlock(Board& board);

// Null when there is none.
Node* find_node(Nodes& nodes, const char* id);
Node* find_self(Nodes& nodes);
const ReadPath* find_read_path(std::span<const ReadPath> paths, const char* name);
const ReadPath* find_read_path(const Board& board, const char* name);
// A copy, made under the lock. nullopt when the worker has not read any yet; raises
// undefined_object when there is none of that name.
std::optional<ReadPath> read_path_named(Board& board, const char* name);

// Asks the worker to look at all nodes now.
void request_refresh();
bool is_refresh_wanted();

// Of this server: eav.node_id, or cluster_name, or host:port.
const char* own_node_id();

// Time between two heartbeats, for those who measure by them.
core::Micros heartbeat_period();

core::BreakerPolicy policy_of(const Node& node);

}  // namespace eav::freshness
