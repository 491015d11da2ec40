// A flush, in one transaction:
//
//   turn     take the flush lock: flushes run one after the other (state.cpp)
//   rotate   empty staging leaves that earlier, committed flushes have drained (staging.cpp)
//   gap      note it when a crash has emptied staging, or the ring was lost
//   backlog  values that waited for a client's transaction get another chance (backlog.cpp)
//   batch    parcels of the ring that were published by now (ring_batch.cpp), and rows that the new
//            snapshot sees and the last one did not, in pieces of eav.flush_batch_values or
//            eav.flush_memory in the order of their arrival (core/piece_plan.hpp), each piece:
//              resolve   names to ids, text to values, new attributes and entities (resolve.cpp)
//              order     by entity; equal observed_at of one attribute set apart in the order of
//                        arrival (batch_order.hpp)
//              apply     history, projection, around what makes them fail (apply.cpp)
//              reject    what could not be accepted
//   state    the new snapshot and the counters, in the same transaction as all the above
#include "eav/flush/flush.hpp"

#include <algorithm>

#include "eav/core/piece_plan.hpp"
#include "eav/flush/alone.hpp"
#include "eav/flush/apply.hpp"
#include "eav/flush/backlog.hpp"
#include "eav/flush/piece_size.hpp"
#include "eav/flush/resolve.hpp"
#include "eav/flush/ring_batch.hpp"
#include "eav/flush/state.hpp"
#include "eav/ingest/event_row.hpp"
#include "eav/ingest/staging.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/owner.hpp"
#include "eav/pg/snapshot.hpp"
#include "eav/pg/spi.hpp"
#include "eav/settings.hpp"
#include "eav/stop_point.hpp"

extern "C" {
#include <catalog/partition.h>
#include <partitioning/partdesc.h>
}

