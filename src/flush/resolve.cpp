#include "eav/flush/resolve.hpp"

#include <algorithm>
#include <optional>

#include "eav/core/key_index.hpp"
#include "eav/flush/erased.hpp"
#include "eav/flush/pii.hpp"
#include "eav/flush/registry.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/spi.hpp"
#include "eav/pg/unique_index.hpp"
#include "eav/projection/convert.hpp"
#include "eav/settings.hpp"

namespace eav::flush {

using core::DataType;
using ingest::Rejection;
using ingest::StagedRow;

namespace {

core::Arena batch_arena() { return pg::arena_of(CurrentMemoryContext); }

// Each step keeps the rows it accepts in place and hands the others over.
template <typename Check>
void keep_rows(Rows& rows, const Unresolved& unresolved, Check&& check) {
  std::size_t kept = 0;
  for (const StagedRow& row : rows) {
    StagedRow candidate = row;
    bool held_up = false;
    const Rejection rejection = check(candidate, held_up);
    if (rejection) {
      unresolved.rejects->push_back(ingest::rejected(row, unresolved.description, rejection));
    } else if (held_up) {
      unresolved.held_up->push_back(row);
    } else {
      rows[kept++] = candidate;
    }
  }
  rows.truncate(kept);
}

template <typename T>
std::span<const T> distinct(core::ArenaVector<T>& values) {
  std::sort(values.begin(), values.end());
  return {values.begin(), std::unique(values.begin(), values.end())};
}

// The door has refused such values; this is for a door that did not.
void check_writers(Rows& rows, const Unresolved& unresolved) {
  const auto is_foreign = [](const StagedRow& row) {
    return row.writer_tenant && *row.writer_tenant != row.tenant_id;
  };
  if (std::none_of(rows.begin(), rows.end(), is_foreign)) {
    return;
  }
  keep_rows(rows, unresolved, [&](StagedRow& row, bool& /*held_up*/) -> Rejection {
    if (!is_foreign(row)) {
      return {};
    }
    return {ERRCODE_INSUFFICIENT_PRIVILEGE,
            psprintf("written for tenant " INT64_FORMAT " by a session of another tenant",
                     row.tenant_id)};
  });
}

void check_tenants(Rows& rows, const Unresolved& unresolved) {
  core::ArenaVector<int64> unknown(batch_arena());
  const StagedRow* previous = nullptr;
  for (const StagedRow& row : rows) {
    if ((previous == nullptr || previous->tenant_id != row.tenant_id) &&
        !registry::has_tenant(row.tenant_id)) {
      unknown.push_back(row.tenant_id);
    }
    previous = &row;
  }
  if (unknown.empty()) {
    return;
  }
  registry::load_tenants(distinct(unknown));
  std::size_t kept = 0;
  for (const StagedRow& row : rows) {
    if (!registry::is_erased(row.tenant_id)) {
      rows[kept++] = row;
    }
  }
  rows.truncate(kept);
  keep_rows(rows, unresolved, [](StagedRow& row, bool& /*held_up*/) -> Rejection {
    if (registry::has_tenant(row.tenant_id)) {
      return {};
    }
    return {ERRCODE_FOREIGN_KEY_VIOLATION, psprintf("unknown tenant " INT64_FORMAT, row.tenant_id)};
  });
}

// None for a clearing.
std::optional<DataType> type_for_new(const StagedRow& row) {
  if (row.value.cleared) {
    return std::nullopt;
  }
  if (!row.is_unparsed()) {
    return row.value.type;
  }
  const DataType type = core::infer_type(row.unparsed);
  // What only begins like JSON is text.
  ingest::Value json;
  return type == DataType::json && ingest::parse_value(row.unparsed, type, json) ? DataType::text
                                                                                 : type;
}

// Attributes named but unknown to this backend: read, then registered.
void register_names(const Rows& rows, pg::OnLock on_lock) {
  core::KeyIndex seen(batch_arena());
  core::ArenaVector<AttributeName> names(batch_arena());
  core::ArenaVector<const StagedRow*> first_rows(batch_arena());
  for (const StagedRow& row : rows) {
    if (row.attribute.empty()) {
      continue;
    }
    const AttributeName name{row.tenant_id, row.attribute};
    if (registry::find(name) != nullptr) {
      continue;
    }
    const uint32 number = seen.number_of({name.tenant_id, name.name});
    if (number == names.size()) {
      names.push_back(name);
      first_rows.push_back(&row);
    } else if (first_rows[number]->value.cleared) {
      first_rows[number] = &row;
    }
  }
  if (names.empty()) {
    return;
  }
  registry::load(std::span<const AttributeName>(names.data(), names.size()));
  if (!settings.auto_register) {
    return;
  }
  core::ArenaVector<registry::NewAttribute> fresh(batch_arena());
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (registry::find(names[i]) == nullptr) {
      fresh.push_back({names[i], type_for_new(*first_rows[i])});
    }
  }
  if (!fresh.empty()) {
    registry::register_attributes(fresh.span(), on_lock);
  }
}

const Attribute* attribute_of(const StagedRow& row) {
  return !row.attribute.empty() ? registry::find(AttributeName{row.tenant_id, row.attribute})
                                : registry::find(AttributeId{row.tenant_id, row.attribute_id});
}

// Finds the attribute of each row; what the backend does not know is read from the tables.
void find_attributes(Rows& rows, pg::OnLock on_lock) {
  register_names(rows, on_lock);
  core::ArenaVector<AttributeId> unknown(batch_arena());
  for (StagedRow& row : rows) {
    row.resolved = attribute_of(row);
    if (row.resolved == nullptr && row.attribute.empty()) {
      unknown.push_back({row.tenant_id, row.attribute_id});
    }
  }
  if (unknown.empty()) {
    return;
  }
  registry::load(distinct(unknown));
  for (StagedRow& row : rows) {
    if (row.resolved == nullptr) {
      row.resolved = attribute_of(row);
    }
  }
}

Rejection unknown_attribute(const StagedRow& row, bool& held_up) {
  if (row.attribute.empty()) {
    return {ERRCODE_UNDEFINED_OBJECT, psprintf("unknown attribute_id %d of tenant " INT64_FORMAT,
                                               row.attribute_id, row.tenant_id)};
  }
  if (settings.auto_register) {
    held_up = true;
    return {};
  }
  const std::string_view name = row.attribute;
  return {ERRCODE_UNDEFINED_OBJECT,
          psprintf("unknown attribute \"%.*s\" of tenant " INT64_FORMAT,
                   static_cast<int>(name.size()), name.data(), row.tenant_id)};
}

// The type that the value gives to an attribute whose type is inferred: the first one, or float
// when a float arrives for an int. None when the attribute stays as it is.
std::optional<DataType> new_type(const StagedRow& row, const Attribute& attribute) {
  const bool is_open = !attribute.type || attribute.type == DataType::integer;
  if (!attribute.is_inferred || !is_open || row.value.cleared) {
    return std::nullopt;
  }
  const std::optional<DataType> type = type_for_new(row);
  return !attribute.type || type == DataType::floating ? type : std::nullopt;
}

// Rows of one attribute ask for the same change; one that could not be made is not tried again.
bool retype_once(const StagedRow& row, DataType type, pg::OnLock on_lock,
                 core::ArenaVector<const Attribute*>& held) {
  if (std::find(held.begin(), held.end(), row.resolved) != held.end()) {
    return false;
  }
  if (registry::retype({row.tenant_id, row.attribute_id}, type, on_lock)) {
    return true;
  }
  held.push_back(row.resolved);
  return false;
}

void resolve_attributes(Rows& rows, const Unresolved& unresolved) {
  find_attributes(rows, unresolved.on_lock);
  core::ArenaVector<const Attribute*> held(batch_arena());
  keep_rows(rows, unresolved, [&](StagedRow& row, bool& held_up) -> Rejection {
    if (row.resolved == nullptr) {
      return unknown_attribute(row, held_up);
    }
    row.attribute_id = row.resolved->attribute_id;
    if (const auto type = new_type(row, *row.resolved)) {
      held_up = !retype_once(row, *type, unresolved.on_lock, held);
    }
    return {};
  });
}

// After all widening, so that a batch has one type for an attribute.
void parse_values(Rows& rows, const Unresolved& unresolved) {
  keep_rows(rows, unresolved, [](StagedRow& row, bool& /*held_up*/) -> Rejection {
    row.projection = row.resolved->projection;
    if (row.value.cleared) {
      return {};
    }
    const DataType type = row.resolved->type.value();
    if (row.in_history) {
      // The type may have been changed since; what is in history must not be rejected.
      projection::fit(row.value, type);
      return {};
    }
    return row.is_unparsed() ? ingest::parse_value(row.unparsed, type, row.value)
                             : ingest::convert_value(type, row.value);
  });
}

struct ExternalIds {
  core::KeyIndex keys;
  core::ArenaVector<int64> entity_ids;  // by number of the key
  core::ArenaVector<bool> found;
};

Datum name_datum(const core::NameKey& key) {
  return PointerGetDatum(
      cstring_to_text_with_len(key.name.data(), static_cast<int>(key.name.size())));
}

void look_up(ExternalIds& ids, std::span<const uint32> numbers) {
  constexpr int column_entity_id = 2;
  pg::UniqueIndex index("entities", "entities_tenant_id_external_id_key", F_TEXTEQ,
                        pg::UniqueIndex::See::latest);
  for (const uint32 number : numbers) {
    const core::NameKey& key = ids.keys[number];
    if (TupleTableSlot* const row = index.find(key.tenant_id, name_datum(key))) {
      ids.entity_ids[number] = DatumGetInt64(pg::column_of(row, column_entity_id));
      ids.found[number] = true;
    }
  }
  index.close();
}

core::ArenaVector<uint32> not_found(const ExternalIds& ids) {
  core::ArenaVector<uint32> numbers(batch_arena());
  for (uint32 number = 0; number < ids.keys.size(); ++number) {
    if (!ids.found[number]) {
      numbers.push_back(number);
    }
  }
  return numbers;
}

void register_external_ids(const core::KeyIndex& keys, std::span<const uint32> numbers,
                           pg::OnLock on_lock) {
  static pg::Statement insert(
      "INSERT INTO eav.entities (tenant_id, external_id) SELECT * FROM unnest($1, $2) "
      "ON CONFLICT DO NOTHING",
      {INT8ARRAYOID, TEXTARRAYOID});
  pg::UniqueIndex index("entities", "entities_tenant_id_external_id_key", F_TEXTEQ,
                        pg::UniqueIndex::See::dirty);
  const auto is_held = [&](uint32 number) {
    return index.is_held(keys[number].tenant_id, name_datum(keys[number]));
  };
  pg::insert_rows(numbers, on_lock, is_held, [&keys](std::span<const uint32> some) {
    auto* const tenants = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    auto* const names = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    for (std::size_t i = 0; i < some.size(); ++i) {
      tenants[i] = Int64GetDatum(keys[some[i]].tenant_id);
      names[i] = name_datum(keys[some[i]]);
    }
    insert.run({pg::make_array(tenants, nullptr, some.size(), INT8OID),
                pg::make_array(names, nullptr, some.size(), TEXTOID)});
  });
  index.close();
}

void resolve_entities(Rows& rows, const Unresolved& unresolved) {
  ExternalIds ids{core::KeyIndex(batch_arena()), core::ArenaVector<int64>(batch_arena()),
                  core::ArenaVector<bool>(batch_arena())};
  for (const StagedRow& row : rows) {
    if (!row.entity.empty() &&
        ids.keys.number_of({row.tenant_id, row.entity}) == ids.found.size()) {
      ids.found.push_back(false);
      ids.entity_ids.push_back(0);
    }
  }
  if (ids.keys.size() == 0) {
    return;
  }
  core::ArenaVector<uint32> missing = not_found(ids);
  look_up(ids, std::span<const uint32>(missing.data(), missing.size()));
  missing = not_found(ids);
  if (!missing.empty()) {
    const std::span<const uint32> numbers(missing.data(), missing.size());
    constexpr std::size_t most = 2000;
    pg::in_pieces(numbers, most, [&](std::span<const uint32> some) {
      register_external_ids(ids.keys, some, unresolved.on_lock);
    });
    look_up(ids, numbers);
  }
  keep_rows(rows, unresolved, [&ids](StagedRow& row, bool& held_up) -> Rejection {
    if (!row.entity.empty()) {
      const uint32 number = ids.keys.number_of({row.tenant_id, row.entity});
      row.entity_id = ids.entity_ids[number];
      held_up = !ids.found[number];
    }
    return {};
  });
}

}  // namespace

