#include "eav/query/documents.hpp"

#include "eav/pg/jsonb.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/unique_index.hpp"

namespace eav::query {

namespace {

using Want = pg::IndexScan::Want;

namespace entity {
enum Column : int { tenant_id = 1, entity_id, external_id, entity_type, version, is_deleted };
}
namespace projection {
enum Column : int { tenant_id = 1, entity_id, hot, live, versions };
}
namespace current {
enum Column : int { tenant_id = 1, entity_id, attribute_id, value };
}

}  // namespace

EntityRows::EntityRows(const char* table, const char* index, int64 tenant_id)
    : scan_(table, index, 2, Want::rows), tenant_id_(tenant_id) {}

void EntityRows::start(StrategyNumber strategy, RegProcedure procedure, int64 entity_id) {
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(tenant_id_));
  ScanKeyInit(&keys[1], 2, strategy, procedure, Int64GetDatum(entity_id));
  scan_.start(keys);
}

void EntityRows::step(ScanDirection direction) {
  row_ = scan_.next_row(direction);
  if (row_ != nullptr) {
    at_ = DatumGetInt64(pg::column_of(row_, entity::entity_id));
  }
}

TupleTableSlot* EntityRows::seek(int64 at_least) {
  // Ids are mostly given one after the other.
  constexpr int max_steps = 4;
  constexpr uint64 max_gap = 16;
  bool is_near = is_positioned_ && from_ <= at_least &&
                 (row_ == nullptr || at_ >= at_least ||
                  static_cast<uint64>(at_least) - static_cast<uint64>(at_) <= max_gap);
  if (is_near) {
    for (int i = 0; i < max_steps && row_ != nullptr && at_ < at_least; ++i) {
      step(ForwardScanDirection);
    }
    is_near = row_ == nullptr || at_ >= at_least;
  }
  if (!is_near) {
    start(BTGreaterEqualStrategyNumber, F_INT8GE, at_least);
    step(ForwardScanDirection);
  }
  is_positioned_ = true;
  from_ = at_least;
  return row_;
}

TupleTableSlot* EntityRows::find(int64 entity_id) {
  TupleTableSlot* const row = seek(entity_id);
  return row != nullptr && at_ == entity_id ? row : nullptr;
}

TupleTableSlot* EntityRows::seek_down(int64 at_most) {
  is_positioned_ = false;
  start(BTLessEqualStrategyNumber, F_INT8LE, at_most);
  step(BackwardScanDirection);
  return row_;
}

Documents::Documents(Attributes& attributes)
    : attributes_(attributes),
      entities_("entities", "entities_pkey", attributes.tenant_id()),
      projections_("entity_jsonb", "entity_jsonb_pkey", attributes.tenant_id()),
      current_("entity_values_current", "entity_values_current_pkey", 3, Want::rows),
      scratch_(
          AllocSetContextCreate(CurrentMemoryContext, "eav document", ALLOCSET_DEFAULT_SIZES)) {}

void Documents::close() {
  entities_.close();
  projections_.close();
  current_.close();
  MemoryContextDelete(scratch_);
}

bool Documents::take(TupleTableSlot* row) {
  MemoryContextReset(scratch_);
  has_loaded_ = false;
  slot_getsomeattrs(row, entity::is_deleted);
  entity_id_ = DatumGetInt64(row->tts_values[entity::entity_id - 1]);
  has_external_id_ = !row->tts_isnull[entity::external_id - 1];
  external_id_ = row->tts_values[entity::external_id - 1];
  return !DatumGetBool(row->tts_values[entity::is_deleted - 1]);
}

std::optional<int64> Documents::next(int64 at_least) {
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    TupleTableSlot* const row = entities_.seek(at_least);
    if (row == nullptr) {
      return std::nullopt;
    }
    if (take(row)) {
      return entity_id_;
    }
    if (entity_id_ == PG_INT64_MAX) {
      return std::nullopt;
    }
    at_least = entity_id_ + 1;
  }
}

std::optional<int64> Documents::previous(int64 at_most) {
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    TupleTableSlot* const row = entities_.seek_down(at_most);
    if (row == nullptr) {
      return std::nullopt;
    }
    if (take(row)) {
      return entity_id_;
    }
    if (entity_id_ == PG_INT64_MIN) {
      return std::nullopt;
    }
    at_most = entity_id_ - 1;
  }
}

bool Documents::open(int64 entity_id) {
  TupleTableSlot* const row = entities_.find(entity_id);
  return row != nullptr && take(row);
}

