#include "eav/query/sources.hpp"

#include <algorithm>

#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"
#include "eav/pg/jsonb.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/unique_index.hpp"
#include "eav/query/value_key.hpp"

extern "C" {
#include <access/gin.h>
#include <catalog/pg_index.h>
#include <utils/syscache.h>
}

namespace eav::query {

namespace {

using core::FilterNode;
using core::KeyRange;
using core::SmallestIds;
using Kind = Stream::Kind;

// Ids that a stream keeps at a time; it may hold twice as many while it collects.
constexpr std::size_t max_ids = 262144;
// So many entries are looked at to estimate how many there are.
constexpr int64 max_probe = 2000;
// A range with more is not worth being collected when something else finds candidates.
constexpr int64 max_sparse = 20000;

bool is_valid(Oid index) {
  HeapTuple const tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
  if (!HeapTupleIsValid(tuple)) {
    return false;
  }
  const bool result = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple))->indisvalid;
  ReleaseSysCache(tuple);
  return result;
}

}  // namespace

KeyIndex current_index(int64 tenant_id, const Attribute& attribute) {
  return {"entity_values_current",
          pg::index_oid("entity_values_current", "entity_values_current_value_idx"), tenant_id,
          attribute.attribute_id};
}

std::optional<KeyIndex> hot_index(int64 tenant_id, const Attribute& attribute) {
  char name[NAMEDATALEN];
  snprintf(name, sizeof(name), "attribute_%d_idx", attribute.attribute_id);
  const Oid index = pg::find_index("entity_jsonb", name);
  if (!OidIsValid(index) || !is_valid(index)) {
    return std::nullopt;
  }
  return KeyIndex{"entity_jsonb", index, tenant_id, 0};
}

KeyScan::KeyScan(const KeyIndex& index)
    : index_(index),
      scan_(index.table, index.index, 5, pg::IndexScan::Want::entries),
      columns_before_(index.attribute_id != 0 ? 2 : 0) {}

int KeyScan::prefix(std::span<ScanKeyData> keys) const {
  if (columns_before_ > 0) {
    ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(index_.tenant_id));
    ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(index_.attribute_id));
  }
  return columns_before_;
}

// The scan refers to the bytes as long as it runs.
void KeyScan::add_key(ScanKeyData& key, StrategyNumber strategy, std::span<const uint8> bytes,
                      KeyBytes& kept) {
  SET_VARSIZE(kept.bytes, VARHDRSZ + bytes.size());
  memcpy(VARDATA(kept.bytes), bytes.data(), bytes.size());
  constexpr RegProcedure procedures[] = {F_BYTEALT, F_BYTEALE, F_BYTEAEQ, F_BYTEAGE, F_BYTEAGT};
  ScanKeyInit(&key, static_cast<AttrNumber>(columns_before_ + 1), strategy,
              procedures[strategy - 1], PointerGetDatum(kept.bytes));
}

void KeyScan::add_entity(ScanKeyData& key, StrategyNumber strategy, int64 entity_id) const {
  constexpr RegProcedure procedures[] = {F_INT8LT, F_INT8LE, F_INT8EQ, F_INT8GE, F_INT8GT};
  ScanKeyInit(&key, static_cast<AttrNumber>(columns_before_ + 2), strategy,
              procedures[strategy - 1], Int64GetDatum(entity_id));
}

void KeyScan::start(const KeyRange& range) {
  start_between(End{range.low.bytes(), true}, End{range.high.bytes(), range.has_high});
}

void KeyScan::start_between(const std::optional<End>& low, const std::optional<End>& high) {
  ScanKeyData keys[4];
  int count = prefix(keys);
  if (low) {
    add_key(keys[count++],
            low->is_part_of_it ? BTGreaterEqualStrategyNumber : BTGreaterStrategyNumber, low->key,
            low_);
  }
  if (high) {
    add_key(keys[count++], high->is_part_of_it ? BTLessEqualStrategyNumber : BTLessStrategyNumber,
            high->key, high_);
  }
  scan_.start({keys, static_cast<std::size_t>(count)});
}