void resolve(Rows& rows, const Unresolved& unresolved) {
  registry::refresh();
  check_writers(rows, unresolved);
  check_tenants(rows, unresolved);
  discard_erased(rows, unresolved);
  resolve_attributes(rows, unresolved);
  parse_values(rows, unresolved);
  resolve_entities(rows, unresolved);
  encrypt_pii(rows);
}

core::ArenaVector<core::EntityKey> set_arrival(Rows& rows, TimestampTz& ingested_at) {
  core::ArenaVector<core::EntityKey> order(batch_arena());
  order.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    StagedRow& row = rows[i];
    if (!row.in_history) {
      row.version.ingested_at = ingested_at;
    }
    order.push_back(
        {row.tenant_id, row.entity_id, row.version, row.attribute_id, static_cast<uint32>(i)});
  }
  const TimestampTz highest =
      core::order_by_entity(order.span(), ingested_at, [&rows](uint32 left, uint32 right) {
        const auto by_arrival = rows[left].arrival <=> rows[right].arrival;
        return std::is_lt(by_arrival) || (std::is_eq(by_arrival) && left < right);
      });
  if (highest > ingested_at) {
    for (const core::EntityKey& key : order) {
      rows[key.row].version = key.version;
    }
  }
  ingested_at = highest + 1;
  return order;
}

}  // namespace eav::flush
