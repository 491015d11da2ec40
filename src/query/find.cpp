// eav.find_entities(): candidates in the order that is asked for, each checked, until the page is
// full.
//
// Where candidates come from:
//   stream  what indexes know about the filter (sources.hpp), in the order of entities
//   walk    all entities of the tenant, in their order
//   order   an index on the attribute that is sorted by
// A stream that has to be collected as a whole is not the first choice: when every tenth entity
// meets the filter, a page is full after a short walk. So a walk is tried first, and goes on as
// long as it promises to be the shorter way.
#include "eav/query/find.hpp"

#include <algorithm>
#include <numeric>

#include "eav/ingest/staged_row.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/row.hpp"
#include "eav/query/value_key.hpp"
#include "eav/settings.hpp"
#include "eav/stats/reads.hpp"

extern "C" {
#include <optimizer/plancat.h>
}

namespace eav::query {

namespace {

using core::FindCursor;

// An entity in the order of the query.
struct Place {
  int64 entity_id;
  uint8 size;  // of the key; 0: without value
  uint8 key[core::ValueKey::max_bytes];

  std::span<const uint8> bytes() const { return {key, size}; }
};

Place place_of(int64 entity_id, std::span<const uint8> key) {
  Place place;
  place.entity_id = entity_id;
  place.size = static_cast<uint8>(key.size());
  std::copy(key.begin(), key.end(), place.key);
  return place;
}

class Precedes {
 public:
  explicit Precedes(bool is_descending) : is_descending_(is_descending) {}

  bool operator()(const Place& left, const Place& right) const {
    if ((left.size == 0) != (right.size == 0)) {
      return right.size == 0;
    }
    const Place& first = is_descending_ ? right : left;
    const Place& second = is_descending_ ? left : right;
    const int order =
        memcmp(first.key, second.key, static_cast<std::size_t>(Min(first.size, second.size)));
    if (order != 0 || first.size != second.size) {
      return order != 0 ? order < 0 : first.size < second.size;
    }
    return first.entity_id < second.entity_id;
  }

 private:
  bool is_descending_;
};

// How the work for an entity compares: to check it after the one before it, or after one somewhere
// else, to read an entry of a B-tree, to fetch a row that a GIN index names.
constexpr double cost_of_walking = 2.0;
constexpr double cost_of_jumping = 5.0;
constexpr double cost_of_entry = 0.1;
constexpr double cost_of_fetching = 1.0;

double cost_of_collecting(const Stream& stream) {
  switch (stream.kind) {
    case Stream::Kind::gin:
      return cost_of_fetching;
    case Stream::Kind::all_of:
    case Stream::Kind::any_of:
      return std::accumulate(
          stream.children.begin(), stream.children.end(), 0.0,
          [](double sum, const Stream* child) { return sum + cost_of_collecting(*child); });
    default:
      return cost_of_entry;
  }
}

double count_roughly(const char* table) {
  Relation const relation = table_open(pg::relation_oid(table), AccessShareLock);
  BlockNumber pages = 0;
  double rows = 0;
  double all_visible = 0;
  estimate_rel_size(relation, nullptr, &pages, &rows, &all_visible);
  table_close(relation, NoLock);
  return rows;
}

struct Request {
  int64 tenant_id;
  JsonPath* path;
  const text* order_by;
  int64 limit;
  const text* after;
  ArrayType* attributes;
};

class Find {
 public:
  Find(const Request& request, ReturnSetInfo* result)
      : request_(request),
        result_(result),
        attributes_(request.tenant_id),
        documents_(attributes_),
        filter_(make_filter(request.path, attributes_)),
        order_(make_order(request.order_by, attributes_)),
        precedes_(order_.is_descending),
        candidate_(
            AllocSetContextCreate(CurrentMemoryContext, "eav candidate", ALLOCSET_DEFAULT_SIZES)) {
    if (request.attributes != nullptr) {
      shown_ = find_attributes(request.attributes, attributes_);
    }
    read_cursor();
    count_uses();
  }

  void run() {
    plan_ = make_plan(filter_, order_, request_.tenant_id);
    if (plan_.is_scan) {
      require_scan();
    }
    if (plan_.finds_nothing) {
      // No entity.
    } else if (!order_.is_by_value) {
      by_entity();
    } else if (plan_.in_order) {
      by_index(*plan_.in_order);
    } else {
      collect(false);
    }
    close_plan(plan_);
    documents_.close();
    attributes_.close();
  }

 private:
  void read_cursor();
  void count_uses() const;
  uint64 query_hash() const;