namespace eav::flush {

using ingest::Origin;
using ingest::StagedRow;

namespace {

// The smallest staged row with its line pointer: bounds how many rows a page can hold.
constexpr uint64 least_row_bytes = 52;

bool left_more = false;

// What a flush carries from piece to piece. Plain memory.
struct Run {
  MemoryContext piece_context;
  pg::ClockReading started;
  TimestampTz ingested_at;  // of the next piece
  int64 backlog;
  FlushResult result;
  bool has_changes;
};

// Rows of the backlog that stay there as they are, by id.
using BacklogIds = core::ArenaVector<int64>;

// Puts what has to wait into the backlog, unless it is there already in the same form.
void keep_waiting(const Rows& held_up, core::ArenaVector<projection::RowPointer>& blocked,
                  TupleDesc description, BacklogIds& staying, Run& run) {
  Rows unresolved(pg::arena_of(CurrentMemoryContext));
  for (const StagedRow& row : held_up) {
    if (row.origin == Origin::backlog) {
      staying.push_back(ingest::backlog_id_of(row, description));
    } else {
      unresolved.push_back(row);
    }
  }
  std::size_t kept = 0;
  for (const StagedRow* const row : blocked) {
    if (row->in_history) {
      staying.push_back(ingest::backlog_id_of(*row, description));
    } else {
      blocked[kept++] = row;
    }
  }
  blocked.truncate(kept);
  backlog::keep_unresolved(unresolved.span(), description);
  backlog::keep_unprojected({blocked.data(), blocked.size()});
  run.backlog += static_cast<int64>(unresolved.size() + blocked.size());
}

// So many of the values of a parcel that have not been read yet.
struct ParcelPart {
  ingest::ParcelReader* parcel;
  uint64 order;
  uint64 values;
};

// What a piece consists of: rows of staging or of the backlog, and parcels of the ring.
struct Piece {
  std::span<const HeapTuple> tuples;
  TupleDesc description;  // of the tuples
  Origin origin;
  std::span<const ParcelPart> parcels;
};

void read_parcels(const Piece& piece, Rows& rows, ingest::Rejects& rejects) {
  for (const ParcelPart& part : piece.parcels) {
    const std::size_t before = rows.size();
    ingest::read_events(*part.parcel, part.values, piece.description, rows, rejects);
    for (StagedRow& row : rows.span().subspan(before)) {
      row.arrival = {part.order, part.parcel->header.command, false};
    }
  }
}

void read_tuples(const Piece& piece, TimestampTz now, Rows& rows, ingest::Rejects& rejects) {
  for (HeapTuple tuple : piece.tuples) {
    StagedRow row;
    if (const ingest::Rejection rejection =
            ingest::read_row(tuple, piece.description, piece.origin, now, row)) {
      rejects.push_back(
          {tuple, piece.description, rejection, row.attribute, {}, row.writer_tenant});
    } else {
      rows.push_back(row);
    }
  }
}

// Within an SPI connection, in the piece's memory context.
void flush_piece(const Piece& piece, BacklogIds& staying, Run& run) {
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  Rows rows(arena);
  Rows held_up(arena);
  ingest::Rejects rejects(arena);
  core::ArenaVector<projection::RowPointer> blocked(arena);
  rows.reserve(piece.tuples.size());
  read_parcels(piece, rows, rejects);
  read_tuples(piece, run.started.now, rows, rejects);
  resolve(rows, {pg::OnLock::skip, &rejects, &held_up, piece.description});
  const auto order = set_arrival(rows, run.ingested_at);
  const Applied applied = apply(rows.span(), order.span(), piece.description, rejects, blocked);
  run.result.rejected += ingest::write_rejects(rejects);
  keep_waiting(held_up, blocked, piece.description, staying, run);

  run.result.flushed += applied.flushed;
  run.result.projected += applied.projected;
  run.has_changes = true;
}

// One piece with memory and an SPI connection of its own, both gone afterwards.
template <typename Body>
void in_piece(Run& run, Body&& body) {
  SPI_connect();
  MemoryContext const caller = MemoryContextSwitchTo(run.piece_context);
  body();
  MemoryContextSwitchTo(caller);
  SPI_finish();
  MemoryContextReset(run.piece_context);
}

void flush_backlog(Run& run) {
  int64 last = 0;
  bool is_done = run.backlog == 0;
  while (!is_done) {
    in_piece(run, [&] {
      const bool had_changes = run.has_changes;
      const backlog::Page page = backlog::read(last);
      is_done = page.tuples.empty();
      if (is_done) {
        return;
      }
      BacklogIds staying(pg::arena_of(CurrentMemoryContext));
      flush_piece({{page.tuples.data(), page.tuples.size()}, page.description, Origin::backlog, {}},
                  staying, run);
      BacklogIds gone(pg::arena_of(CurrentMemoryContext));
      std::sort(staying.begin(), staying.end());
      for (HeapTuple tuple : page.tuples) {
        bool is_null = false;
        last = DatumGetInt64(
            heap_getattr(tuple, ingest::column_backlog_id, page.description, &is_null));
        if (!std::binary_search(staying.begin(), staying.end(), last)) {
          gone.push_back(last);
        }
      }
      backlog::remove({gone.data(), gone.size()});
      run.backlog -= static_cast<int64>(gone.size());
      run.has_changes = had_changes || !gone.empty();
    });
  }
}

// Ends the batch before it holds more than max_values: sets the limit of the rule, and leaves
// parcels of the ring for the next flush.
void limit_batch(const ingest::Leaves& leaves, int64 max_values, ingest::BatchRule& rule,
                 RingBatch& ring) {
  const uint64 most_staged = leaves.blocks() * (BLCKSZ / least_row_bytes);
  if (max_values == 0 ||
      (!ring.has_more && most_staged + ring.values <= static_cast<uint64>(max_values))) {
    return;
  }
  core::ArenaVector<core::TransactionCount> counts(pg::arena_of(CurrentMemoryContext));
  const auto most_rows = static_cast<uint64>(max_values);
  ingest::scan_batch(
      leaves, rule,
      [&counts](HeapTuple /*tuple*/, uint64 xact) {
        if (counts.empty() || counts.back().xid != xact) {
          counts.push_back({xact, 0});
        }
        ++counts.back().rows;
      },
      [&counts, most_rows] {
        if (counts.size() >= 2 * most_rows) {
          core::forget_late(counts, most_rows);
        }
      });
  const auto transactions = transactions_of(ring, max_values);
  const core::BatchEnd end = core::end_batch(counts.span(), transactions.span(), most_rows);
  rule.limit = end.limit;
  keep_transactions(ring, end.ring);
}

// Collects what is new, and flushes it: all of it together, or, when that is too much, what is
// added in the order of arrival, piece by piece.
class Pieces {
 public:
  Pieces(TupleDesc description, Run& run)
      : description_(description),
        run_(run),
        tuples_(pg::arena_of(CurrentMemoryContext)),
        parcels_(pg::arena_of(CurrentMemoryContext)),
        input_(
            AllocSetContextCreate(CurrentMemoryContext, "eav flush input", ALLOCSET_DEFAULT_SIZES)),
        large_parcel_(AllocSetContextCreate(CurrentMemoryContext, "eav flush parcel",
                                            ALLOCSET_DEFAULT_SIZES)) {}