void KeyScan::start_at(const core::ValueKey& key, int64 at_least) {
  ScanKeyData keys[4];
  const int count = prefix(keys);
  add_key(keys[count], BTEqualStrategyNumber, key.bytes(), low_);
  add_entity(keys[count + 1], BTGreaterEqualStrategyNumber, at_least);
  scan_.start({keys, static_cast<std::size_t>(count + 2)});
}

void KeyScan::start_beside(std::span<const uint8> key, int64 entity_id, bool above) {
  ScanKeyData keys[4];
  const int count = prefix(keys);
  add_key(keys[count], BTEqualStrategyNumber, key, low_);
  add_entity(keys[count + 1], above ? BTGreaterStrategyNumber : BTLessStrategyNumber, entity_id);
  scan_.start({keys, static_cast<std::size_t>(count + 2)});
}

bool KeyScan::next(ScanDirection direction) {
  CHECK_FOR_INTERRUPTS();
  entry_ = scan_.next_entry(direction);
  if (entry_ == nullptr) {
    return false;
  }
  entity_id_ = DatumGetInt64(scan_.column_of(entry_, columns_before_ + 2));
  return true;
}

std::span<const uint8> KeyScan::key() const {
  const auto* const key =
      reinterpret_cast<bytea*>(DatumGetPointer(scan_.column_of(entry_, columns_before_ + 1)));
  return {reinterpret_cast<const uint8*>(VARDATA_ANY(key)), VARSIZE_ANY_EXHDR(key)};
}

namespace {

// Reads the GIN index: it knows no tenants, and its entries point to rows.
class HotRows {
 public:
  explicit HotRows(int64 tenant_id)
      : tenant_id_(tenant_id),
        table_(table_open(pg::relation_oid("entity_jsonb"), AccessShareLock)),
        index_(index_open(pg::relation_oid("entity_jsonb_hot_attrs_idx"), AccessShareLock)),
        slot_(table_slot_create(table_, nullptr)),
        fetch_(table_index_fetch_begin(table_)) {}

  template <typename Visit>
  void visit_containing(Jsonb* object, Visit&& visit) {
    TIDBitmap* const bitmap = tbm_create(static_cast<Size>(work_mem) * 1024, nullptr);
    IndexScanDesc const scan = pg::begin_bitmap_scan(index_, GetActiveSnapshot(), 1);
    ScanKeyData key;
    ScanKeyInit(&key, 1, JsonbContainsStrategyNumber, F_JSONB_CONTAINS, JsonbPGetDatum(object));
    index_rescan(scan, &key, 1, nullptr, 0);
    index_getbitmap(scan, bitmap);
    index_endscan(scan);
    pg::visit_pages(bitmap, [&](BlockNumber block, const OffsetNumber* offsets, int count) {
      CHECK_FOR_INTERRUPTS();
      if (count < 0) {
        for (int offset = FirstOffsetNumber; offset <= MaxHeapTuplesPerPage; ++offset) {
          visit_row(block, static_cast<OffsetNumber>(offset), visit);
        }
      }
      for (int i = 0; i < count; ++i) {
        visit_row(block, offsets[i], visit);
      }
    });
    tbm_free(bitmap);
  }

  void close() {
    table_index_fetch_end(fetch_);
    ExecDropSingleTupleTableSlot(slot_);
    index_close(index_, NoLock);
    table_close(table_, NoLock);
  }

