// Which tenants the current user may act for. The rules stand in tenant.cpp.
#pragma once

#include <optional>

#include "eav/pg/postgres.hpp"

namespace eav::access {

struct Binding {
  bool is_bound;                // false: may act for every tenant
  std::optional<int64> tenant;  // the only one to act for; none: for no tenant at all
};

// Of the current user: in a SECURITY DEFINER function that is its owner. Raises
// insufficient_privilege when the session has chosen a tenant that its role may not act for. Within
// a transaction.
Binding binding();

// The only tenant that the current user may write for; none: for every one. Raises
// insufficient_privilege when there is none to write for.
std::optional<int64> writer_tenant();

// Raises insufficient_privilege unless the current user may act for the tenant. The error is the
// same for tenants that exist and those that do not.
void check_tenant(int64 tenant_id);

}  // namespace eav::access
