#include "eav/pg/snapshot.hpp"

#include <algorithm>

extern "C" {
#include <libpq/pqformat.h>
#include <storage/procarray.h>
}

namespace eav::pg {

namespace {

// The 64-bit id of a 32-bit one that is at most two billion away from the next.
uint64 widen(TransactionId xid, uint64 next) {
  return next - static_cast<uint32>(static_cast<uint32>(next) - xid);
}

}  // namespace

core::SnapshotView view_of(Snapshot snapshot) {
  // Taken after the snapshot, so that all its ids lie below.
  const uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
  const FullTransactionId own = GetTopFullTransactionIdIfAny();
  auto* const ids = static_cast<uint64*>(palloc(sizeof(uint64) * (snapshot->xcnt + 1)));
  std::size_t count = 0;
  core::SnapshotView view;
  view.xmin = widen(snapshot->xmin, next);
  view.xmax = widen(snapshot->xmax, next);
  for (uint32 i = 0; i < snapshot->xcnt; ++i) {
    ids[count++] = widen(snapshot->xip[i], next);
  }
  if (FullTransactionIdIsValid(own) && U64FromFullTransactionId(own) < view.xmax) {
    ids[count++] = U64FromFullTransactionId(own);
    view.xmin = std::min<uint64>(view.xmin, U64FromFullTransactionId(own));
  }
  std::sort(ids, ids + count);
  view.in_progress = {ids, count};
  return view;
}

core::SnapshotView view_of_datum(Datum pg_snapshot) {
  bytea* const sent = DatumGetByteaPP(DirectFunctionCall1(pg_snapshot_send, pg_snapshot));
  StringInfoData message;
  message.data = VARDATA_ANY(sent);
  message.len = static_cast<int>(VARSIZE_ANY_EXHDR(sent));
  message.maxlen = message.len;
  message.cursor = 0;
  const auto count = static_cast<std::size_t>(pq_getmsgint(&message, 4));
  core::SnapshotView view;
  view.xmin = static_cast<uint64>(pq_getmsgint64(&message));
  view.xmax = static_cast<uint64>(pq_getmsgint64(&message));
  auto* const ids = static_cast<uint64*>(palloc(sizeof(uint64) * (count + 1)));
  for (std::size_t i = 0; i < count; ++i) {
    ids[i] = static_cast<uint64>(pq_getmsgint64(&message));
  }
  view.in_progress = {ids, count};
  return view;
}

Datum datum_of(const core::SnapshotView& view) {
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":", view.xmin, view.xmax);
  const char* separator = "";
  for (const uint64 id : view.in_progress) {
    appendStringInfo(&text, "%s" UINT64_FORMAT, separator, id);
    separator = ",";
  }
  return DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(text.data));
}

bool has_ended(uint64 xid) {
  constexpr uint64 horizon = uint64{1} << 31;  // beyond it ids of 32 bits begin anew
  const uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
  return next - xid > horizon || !TransactionIdIsInProgress(static_cast<TransactionId>(xid));
}

}  // namespace eav::pg
