#include "eav/ingest/rejects.hpp"

#include <algorithm>

#include "eav/access/tenant.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/input.hpp"
#include "eav/pg/jsonb.hpp"
#include "eav/pg/owner.hpp"
#include "eav/pg/spi.hpp"
#include "eav/pg/subtransaction.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <mb/pg_wchar.h>
}

namespace eav::ingest {

namespace {

// One INSERT takes at most this many rows and, but for its last row, this much payload: an array
// holds less than 1 GB, however large the memory is.
constexpr std::size_t piece_rows = 2000;
constexpr Size most_piece_bytes = Size{256} * 1024 * 1024;
Size piece_bytes() {
  return std::min(static_cast<Size>(settings.flush_memory) * 1024 / 8, most_piece_bytes);
}

// A reason may be the message of a trigger, and so of any length.
constexpr int max_reason_bytes = 4096;

struct Piece {
  Datum tenants[piece_rows];
  bool no_tenant[piece_rows];
  Datum states[piece_rows];
  Datum reasons[piece_rows];
  Datum payloads[piece_rows];
  std::size_t rows;
  Size bytes;
};

// Returns how many it has written: nothing is kept of what has been erased.
int64 write_piece(Piece& piece) {
  static pg::Statement insert(
      "INSERT INTO eav.ingest_rejects (tenant_id, sqlstate, reason, payload) "
      "SELECT r.tenant_id, r.sqlstate, "
      "CASE WHEN k.payload ? 'withheld' THEN 'not shown: it may have personal values' "
      "ELSE r.reason END, k.payload "
      "FROM unnest($1, $2, $3, $4) AS r (tenant_id, sqlstate, reason, payload) "
      // Asked once: without statistics the planner would take half of all attributes for personal
      // ones, and look for the first among them, for each reject. Sorted, it takes their index.
      "CROSS JOIN LATERAL (SELECT CASE WHEN (SELECT a.tenant_id FROM eav.attributes a "
      "WHERE a.is_pii ORDER BY a.tenant_id LIMIT 1) IS NULL THEN r.payload "
      "ELSE eav._withhold_pii(r.tenant_id, r.payload) END AS payload OFFSET 0) AS k "
      "WHERE NOT (EXISTS (SELECT FROM eav.erased_subjects) "
      "AND eav._is_erased_reject(r.tenant_id, r.payload))",
      {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBARRAYOID});
  insert.run({pg::make_array(piece.tenants, piece.no_tenant, piece.rows, INT8OID),
              pg::make_array(piece.states, nullptr, piece.rows, TEXTOID),
              pg::make_array(piece.reasons, nullptr, piece.rows, TEXTOID),
              pg::make_array(piece.payloads, nullptr, piece.rows, JSONBOID)});
  piece.rows = 0;
  piece.bytes = 0;
  return static_cast<int64>(SPI_processed);
}

// As JSON, or as text when jsonb cannot hold it (numbers out of its range), or so much of it that
// no room is left around it.
JsonbValue event_value(char* text, std::size_t size) {
  Datum json = 0;
  if (pg::try_input(text, JSONBOID, json) == nullptr &&
      VARSIZE(DatumGetPointer(json)) <= max_kept_bytes) {
    return pg::json_value(DatumGetJsonbP(json));
  }
  return pg::string_value({text, size});
}

// The event as it came; of a very large one the beginning.
Jsonb* event_payload(const core::EventReader::Reject& event) {
  const char* const text = event.event.data();
  const std::size_t size = event.event.size();
  const JsonbValue position = pg::integer_value(event.position);
  if (size <= max_kept_bytes) {
    return pg::object_of(
        {{"event", event_value(pnstrdup(text, size), size)}, {"position", position}});
  }
  const int kept = pg_mbcliplen(text, static_cast<int>(size), max_kept_bytes);
  return pg::object_of({{"event", pg::string_value({text, static_cast<std::size_t>(kept)})},
                        {"position", position},
                        {"truncated", pg::boolean_value(true)}});
}

Datum reason_text(const char* reason) {
  const auto length = static_cast<int>(strlen(reason));
  return PointerGetDatum(
      cstring_to_text_with_len(reason, pg_mbcliplen(reason, length, max_reason_bytes)));
}

Jsonb* reject_payload(const RejectedRow& reject) {
  return reject.tuple != nullptr ? payload_of(reject.tuple, reject.description)
                                 : event_payload(reject.event);
}

Datum tenant_of(const RejectedRow& reject, bool& is_null) {
  if (reject.writer_tenant) {
    is_null = false;
    return Int64GetDatum(*reject.writer_tenant);
  }
  if (reject.tuple != nullptr) {
    return heap_getattr(reject.tuple, column_tenant_id, reject.description, &is_null);
  }
  is_null = !reject.event.tenant_id.has_value();
  return Int64GetDatum(reject.event.tenant_id.value_or(0));
}

}  // namespace

RejectedRow rejected(const StagedRow& row, TupleDesc description, const Rejection& rejection) {
  HeapTuple const tuple = description == nullptr ? nullptr : tuple_of(row, description);
  return {tuple, description, rejection, row.attribute, {}, row.writer_tenant};
}

RejectedRow rejected(const core::EventReader::Reject& event) {
  const char* const state = core::sqlstate_of(event.fault);
  return {nullptr,
          nullptr,
          {MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]),
           psprintf("event %u: %.*s", event.position, static_cast<int>(event.reason.size()),
                    event.reason.data())},
          {},
          event,
          std::nullopt};
}

