// The gate before functions that run with the rights of the owner: eav.NAME(tenant_id, ...) checks
// that its caller may act for the tenant, then calls eav._NAME(tenant_id, ...) as the owner.
//
// A SECURITY DEFINER function alone could not check: it no longer knows by whom it was called, only
// who the session belongs to, and that may be a superuser who came across somebody else's trigger.
#include "eav/access/tenant.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/owner.hpp"

extern "C" {
#include <catalog/pg_proc.h>
#include <utils/syscache.h>
}

namespace eav::access {

namespace {

// The function behind the gate; found once per call site.
FmgrInfo* function_behind(const FmgrInfo* gate) {
  HeapTuple const own = SearchSysCache1(PROCOID, ObjectIdGetDatum(gate->fn_oid));
  if (!HeapTupleIsValid(own)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                    errmsg("function with OID %u does not exist", gate->fn_oid)));
  }
  auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(own));
  char* const name = psprintf("_%s", NameStr(form->proname));
  const Oid found =
      GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
                      PointerGetDatum(&form->proargtypes), ObjectIdGetDatum(form->pronamespace));
  if (!OidIsValid(found)) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_FUNCTION), errmsg("function eav.%s() is missing", name),
             errhint("ALTER EXTENSION eav_ext UPDATE, or create the extension anew.")));
  }
  ReleaseSysCache(own);
  auto* const behind = static_cast<FmgrInfo*>(MemoryContextAlloc(gate->fn_mcxt, sizeof(FmgrInfo)));
  fmgr_info_cxt(found, behind, gate->fn_mcxt);
  fmgr_info_set_expr(gate->fn_expr, behind);
  return behind;
}

}  // namespace

}  // namespace eav::access

EAV_FUNCTION(eav_for_tenant) {
  FmgrInfo* const gate = fcinfo->flinfo;
  if (!PG_ARGISNULL(0)) {
    eav::access::check_tenant(PG_GETARG_INT64(0));
  }
  if (gate->fn_extra == nullptr) {
    gate->fn_extra = eav::access::function_behind(gate);
  }
  LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
  InitFunctionCallInfoData(*inner, static_cast<FmgrInfo*>(gate->fn_extra), fcinfo->nargs,
                           fcinfo->fncollation, fcinfo->context, fcinfo->resultinfo);
  for (int i = 0; i < fcinfo->nargs; ++i) {
    inner->args[i] = fcinfo->args[i];
  }
  Datum result = 0;
  eav::pg::as_owner(eav::pg::relation_oid("tenants"), [&] { result = FunctionCallInvoke(inner); });
  fcinfo->isnull = inner->isnull;
  return result;
}