  // Whether it fits as well. Nothing is flushed.
  bool try_to_add(const RingParcel& parcel) {
    const core::PieceSize size = size_of(parcel);
    const bool fits = fits_piece(values_ + size.values, memory_ + size.memory);
    if (fits) {
      add({read(parcel, input_), parcel.order, size.values}, size.memory);
    }
    return fits;
  }
  bool try_to_add(HeapTuple tuple) {
    const bool fits = fits_piece(values_ + 1, memory_ + size_of(tuple).memory);
    if (fits) {
      add(tuple);
    }
    return fits;
  }

  void add(const RingParcel& parcel) {
    const core::PieceSize size = size_of(parcel);
    if (!fits_piece(values_ + size.values, memory_ + size.memory)) {
      flush();
    }
    if (!fits_piece(size.values, size.memory)) {
      flush_in_parts(parcel);
      return;
    }
    add({read(parcel, input_), parcel.order, size.values}, size.memory);
  }

  // Between calls of flush_if_full(): the tuple lies in a locked page.
  void add(HeapTuple tuple) {
    MemoryContext const caller = MemoryContextSwitchTo(input_);
    HeapTuple const copy = heap_copytuple(tuple);
    MemoryContextSwitchTo(caller);
    tuples_.push_back(copy);
    values_ += 1;
    memory_ += size_of(tuple).memory;
  }

  void flush_if_full() {
    if (!fits_piece(values_ + 1, memory_)) {
      flush();
    }
  }

  // In several pieces when the last page has brought too much for one.
  void flush() {
    std::span<const HeapTuple> tuples(tuples_.data(), tuples_.size());
    std::span<const ParcelPart> parcels = parcels_.span();
    while (!tuples.empty() || !parcels.empty()) {
      const std::size_t count = count_for_piece(tuples, parcels.empty() ? 0 : parcels_memory_);
      in_piece(run_, [&] {
        ensure_partitions();
        BacklogIds staying(pg::arena_of(CurrentMemoryContext));
        flush_piece({tuples.first(count), description_, Origin::staging, parcels}, staying, run_);
      });
      tuples = tuples.subspan(count);
      parcels = {};
    }
    forget();
  }

  void forget() {
    tuples_.clear();
    parcels_.clear();
    values_ = 0;
    memory_ = 0;
    parcels_memory_ = 0;
    MemoryContextReset(input_);
  }

  std::span<const HeapTuple> tuples() const { return {tuples_.data(), tuples_.size()}; }

  core::PieceSize size_of(HeapTuple tuple) const {
    return {1, memory_for(1, ingest::memory_of(tuple, description_))};
  }
  static core::PieceSize size_of(const RingParcel& parcel) {
    const uint64 values = parcel.header.values;
    return {values, memory_for(values, parcel.bytes())};
  }

 private:
  // At least one.
  std::size_t count_for_piece(std::span<const HeapTuple> tuples, Size memory) const {
    std::size_t count = 0;
    while (count < tuples.size()) {
      memory += size_of(tuples[count]).memory;
      if (count > 0 && memory > piece_memory()) {
        break;
      }
      ++count;
    }
    return count;
  }

  static ingest::ParcelReader* read(const RingParcel& parcel, MemoryContext context) {
    MemoryContext const caller = MemoryContextSwitchTo(context);
    auto* const reader =
        new (palloc(sizeof(ingest::ParcelReader))) ingest::ParcelReader(copy_of(parcel));
    MemoryContextSwitchTo(caller);
    return reader;
  }

  void add(const ParcelPart& part, Size memory) {
    parcels_.push_back(part);
    values_ += part.values;
    memory_ += memory;
    parcels_memory_ += memory;
  }

  // With nothing else in the pieces.
  void flush_in_parts(const RingParcel& parcel) {
    const Size memory = memory_for(1, parcel.bytes() / parcel.header.values);
    const auto most = std::clamp<uint64>(piece_memory() / memory, 1, settings.flush_batch_values);
    ingest::ParcelReader* const reader = read(parcel, large_parcel_);
    while (reader->values_left > 0) {
      const uint64 values = std::min(most, reader->values_left);
      add({reader, parcel.order, values}, values * memory);
      flush();
    }
    MemoryContextReset(large_parcel_);
  }

