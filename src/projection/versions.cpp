// eav.projection_versions(): the version list of a document as rows.
#include "eav/core/versions.hpp"

#include "eav/pg/guard.hpp"
#include "eav/pg/memory.hpp"

EAV_UNCHECKED_FUNCTION(eav_projection_versions) {
  using eav::core::AttributeVersion;
  FuncCallContext* calls = nullptr;
  if (SRF_IS_FIRSTCALL()) {
    calls = SRF_FIRSTCALL_INIT();
    MemoryContext const caller = MemoryContextSwitchTo(calls->multi_call_memory_ctx);
    bytea* const packed = PG_GETARG_BYTEA_PP(0);
    eav::core::ArenaVector<AttributeVersion> versions(
        eav::pg::arena_of(calls->multi_call_memory_ctx));
    eav::core::decode_versions(
        {reinterpret_cast<const std::uint8_t*>(VARDATA_ANY(packed)), VARSIZE_ANY_EXHDR(packed)},
        versions);
    calls->user_fctx = versions.data();
    calls->max_calls = versions.size();
    TupleDesc description = nullptr;
    get_call_result_type(fcinfo, nullptr, &description);
    calls->tuple_desc = BlessTupleDesc(description);
    MemoryContextSwitchTo(caller);
  }
  calls = SRF_PERCALL_SETUP();
  if (calls->call_cntr == calls->max_calls) {
    SRF_RETURN_DONE(calls);
  }
  const AttributeVersion& entry =
      static_cast<const AttributeVersion*>(calls->user_fctx)[calls->call_cntr];
  Datum values[] = {Int32GetDatum(entry.attribute_id),
                    TimestampTzGetDatum(entry.version.observed_at),
                    TimestampTzGetDatum(entry.version.ingested_at)};
  bool nulls[] = {false, false, false};
  SRF_RETURN_NEXT(calls, HeapTupleGetDatum(heap_form_tuple(calls->tuple_desc, values, nulls)));
}
