// The router: eav.route_read(), what it is told of reads, and its breakers. The decision itself is
// in core/router.cpp; here is what it decides over.
#include <algorithm>

#include "eav/core/router.hpp"
#include "eav/freshness/measure.hpp"
#include "eav/freshness/token.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/interval.hpp"
#include "eav/pg/row.hpp"
#include "eav/settings.hpp"

namespace eav::freshness {

namespace {

using core::Consistency;
using core::Fallback;
using core::Micros;
using core::NodeRole;

// As asked for, by the caller and the read path.
struct Wish {
  bool is_known;  // false: the worker has not read the read path yet
  core::ReadRequest request;
  Consistency promised;  // when all is well
  Micros retry_after;
  bool has_token;
  XLogRecPtr position;   // of the token
  bool is_reached_here;  // the token, by this server
};

// What is copied from the board before its lock is released.
struct Answer {
  core::Route route;
  NodeRole role;
  char id[name_size];
  char conninfo[conninfo_size];
  std::optional<Micros> lag;
};

constexpr Answer no_answer = {{-1, true, core::RouteReason::no_node}, {}, {}, {}, {}};

// Without a row in eav.freshness_budget.
constexpr Micros usual_bounded_lag = 5 * core::one_second;
constexpr Micros usual_eventual_lag = 30 * core::one_second;

Micros usual_lag(Board& board, Consistency consistency) {
  const bool is_bounded = consistency != Consistency::eventual;
  lock(board, LW_SHARED);
  const ReadPath* const path = find_read_path(board, is_bounded ? "replica" : "near_real_time");
  const Micros lag = path != nullptr ? path->budget.max_lag
                     : is_bounded    ? usual_bounded_lag
                                     : usual_eventual_lag;
  unlock(board);
  return lag;
}

Consistency consistency_from(const text* input) {
  const char* const name = text_to_cstring(input);
  const std::optional<Consistency> consistency = core::consistency_named(name);
  if (!consistency) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("consistency \"%s\" is not valid", name),
                    errdetail("Possible values are strong, bounded and eventual.")));
  }
  return *consistency;
}

void apply_path(const ReadPath& path, Wish& wish) {
  wish.request.wanted = path.role;
  wish.request.max_lag = path.budget.max_lag;
  wish.request.fallback = path.fallback;
  wish.retry_after = path.retry_after;
  if (wish.request.consistency == Consistency::strong) {
    return;
  }
  wish.promised = path.consistency;
  // Something that is strong without being the primary, such as a write-through cache, is chosen by
  // its lag.
  wish.request.consistency = path.role == NodeRole::primary            ? Consistency::strong
                             : path.consistency == Consistency::strong ? Consistency::bounded
                                                                       : path.consistency;
}

Micros max_lag_from(const Interval& interval) {
  const int64 milliseconds = pg::milliseconds_of(interval);
  if (milliseconds < 0) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_lag must not be negative")));
  }
  return milliseconds * 1000;
}

void apply_token(const text* input, Wish& wish) {
  const core::Token token = token_from(input);
  wish.has_token = true;
  wish.position = token.position;
  wish.is_reached_here = is_reached(token);
}

Wish wish_from(FunctionCallInfo fcinfo, Board& board) {
  if (PG_ARGISNULL(0)) {
    ereport(ERROR,
            (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("consistency must not be null")));
  }
  Wish wish = {};
  wish.promised = consistency_from(PG_GETARG_TEXT_PP(0));
  wish.request = {wish.promised, NodeRole::replica, usual_lag(board, wish.promised),
                  Fallback::primary};
  wish.is_known = true;
  if (!PG_ARGISNULL(2)) {
    const std::optional<ReadPath> path =
        read_path_named(board, text_to_cstring(PG_GETARG_TEXT_PP(2)));
    wish.is_known = path.has_value() || wish.request.consistency == Consistency::strong;
    apply_path(path.value_or(ReadPath{}), wish);
  }
  if (!PG_ARGISNULL(1)) {
    wish.request.max_lag = max_lag_from(*PG_GETARG_INTERVAL_P(1));
  }
  if (!PG_ARGISNULL(3)) {
    apply_token(PG_GETARG_TEXT_PP(3), wish);
  }
  return wish;
}

struct Choice {
  int count;
  core::Candidate candidate[max_nodes + 2];
  Node* node[max_nodes + 2];  // null: this server, which is not on the board
  core::Breaker of_self;      // who is asked is there
};

void add(const Board& board, Node* node, bool is_self, const Wish& wish, TimestampTz now,
         Choice& choice) {
  core::Candidate& candidate = choice.candidate[choice.count];
  choice.node[choice.count++] = node;
  candidate.role = is_self ? own_role() : node->role;
  candidate.is_self = is_self;
  candidate.is_usable =
      node == nullptr || (node->is_enabled && (is_self || node->conninfo[0] != '\0'));
  candidate.lag = (is_self ? measure_self(board, now) : measure(board, *node, false, now)).lag;
  candidate.has_token = !wish.has_token ||
                        (is_self ? wish.is_reached_here : has_reached(board, *node, wish.position));
  candidate.policy = policy_of(node != nullptr ? *node : Node{});
  candidate.breaker = is_self && candidate.role == NodeRole::primary ? &choice.of_self
                      : node != nullptr                              ? &node->breaker
                                                                     : &choice.of_self;
}

void gather(Board& board, const Wish& wish, TimestampTz now, Choice& choice) {
  Node* const self = find_self(board.nodes);
  choice.count = 0;
  choice.of_self = core::Breaker{};
  for (int i = 0; i < board.nodes.count; ++i) {
    Node* const node = &board.nodes.node[i];
    // On the board of before a promotion another node may still be the primary.
    const bool is_deposed =
        node != self && node->role == NodeRole::primary && !RecoveryInProgress();
    if (!is_deposed) {
      add(board, node, node == self, wish, now, choice);
    }
  }
  if (self == nullptr) {
    add(board, nullptr, true, wish, now, choice);
  }
}