  TupleDesc description_;
  Run& run_;
  core::ArenaVector<HeapTuple> tuples_;
  core::ArenaVector<ParcelPart> parcels_;
  MemoryContext input_;         // copies of the tuples, and parcels
  MemoryContext large_parcel_;  // one that is flushed in several pieces
  uint64 values_ = 0;
  Size memory_ = 0;
  Size parcels_memory_ = 0;  // of it
};

core::ArrivalUnit unit_of(HeapTuple tuple, uint64 xact) {
  return {xact, HeapTupleHeaderGetRawCommandId(tuple->t_data), true, 0};
}
core::ArrivalUnit unit_of(const RingBatch& ring, std::size_t parcel) {
  return {ring.parcels[parcel].order, ring.parcels[parcel].header.command, false, parcel};
}

// A batch that is too large for one piece, once it is known where the first one ends. Each time the
// batch is read a piece is taken, and it is found where the next one ends. Parcels stand in the
// order in which their transactions have ended, which need not be that in which they began.
void flush_in_order(const ingest::Leaves& leaves, const ingest::BatchRule& rule,
                    const RingBatch& ring, std::optional<core::ArrivalUnit> end,
                    MemoryContext plan_context, Pieces& pieces) {
  core::ArrivalUnit begin = {};
  for (bool is_last = false; !is_last;) {
    core::PiecePlan next(pg::arena_of(plan_context), largest_piece());
    const auto take_or_plan = [&](const core::ArrivalUnit& unit, const auto& found) {
      if (end && unit >= *end) {
        next.add(unit, pieces.size_of(found));
      } else if (unit >= begin) {
        pieces.add(found);
      }
    };
    for (std::size_t parcel = 0; parcel < ring.parcels.size(); ++parcel) {
      take_or_plan(unit_of(ring, parcel), ring.parcels[parcel]);
    }
    ingest::scan_batch(
        leaves, rule,
        [&](HeapTuple tuple, uint64 xact) { take_or_plan(unit_of(tuple, xact), tuple); },
        [&] {
          pieces.flush_if_full();
          next.forget_late();
        });
    pieces.flush();
    is_last = !end;
    begin = end.value_or(begin);
    end = next.end();
    MemoryContextReset(plan_context);
  }
}

// Reads the batch as it lies, and has done when all of it fits a piece. When it turns out not to,
// what has been read is planned only, and all that follows.
void flush_new(const ingest::Leaves& leaves, const ingest::BatchRule& rule, const RingBatch& ring,
               Run& run) {
  Pieces pieces(RelationGetDescr(leaves.relations[0]), run);
  MemoryContext const plan_context =
      AllocSetContextCreate(CurrentMemoryContext, "eav flush plan", ALLOCSET_DEFAULT_SIZES);
  core::PiecePlan plan(pg::arena_of(plan_context), largest_piece());
  bool fits = true;
  for (const RingParcel& parcel : ring.parcels) {
    fits = fits && pieces.try_to_add(parcel);
  }
  const auto give_up = [&] {
    for (std::size_t parcel = 0; parcel < ring.parcels.size(); ++parcel) {
      plan.add(unit_of(ring, parcel), Pieces::size_of(ring.parcels[parcel]));
    }
    for (HeapTuple tuple : pieces.tuples()) {
      plan.add(unit_of(tuple, ingest::xact_of(tuple->t_data)), pieces.size_of(tuple));
    }
    pieces.forget();
  };
  bool has_given_up = !fits;
  if (has_given_up) {
    give_up();
  }
  ingest::scan_batch(
      leaves, rule,
      [&](HeapTuple tuple, uint64 xact) {
        fits = fits && pieces.try_to_add(tuple);
        if (!fits) {
          plan.add(unit_of(tuple, xact), pieces.size_of(tuple));
        }
      },
      [&] {
        if (!fits && !has_given_up) {
          give_up();
          has_given_up = true;
        }
        plan.forget_late();
      });
  if (fits) {
    pieces.flush();
  } else {
    const std::optional<core::ArrivalUnit> end = plan.end();
    MemoryContextReset(plan_context);
    flush_in_order(leaves, rule, ring, end, plan_context, pieces);
  }
  MemoryContextDelete(plan_context);
}

FlushResult run_flush(int64 max_values, Note note) {
  lock_flush();
  ingest::Door* const door = ingest::own_door();
  const uint64 number = begin_flush(door);
  // Before the snapshot: what was committed by then is in this batch.
  const pg::ClockReading started = pg::read_clock();
  PushActiveSnapshot(GetLatestSnapshot());
  EAV_STOP_POINT("flush_after_snapshot");
  // At once: what came through the ring before a staged row that the snapshot sees is there.
  take_published(door);
  EAV_STOP_POINT("flush_after_take");
  const ingest::Leaves leaves = ingest::open_leaves();

  SPI_connect();
  const bool has_gap = record_gap();
  const State state = read_state();
  if (state.is_committed && !has_gap) {
    ingest::rotate(leaves, state.snapshot);
  }

  Run run{};
  run.piece_context =
      AllocSetContextCreate(CurrentMemoryContext, "eav flush piece", ALLOCSET_DEFAULT_SIZES);
  run.started = started;
  run.ingested_at = std::max(run.started.now, state.ingested_at + 1);
  run.backlog = state.backlog;
  flush_backlog(run);

  ingest::BatchRule rule{state.snapshot, pg::view_of(GetActiveSnapshot()), GetActiveSnapshot(),
                         UINT64_MAX};
  RingBatch ring = read_ring(door, max_values);
  limit_batch(leaves, max_values, rule, ring);
  flush_new(leaves, rule, ring, run);

  const bool left_nothing = rule.limit == UINT64_MAX && !ring.has_more;
  EAV_STOP_POINT("flush_before_state");
  if (run.has_changes || note == Note::always) {
    core::ArenaVector<uint64> storage(pg::arena_of(CurrentMemoryContext));
    write_state({core::advance(rule.previous, rule.current, rule.limit, storage),
                 left_nothing ? run.started : state.taken, run.ingested_at - 1, run.result.flushed,
                 run.result.projected, run.result.rejected, run.backlog});
  }
  run.result.has_more = !left_nothing;
  finish_flush(
      door, {number, ring.parcels.size(), left_nothing, rule.current.xmin, false, run.started.now});
  SPI_finish();
  ingest::close_leaves(leaves);
  PopActiveSnapshot();
  EAV_STOP_POINT("flush_before_commit");
  return run.result;
}

}  // namespace

FlushResult flush(int64 max_values, Note note) {
  FlushResult result;
  run_alone("a flush", [&] { result = run_flush(max_values, note); });
  left_more = result.has_more;
  return result;
}

bool last_flush_left_more() { return left_more; }

void ensure_partitions() {
  static pg::Statement create("SELECT eav._ensure_partitions()", {});
  Relation const history = table_open(pg::relation_oid("entity_values_ts"), AccessShareLock);
  const bool has_partitions = RelationGetPartitionDesc(history, true)->nparts > 0;
  table_close(history, NoLock);
  if (!has_partitions) {
    create.run({});
  }
}

}  // namespace eav::flush