void Documents::load_projection() {
  if (has_loaded_) {
    return;
  }
  has_loaded_ = true;
  hot_ = live_ = nullptr;
  TupleTableSlot* const row = projections_.find(entity_id_);
  if (row == nullptr) {
    return;
  }
  MemoryContext const caller = MemoryContextSwitchTo(scratch_);
  slot_getsomeattrs(row, projection::versions);
  hot_ = DatumGetJsonbP(row->tts_values[projection::hot - 1]);
  live_ = DatumGetJsonbP(row->tts_values[projection::live - 1]);
  versions_ = row->tts_values[projection::versions - 1];
  MemoryContextSwitchTo(caller);
}

bool Documents::value(const Attribute& attribute, JsonbValue& result) {
  const auto in = [&](Jsonb* object) {
    return object != nullptr && getKeyJsonValueFromContainer(
                                    &object->root, attribute.member.data(),
                                    static_cast<int>(attribute.member.size()), &result) != nullptr;
  };
  if (attribute.tiers.hot || attribute.tiers.live) {
    load_projection();
    if ((attribute.tiers.hot && in(hot_)) || (attribute.tiers.live && in(live_))) {
      return true;
    }
  }
  return attribute.tiers.current && current_value(attribute.attribute_id, result);
}

bool Documents::current_value(int32 attribute_id, JsonbValue& result) {
  ScanKeyData keys[3];
  ScanKeyInit(&keys[0], current::tenant_id, BTEqualStrategyNumber, F_INT8EQ,
              Int64GetDatum(attributes_.tenant_id()));
  ScanKeyInit(&keys[1], current::entity_id, BTEqualStrategyNumber, F_INT8EQ,
              Int64GetDatum(entity_id_));
  ScanKeyInit(&keys[2], current::attribute_id, BTEqualStrategyNumber, F_INT4EQ,
              Int32GetDatum(attribute_id));
  current_.start(keys);
  TupleTableSlot* const row = current_.next_row();
  if (row == nullptr) {
    return false;
  }
  MemoryContext const caller = MemoryContextSwitchTo(scratch_);
  result = pg::json_value(DatumGetJsonbPCopy(pg::column_of(row, current::value)));
  MemoryContextSwitchTo(caller);
  return true;
}

void Documents::add_members(Jsonb* object, Members& members) {
  JsonbIterator* iterator = JsonbIteratorInit(&object->root);
  pg::Member member;
  JsonbIteratorNext(&iterator, &member.value, true);
  while (JsonbIteratorNext(&iterator, &member.value, true) == WJB_KEY) {
    member.name = {member.value.val.string.val,
                   static_cast<std::size_t>(member.value.val.string.len)};
    JsonbIteratorNext(&iterator, &member.value, true);
    const Attribute* const unusual = attributes_.unusual(member.name);
    if (unusual == nullptr || unusual->tiers.any()) {
      member.name = unusual == nullptr ? member.name : unusual->name;
      members.push_back(member);
    }
  }
}

void Documents::add_current(Members& members) {
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], current::tenant_id, BTEqualStrategyNumber, F_INT8EQ,
              Int64GetDatum(attributes_.tenant_id()));
  ScanKeyInit(&keys[1], current::entity_id, BTEqualStrategyNumber, F_INT8EQ,
              Int64GetDatum(entity_id_));
  current_.start(keys);
  while (TupleTableSlot* const row = current_.next_row()) {
    CHECK_FOR_INTERRUPTS();
    slot_getsomeattrs(row, current::value);
    const Attribute* const attribute =
        attributes_.with_id(DatumGetInt32(row->tts_values[current::attribute_id - 1]));
    if (attribute != nullptr && attribute->tiers.any()) {
      members.push_back({attribute->name,
                         pg::json_value(DatumGetJsonbPCopy(row->tts_values[current::value - 1]))});
    }
  }
}

Jsonb* Documents::whole() {
  load_projection();
  Members members(pg::arena_of(CurrentMemoryContext));
  for (Jsonb* const object : {hot_, live_}) {
    if (object != nullptr) {
      add_members(object, members);
    }
  }
  add_current(members);
  return pg::make_object(members.span());
}

Jsonb* Documents::of(std::span<const Attribute* const> attributes) {
  Members members(pg::arena_of(CurrentMemoryContext));
  pg::Member member;
  for (const Attribute* const attribute : attributes) {
    if (value(*attribute, member.value)) {
      member.name = attribute->name;
      members.push_back(member);
    }
  }
  return pg::make_object(members.span());
}

void Documents::versions(core::ArenaVector<core::AttributeVersion>& result) {
  load_projection();
  if (hot_ == nullptr) {
    return;
  }
  const bytea* const packed = DatumGetByteaPP(versions_);
  core::decode_versions(
      {reinterpret_cast<const std::uint8_t*>(VARDATA_ANY(packed)), VARSIZE_ANY_EXHDR(packed)},
      result);
}

}  // namespace eav::query
