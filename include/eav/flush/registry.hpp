// What this backend knows of tenants and attributes. Filled as batches need it; forgotten when
// the tables change (their triggers send an invalidation) or a transaction that may have
// filled it from its own rows rolls back.
#pragma once

#include <compare>
#include <optional>
#include <span>
#include <string_view>

#include "eav/core/arena.hpp"
#include "eav/core/value.hpp"
#include "eav/pg/lock_wait.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::flush {

struct Attribute {
  int32 attribute_id;
  std::optional<core::DataType> type;  // none while only clearings have arrived
  core::Projection projection;
  bool is_inferred;
  bool is_pii;
  uint8 moving_from;               // a bit for each Projection that may still hold values of it
  std::string_view name;           // as long as the registry is not refreshed
  std::string_view document_name;  // its key in documents; likewise

  bool may_be_in(core::Projection where) const {
    return (moving_from & (1U << static_cast<unsigned>(where))) != 0;
  }
};

struct AttributeName {
  int64 tenant_id;
  std::string_view name;
};

struct AttributeId {
  int64 tenant_id;
  int32 attribute_id;
  // The check sees the 0 that a defaulted comparison uses inside.
  // NOLINTNEXTLINE(modernize-use-nullptr)
  auto operator<=>(const AttributeId&) const = default;
};

namespace registry {

// Call once per batch, before anything else: drops what has become stale. Within run_alone() of
// flush/alone.hpp, as nothing may be in use.
void refresh();

bool has_tenant(int64 tenant_id);
// Whether the tenant, or any entity of it, has been erased: of a tenant that has been loaded. What
// is erased as a whole is no tenant any more.
bool is_erased(int64 tenant_id);
bool has_erased(int64 tenant_id);
// Null when unknown. Valid until the next refresh(), whatever is loaded meanwhile.
const Attribute* find(const AttributeId& id);
const Attribute* find(const AttributeName& name);

// Read from the tables what is not known yet; what does not exist stays unknown. Within an SPI
// connection.
void load_tenants(std::span<const int64> tenant_ids);
void load(std::span<const AttributeId> ids);
void load(std::span<const AttributeName> names);

// Registers attributes that do not exist. With OnLock::skip one that another open transaction
// registers stays unknown.
struct NewAttribute {
  AttributeName key;
  std::optional<core::DataType> type;
};
void register_attributes(std::span<const NewAttribute> attributes, pg::OnLock on_lock);

// Gives an attribute with inferred type another: its first, or float instead of int. False when
// it was skipped.
bool retype(const AttributeId& id, core::DataType type, pg::OnLock on_lock);

// The projection of an attribute that registers itself, by eav.auto_register_projection.
core::Projection auto_projection(std::optional<core::DataType> type);

}  // namespace registry

}  // namespace eav::flush