  bool is_full() const { return found_ >= request_.limit; }
  void require_scan();
  bool check();
  void emit(std::span<const uint8> key);
  std::span<const uint8> key_of_open(core::ValueKey& key);

  void by_entity();
  bool walk_as_long_as_it_pays(int64& at);
  bool pays_to_go_on(double step, double per_candidate, const std::optional<int64>& at);
  std::optional<int64> next_candidate(Stream* stream, int64 at_least);

  void by_index(const KeyIndex& index);
  bool take_entries(KeyScan& scan);
  void without_value();
  void collect(bool without_value_only);
  bool is_wanted(const core::ArenaVector<Place>& best, const Place& place) const;
  void keep(core::ArenaVector<Place>& best, const Place& place) const;

  const Request request_;
  ReturnSetInfo* result_;
  Attributes attributes_;
  Documents documents_;
  Filter filter_;
  Order order_;
  Precedes precedes_;
  MemoryContext candidate_;
  std::optional<std::span<const Attribute* const>> shown_;
  std::optional<Place> after_;
  uint64 hash_ = 0;
  Plan plan_{};
  int64 found_ = 0;
  int64 walked_ = 0;
  int64 end_of_walk_ = PG_INT64_MAX;
  double rows_ = -1;  // of all tenants; below 0: not asked for yet
};

uint64 Find::query_hash() const {
  const auto bytes = [](const void* data, Size size) {
    return std::span(static_cast<const uint8*>(data), size);
  };
  core::QueryHash hash;
  hash.add(bytes(&request_.tenant_id, sizeof(request_.tenant_id)));
  hash.add(request_.path == nullptr ? bytes(nullptr, 0)
                                    : bytes(request_.path, VARSIZE(request_.path)));
  hash.add(request_.order_by == nullptr
               ? bytes(nullptr, 0)
               : bytes(VARDATA_ANY(request_.order_by), VARSIZE_ANY_EXHDR(request_.order_by)));
  return hash.value();
}

void Find::read_cursor() {
  hash_ = query_hash();
  if (request_.after == nullptr) {
    return;
  }
  const std::optional<FindCursor> cursor = FindCursor::decode(ingest::view_of(request_.after));
  if (!cursor || cursor->query() != hash_ || (!order_.is_by_value && !cursor->key().empty())) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             cursor ? errmsg("cursor belongs to another query") : errmsg("cursor is not valid"),
             errhint("Use the cursor of a row that the same tenant, filter and order returned.")));
  }
  after_ = place_of(cursor->entity_id(), cursor->key());
}

void Find::count_uses() const {
  for (const Attribute* const attribute : filter_.needed) {
    stats::count_filter(attribute->attribute_id);
  }
  if (order_.attribute != nullptr) {
    stats::count_filter(order_.attribute->attribute_id);
  }
}

// Raises when all entities of the tenant would have to be looked at, and they are too many.
void Find::require_scan() {
  const int64 most = settings.max_scan_entities;
  if (most < 0 || count_entities(request_.tenant_id, most + 1) <= most) {
    return;
  }
  ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                  errmsg("no index answers the query, and the tenant has more than %lld entities",
                         static_cast<long long>(most)),
                  errdetail("The limit is eav.max_scan_entities. eav.explain_find() tells more."),
                  errhint("Create an index with eav.create_attribute_index(), move attributes with "
                          "eav.promote_attribute() or eav.demote_attribute(), or SET "
                          "eav.max_scan_entities = -1.")));
}

// Whether the open entity meets the filter.
bool Find::check() {
  MemoryContextReset(candidate_);
  MemoryContext const caller = MemoryContextSwitchTo(candidate_);
  const bool result = is_met(filter_, documents_);
  MemoryContextSwitchTo(caller);
  return result;
}

void Find::emit(std::span<const uint8> key) {
  MemoryContextReset(candidate_);
  MemoryContext const caller = MemoryContextSwitchTo(candidate_);
  FindCursor::Text text;
  const std::string_view cursor = FindCursor(hash_, documents_.entity_id(), key).encode(text);
  Jsonb* const document = shown_ ? documents_.of(*shown_) : documents_.whole();
  pg::put_row(result_, {pg::Column(Int64GetDatum(documents_.entity_id())),
                        documents_.has_external_id() ? pg::Column(documents_.external_id())
                                                     : pg::Column::null(),
                        pg::Column(JsonbPGetDatum(document)), pg::text(cursor)});
  MemoryContextSwitchTo(caller);
  ++found_;
}

