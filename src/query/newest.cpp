// eav._newest(): the newest of many values.
#include "eav/core/versions.hpp"
#include "eav/pg/guard.hpp"

namespace eav::query {

namespace {

// Lives as long as the aggregation.
struct Newest {
  core::Version version;
  Jsonb* value;
};

MemoryContext context_of(FunctionCallInfo fcinfo) {
  MemoryContext context = nullptr;
  if (AggCheckCallContext(fcinfo, &context) == 0) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("eav._newest_add() must be called by an aggregation")));
  }
  return context;
}

void keep(Newest& newest, Datum value, const core::Version& version, MemoryContext context) {
  MemoryContext const caller = MemoryContextSwitchTo(context);
  if (newest.value != nullptr) {
    pfree(newest.value);
  }
  newest = {version, DatumGetJsonbPCopy(value)};
  MemoryContextSwitchTo(caller);
}

}  // namespace

}  // namespace eav::query

EAV_UNCHECKED_FUNCTION(eav_newest_add) {
  using eav::query::Newest;
  MemoryContext const context = eav::query::context_of(fcinfo);
  auto* newest = PG_ARGISNULL(0) ? nullptr : reinterpret_cast<Newest*>(PG_GETARG_POINTER(0));
  if (newest == nullptr) {
    newest = static_cast<Newest*>(MemoryContextAllocZero(context, sizeof(Newest)));
  }
  if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2) && !PG_ARGISNULL(3)) {
    const eav::core::Version version{PG_GETARG_TIMESTAMPTZ(2), PG_GETARG_TIMESTAMPTZ(3)};
    if (newest->value == nullptr || version > newest->version) {
      eav::query::keep(*newest, PG_GETARG_DATUM(1), version, context);
    }
  }
  PG_RETURN_POINTER(newest);
}

EAV_UNCHECKED_FUNCTION(eav_newest_value) {
  const auto* const newest =
      PG_ARGISNULL(0) ? nullptr : reinterpret_cast<const eav::query::Newest*>(PG_GETARG_POINTER(0));
  if (newest == nullptr || newest->value == nullptr) {
    PG_RETURN_NULL();
  }
  PG_RETURN_JSONB_P(newest->value);
}