 private:
  template <typename Visit>
  void visit_row(BlockNumber block, OffsetNumber offset, Visit&& visit) {
    ItemPointerData place;
    ItemPointerSet(&place, block, offset);
    bool call_again = false;
    if (!table_index_fetch_tuple(fetch_, &place, GetActiveSnapshot(), slot_, &call_again,
                                 nullptr)) {
      return;
    }
    slot_getsomeattrs(slot_, 2);
    if (DatumGetInt64(slot_->tts_values[0]) == tenant_id_) {
      visit(DatumGetInt64(slot_->tts_values[1]));
    }
  }

  int64 tenant_id_;
  Relation table_;
  Relation index_;
  TupleTableSlot* slot_;
  IndexFetchTableData* fetch_;
};

void collect(Stream& stream, int64 at_least) {
  SmallestIds& ids = *stream.ids;
  ids.clear();
  const auto add = [&](int64 id) {
    if (id >= at_least) {
      ids.add(id);
    }
  };
  if (stream.kind == Kind::range) {
    stream.scan->start(stream.range);
    while (stream.scan->next()) {
      add(stream.scan->entity_id());
    }
  } else {
    HotRows rows(stream.tenant_id);
    rows.visit_containing(stream.contained, add);
    rows.close();
  }
  ids.finish();
}

std::optional<int64> seek_collected(Stream& stream, int64 at_least) {
  if (stream.ids == nullptr) {
    void* const memory = palloc(sizeof(SmallestIds));
    stream.ids = new (memory) SmallestIds(pg::arena_of(GetMemoryChunkContext(&stream)), max_ids);
    collect(stream, at_least);
  }
  for (;;) {
    const std::optional<int64> found = stream.ids->seek(at_least);
    if (found || !stream.ids->limit()) {
      return found;
    }
    collect(stream, std::max(at_least, *stream.ids->limit()));
  }
}

// A few steps are cheaper than a descent.
std::optional<int64> seek_point(Stream& stream, int64 at_least) {
  constexpr int max_steps = 8;
  KeyScan& scan = *stream.scan;
  for (int i = 0; stream.has_head && i < max_steps; ++i) {
    if (!scan.next()) {
      return std::nullopt;
    }
    if (scan.entity_id() >= at_least) {
      return scan.entity_id();
    }
  }
  scan.start_at(stream.range.low, at_least);
  return scan.next() ? std::optional(scan.entity_id()) : std::nullopt;
}

std::optional<int64> find_next(Stream& stream, int64 at_least) {
  const auto seek_child = [](Stream* child, int64 from) { return seek(*child, from); };
  switch (stream.kind) {
    case Kind::point:
      return seek_point(stream, at_least);
    case Kind::range:
    case Kind::gin:
      return seek_collected(stream, at_least);
    case Kind::all_of:
      return core::seek_in_all(stream.children.span(), at_least, seek_child);
    case Kind::any_of:
      return core::seek_in_any(stream.children.span(), at_least, seek_child);
  }
  pg_unreachable();
}

}  // namespace

std::optional<int64> seek(Stream& stream, int64 at_least) {
  CHECK_FOR_INTERRUPTS();
  if (stream.is_at_end) {
    return std::nullopt;
  }
  if (!stream.has_head || stream.head < at_least) {
    const std::optional<int64> found = find_next(stream, at_least);
    stream.has_head = found.has_value();
    stream.is_at_end = !found;
    stream.head = found.value_or(0);
  }
  return stream.has_head ? std::optional(stream.head) : std::nullopt;
}

namespace {

using Members = core::ArenaVector<pg::Member>;

// Makes streams of the nodes of a tree.
class Opener {
 public:
  Opener(const Filter& filter, int64 tenant_id) : filter_(filter), tenant_id_(tenant_id) {}

  Stream* open(const FilterNode& node) {
    switch (node.kind) {
      case FilterNode::Kind::condition:
        return open_condition(node.condition);
      case FilterNode::Kind::all_of:
        return open_all(node);
      case FilterNode::Kind::any_of:
        return open_any(node);
      default:
        return nullptr;
    }
  }