void add_unknown_replica(Choice& choice) {
  core::Candidate& unknown = choice.candidate[choice.count];
  choice.node[choice.count++] = nullptr;
  unknown = {};
  unknown.role = NodeRole::replica;
  unknown.is_usable = true;
  unknown.breaker = &choice.of_self;
}

Answer answer_of(const Choice& choice, const core::Route& route) {
  Answer answer = {};
  answer.route = route;
  if (route.node < 0) {
    return answer;
  }
  const core::Candidate& chosen = choice.candidate[route.node];
  answer.role = chosen.role;
  answer.lag = chosen.lag;
  const Node* const node = choice.node[route.node];
  strlcpy(answer.id, node != nullptr ? node->id : own_node_id(), sizeof(answer.id));
  strlcpy(answer.conninfo, node != nullptr ? node->conninfo : "", sizeof(answer.conninfo));
  return answer;
}

Answer decide(Board& board, const Wish& wish) {
  static Choice choice;
  const TimestampTz now = GetCurrentTimestamp();
  const uint32 turn = board.turn.fetch_add(1);
  lock(board, LW_EXCLUSIVE);
  gather(board, wish, now, choice);
  // Nothing is known of replicas yet: a read that wants one falls back.
  if (board.refreshed_at == 0) {
    add_unknown_replica(choice);
  }
  const core::Route route =
      core::route({choice.candidate, static_cast<std::size_t>(choice.count)}, wish.request,
                  {&board.fallbacks, settings.fallback_limit}, turn, now);
  const Answer answer = answer_of(choice, route);
  unlock(board);
  return answer;
}

Consistency received(const Answer& answer, const Wish& wish) {
  if (answer.role == NodeRole::primary) {
    return Consistency::strong;
  }
  return answer.route.is_degraded ? Consistency::eventual : wish.promised;
}

pg::Column reason(const Answer& answer, const Wish& wish) {
  if (!wish.is_known) {
    return pg::text("the worker has not read eav.freshness_budget yet, try again later");
  }
  if (answer.route.reason == core::RouteReason::aborted && wish.retry_after > 0) {
    return pg::text(psprintf("no node is within the limit, try again in %.0f s",
                             static_cast<double>(wish.retry_after) / core::one_second));
  }
  return pg::text(core::text_of(answer.route.reason));
}

void report(FunctionCallInfo fcinfo, bool has_failed) {
  if (PG_ARGISNULL(0)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("node_id must not be null")));
  }
  const char* const id = text_to_cstring(PG_GETARG_TEXT_PP(0));
  Board& board = required_board();
  const TimestampTz now = GetCurrentTimestamp();
  lock(board, LW_EXCLUSIVE);
  Node* const node = find_node(board.nodes, id);
  if (node != nullptr && has_failed) {
    node->breaker.on_failure(policy_of(*node), now);
  } else if (node != nullptr) {
    node->breaker.on_success();
  }
  unlock(board);
  if (node == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("node \"%s\" does not exist", id),
                    errhint("A new row of eav.nodes is known within eav.heartbeat_interval.")));
  }
}

}  // namespace

}  // namespace eav::freshness

EAV_FUNCTION(eav_route_read) {
  using namespace eav;
  freshness::Board& board = freshness::required_board();
  const freshness::Wish wish = freshness::wish_from(fcinfo, board);
  const freshness::Answer answer =
      wish.is_known ? freshness::decide(board, wish) : freshness::no_answer;
  const pg::Column none = pg::Column::null();
  if (answer.route.node < 0) {
    return pg::row(fcinfo, {none, none, pg::text("none"), none, none,
                            pg::Column(BoolGetDatum(true)), freshness::reason(answer, wish)});
  }
  return pg::row(
      fcinfo,
      {pg::text(answer.id), answer.conninfo[0] != '\0' ? pg::text(answer.conninfo) : none,
       pg::text(core::name_of(answer.role)),
       answer.lag ? pg::Column(Float8GetDatum(static_cast<double>(*answer.lag) / core::one_second))
                  : none,
       pg::text(core::name_of(freshness::received(answer, wish))),
       pg::Column(BoolGetDatum(answer.route.is_degraded)), freshness::reason(answer, wish)});
}

EAV_FUNCTION(eav_report_read_failure) {
  eav::freshness::report(fcinfo, true);
  PG_RETURN_VOID();
}

EAV_FUNCTION(eav_report_read_success) {
  eav::freshness::report(fcinfo, false);
  PG_RETURN_VOID();
}

EAV_FUNCTION(eav_breaker_status) {
  using namespace eav::freshness;
  InitMaterializedSRF(fcinfo, 0);
  auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  Board& board = required_board();
  auto* const nodes = static_cast<Nodes*>(palloc(sizeof(Nodes)));
  lock(board, LW_SHARED);
  *nodes = board.nodes;
  unlock(board);
  for (int i = 0; i < nodes->count; ++i) {
    const eav::freshness::Node& node = nodes->node[i];
    const auto time = [](std::optional<eav::core::Micros> at) {
      return at ? eav::pg::Column(TimestampTzGetDatum(*at)) : eav::pg::Column::null();
    };
    eav::pg::put_row(
        result, {eav::pg::text(node.id), eav::pg::text(eav::core::name_of(node.breaker.state())),
                 eav::pg::text(eav::core::name_of(node.breaker.cause())),
                 eav::pg::Column(Int32GetDatum(node.breaker.failures())),
                 time(node.breaker.since()), time(node.breaker.changes_at(policy_of(node)))});
  }
  return Datum(0);
}