EAV_FUNCTION(eav_stage_flush) {
  const TimestampTz start = GetCurrentTimestamp();
  if (!PG_ARGISNULL(0) && PG_GETARG_INT64(0) < 1) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_values must be at least 1"),
             errdetail("It is " INT64_FORMAT ".", PG_GETARG_INT64(0)),
             errhint("Pass null to take everything.")));
  }
  // Values that wait, and keys of personal ones, are for the flush to read and not for its caller.
  eav::flush::FlushResult result;
  eav::pg::as_owner(eav::pg::relation_oid("flush_state"),
                    [&] { result = eav::flush::flush(PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0)); });

  TupleDesc description = nullptr;
  if (get_call_result_type(fcinfo, nullptr, &description) != TYPEFUNC_COMPOSITE) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("eav.stage_flush() must be called where a row is accepted")));
  }
  auto* const elapsed = static_cast<Interval*>(palloc0(sizeof(Interval)));
  elapsed->time = GetCurrentTimestamp() - start;
  Datum values[] = {Int64GetDatum(result.flushed), Int64GetDatum(result.projected),
                    Int64GetDatum(result.rejected), IntervalPGetDatum(elapsed)};
  bool nulls[] = {false, false, false, false};
  PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls)));
}

EAV_FUNCTION(eav_flush_all) {
  EAV_STOP_POINT("erase_before_flush");
  eav::flush::flush(0, eav::flush::Note::always);
  PG_RETURN_VOID();
}