// Every entity when there is no stream.
std::optional<int64> Find::next_candidate(Stream* stream, int64 at_least) {
  if (stream == nullptr) {
    return documents_.next(at_least);
  }
  for (;;) {
    const std::optional<int64> candidate = seek(*stream, at_least);
    if (!candidate || documents_.open(*candidate)) {
      return candidate;
    }
    if (*candidate == PG_INT64_MAX) {
      return std::nullopt;
    }
    at_least = *candidate + 1;
  }
}

void Find::by_entity() {
  int64 at = PG_INT64_MIN;
  if (after_) {
    if (after_->entity_id == PG_INT64_MAX) {
      return;
    }
    at = after_->entity_id + 1;
  }
  if (plan_.stream != nullptr && is_costly(*plan_.stream) && !walk_as_long_as_it_pays(at)) {
    return;
  }
  while (!is_full()) {
    const std::optional<int64> candidate = next_candidate(plan_.stream, at);
    if (!candidate) {
      return;
    }
    if (check()) {
      emit({});
    }
    if (*candidate == PG_INT64_MAX) {
      return;
    }
    at = *candidate + 1;
  }
}

// Through all entities, or the candidates of what is cheap. Ends when the rest of the stream is
// worth its price; false when nothing is left to be found.
bool Find::walk_as_long_as_it_pays(int64& at) {
  Stream* const cheap = cheap_part(*plan_.stream);
  const double step = cheap == nullptr ? cost_of_walking : cost_of_jumping;
  while (!is_full()) {
    if (!pays_to_go_on(step, cost_of_collecting(*plan_.stream), at)) {
      return true;
    }
    const std::optional<int64> candidate = next_candidate(cheap, at);
    if (!candidate) {
      return false;
    }
    if (check()) {
      emit({});
    }
    if (*candidate == PG_INT64_MAX) {
      return false;
    }
    at = *candidate + 1;
    ++walked_;
  }
  return false;
}

// Compares what is left to be walked, as far as can be told from what was found, with what asking
// the stream for all of its candidates would cost. at: where the entities begin that are left, when
// it is known.
bool Find::pays_to_go_on(double step, double per_candidate, const std::optional<int64>& at) {
  constexpr int64 least = 500;
  constexpr int64 few = 5000;
  if (walked_ < least) {
    return true;
  }
  if (rows_ < 0) {
    rows_ = count_roughly("entity_jsonb");
    const int64 left = at ? count_entities(request_.tenant_id, few, *at) : few;
    if (left < few) {
      end_of_walk_ = walked_ + left;
    }
  }
  const double share = (static_cast<double>(found_) + 0.5) / static_cast<double>(walked_);
  const double to_walk = Min(static_cast<double>(request_.limit - found_) / share,
                             static_cast<double>(end_of_walk_ - walked_));
  return to_walk * step < share * rows_ * per_candidate;
}

// Ends with the candidates of the stream when it turns out that they are few, or far away.
void Find::by_index(const KeyIndex& index) {
  bool goes_on = true;
  if (!after_ || after_->size > 0) {
    KeyScan scan(index);
    std::optional<KeyScan::End> end;
    const std::optional<Place> begin = after_;
    if (begin) {
      scan.start_beside(begin->bytes(), begin->entity_id, !order_.is_descending);
      goes_on = take_entries(scan);
      end = KeyScan::End{begin->bytes(), false};
    }
    if (goes_on) {
      scan.start_between(order_.is_descending ? std::nullopt : end,
                         order_.is_descending ? end : std::nullopt);
      goes_on = take_entries(scan);
    }
    scan.close();
  }
  if (goes_on) {
    without_value();
  } else if (!is_full()) {
    collect(false);
  }
}

// An entry may be that of an older value: the entity then has its place elsewhere, or has come
// with an entry just before. False when it has not come to the end.
bool Find::take_entries(KeyScan& scan) {
  const ScanDirection direction =
      order_.is_descending ? BackwardScanDirection : ForwardScanDirection;
  while (!is_full()) {
    if (plan_.stream != nullptr &&
        !pays_to_go_on(cost_of_jumping, cost_of_collecting(*plan_.stream) + cost_of_walking,
                       std::nullopt)) {
      return false;
    }
    if (!scan.next(direction)) {
      return true;
    }
    ++walked_;
    const Place place = place_of(scan.entity_id(), scan.key());
    if (after_ && !precedes_(*after_, place)) {
      continue;
    }
    after_ = place;
    core::ValueKey key = core::ValueKey::of_null();
    if (documents_.open(place.entity_id) && std::ranges::equal(key_of_open(key), place.bytes()) &&
        check()) {
      emit(place.bytes());
    }
  }
  return false;
}