 private:
  Stream* make(Kind kind) const {
    return new (palloc(sizeof(Stream)))
        Stream{kind,
               nullptr,
               core::range_of_all(),
               nullptr,
               nullptr,
               tenant_id_,
               nullptr,
               core::ArenaVector<Stream*>(pg::arena_of(CurrentMemoryContext)),
               0,
               false,
               false,
               false,
               0};
  }

  Stream* open_keys(const KeyIndex& index, const Attribute& attribute, const KeyRange& range) {
    Stream* const stream = make(range.is_point() ? Kind::point : Kind::range);
    stream->attribute = &attribute;
    stream->range = range;
    stream->scan = new (palloc(sizeof(KeyScan))) KeyScan(index);
    stream->scan->start(range);
    const int64 most = stream->kind == Kind::point ? max_probe : max_sparse;
    while (stream->estimate < most && stream->scan->next()) {
      ++stream->estimate;
    }
    stream->is_more = stream->estimate == most;
    return stream;
  }

  Stream* open_gin(Members& members) {
    Stream* const stream = make(Kind::gin);
    JsonbParseState* state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    for (auto& [name, value] : members) {
      JsonbValue key;
      key.type = jbvString;
      key.val.string.val = const_cast<char*>(name.data());
      key.val.string.len = static_cast<int>(name.size());
      pushJsonbValue(&state, WJB_KEY, &key);
      pushJsonbValue(&state, WJB_VALUE, &value);
    }
    stream->contained = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
    stream->is_more = true;
    return stream;
  }

  Stream* join(Kind kind, std::span<Stream* const> children) {
    if (children.size() == 1) {
      return children.front();
    }
    Stream* const stream = make(kind);
    for (Stream* const child : children) {
      stream->children.push_back(child);
      const bool is_first = stream->children.size() == 1;
      if (kind == Kind::any_of) {
        stream->estimate += child->estimate;
        stream->is_more = stream->is_more || child->is_more;
      } else if (is_first || is_fewer(*child, *stream)) {
        stream->estimate = child->estimate;
        stream->is_more = child->is_more;
      }
    }
    return stream;
  }

  static bool is_fewer(const Stream& one, const Stream& other) {
    return one.is_more != other.is_more ? other.is_more : one.estimate < other.estimate;
  }

  // In each tier that may hold a value, its key in the range or that of an array.
  Stream* open_condition(const core::Condition& condition) {
    const Attribute& attribute = *filter_.attribute(condition.attribute);
    if (attribute.tiers.live) {
      return nullptr;
    }
    core::ArenaVector<Stream*> parts(pg::arena_of(CurrentMemoryContext));
    const auto add_keys = [&](const KeyIndex& index) {
      parts.push_back(open_keys(index, attribute, condition.range));
      if (condition.or_array) {
        parts.push_back(open_keys(index, attribute, core::range_of_arrays()));
      }
    };
    if (attribute.tiers.hot) {
      if (const std::optional<KeyIndex> index = hot_index(tenant_id_, attribute)) {
        add_keys(*index);
      } else if (condition.literal != core::no_literal) {
        parts.push_back(open_gin_of(condition));
      } else {
        return nullptr;
      }
    }
    if (attribute.tiers.current) {
      add_keys(current_index(tenant_id_, attribute));
    }
    return join(Kind::any_of, parts.span());
  }

  Stream* open_gin_of(const core::Condition& condition) {
    Members members(pg::arena_of(CurrentMemoryContext));
    add_member(condition, members);
    return open_gin(members);
  }

  void add_member(const core::Condition& condition, Members& members) const {
    members.push_back(
        {filter_.attribute(condition.attribute)->member, filter_.literals[condition.literal]});
  }

  bool is_for_gin(const FilterNode& node) const {
    return node.kind == FilterNode::Kind::condition && node.condition.literal != core::no_literal &&
           filter_.attribute(node.condition.attribute)->tiers.only_hot() &&
           !hot_index(tenant_id_, *filter_.attribute(node.condition.attribute));
  }

