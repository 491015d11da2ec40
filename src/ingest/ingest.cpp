// eav.ingest(): events in JSON, parsed by the backend of the producer.
#include "eav/access/tenant.hpp"
#include "eav/core/event.hpp"
#include "eav/ingest/staged_row.hpp"
#include "eav/ingest/transaction.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/memory.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <access/xlog.h>
#include <mb/pg_wchar.h>
#include <utils/typcache.h>
}

namespace eav::ingest {

namespace {

using Parcel = core::ArenaVector<uint8>;

void check_server() {
  if (RecoveryInProgress()) {
    ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                    errmsg("cannot execute eav.ingest() during recovery"),
                    errdetail("This server is a standby."), errhint("Connect to the primary.")));
  }
  if (GetDatabaseEncoding() != PG_UTF8) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("eav.ingest() needs a database with encoding UTF8"),
                    errdetail("This database has encoding %s.", GetDatabaseEncodingName()),
                    errhint("Use COPY or INSERT into eav.entity_values_ingest.")));
  }
}

bool is_durable(const text* ack) {
  const std::string_view name = view_of(ack);
  if (name != "accepted" && name != "durable") {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("ack is not valid"),
             errdetail("It is \"%.*s\".", static_cast<int>(Min(name.size(), 64U)), name.data()),
             errhint("Use 'accepted' or 'durable'.")));
  }
  return name == "durable";
}

// The parser reads beyond the end, so it gets a copy of its own.
std::string_view padded_copy(std::string_view bytes) {
  if (bytes.size() > static_cast<Size>(settings.max_payload_bytes)) {
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("payload is too large"),
                    errdetail("It has %zu bytes, the limit is %d (eav.max_payload_bytes).",
                              bytes.size(), settings.max_payload_bytes),
                    errhint("Send the events in several calls.")));
  }
  char* const copy = static_cast<char*>(palloc(bytes.size() + core::json_padding));
  memcpy(copy, bytes.data(), bytes.size());
  memset(copy + bytes.size(), 0, core::json_padding);
  return {copy, bytes.size()};
}

core::EventRules rules(const std::optional<int64>& tenant) {
  const TimestampTz now = GetCurrentTimestamp();
  return {tenant, now,
          TimestampTzPlusMilliseconds(now, static_cast<int64>(settings.max_future_skew) * 1000),
          static_cast<std::size_t>(settings.max_value_bytes)};
}

core::EventCounts parse(std::string_view payload, const std::optional<int64>& tenant,
                        Parcel& parcel) {
  // Lives as long as the backend, so that no error can jump over its destructor.
  static auto* const parser = new core::EventParser;
  const ParcelHeader empty{};
  for (std::size_t i = 0; i < sizeof(empty); ++i) {
    parcel.push_back(0);
  }
  return parser->parse(payload, rules(tenant), parcel);
}

void check_arguments(FunctionCallInfo fcinfo) {
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) {
    ereport(ERROR,
            (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("payload and ack must not be null"),
             errdetail("Argument %d is null.", PG_ARGISNULL(0) ? 1 : 2),
             errhint("An empty array is a payload without events.")));
  }
}

Datum ingest(FunctionCallInfo fcinfo, std::string_view payload, const text* ack) {
  check_server();
  const std::optional<int64> writer_tenant = access::writer_tenant();
  Accepted accepted{};
  accepted.is_durable = is_durable(ack);
  accepted.function = fcinfo->flinfo->fn_oid;
  accepted.bytes = payload.size();
  accepted.writer_tenant = writer_tenant;
  Parcel parcel(pg::throwing_arena_of(CurrentMemoryContext));
  accepted.counts = parse(padded_copy(payload), writer_tenant, parcel);

  Datum values[] = {Int32GetDatum(static_cast<int32>(accepted.counts.accepted)),
                    Int32GetDatum(static_cast<int32>(accepted.counts.rejected)), Datum(0)};
  bool nulls[] = {false, false, true};
  if (accepted.counts.accepted + accepted.counts.rejected > 0) {
    values[2] = Int64GetDatum(hand_over(parcel.span(), accepted));
    nulls[2] = false;
  }
  // The type has a name, so this is all there is to know about it; and it is quick.
  TupleDesc const receipt = lookup_rowtype_tupdesc(get_func_rettype(fcinfo->flinfo->fn_oid), -1);
  HeapTuple const tuple = heap_form_tuple(receipt, values, nulls);
  ReleaseTupleDesc(receipt);
  return HeapTupleGetDatum(tuple);
}

}  // namespace

}  // namespace eav::ingest

// For text and bytea, which are the same to the eye.
EAV_FUNCTION(eav_ingest) {
  eav::ingest::check_arguments(fcinfo);
  PG_RETURN_DATUM(eav::ingest::ingest(fcinfo, eav::ingest::view_of(PG_GETARG_TEXT_PP(0)),
                                      PG_GETARG_TEXT_PP(1)));
}

EAV_FUNCTION(eav_ingest_jsonb) {
  eav::ingest::check_arguments(fcinfo);
  Jsonb* const payload = PG_GETARG_JSONB_P(0);
  StringInfoData written;
  initStringInfo(&written);
  JsonbToCString(&written, &payload->root, static_cast<int>(VARSIZE(payload)));
  PG_RETURN_DATUM(eav::ingest::ingest(fcinfo, {written.data, static_cast<std::size_t>(written.len)},
                                      PG_GETARG_TEXT_PP(1)));
}
