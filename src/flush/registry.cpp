#include "eav/flush/registry.hpp"

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/held_keys.hpp"
#include "eav/pg/spi.hpp"
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
  Attribute attribute;
};

// Lives on the heap for the life of the backend: no error can jump over its destructor. Its
// containers call nothing of the server, so no error can leave one half changed.
struct Cache {
  std::unordered_set<int64> tenants;
  std::unordered_map<AttributeId, std::unique_ptr<Entry>, IdHash> by_id;
  std::unordered_map<AttributeName, const Attribute*, NameHash, NameEqual> by_name;
};
Cache* cache = nullptr;
bool is_stale = false;
Oid tenants_oid = InvalidOid;
Oid attributes_oid = InvalidOid;

// InvalidOid stands for "anything may have changed".
void on_relcache_change(Datum /*argument*/, Oid relation) {
  if (relation == tenants_oid || relation == attributes_oid || relation == InvalidOid) {
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

// Columns: tenant_id, attribute_id, name, data_type, projection, is_inferred.
void keep_result() {
  for (uint64 row = 0; row < SPI_processed; ++row) {
    const int64 tenant_id = DatumGetInt64(pg::cell(row, 1).value);
    Attribute attribute{};
    attribute.attribute_id = DatumGetInt32(pg::cell(row, 2).value);
    const std::string_view name = text_view(pg::cell(row, 3).value);
    if (const pg::Cell type = pg::cell(row, 4); !type.is_null) {
      attribute.type = core::data_type_from_name(text_view(type.value)).value();
    }
    attribute.projection = core::projection_from_name(text_view(pg::cell(row, 5).value)).value();
    attribute.is_inferred = DatumGetBool(pg::cell(row, 6).value);

    auto& slot = cache->by_id[{tenant_id, attribute.attribute_id}];
    if (slot == nullptr) {
      slot = std::make_unique<Entry>(Entry{std::string(name), attribute});
    }
    slot->attribute = attribute;
    slot->attribute.name = slot->name;
    cache->by_name[{tenant_id, slot->name}] = &slot->attribute;
  }
}

// Two arrays of equal length: the tenants, and the other half of the keys.
template <typename Element, typename TenantOf, typename KeyOf>
std::pair<Datum, Datum> key_arrays(std::span<const Element> elements, Oid type, TenantOf tenant_of,
                                   KeyOf key_of) {
  auto* const tenants = static_cast<Datum*>(palloc(sizeof(Datum) * elements.size()));
  auto* const keys = static_cast<Datum*>(palloc(sizeof(Datum) * elements.size()));
  for (std::size_t i = 0; i < elements.size(); ++i) {
    tenants[i] = Int64GetDatum(tenant_of(elements[i]));
    keys[i] = key_of(elements[i]);
  }
  return {pg::make_array(tenants, nullptr, elements.size(), INT8OID),
          pg::make_array(keys, nullptr, elements.size(), type)};
}

Datum text_datum(std::string_view view) {
  return PointerGetDatum(cstring_to_text_with_len(view.data(), static_cast<int>(view.size())));
}

std::pair<Datum, Datum> name_arrays(std::span<const NewAttribute> attributes) {
  return key_arrays(
      attributes, TEXTOID, [](const auto& each) { return each.key.tenant_id; },
      [](const auto& each) { return text_datum(each.key.name); });
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
      attributes_oid != pg::relation_oid("attributes")) {
    tenants_oid = pg::relation_oid("tenants");
    attributes_oid = pg::relation_oid("attributes");
    is_stale = true;
  }
  if (is_stale) {
    cache->tenants.clear();
    cache->by_name.clear();
    cache->by_id.clear();
    is_stale = false;
  }
}

bool has_tenant(int64 tenant_id) { return cache->tenants.contains(tenant_id); }

const Attribute* find(const AttributeId& id) {
  const auto found = cache->by_id.find(id);
  return found == cache->by_id.end() ? nullptr : &found->second->attribute;
}

const Attribute* find(const AttributeName& name) {
  const auto found = cache->by_name.find(name);
  return found == cache->by_name.end() ? nullptr : found->second;
}

void load_tenants(std::span<const int64> tenant_ids) {
  static pg::Statement select("SELECT t.tenant_id FROM eav.tenants t WHERE t.tenant_id = ANY ($1)",
                              {INT8ARRAYOID});
  auto* const ids = static_cast<Datum*>(palloc(sizeof(Datum) * tenant_ids.size()));
  for (std::size_t i = 0; i < tenant_ids.size(); ++i) {
    ids[i] = Int64GetDatum(tenant_ids[i]);
  }
  select.run({pg::make_array(ids, nullptr, tenant_ids.size(), INT8OID)});
  for (uint64 row = 0; row < SPI_processed; ++row) {
    cache->tenants.insert(DatumGetInt64(pg::cell(row, 1).value));
  }
}

void load(std::span<const AttributeId> ids) {
  static pg::Statement select(
      "SELECT a.tenant_id, a.attribute_id, a.name, a.data_type, a.projection, a.is_inferred "
      "FROM unnest($1, $2) AS k (tenant_id, attribute_id) "
      "JOIN eav.attributes a USING (tenant_id, attribute_id)",
      {INT8ARRAYOID, INT4ARRAYOID});
  const auto [tenants, keys] = key_arrays(
      ids, INT4OID, [](const auto& id) { return id.tenant_id; },
      [](const auto& id) { return Int32GetDatum(id.attribute_id); });
  select.run({tenants, keys});
  keep_result();
}

void load(std::span<const AttributeName> names) {
  static pg::Statement select(
      "SELECT a.tenant_id, a.attribute_id, a.name, a.data_type, a.projection, a.is_inferred "
      "FROM unnest($1, $2) AS k (tenant_id, name) "
      "JOIN eav.attributes a ON a.tenant_id = k.tenant_id AND a.name = k.name",
      {INT8ARRAYOID, TEXTARRAYOID});
  const auto [tenants, keys] = key_arrays(
      names, TEXTOID, [](const auto& name) { return name.tenant_id; },
      [](const auto& name) { return text_datum(name.name); });
  select.run({tenants, keys});
  keep_result();
}

void register_attributes(std::span<const NewAttribute> attributes, pg::OnLock on_lock) {
  static pg::Statement insert(
      "INSERT INTO eav.attributes (tenant_id, name, data_type, projection, is_inferred) "
      "SELECT k.tenant_id, k.name, k.data_type, k.projection, true "
      "FROM unnest($1, $2, $3, $4) AS k (tenant_id, name, data_type, projection) "
      "ON CONFLICT DO NOTHING",
      {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID});
  pg::HeldKeys held("attributes", "attributes_tenant_id_name_key");
  const auto is_held = [&held](const NewAttribute& attribute) {
    return held.contains(attribute.key.tenant_id, text_datum(attribute.key.name), F_TEXTEQ);
  };
  pg::insert_rows(attributes, on_lock, is_held, [](std::span<const NewAttribute> some) {
    const auto [tenants, names] = name_arrays(some);
    auto* const types = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    auto* const untyped = static_cast<bool*>(palloc(sizeof(bool) * some.size()));
    auto* const projections = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    for (std::size_t i = 0; i < some.size(); ++i) {
      untyped[i] = !some[i].type.has_value();
      types[i] = text_datum(untyped[i] ? "" : core::name_of(*some[i].type));
      projections[i] = text_datum(core::name_of(auto_projection(some[i].type)));
    }
    insert.run({tenants, names, pg::make_array(types, untyped, some.size(), TEXTOID),
                pg::make_array(projections, nullptr, some.size(), TEXTOID)});
  });
  held.close();
  auto* const names =
      static_cast<AttributeName*>(palloc(sizeof(AttributeName) * attributes.size()));
  for (std::size_t i = 0; i < attributes.size(); ++i) {
    names[i] = attributes[i].key;
  }
  load(std::span<const AttributeName>(names, attributes.size()));
}

bool retype(const AttributeId& id, core::DataType type, pg::OnLock on_lock) {
  static pg::Statement skipping(
      "WITH free AS (SELECT tenant_id, attribute_id FROM eav.attributes "
      "WHERE tenant_id = $1 AND attribute_id = $2 AND is_inferred "
      "AND (data_type IS NULL OR data_type = 'int' AND $3 = 'float') "
      "FOR NO KEY UPDATE SKIP LOCKED) "
      "UPDATE eav.attributes a SET data_type = $3, "
      "projection = CASE WHEN a.data_type IS NULL THEN $4 ELSE a.projection END "
      "FROM free WHERE (a.tenant_id, a.attribute_id) = (free.tenant_id, free.attribute_id)",
      {INT8OID, INT4OID, TEXTOID, TEXTOID});
  static pg::Statement waiting(
      "UPDATE eav.attributes SET data_type = $3, "
      "projection = CASE WHEN data_type IS NULL THEN $4 ELSE projection END "
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