// Of the value that is sorted by; empty when there is none.
std::span<const uint8> Find::key_of_open(core::ValueKey& key) {
  MemoryContextReset(candidate_);
  JsonbValue value;
  if (order_.attribute == nullptr || !documents_.value(*order_.attribute, value)) {
    return {};
  }
  MemoryContext const caller = MemoryContextSwitchTo(candidate_);
  key = key_of(value);
  MemoryContextSwitchTo(caller);
  return key.bytes();
}

// Those that come last.
void Find::without_value() {
  const bool is_descending = order_.is_descending;
  if (plan_.stream != nullptr) {
    collect(true);
    return;
  }
  const bool is_inside = after_ && after_->size == 0;
  const int64 end = is_descending ? PG_INT64_MIN : PG_INT64_MAX;
  int64 at = is_descending ? PG_INT64_MAX : PG_INT64_MIN;
  if (is_inside) {
    if (after_->entity_id == end) {
      return;
    }
    at = after_->entity_id + (is_descending ? -1 : 1);
  }
  while (!is_full()) {
    const std::optional<int64> candidate =
        is_descending ? documents_.previous(at) : documents_.next(at);
    if (!candidate) {
      return;
    }
    core::ValueKey key = core::ValueKey::of_null();
    if (key_of_open(key).empty() && check()) {
      emit({});
    }
    if (*candidate == end) {
      return;
    }
    at = *candidate + (is_descending ? -1 : 1);
  }
}

// Looks at all candidates, and keeps those that come first in the order that is asked for, as a
// heap with the last one on top.
void Find::collect(bool without_value_only) {
  core::ArenaVector<Place> best(pg::arena_of(CurrentMemoryContext));
  for (int64 at = PG_INT64_MIN;;) {
    const std::optional<int64> candidate = next_candidate(plan_.stream, at);
    if (!candidate) {
      break;
    }
    core::ValueKey key = core::ValueKey::of_null();
    const Place place = place_of(*candidate, key_of_open(key));
    const bool is_asked_for = place.size == 0 || !without_value_only;
    if (is_asked_for && is_wanted(best, place) && check()) {
      keep(best, place);
    }
    if (*candidate == PG_INT64_MAX) {
      break;
    }
    at = *candidate + 1;
  }
  std::sort_heap(best.begin(), best.end(), precedes_);
  for (const Place& place : best) {
    if (documents_.open(place.entity_id)) {
      emit(place.bytes());
    }
  }
}

bool Find::is_wanted(const core::ArenaVector<Place>& best, const Place& place) const {
  if (after_ && !precedes_(*after_, place)) {
    return false;
  }
  return static_cast<int64>(best.size()) < request_.limit - found_ || precedes_(place, best[0]);
}

void Find::keep(core::ArenaVector<Place>& best, const Place& place) const {
  if (static_cast<int64>(best.size()) == request_.limit - found_) {
    std::pop_heap(best.begin(), best.end(), precedes_);
    best.truncate(best.size() - 1);
  }
  best.push_back(place);
  std::push_heap(best.begin(), best.end(), precedes_);
}

[[noreturn]] void refuse(int sqlstate, const char* message) {
  ereport(ERROR, (errcode(sqlstate), errmsg("%s", message)));
}

Request request_of(FunctionCallInfo fcinfo) {
  const int64 tenant_id = tenant_of(fcinfo);
  if (PG_ARGISNULL(3) || PG_GETARG_INT32(3) < 1) {
    refuse(ERRCODE_INVALID_PARAMETER_VALUE, "limit_rows must be at least 1");
  }
  return {tenant_id,
          PG_ARGISNULL(1) ? nullptr : PG_GETARG_JSONPATH_P(1),
          PG_ARGISNULL(2) ? nullptr : PG_GETARG_TEXT_PP(2),
          PG_GETARG_INT32(3),
          PG_ARGISNULL(4) ? nullptr : PG_GETARG_TEXT_PP(4),
          PG_ARGISNULL(5) ? nullptr : PG_GETARG_ARRAYTYPE_P(5)};
}

}  // namespace

}  // namespace eav::query

EAV_FUNCTION(eav_find_entities) {
  using namespace eav::query;
  const Request request = request_of(fcinfo);
  InitMaterializedSRF(fcinfo, 0);
  Find(request, reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo)).run();
  return Datum(0);
}
