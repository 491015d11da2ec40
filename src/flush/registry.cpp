#include "eav/flush/registry.hpp"

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "eav/core/key_index.hpp"
#include "eav/flush/names.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/spi.hpp"
#include "eav/pg/unique_index.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <commands/trigger.h>
#include <utils/inval.h>
}

namespace eav::flush::registry {

namespace {

struct IdHash {
  std::size_t operator()(const AttributeId& id) const {
    return static_cast<std::size_t>(id.tenant_id) * 0x9E3779B97F4A7C15ULL + id.attribute_id;
  }
};
struct NameHash {
  std::size_t operator()(const AttributeName& key) const {
    return std::hash<std::string_view>()(key.name) ^
           (static_cast<std::size_t>(key.tenant_id) * 0x9E3779B97F4A7C15ULL);
  }
};
struct NameEqual {
  bool operator()(const AttributeName& left, const AttributeName& right) const {
    return left.tenant_id == right.tenant_id && left.name == right.name;
  }
};

struct Entry {
  std::string name;
  std::string document_name;
  Attribute attribute;
};

// About what an attribute takes in the cache, beside the characters of its names, and a tenant.
constexpr Size attribute_bytes = 256;
constexpr Size tenant_bytes = 48;

// Lives on the heap for the life of the backend: no error can jump over its destructor. Its
// containers call nothing of the server, so no error can leave one half changed.
struct Cache {
  std::unordered_set<int64> tenants;
  std::unordered_set<int64> erased_tenants;
  std::unordered_set<int64> tenants_with_erased;  // entities
  std::unordered_map<AttributeId, std::unique_ptr<Entry>, IdHash> by_id;
  std::unordered_map<AttributeName, const Attribute*, NameHash, NameEqual> by_name;  // and aliases
  std::vector<std::unique_ptr<Entry>> renamed;  // what was found before, still in use
  Size names = 0;                               // bytes in all of the entries

