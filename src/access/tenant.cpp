// Who may act for which tenant.
//
// Every tenant: superusers, roles with BYPASSRLS and members of eav_admin; unless the session has
// chosen one itself (eav.tenant_id), which binds them to it where functions are asked.
// One tenant: all others. Roles that eav.grant_tenant() has pinned, themselves or through roles
// they are members of, may act for the tenants that these are pinned to: when there is one, for
// that; when there are several, for the one that the session chooses among them. A current user
// without pins has those of the role that has logged in, so that SET ROLE leads out of nothing. Who
// has no pins acts for the tenant that the session has chosen; and for none without a choice. A pin
// to a tenant that has been erased is one to none.
//
// The current user counts, not the session's: an index expression or a SECURITY DEFINER function
// that a superuser comes across runs as its owner, and must not act for every tenant.
//
// Row security asks the same (eav.current_tenant()), once per query.
#include "eav/access/tenant.hpp"

#include <algorithm>

#include "eav/core/arena.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/memory.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <access/genam.h>
#include <catalog/pg_auth_members.h>
#include <catalog/pg_collation.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/catcache.h>
#include <utils/guc.h>
#include <utils/inval.h>
#include <utils/snapmgr.h>
#include <utils/syscache.h>
}

namespace eav::access {

namespace {

constexpr const char* admin_role = "eav_admin";

// What is known of a user. Lives as long as the backend, and is computed anew when roles, their
// members or pins have changed.
struct Rights {
  Oid user;
  Oid session_user;
  bool is_unrestricted;
  bool is_pinned;
  core::ArenaVector<int64> pins;  // tenants, in order, each once
};
Rights rights;
bool are_known = false;
bool have_changed = false;  // while they were being read
Oid grants_oid = InvalidOid;

void on_role_change(Datum /*argument*/, int /*cache*/, uint32 /*hash*/) {
  are_known = false;
  have_changed = true;
}
void on_relcache_change(Datum /*argument*/, Oid relation) {
  if (relation == grants_oid || relation == InvalidOid) {
    are_known = false;
    have_changed = true;
  }
}

// The role and all that it is a member of, whether it inherits their rights or not.
core::ArenaVector<Oid> roles_of(Oid user) {
  core::ArenaVector<Oid> roles(pg::arena_of(CurrentMemoryContext));
  roles.push_back(user);
  for (std::size_t next = 0; next < roles.size(); ++next) {
    CatCList* const memberships =
        SearchSysCacheList1(AUTHMEMMEMROLE, ObjectIdGetDatum(roles[next]));
    for (int i = 0; i < memberships->n_members; ++i) {
      const Oid role =
          reinterpret_cast<Form_pg_auth_members>(GETSTRUCT(&memberships->members[i]->tuple))
              ->roleid;
      if (std::find(roles.begin(), roles.end(), role) == roles.end()) {
        roles.push_back(role);
      }
    }
    ReleaseSysCacheList(memberships);
  }
  return roles;
}

// By number, which a new name does not change; and by name, which a dump keeps, where the number is
// of no role: else the pin is that role's, which has been renamed, and not of whoever has its name
// now.
enum class By : uint8 { number, name };

void add_pins(Relation grants, Oid role, By by) {
  constexpr int column_role = 1;
  constexpr int column_role_id = 2;
  constexpr int column_tenant_id = 3;
  ScanKeyData key;
  NameData name;
  if (by == By::number) {
    ScanKeyInit(&key, column_role_id, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
  } else {
    namestrcpy(&name, GetUserNameFromId(role, false));
    ScanKeyInit(&key, column_role, BTEqualStrategyNumber, F_NAMEEQ, NameGetDatum(&name));
  }
  const Oid index =
      pg::relation_oid(by == By::number ? "tenant_grants_role_id_idx" : "tenant_grants_role_idx");
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  SysScanDesc const scan = systable_beginscan(grants, index, true, snapshot, 1, &key);
  for (HeapTuple row = systable_getnext(scan); HeapTupleIsValid(row);
       row = systable_getnext(scan)) {
    bool is_null = false;
    const Datum number = heap_getattr(row, column_role_id, RelationGetDescr(grants), &is_null);
    if (by == By::name && !is_null && SearchSysCacheExists1(AUTHOID, number)) {
      continue;
    }
    rights.is_pinned = true;
    const Datum tenant = heap_getattr(row, column_tenant_id, RelationGetDescr(grants), &is_null);
    if (!is_null) {
      rights.pins.push_back(DatumGetInt64(tenant));
    }
  }
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
}

void read_pins(Oid user) {
  core::ArenaVector<int64>& pins = rights.pins;
  Relation const grants = table_open(grants_oid, AccessShareLock);
  for (const Oid role : roles_of(user)) {
    add_pins(grants, role, By::number);
    add_pins(grants, role, By::name);
  }
  table_close(grants, AccessShareLock);
  std::sort(pins.begin(), pins.end());
  pins.truncate(static_cast<std::size_t>(std::unique(pins.begin(), pins.end()) - pins.begin()));
}

bool is_unrestricted(Oid user) {
  const Oid admin = get_role_oid(admin_role, true);
  return has_bypassrls_privilege(user) || (OidIsValid(admin) && has_privs_of_role(user, admin));
}

const Rights& rights_of(Oid user) {
  const Oid session_user = GetSessionUserId();
  if (are_known && rights.user == user && rights.session_user == session_user) {
    return rights;
  }
  if (rights.pins.data() == nullptr) {
    CacheRegisterSyscacheCallback(AUTHOID, on_role_change, 0);
    CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, 0);
    CacheRegisterRelcacheCallback(on_relcache_change, 0);
    rights.pins = core::ArenaVector<int64>(pg::arena_of(TopMemoryContext));
    rights.pins.reserve(1);
  }
  are_known = false;
  have_changed = false;
  grants_oid = pg::relation_oid("tenant_grants");
  rights.user = user;
  rights.session_user = session_user;
  rights.is_unrestricted = is_unrestricted(user);
  rights.is_pinned = false;
  rights.pins.clear();
  if (!rights.is_unrestricted) {
    read_pins(user);
    if (!rights.is_pinned) {
      read_pins(session_user);
    }
  }
  are_known = !have_changed;
  return rights;
}

std::string_view role_name(Oid role) { return GetUserNameFromId(role, false); }

[[noreturn]] void refuse_choice(const Rights& known, int64 tenant_id) {
  const std::string_view role = role_name(GetUserId());
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("permission denied for tenant " INT64_FORMAT, tenant_id),
                  known.pins.empty()
                      ? errdetail("Role \"%.*s\" is pinned to a tenant that has been erased.",
                                  static_cast<int>(role.size()), role.data())
                      : errdetail("Role \"%.*s\" is pinned to other tenants (eav.grant_tenant()).",
                                  static_cast<int>(role.size()), role.data()),
                  errhint("Reset eav.tenant_id.")));
}