  Stream* open_any(const FilterNode& node) {
    core::ArenaVector<Stream*> streams(pg::arena_of(CurrentMemoryContext));
    for (const FilterNode* child = node.first; child != nullptr; child = child->next) {
      Stream* const stream = open(*child);
      if (stream == nullptr) {
        close_all(streams);
        return nullptr;
      }
      streams.push_back(stream);
    }
    return join(Kind::any_of, streams.span());
  }

  // What has few candidates is enough; what has many, and cannot be asked for some of them, is left
  // to the check of the filter.
  Stream* open_all(const FilterNode& node) {
    core::ArenaVector<Stream*> streams(pg::arena_of(CurrentMemoryContext));
    core::ArenaVector<Stream*> costly(pg::arena_of(CurrentMemoryContext));
    Members members(pg::arena_of(CurrentMemoryContext));
    for (const FilterNode* child = node.first; child != nullptr; child = child->next) {
      if (is_for_gin(*child)) {
        add_member(child->condition, members);
      } else if (Stream* const stream = open(*child)) {
        (is_costly(*stream) ? costly : streams).push_back(stream);
      }
    }
    if (!members.empty()) {
      costly.push_back(open_gin(members));
    }
    const int64 fewest = leave_fewest(streams, costly);
    if (fewest >= max_probe && !costly.empty()) {
      streams.push_back(costly.back());
      costly.truncate(costly.size() - 1);
    }
    close_all(costly);
    return streams.empty() ? nullptr : join(Kind::all_of, streams.span());
  }

  // Candidates of which there are that few are sooner checked than sought in a stream of many.
  // Returns how many there are of the stream that has fewest.
  static int64 leave_fewest(core::ArenaVector<Stream*>& streams,
                            core::ArenaVector<Stream*>& others) {
    int64 fewest = PG_INT64_MAX;
    for (const Stream* const stream : streams) {
      fewest = Min(fewest, stream->is_more ? Max(stream->estimate, max_probe) : stream->estimate);
    }
    if (fewest >= max_probe / 8) {
      return fewest;
    }
    std::size_t kept = 0;
    for (Stream* const stream : streams) {
      if (stream->is_more) {
        others.push_back(stream);
      } else {
        streams[kept++] = stream;
      }
    }
    streams.truncate(kept);
    return fewest;
  }

  static void close_all(core::ArenaVector<Stream*>& streams) {
    for (Stream* const stream : streams) {
      close_stream(stream);
    }
  }

  const Filter& filter_;
  int64 tenant_id_;
};

}  // namespace

Stream* open_stream(const FilterNode& tree, const Filter& filter, int64 tenant_id) {
  return Opener(filter, tenant_id).open(tree);
}

Stream* cheap_part(const Stream& stream) {
  if (stream.kind != Kind::all_of) {
    return nullptr;
  }
  auto* const part = new (palloc(sizeof(Stream))) Stream(stream);
  part->children = core::ArenaVector<Stream*>(pg::arena_of(CurrentMemoryContext));
  for (Stream* const child : stream.children) {
    if (!is_costly(*child)) {
      part->children.push_back(child);
    }
  }
  return part->children.empty() ? nullptr : part;
}

void close_stream(Stream* stream) {
  if (stream->scan != nullptr) {
    stream->scan->close();
  }
  for (Stream* const child : stream->children) {
    close_stream(child);
  }
}

bool is_costly(const Stream& stream) {
  switch (stream.kind) {
    case Kind::point:
      return false;
    case Kind::range:
    case Kind::gin:
      return stream.is_more;
    case Kind::all_of:
    case Kind::any_of:
      return std::any_of(stream.children.begin(), stream.children.end(),
                         [](const Stream* child) { return is_costly(*child); });
  }
  pg_unreachable();
}

}  // namespace eav::query
