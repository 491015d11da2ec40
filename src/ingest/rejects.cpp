#include "eav/ingest/rejects.hpp"

#include "eav/pg/spi.hpp"
#include "eav/pg/subtransaction.hpp"

namespace eav::ingest {

namespace {

// One INSERT takes at most this many rows and, but for its last row, this much payload.
constexpr std::size_t piece_rows = 5000;
constexpr Size piece_bytes = Size{64} * 1024 * 1024;

struct Piece {
  Datum tenants[piece_rows];
  bool no_tenant[piece_rows];
  Datum states[piece_rows];
  Datum reasons[piece_rows];
  Datum payloads[piece_rows];
  std::size_t rows;
  Size bytes;
};

void write_piece(Piece& piece) {
  static pg::Statement insert(
      "INSERT INTO eav.ingest_rejects (tenant_id, sqlstate, reason, payload) "
      "SELECT * FROM unnest($1, $2, $3, $4)",
      {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBARRAYOID});
  insert.run({pg::make_array(piece.tenants, piece.no_tenant, piece.rows, INT8OID),
              pg::make_array(piece.states, nullptr, piece.rows, TEXTOID),
              pg::make_array(piece.reasons, nullptr, piece.rows, TEXTOID),
              pg::make_array(piece.payloads, nullptr, piece.rows, JSONBOID)});
  piece.rows = 0;
  piece.bytes = 0;
}

}  // namespace

void write_rejects(const Rejects& rejects) {
  if (rejects.empty()) {
    return;
  }
  MemoryContext const context =
      AllocSetContextCreate(CurrentMemoryContext, "eav rejects", ALLOCSET_DEFAULT_SIZES);
  MemoryContext const caller = MemoryContextSwitchTo(context);
  auto* const piece = static_cast<Piece*>(MemoryContextAllocZero(caller, sizeof(Piece)));
  for (const RejectedRow& reject : rejects) {
    Jsonb* const payload = payload_of(reject.tuple, reject.description);
    piece->tenants[piece->rows] = heap_getattr(reject.tuple, column_tenant_id, reject.description,
                                               &piece->no_tenant[piece->rows]);
    piece->states[piece->rows] = CStringGetTextDatum(pg::sqlstate_text(reject.rejection.sqlstate));
    piece->reasons[piece->rows] = CStringGetTextDatum(reject.rejection.reason);
    piece->payloads[piece->rows] = JsonbPGetDatum(payload);
    piece->rows += 1;
    piece->bytes += VARSIZE(payload);
    if (piece->rows == piece_rows || piece->bytes >= piece_bytes) {
      write_piece(*piece);
      MemoryContextReset(context);
    }
  }
  if (piece->rows > 0) {
    write_piece(*piece);
  }
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
}

}  // namespace eav::ingest
