// eav.stat_ingest: the counters of the door of this database.
#include "eav/ingest/door.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/jsonb.hpp"

namespace eav::stats {

namespace {

using ingest::Door;

int64 sum_of_rejects(const Door& door) {
  uint64 sum = 0;
  for (const auto& rejected : door.counters.rejected_events) {
    sum += rejected;
  }
  return static_cast<int64>(sum);
}

Datum rejects_by_reason(const Door& door) {
  JsonbParseState* state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  for (std::size_t i = 0; i < core::event_fault_count; ++i) {
    const std::string_view name = core::name_of(static_cast<core::EventFault>(i));
    JsonbValue key = pg::string_value(name);
    JsonbValue value =
        pg::integer_value(static_cast<int64>(door.counters.rejected_events[i].load()));
    pushJsonbValue(&state, WJB_KEY, &key);
    pushJsonbValue(&state, WJB_VALUE, &value);
  }
  return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

Datum count(const std::atomic<uint64>& counter) {
  return Int64GetDatum(static_cast<int64>(counter.load()));
}

Datum count(uint32 slabs) { return Int32GetDatum(static_cast<int32>(slabs)); }

}  // namespace

}  // namespace eav::stats

EAV_FUNCTION(eav_ingest_counters) {
  using namespace eav::stats;
  constexpr int columns = 14;
  TupleDesc description = nullptr;
  if (get_call_result_type(fcinfo, nullptr, &description) != TYPEFUNC_COMPOSITE) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("function must be called where a row is accepted")));
  }
  Datum values[columns] = {};
  bool nulls[columns] = {};
  std::fill_n(nulls, columns, true);
  int column = 0;
  const auto put = [&](Datum value) {
    values[column] = value;
    nulls[column++] = false;
  };
  if (const eav::ingest::Door* const door = eav::ingest::own_door()) {
    const eav::ingest::Counters& counters = door->counters;
    put(count(counters.calls));
    put(count(counters.events));
    put(count(counters.values));
    put(count(counters.bytes));
    put(Int64GetDatum(sum_of_rejects(*door)));
    put(rejects_by_reason(*door));
    put(count(counters.spilled_calls));
    put(count(counters.spilled_values));
    put(count(counters.waits));
    put(count(counters.timeouts));
    put(BoolGetDatum(door->is_open));
  }
  const eav::core::Ring* const ring = eav::ingest::ring();
  column = columns - 3;
  put(count(ring == nullptr ? 0 : ring->slabs()));
  put(count(ring == nullptr ? 0 : ring->in_use()));
  put(count(ring == nullptr ? 0 : ring->high_water()));
  PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls)));
}
