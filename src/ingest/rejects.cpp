#include "eav/ingest/rejects.hpp"

#include "eav/pg/spi.hpp"
#include "eav/pg/subtransaction.hpp"

namespace eav::ingest {

namespace {

// One INSERT takes at most this many rows and, but for its last row, this much payload.
constexpr std::size_t piece_rows = 5000;
constexpr Size piece_bytes = 64 * 1024 * 1024;

struct Piece {
  Datum tenants[piece_rows];
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
  insert.run({pg::make_array(piece.tenants, nullptr, piece.rows, INT8OID),
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
    piece->tenants[piece->rows] = Int64GetDatum(reject.tenant_id);
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