int64 write_rejects(const Rejects& rejects) {
  if (rejects.empty()) {
    return 0;
  }
  // Before the tombstones are looked at: an erasure waits for those who hold the lock.
  LockRelationOid(pg::relation_oid("ingest_rejects"), RowExclusiveLock);
  int64 written = 0;
  MemoryContext const context =
      AllocSetContextCreate(CurrentMemoryContext, "eav rejects", ALLOCSET_DEFAULT_SIZES);
  MemoryContext const caller = MemoryContextSwitchTo(context);
  auto* const piece = static_cast<Piece*>(MemoryContextAllocZero(caller, sizeof(Piece)));
  for (const RejectedRow& reject : rejects) {
    Jsonb* const payload = reject_payload(reject);
    piece->tenants[piece->rows] = tenant_of(reject, piece->no_tenant[piece->rows]);
    piece->states[piece->rows] = CStringGetTextDatum(pg::sqlstate_text(reject.rejection.sqlstate));
    piece->reasons[piece->rows] = reason_text(reject.rejection.reason);
    piece->payloads[piece->rows] = JsonbPGetDatum(payload);
    piece->rows += 1;
    piece->bytes += VARSIZE(payload);
    if (piece->rows == piece_rows || piece->bytes >= piece_bytes()) {
      written += write_piece(*piece);
      MemoryContextReset(context);
    }
  }
  if (piece->rows > 0) {
    written += write_piece(*piece);
  }
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
  return written;
}

}  // namespace eav::ingest

// A writer has no DELETE on the table, which would let it lock out the flush of all tenants.
EAV_FUNCTION(eav_delete_rejects) {
  using namespace eav;
  static pg::Statement statement(
      "DELETE FROM eav.ingest_rejects WHERE reject_id = ANY ($1) "
      "AND ($2 IS NULL OR tenant_id = $2)",
      {INT8ARRAYOID, INT8OID});
  if (PG_ARGISNULL(0)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("reject_ids must not be null"),
                    errhint("Name the rows to delete.")));
  }
  const std::optional<int64> tenant = access::writer_tenant();
  int64 deleted = 0;
  pg::as_owner(pg::relation_oid("ingest_rejects"), [&] {
    SPI_connect();
    statement.run({PG_GETARG_DATUM(0), {Int64GetDatum(tenant.value_or(0)), !tenant.has_value()}});
    deleted = static_cast<int64>(SPI_processed);
    SPI_finish();
  });
  PG_RETURN_INT64(deleted);
}