bool may_choose(const Rights& known, int64 tenant_id) {
  return known.is_unrestricted || !known.is_pinned ||
         std::binary_search(known.pins.begin(), known.pins.end(), tenant_id);
}

}  // namespace

Binding binding() {
  const std::optional<int64> chosen = chosen_tenant();
  const Oid user = GetUserId();
  if (superuser_arg(user)) {
    return {chosen.has_value(), chosen};
  }
  const Rights& known = rights_of(user);
  if (chosen) {
    if (!may_choose(known, *chosen)) {
      refuse_choice(known, *chosen);
    }
    return {true, chosen};
  }
  if (known.is_unrestricted) {
    return {false, std::nullopt};
  }
  return {true, known.pins.size() == 1 ? std::optional(known.pins[0]) : std::nullopt};
}

std::optional<int64> writer_tenant() {
  const Binding own = binding();
  if (own.is_bound && !own.tenant) {
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("no tenant has been chosen"),
                    errhint("eav.set_tenant() chooses the tenant of a session, "
                            "eav.grant_tenant() that of a role.")));
  }
  return own.tenant;
}

void check_tenant(int64 tenant_id) {
  const Binding own = binding();
  if (!own.is_bound || own.tenant == tenant_id) {
    return;
  }
  const std::string_view role = role_name(GetUserId());
  ereport(ERROR,
          (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
           errmsg("permission denied for tenant " INT64_FORMAT, tenant_id),
           own.tenant ? errdetail("The session acts for tenant " INT64_FORMAT ".", *own.tenant)
                      : errdetail("Role \"%.*s\" acts for no tenant.",
                                  static_cast<int>(role.size()), role.data()),
           errhint("eav.set_tenant() chooses the tenant of a session, eav.grant_tenant() that of a "
                   "role.")));
}

}  // namespace eav::access

EAV_FUNCTION(eav_current_tenant) {
  const eav::access::Binding own = eav::access::binding();
  if (!own.tenant) {
    PG_RETURN_NULL();
  }
  PG_RETURN_INT64(*own.tenant);
}

// For a column that only says more than null when the writer was bound.
EAV_FUNCTION(eav_writer_tenant) {
  const std::optional<int64> tenant = eav::access::writer_tenant();
  if (!tenant) {
    PG_RETURN_NULL();
  }
  PG_RETURN_INT64(*tenant);
}

EAV_FUNCTION(eav_check_tenant_access) {
  eav::access::check_tenant(PG_GETARG_INT64(0));
  PG_RETURN_VOID();
}

EAV_FUNCTION(eav_set_tenant) {
  using namespace eav;
  if (PG_ARGISNULL(1)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("is_local must not be null")));
  }
  const bool is_local = PG_GETARG_BOOL(1);
  if ((is_local || settings.tenant_scope == scope_transaction) && !IsTransactionBlock()) {
    ereport(ERROR,
            (errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
             errmsg("eav.set_tenant() would be without effect outside a transaction block"),
             is_local ? errdetail("The choice ends with the transaction.")
                      : errdetail("With eav.tenant_scope = transaction the choice ends with the "
                                  "transaction."),
             errhint("Call it after BEGIN.")));
  }
  char text[32] = "";
  if (!PG_ARGISNULL(0)) {
    const int64 tenant_id = PG_GETARG_INT64(0);
    if (!superuser_arg(GetUserId())) {
      const access::Rights& known = access::rights_of(GetUserId());
      if (!access::may_choose(known, tenant_id)) {
        access::refuse_choice(known, tenant_id);
      }
    }
    snprintf(text, sizeof(text), INT64_FORMAT, tenant_id);
  }
  (void)set_config_option("eav.tenant_id", text, PGC_USERSET, PGC_S_SESSION,
                          is_local ? GUC_ACTION_LOCAL : GUC_ACTION_SET, true, 0, false);
  PG_RETURN_VOID();
}