  Size bytes() const {
    return names + by_id.size() * attribute_bytes +
           (tenants.size() + erased_tenants.size() + tenants_with_erased.size()) * tenant_bytes;
  }
};
Cache* cache = nullptr;
bool is_stale = false;
Oid tenants_oid = InvalidOid;
Oid attributes_oid = InvalidOid;
Oid erased_oid = InvalidOid;

// InvalidOid stands for "anything may have changed".
void on_relcache_change(Datum /*argument*/, Oid relation) {
  if (relation == tenants_oid || relation == attributes_oid || relation == erased_oid ||
      relation == InvalidOid) {
    is_stale = true;
  }
}

void on_transaction_end(XactEvent event, void* /*argument*/) {
  if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT) {
    is_stale = true;
  }
}

void on_subtransaction_end(SubXactEvent event, SubTransactionId /*own*/,
                           SubTransactionId /*parent*/, void* /*argument*/) {
  if (event == SUBXACT_EVENT_ABORT_SUB) {
    is_stale = true;
  }
}

std::string_view text_view(Datum datum) {
  const text* const value = DatumGetTextPP(datum);
  return {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

// The columns of eav.attributes.
enum Column : int {
  column_attribute_id = 1,
  column_tenant_id,
  column_name,
  column_data_type,
  column_projection,
  column_is_inferred,
  column_created_at,
  column_document_name,
  column_moving_from,
  column_is_pii
};

// A bit for each projection in an array of names.
uint8 projections_of(Datum names) {
  Datum* elements = nullptr;
  int count = 0;
  deconstruct_array(DatumGetArrayTypeP(names), TEXTOID, -1, false, TYPALIGN_INT, &elements, nullptr,
                    &count);
  unsigned bits = 0;
  for (int i = 0; i < count; ++i) {
    bits |= 1U << static_cast<unsigned>(core::projection_from_name(text_view(elements[i])).value());
  }
  return static_cast<uint8>(bits);
}

void keep(TupleTableSlot* row) {
  const int64 tenant_id = DatumGetInt64(pg::column_of(row, column_tenant_id));
  Attribute attribute{};
  attribute.attribute_id = DatumGetInt32(pg::column_of(row, column_attribute_id));
  const std::string_view name = text_view(pg::column_of(row, column_name));
  if (!slot_attisnull(row, column_data_type)) {
    attribute.type =
        core::data_type_from_name(text_view(pg::column_of(row, column_data_type))).value();
  }
  attribute.projection =
      core::projection_from_name(text_view(pg::column_of(row, column_projection))).value();
  attribute.is_inferred = DatumGetBool(pg::column_of(row, column_is_inferred));
  attribute.is_pii = DatumGetBool(pg::column_of(row, column_is_pii));

  if (!slot_attisnull(row, column_moving_from)) {
    attribute.moving_from = projections_of(pg::column_of(row, column_moving_from));
  }
  const std::string_view document_name = slot_attisnull(row, column_document_name)
                                             ? name
                                             : text_view(pg::column_of(row, column_document_name));

  auto& slot = cache->by_id[{tenant_id, attribute.attribute_id}];
  if (slot != nullptr && (slot->name != name || slot->document_name != document_name)) {
    cache->renamed.push_back(std::exchange(slot, nullptr));
  }
  if (slot == nullptr) {
    cache->names += name.size() + document_name.size();
    slot = std::make_unique<Entry>(Entry{std::string(name), std::string(document_name), attribute});
  }
  slot->attribute = attribute;
  slot->attribute.name = slot->name;
  slot->attribute.document_name = slot->document_name;
  cache->by_name[{tenant_id, slot->name}] = &slot->attribute;
  cache->by_name[{tenant_id, slot->document_name}] = &slot->attribute;
}

Datum text_datum(std::string_view view) {
  return PointerGetDatum(cstring_to_text_with_len(view.data(), static_cast<int>(view.size())));
}

}  // namespace

void refresh() {
  if (cache == nullptr) {
    cache = new Cache;
    CacheRegisterRelcacheCallback(on_relcache_change, 0);
    RegisterXactCallback(on_transaction_end, nullptr);
    RegisterSubXactCallback(on_subtransaction_end, nullptr);
  }
  if (tenants_oid != pg::relation_oid("tenants") ||
      attributes_oid != pg::relation_oid("attributes") ||
      erased_oid != pg::relation_oid("erased_subjects")) {
    tenants_oid = pg::relation_oid("tenants");
    attributes_oid = pg::relation_oid("attributes");
    erased_oid = pg::relation_oid("erased_subjects");
    is_stale = true;
  }
  // What is needed is found again, attribute by attribute.
  const bool is_full = cache->bytes() > static_cast<Size>(settings.flush_memory) * 1024 / 4;
  if (is_stale || is_full) {
    *cache = Cache();
    is_stale = false;
  }
}

bool has_tenant(int64 tenant_id) { return cache->tenants.contains(tenant_id); }

bool is_erased(int64 tenant_id) { return cache->erased_tenants.contains(tenant_id); }

bool has_erased(int64 tenant_id) { return cache->tenants_with_erased.contains(tenant_id); }

const Attribute* find(const AttributeId& id) {
  const auto found = cache->by_id.find(id);
  return found == cache->by_id.end() ? nullptr : &found->second->attribute;
}

const Attribute* find(const AttributeName& name) {
  const auto found = cache->by_name.find(name);
  return found == cache->by_name.end() ? nullptr : found->second;
}

void load_tenants(std::span<const int64> tenant_ids) {
  // An erased tenant has a tombstone of its own, all zero.
  static pg::Statement select(
      "SELECT k.tenant_id, w.tenant_id IS NOT NULL, e.tenant_id IS NOT NULL "
      "FROM (SELECT DISTINCT unnest($1) AS tenant_id) AS k "
      "LEFT JOIN eav.tenants t ON t.tenant_id = k.tenant_id "
      "LEFT JOIN eav.erased_subjects w ON w.tenant_id = k.tenant_id "
      "AND w.subject = '00000000-0000-0000-0000-000000000000' "
      "LEFT JOIN LATERAL (SELECT s.tenant_id FROM eav.erased_subjects s "
      "WHERE s.tenant_id = k.tenant_id LIMIT 1) AS e ON true "
      "WHERE t.tenant_id IS NOT NULL OR w.tenant_id IS NOT NULL",
      {INT8ARRAYOID});
  auto* const ids = static_cast<Datum*>(palloc(sizeof(Datum) * tenant_ids.size()));
  for (std::size_t i = 0; i < tenant_ids.size(); ++i) {
    ids[i] = Int64GetDatum(tenant_ids[i]);
  }
  select.run({pg::make_array(ids, nullptr, tenant_ids.size(), INT8OID)});
  for (uint64 row = 0; row < SPI_processed; ++row) {
    const int64 tenant_id = DatumGetInt64(pg::cell(row, 1).value);
    if (DatumGetBool(pg::cell(row, 2).value)) {
      cache->erased_tenants.insert(tenant_id);
      continue;
    }
    cache->tenants.insert(tenant_id);
    if (DatumGetBool(pg::cell(row, 3).value)) {
      cache->tenants_with_erased.insert(tenant_id);
    }
  }
}

void load(std::span<const AttributeId> ids) {
  pg::UniqueIndex index("attributes", "attributes_pkey", F_INT4EQ, pg::UniqueIndex::See::latest);
  for (const AttributeId& id : ids) {
    if (TupleTableSlot* const row = index.find(id.tenant_id, Int32GetDatum(id.attribute_id))) {
      keep(row);
    }
  }
  index.close();
}

namespace {

// Names that are not there are added to `missing`, if it is given.
void load_by(const char* index_name, std::span<const AttributeName> names,
             core::ArenaVector<AttributeName>* missing) {
  pg::UniqueIndex index("attributes", index_name, F_TEXTEQ, pg::UniqueIndex::See::latest);
  for (const AttributeName& name : names) {
    if (TupleTableSlot* const row = index.find(name.tenant_id, text_datum(name.name))) {
      keep(row);
    } else if (missing != nullptr) {
      missing->push_back(name);
    }
  }
  index.close();
}

void load_by_alias(std::span<const AttributeName> names) {
  if (!names.empty()) {
    load_by("attributes_document_name_key", names, nullptr);
  }
}

}  // namespace

void load(std::span<const AttributeName> names) {
  core::ArenaVector<AttributeName> missing(pg::arena_of(CurrentMemoryContext));
  load_by("attributes_tenant_id_name_key", names, &missing);
  load_by_alias(missing.span());
}

namespace {

// How many attributes of a tenant are in its documents.
int64 count_in_documents(int64 tenant_id) {
  static pg::Statement count(
      "SELECT count(*) FROM eav.attributes WHERE tenant_id = $1 AND projection IN ('hot', 'live')",
      {INT8OID});
  count.run({Int64GetDatum(tenant_id)});
  const int64 number = DatumGetInt64(pg::cell(0, 1).value);
  // 8 kB for each tenant would else stay until the end of the flush.
  SPI_freetuptable(SPI_tuptable);
  return number;
}

// The projections of new attributes: no more in the documents of a tenant than there is room for.
// Sessions that register at the same moment may exceed it by what they register.
void choose_projections(std::span<const NewAttribute> attributes, core::Projection* projections) {
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  core::KeyIndex tenants(arena);
  core::ArenaVector<int64> rooms(arena);  // by number of the tenant
  for (std::size_t i = 0; i < attributes.size(); ++i) {
    projections[i] = auto_projection(attributes[i].type);
    if (projections[i] != core::Projection::hot && projections[i] != core::Projection::live) {
      continue;
    }
    const int64 tenant_id = attributes[i].key.tenant_id;
    const uint32 number = tenants.number_of({tenant_id, ""});
    if (number == rooms.size()) {
      rooms.push_back(settings.max_hot_attributes - count_in_documents(tenant_id));
    }
    if (rooms[number]-- <= 0) {
      projections[i] = core::Projection::current;
    }
  }
}

core::ArenaVector<AttributeName> names_of(std::span<const NewAttribute> attributes) {
  core::ArenaVector<AttributeName> names(pg::arena_of(CurrentMemoryContext));
  for (const NewAttribute& attribute : attributes) {
    names.push_back(attribute.key);
  }
  return names;
}

// Those whose name is free and stays so; see names.cpp.
core::ArenaVector<NewAttribute> claim_names(std::span<const NewAttribute> attributes,
                                            pg::OnLock on_lock) {
  core::ArenaVector<NewAttribute> claimed(pg::arena_of(CurrentMemoryContext));
  for (const NewAttribute& attribute : attributes) {
    if (keep_names(attribute.key.tenant_id, on_lock)) {
      claimed.push_back(attribute);
    }
  }
  load_by_alias(names_of(claimed.span()).span());
  std::size_t kept = 0;
  for (const NewAttribute& attribute : claimed) {
    if (find(attribute.key) == nullptr) {
      claimed[kept++] = attribute;
    }
  }
  claimed.truncate(kept);
  return claimed;
}

}  // namespace

namespace {

void register_some(std::span<const NewAttribute> attributes, pg::OnLock on_lock) {
  static pg::Statement insert(
      "INSERT INTO eav.attributes (tenant_id, name, data_type, projection, is_inferred) "
      "SELECT k.tenant_id, k.name, k.data_type, k.projection, true "
      "FROM unnest($1, $2, $3, $4) AS k (tenant_id, name, data_type, projection) "
      "ON CONFLICT DO NOTHING",
      {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID});
  pg::UniqueIndex index("attributes", "attributes_tenant_id_name_key", F_TEXTEQ,
                        pg::UniqueIndex::See::dirty);
  const auto is_held = [&index](const NewAttribute& attribute) {
    return index.is_held(attribute.key.tenant_id, text_datum(attribute.key.name));
  };
  const core::ArenaVector<NewAttribute> claimed = claim_names(attributes, on_lock);
  pg::insert_rows(claimed.span(), on_lock, is_held, [](std::span<const NewAttribute> some) {
    auto* const chosen =
        static_cast<core::Projection*>(palloc(sizeof(core::Projection) * some.size()));
    choose_projections(some, chosen);
    auto* const tenants = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    auto* const names = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    auto* const types = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    auto* const untyped = static_cast<bool*>(palloc(sizeof(bool) * some.size()));
    auto* const projections = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    for (std::size_t i = 0; i < some.size(); ++i) {
      tenants[i] = Int64GetDatum(some[i].key.tenant_id);
      names[i] = text_datum(some[i].key.name);
      untyped[i] = !some[i].type.has_value();
      types[i] = text_datum(untyped[i] ? "" : core::name_of(*some[i].type));
      projections[i] = text_datum(core::name_of(chosen[i]));
    }
    insert.run({pg::make_array(tenants, nullptr, some.size(), INT8OID),
                pg::make_array(names, nullptr, some.size(), TEXTOID),
                pg::make_array(types, untyped, some.size(), TEXTOID),
                pg::make_array(projections, nullptr, some.size(), TEXTOID)});
  });
  index.close();
  load(names_of(attributes).span());
}

}  // namespace

void register_attributes(std::span<const NewAttribute> attributes, pg::OnLock on_lock) {
  constexpr std::size_t most = 2000;
  pg::in_pieces(attributes, most,
                [on_lock](std::span<const NewAttribute> some) { register_some(some, on_lock); });
}

bool retype(const AttributeId& id, core::DataType type, pg::OnLock on_lock) {
  static pg::Statement skipping(
      "WITH free AS (SELECT tenant_id, attribute_id FROM eav.attributes "
      "WHERE tenant_id = $1 AND attribute_id = $2 AND is_inferred "
      "AND (data_type IS NULL OR data_type = 'int' AND $3 = 'float') "
      "FOR NO KEY UPDATE SKIP LOCKED) "
      "UPDATE eav.attributes a SET data_type = $3, "
      "projection = CASE WHEN a.data_type IS NULL AND a.projection <> 'current' "
      "AND NOT eav._has_chosen_projection($1, $2) THEN $4 ELSE a.projection END "
      "FROM free WHERE (a.tenant_id, a.attribute_id) = (free.tenant_id, free.attribute_id)",
      {INT8OID, INT4OID, TEXTOID, TEXTOID});
  static pg::Statement waiting(
      "UPDATE eav.attributes SET data_type = $3, "
      "projection = CASE WHEN data_type IS NULL AND projection <> 'current' "
      "AND NOT eav._has_chosen_projection($1, $2) THEN $4 ELSE projection END "
      "WHERE tenant_id = $1 AND attribute_id = $2 AND is_inferred "
      "AND (data_type IS NULL OR data_type = 'int' AND $3 = 'float')",
      {INT8OID, INT4OID, TEXTOID, TEXTOID});
  pg::Statement& update = on_lock == pg::OnLock::skip ? skipping : waiting;
  update.run({Int64GetDatum(id.tenant_id), Int32GetDatum(id.attribute_id),
              text_datum(core::name_of(type)), text_datum(core::name_of(auto_projection(type)))});
  load({&id, 1});
  const Attribute& attribute = *find(id);
  return attribute.type && !(attribute.type == core::DataType::integer &&
                             type == core::DataType::floating && attribute.is_inferred);
}

core::Projection auto_projection(std::optional<core::DataType> type) {
  switch (settings.auto_register_projection) {
    case always_hot:
      return core::Projection::hot;
    case always_live:
      return core::Projection::live;
    case always_current:
      return core::Projection::current;
    case always_none:
      return core::Projection::none;
    default:
      return type ? core::default_projection(*type) : core::Projection::live;
  }
}

}  // namespace eav::flush::registry

EAV_FUNCTION(eav_registry_changed) {
  if (!CALLED_AS_TRIGGER(fcinfo)) {
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("function eav._registry_changed() must be called as a trigger")));
  }
  const auto* const trigger = reinterpret_cast<TriggerData*>(fcinfo->context);
  CacheInvalidateRelcache(trigger->tg_relation);
  PG_RETURN_POINTER(nullptr);
}
