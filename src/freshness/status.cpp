// How old things are, as rows: eav.check_replication_lag(), eav.freshness() and its headers.
#include "eav/freshness/status.hpp"

#include <algorithm>

#include "eav/freshness/measure.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/jsonb.hpp"
#include "eav/pg/row.hpp"

extern "C" {
#include <utils/datetime.h>
#include <utils/json.h>
}

namespace eav::freshness {

namespace {

using core::Consistency;
using core::NodeRole;

struct Status {
  NodeRole role;
  core::Budget budget;
  Measurement measured;
};

pg::Column seconds(const std::optional<core::Micros>& lag) {
  return lag ? pg::Column(Float8GetDatum(static_cast<double>(*lag) / core::one_second))
             : pg::Column::null();
}

pg::Column bytes(const std::optional<int64>& count) {
  return count ? pg::Column(Int64GetDatum(*count)) : pg::Column::null();
}

pg::Column time(TimestampTz at) {
  return at != 0 ? pg::Column(TimestampTzGetDatum(at)) : pg::Column::null();
}

// Of the budget table, also when the server is not on the board yet.
core::Budget own_budget(Board& board, NodeRole role) {
  const Node* const self = find_self(board.nodes);
  if (self != nullptr && self->role == role) {
    return self->budget;
  }
  const ReadPath* const path = find_read_path(board, core::name_of(role).data());
  return path != nullptr ? path->budget : core::Budget{};
}

Status status_of_self(Board& board) {
  lock(board, LW_SHARED);
  const NodeRole role = own_role();
  const Status status = {role, own_budget(board, role), measure_self(board, GetCurrentTimestamp())};
  unlock(board);
  return status;
}

Consistency consistency_of(const Status& status) {
  if (status.role == NodeRole::primary) {
    return Consistency::strong;
  }
  const std::optional<core::Micros>& lag = status.measured.lag;
  return lag && *lag <= status.budget.max_lag ? Consistency::bounded : Consistency::eventual;
}

void put_node(ReturnSetInfo* result, const char* id, const Status& status) {
  const Measurement& measured = status.measured;
  pg::put_row(
      result,
      {pg::text(id), pg::text(core::name_of(status.role)),
       pg::text(core::name_of(core::state_of(measured.lag, status.budget))), seconds(measured.lag),
       bytes(measured.bytes),
       measured.measured_by != nullptr ? pg::text(measured.measured_by) : pg::Column::null(),
       time(measured.seen_at),
       measured.detail[0] != '\0' ? pg::text(measured.detail) : pg::Column::null()});
}

// Nothing can be raised, and so no row be formed, while the lock is held.
struct Listing {
  int count;
  char id[max_nodes][name_size];
  Status status[max_nodes];
};

Listing* list(Board& board) {
  auto* const listing = static_cast<Listing*>(palloc0(sizeof(Listing)));
  lock(board, LW_SHARED);
  const TimestampTz now = GetCurrentTimestamp();
  const Node* const self = find_self(board.nodes);
  for (int i = 0; i < board.nodes.count; ++i) {
    const Node& node = board.nodes.node[i];
    const bool is_self = &node == self;
    Status& status = listing->status[listing->count];
    strlcpy(listing->id[listing->count++], node.id, name_size);
    status.role = role_of(node, is_self);
    status.budget = is_self ? own_budget(board, status.role) : node.budget;
    status.measured = measure(board, node, is_self, now);
  }
  unlock(board);
  return listing;
}

void push_header(JsonbParseState** state, const char* name, const char* value) {
  JsonbValue key = pg::string_value(name);
  JsonbValue content = pg::string_value(value);
  pushJsonbValue(state, WJB_BEGIN_OBJECT, nullptr);
  pushJsonbValue(state, WJB_KEY, &key);
  pushJsonbValue(state, WJB_VALUE, &content);
  pushJsonbValue(state, WJB_END_OBJECT, nullptr);
}

const char* time_in_utc(TimestampTz at) {
  if (at == 0) {
    return "unknown";
  }
  const int utc = 0;
  auto* const text = static_cast<char*>(palloc(MAXDATELEN + 1));
  return JsonEncodeDateTime(text, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc);
}

Jsonb* headers(const Status& status) {
  const std::optional<core::Micros>& lag = status.measured.lag;
  JsonbParseState* state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_ARRAY, nullptr);
  push_header(&state, "X-Data-Node", own_node_id());
  push_header(&state, "X-Data-Source", core::name_of(status.role).data());
  push_header(&state, "X-Data-Lag-Seconds",
              lag ? psprintf("%.3f", static_cast<double>(*lag) / core::one_second) : "unknown");
  push_header(&state, "X-Data-Timestamp", time_in_utc(status.measured.as_of));
  push_header(&state, "X-Consistency-Level", core::name_of(consistency_of(status)).data());
  push_header(&state, "X-Data-Freshness", core::badge_of(lag, status.budget.max_lag).data());
  return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, nullptr));
}

}  // namespace

Answer answer_of_self() {
  const Status status = status_of_self(required_board());
  return {core::name_of(status.role), status.measured.lag, core::name_of(consistency_of(status))};
}

}  // namespace eav::freshness

EAV_FUNCTION(eav_check_replication_lag) {
  using namespace eav::freshness;
  InitMaterializedSRF(fcinfo, 0);
  auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  Board& board = required_board();
  const Listing* const listing = list(board);
  bool has_self = false;
  for (int i = 0; i < listing->count; ++i) {
    has_self = has_self || strcmp(listing->id[i], own_node_id()) == 0;
    put_node(result, listing->id[i], listing->status[i]);
  }
  if (!has_self) {
    put_node(result, own_node_id(), status_of_self(board));
  }
  return Datum(0);
}

EAV_FUNCTION(eav_freshness) {
  using namespace eav;
  const freshness::Status status = freshness::status_of_self(freshness::required_board());
  const freshness::Measurement& measured = status.measured;
  return pg::row(fcinfo, {pg::text(freshness::own_node_id()), pg::text(core::name_of(status.role)),
                          pg::text(core::name_of(core::state_of(measured.lag, status.budget))),
                          freshness::seconds(measured.lag), freshness::time(measured.as_of),
                          pg::text(core::name_of(freshness::consistency_of(status))),
                          pg::text(core::badge_of(measured.lag, status.budget.max_lag))});
}

EAV_FUNCTION(eav_freshness_headers) {
  using namespace eav::freshness;
  Board& board = required_board();
  Status status = status_of_self(board);
  if (!PG_ARGISNULL(0)) {
    const char* const name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    const std::optional<ReadPath> path = read_path_named(board, name);
    status.budget = path ? path->budget : eav::core::Budget{};
  }
  return JsonbPGetDatum(headers(status));
}
