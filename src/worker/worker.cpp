// The flush worker of a database.
//
// Life: started by the launcher, by CREATE EXTENSION or by eav.start_worker(). It leaves with
// code 0, which tells the postmaster to forget it, only when it is not needed: its database is
// gone, has no extension (any more), or has another worker. In all other cases it leaves with
// code 1 and is started again: after SIGTERM (a shutdown, or an administrator's
// pg_terminate_backend()), and to make room for a DROP DATABASE or CREATE DATABASE ... TEMPLATE,
// which both want the database without users and hold a lock that the worker looks for.
//
// It works only with SQL of the version of its library. When that is another at the start, it waits
// for it; when that becomes another, it leaves with code 1: the next one may find a newer library
// on disk, or waits.
//
// Work: every eav.flush_interval a tick, or at once when somebody waits for a flush or the ring is
// filling. A tick looks at a few numbers in shared memory; only when a transaction has ended
// since the last flush, the ring holds parcels, somebody waits, or something remains to be done,
// does it call eav.stage_flush(), in a transaction of its own and as the owner of that function.
// While more than one batch is waiting it does not sleep. An error rolls the tick back, is logged,
// and the next tick comes later and later (up to 30 s) until one succeeds. Merges of rollups are
// tried apart from ticks, and come later and later by themselves.
//
// Between ticks that have caught up, it does a batch of the moves of attributes that are under way
// (attributes/move.cpp), and of what is to be erased (sql/68_erasure.sql), likewise each in a
// transaction of its own.
//
// Only a worker opens the door to the ring (ingest/door.cpp), and before it leaves, for whatever
// reason, it closes the door, waits until no producer is inside any more (a second at most, unless
// the server is stopping), and flushes what has come in; a lock timeout of a second keeps that from
// taking long. What is in the ring then, because there was much of it, or flushes fail or are
// switched off, it moves to staging, which survives a stop. Should even that fail, or the worker be
// dead already, the mark in staging_epoch stays, and the next flush after the start records a gap.
#include "eav/worker/worker.hpp"

#include "eav/attributes/move.hpp"
#include "eav/erasure/pending.hpp"
#include "eav/flush/flush.hpp"
#include "eav/flush/ring_batch.hpp"
#include "eav/flush/state.hpp"
#include "eav/ingest/door.hpp"
#include "eav/ingest/spill.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"
#include "eav/pg/snapshot.hpp"
#include "eav/pg/spi.hpp"
#include "eav/rollup/merge.hpp"
#include "eav/settings.hpp"
#include "eav/stats/reads.hpp"
#include "eav/stop_point.hpp"
#include "eav/worker/index_builder.hpp"
#include "eav/worker/pulse.hpp"

extern "C" {
#include <catalog/pg_database.h>
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <postmaster/interrupt.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/lock.h>
#include <utils/backend_status.h>
#include <utils/pidfile.h>
#include <utils/wait_event.h>
}

namespace eav::worker {

namespace {

constexpr int longest_delay = 30 * 1000;    // ms between ticks that fail
constexpr long longest_sleep = 1000;        // ms until the clock is looked at again
constexpr int short_delay = 100;            // ms until something is looked at again, at most
constexpr int move_time = 50;               // ms that a batch of moves, or erasures, should take
constexpr int most_move_entities = 20000;   // in such a batch
constexpr int most_erase_values = 1000000;  // that such a batch looks at
constexpr long longest_merge = 1000;        // ms of merging rollups before the next flush
constexpr int yield_check_interval = 1000;  // ms between looks for a DROP DATABASE
constexpr int last_tries = 5;               // to empty the ring: a lock may be held a while
constexpr int drain_interval = 60 * 1000;   // ms between looks for counts of reads
constexpr int index_interval = 10 * 1000;   // ms between looks for indexes to build
constexpr int leaving_interval = 10;        // ms between looks for producers that are inside
constexpr int leaving_patience = 1000;      // ms to wait for them when the server is not stopping

// Work beside the flushes. What keeps it from being done must not keep values from being flushed.
struct Chore {
  Trouble trouble;
  TimestampTz last = 0;
};

struct Loop {
  ingest::Door* door = nullptr;  // none yet, or none to be had
  bool is_open = false;          // the door has been opened, if there is one
  Oid extension = InvalidOid;    // that it was opened for, by a table of it
  uint64 seen = 0;               // completed_transactions() before the last flush
  bool has_more = true;
  Trouble trouble;
  Pulse pulse;
  TimestampTz last_yield_check = 0;
  TimestampTz last_maintenance = 0;
  Chore moves;              // of attributes
  int move_entities = 500;  // that the next batch goes through
  Chore erasures;
  int erase_values = 5000;  // that the next batch looks at
  Chore merges;             // of rollups
  uint64 merged = 0;        // completed_transactions() before the last of them
  bool has_more_to_merge = false;
  Chore drains;  // of the counts of reads
  Chore index_looks;
};

// The lock that every new connection takes for a moment.
bool somebody_wants_the_database() {
  LOCKTAG tag;
  SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
  if (LockAcquire(&tag, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL) {
    return true;
  }
  LockRelease(&tag, RowExclusiveLock, true);
  return false;
}

// For a worker that is not enabled: all others look before they work.
void look_for_extension() {
  begin("looking for the extension");
  leave_if_not_needed();
  end();
}

void run_flush(Loop& loop) {
  // Deferred constraints would fail at commit, where nothing can be told apart any more.
  static pg::Statement check_at_once("SET CONSTRAINTS ALL IMMEDIATE", {});
  static pg::Statement flush("SELECT flushed FROM eav.stage_flush($1)", {INT8OID});
  loop.seen = pg::completed_transactions();
  if (loop.door != nullptr) {
    loop.door->requests = 0;
  }
  begin_as_owner("flush_state", "SELECT eav.stage_flush()");
  // Dropped and created anew: the door is marked as open in a table that is gone.
  loop.is_open = loop.is_open && loop.extension == pg::relation_oid("flush_state");
  check_at_once.run({});
  flush.run({Int64GetDatum(settings.flush_batch_values)});
  end();
  loop.has_more = flush::last_flush_left_more() || !loop.is_open;
}

void run_maintenance(Loop& loop) {
  static pg::Statement maintain("SELECT eav.run_maintenance()", {});
  loop.last_maintenance = GetCurrentTimestamp();
  begin_as_owner("flush_state", "SELECT eav.run_maintenance()");
  maintain.run({});
  end();
}

void drain_read_counts() {
  static pg::Statement drain("SELECT eav._drain_read_counts()", {});
  begin_as_owner("attribute_reads", "SELECT eav._drain_read_counts()");
  pg::set_local("lock_timeout", "100ms");
  if (stats::has_counts()) {
    drain.run({});
  }
  end();
}

bool is_due(TimestampTz last, int interval_ms) {
  return TimestampDifferenceExceeds(last, GetCurrentTimestamp(), interval_ms);
}

// So that a batch takes about move_time.
void adapt(int& size, int most, TimestampTz began) {
  if (is_due(began, move_time)) {
    size = Max(size / 2, 1);
  } else if (!is_due(began, move_time / 2)) {
    size = Min(size * 2, most);
  }
}

void run_moves(Loop& loop) {
  static pg::Statement move("SELECT eav.move_attributes($1)", {INT4OID});
  const TimestampTz began = GetCurrentTimestamp();
  begin_as_owner("flush_state", "SELECT eav.move_attributes()");
  move.run({Int32GetDatum(loop.move_entities)});
  end();
  adapt(loop.move_entities, most_move_entities, began);
}

void run_erasures(Loop& loop) {
  const TimestampTz began = GetCurrentTimestamp();
  begin_as_owner("flush_state", "SELECT eav.run_erasures()");
  erasure::run_batch(loop.erase_values);
  end();
  adapt(loop.erase_values, most_erase_values, began);
}

// Later and later while it fails.
int delay_of(int interval_ms, const Trouble& trouble) {
  return static_cast<int>(Min(static_cast<int64>(interval_ms) << Min(trouble.failures, 12),
                              Max(interval_ms, longest_delay)));
}

bool is_due(const Chore& chore, int interval_ms) {
  return is_due(chore.last, delay_of(interval_ms, chore.trouble));
}

template <typename Work>
bool run(Chore& chore, Work&& work) {
  const bool succeeded = attempt(chore.trouble, work);
  chore.last = GetCurrentTimestamp();
  return succeeded;
}

// A batch of the moves that are under way, when the flush has left time for it.
void move_if_wanted(Loop& loop) {
  if (settings.worker_enabled && loop.is_open && !loop.has_more && loop.trouble.failures == 0 &&
      attributes::may_have_moves() && is_due(loop.moves, settings.flush_interval)) {
    if (!run(loop.moves, [&] { run_moves(loop); })) {
      attributes::expect_moves();
    }
  }
}

// Likewise of what is to be erased.
void erase_if_wanted(Loop& loop) {
  if (settings.worker_enabled && loop.is_open && !loop.has_more && loop.trouble.failures == 0 &&
      erasure::may_have_work() && is_due(loop.erasures, settings.flush_interval)) {
    if (!run(loop.erasures, [&] { run_erasures(loop); })) {
      erasure::expect_work();
    }
  }
}

void open_door(Loop& loop) {
  begin_as_owner("flush_state", "opening the door to the ring");
  loop.door = attach_door();
  int64 epoch = 0;
  if (loop.door != nullptr) {
    epoch = flush::open_ring(*loop.door);
  }
  loop.extension = pg::relation_oid("flush_state");
  end();
  if (loop.door != nullptr) {
    ingest::open_for_parcels(*loop.door, epoch);
  }
  loop.is_open = true;
}

void close_door(Loop& loop) {
  if (loop.door != nullptr) {
    ingest::close_to_parcels(*loop.door);
  }
  loop.is_open = false;
}

bool has_parcels(const Loop& loop) {
  return loop.door != nullptr && ingest::has_parcels(*loop.door);
}

bool has_requests(const Loop& loop) {
  return loop.door != nullptr && loop.trouble.failures == 0 && !loop.trouble.was_locked_out &&
         settings.worker_enabled && ingest::has_requests(*loop.door);
}

void tick(Loop& loop) {
  if (!settings.worker_enabled) {
    close_door(loop);
    return;
  }
  if (!loop.is_open) {
    open_door(loop);
  }
  const TimestampTz now = GetCurrentTimestamp();
  if (loop.has_more || loop.seen != pg::completed_transactions() || has_parcels(loop) ||
      has_requests(loop)) {
    run_flush(loop);
  } else if (loop.door != nullptr) {
    loop.door->caught_up_at = now;
  }
  if (is_due(loop.last_maintenance, settings.maintenance_interval * 1000)) {
    run_maintenance(loop);
  }
  if (is_due(loop.drains, drain_interval)) {
    run(loop.drains, drain_read_counts);
  }
  if (is_due(loop.index_looks, index_interval)) {
    run(loop.index_looks, start_index_builder_if_needed);
  }
}

int delay_after(const Loop& loop) {
  if (loop.trouble.failures > 0) {
    return delay_of(settings.flush_interval, loop.trouble);
  }
  if (loop.trouble.was_locked_out) {
    return Min(settings.flush_interval, short_delay);
  }
  return loop.has_more && settings.worker_enabled ? 0 : settings.flush_interval;
}

// Between ticks there is nothing to cancel; any other backend ignores it when idle, too.
void check_for_interrupts() {
  QueryCancelPending = false;
  CHECK_FOR_INTERRUPTS();
}

// A clock that is set back ends the sleep, too.
void sleep_until(TimestampTz wake_up, const Loop& loop) {
  for (TimestampTz before = GetCurrentTimestamp(), now = before;;) {
    before = now;
    now = GetCurrentTimestamp();
    const long remaining = TimestampDifferenceMilliseconds(now, wake_up);
    if (remaining <= 0 || now < before || ShutdownRequestPending || ConfigReloadPending ||
        has_requests(loop) || (settings.worker_enabled && loop.pulse.is_wanted())) {
      return;
    }
    const int events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                                 Min(remaining, longest_sleep), PG_WAIT_EXTENSION);
    if ((events & WL_LATCH_SET) != 0) {
      ResetLatch(MyLatch);
      check_for_interrupts();
    }
  }
}

void wait_for_end_of(FullTransactionId after) {
  while (FullTransactionIdIsValid(after) && !ShutdownRequestPending &&
         !pg::has_ended(U64FromFullTransactionId(after))) {
    sleep_until(TimestampTzPlusMilliseconds(GetCurrentTimestamp(), short_delay), Loop());
  }
}

void reload_if_wanted() {
  if (ConfigReloadPending) {
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
  }
}

// After an update of the software, until that of the extension.
void wait_for_our_sql() {
  Trouble trouble;
  for (bool is_ours = false; !is_ours;) {
    attempt(trouble, [&] { is_ours = is_sql_ours(); });
    if (ShutdownRequestPending || (!is_ours && somebody_wants_the_database())) {
      proc_exit(1);
    }
    if (!is_ours) {
      sleep_until(TimestampTzPlusMilliseconds(GetCurrentTimestamp(), yield_check_interval), Loop());
      reload_if_wanted();
    }
  }
}

bool is_server_stopping() {
  char line[MAXPGPATH] = "";
  FILE* const file = AllocateFile("postmaster.pid", "r");
  for (int i = 0; file != nullptr && i < LOCK_FILE_LINE_PM_STATUS; ++i) {
    if (fgets(line, sizeof(line), file) == nullptr) {
      line[0] = '\0';
    }
  }
  if (file != nullptr) {
    FreeFile(file);
  }
  return strncmp(line, PM_STATUS_STOPPING, strlen(PM_STATUS_STOPPING)) == 0;
}

// Producers that are inside publish to a ring that nobody empties until the next worker comes. When
// the server is stopping there is none; but all of them are leaving.
void wait_for_producers(const Loop& loop) {
  const TimestampTz began = GetCurrentTimestamp();
  while (loop.door->inside > 0 && (is_server_stopping() || !is_due(began, leaving_patience))) {
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, leaving_interval,
              PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    check_for_interrupts();
  }
}

void move_ring_to_staging(Loop& loop) {
  begin_as_owner("flush_state", "moving the ring to staging");
  flush::lock_flush();
  const uint64 number = flush::begin_flush(loop.door);
  flush::take_published(loop.door);
  const flush::RingBatch ring = flush::read_ring(loop.door, 0);
  MemoryContext const context =
      AllocSetContextCreate(CurrentMemoryContext, "eav parcel", ALLOCSET_DEFAULT_SIZES);
  MemoryContext const caller = MemoryContextSwitchTo(context);
  for (const flush::RingParcel& parcel : ring.parcels) {
    ingest::spill(flush::copy_of(parcel));
    MemoryContextReset(context);
  }
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
  flush::finish_flush(loop.door, {number, ring.parcels.size(), false, 0, true, 0});
  end();
  ereport(LOG, (errmsg("eav_ext flush worker has moved values from the ring to staging")));
}

void mark_ring_empty() {
  begin_as_owner("flush_state", "closing the door to the ring");
  flush::mark_ring_empty();
  end();
}

// Before the worker leaves.
void flush_what_is_left(Loop& loop) {
  close_door(loop);
  EAV_STOP_POINT("worker_after_close");
  if (loop.door != nullptr) {
    wait_for_producers(loop);
  }
  if (settings.worker_enabled) {
    loop.has_more = !attempt(loop.trouble, [&] { run_flush(loop); }) || loop.has_more;
  }
  for (int tries = 0; has_parcels(loop) && tries < last_tries; ++tries) {
    attempt(loop.trouble, [&] { move_ring_to_staging(loop); });
  }
  if (loop.door != nullptr && loop.door->inside == 0 && !has_parcels(loop)) {
    attempt(loop.trouble, mark_ring_empty);
  }
}

[[noreturn]] void leave(Loop& loop) {
  flush_what_is_left(loop);
  proc_exit(1);
}

// Work whose transactions are no reason to flush; those of others meanwhile are.
template <typename Work>
void beside_flushes(Loop& loop, Work&& work) {
  const uint64 before = pg::completed_transactions();
  const uint64 own_before = own_transactions();
  work();
  const uint64 own = own_transactions() - own_before;
  if (loop.seen == before && pg::completed_transactions() == before + own) {
    loop.seen = before + own;
  }
}

void beat(Loop& loop) {
  beside_flushes(loop, [&] { loop.pulse.on_primary(); });
}

bool is_merge_due(const Loop& loop) {
  return loop.has_more_to_merge || (loop.merged != pg::completed_transactions() &&
                                    is_due(loop.merges, settings.rollup_interval));
}

void merge_part(Loop& loop) {
  const uint64 before = pg::completed_transactions();
  bool has_more = false;
  const bool succeeded = run(loop.merges, [&] {
    begin_as_owner("attribute_rollups", "SELECT eav.merge_rollups()");
    has_more = rollup::merge_part();
    end();
  });
  loop.has_more_to_merge = succeeded && has_more;
  if (succeeded) {
    loop.merged = before;
  }
}

// At least a part of what is pending, and more when the flush before it took long, too.
void merge_rollups(Loop& loop, TimestampTz flush_began) {
  const TimestampTz began = GetCurrentTimestamp();
  const long flush_time = TimestampDifferenceMilliseconds(flush_began, began);
  const auto time = static_cast<int>(Min(flush_time, longest_merge));
  do {
    beside_flushes(loop, [&] { merge_part(loop); });
  } while (loop.has_more_to_merge && !ShutdownRequestPending && !is_due(began, time));
}

void make_room_if_wanted(Loop& loop) {
  loop.last_yield_check = GetCurrentTimestamp();
  if (somebody_wants_the_database()) {
    ereport(LOG, (errmsg("eav_ext flush worker makes room for a change of its database")));
    attempt(loop.index_looks.trouble, end_index_builder);
    leave(loop);
  }
  attempt(loop.index_looks.trouble, make_index_builder_yield);
  if (!settings.worker_enabled) {
    look_for_extension();
  }
}

// Until the standby is promoted.
void run_standby(Loop& loop) {
  TimestampTz before = GetCurrentTimestamp();
  while (RecoveryInProgress()) {
    const TimestampTz now = GetCurrentTimestamp();
    if (now < before) {
      loop.pulse.on_new_time();
    }
    before = now;
    if (settings.worker_enabled) {
      loop.pulse.on_standby();
    }
    if (ShutdownRequestPending) {
      proc_exit(1);
    }
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Pulse::standby_interval(),
              PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    check_for_interrupts();
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
      loop.pulse.on_new_time();
    }
  }
}

// What was to come at a certain time would come later by as much.
void on_clock_set_back(Loop& loop, TimestampTz now) {
  loop.last_yield_check = Min(loop.last_yield_check, now);
  loop.last_maintenance = Min(loop.last_maintenance, now);
  for (Chore* const chore :
       {&loop.moves, &loop.erasures, &loop.merges, &loop.drains, &loop.index_looks}) {
    chore->last = Min(chore->last, now);
  }
  loop.pulse.on_new_time();
}

[[noreturn]] void run(Loop& loop) {
  TimestampTz next_tick = GetCurrentTimestamp();
  TimestampTz before = next_tick;
  for (;;) {
    const TimestampTz now = GetCurrentTimestamp();
    if (now < before) {
      on_clock_set_back(loop, now);
      next_tick = now;
    }
    before = now;
    if (settings.worker_enabled && loop.pulse.is_due(now)) {
      beat(loop);
    }
    if (now >= next_tick || has_requests(loop)) {
      loop.has_more = !attempt(loop.trouble, [&] { tick(loop); }) || loop.has_more;
      move_if_wanted(loop);
      erase_if_wanted(loop);
      next_tick = TimestampTzPlusMilliseconds(now, delay_after(loop));
    }
    if (settings.worker_enabled && is_merge_due(loop)) {
      merge_rollups(loop, now);
    }
    if (ShutdownRequestPending) {
      leave(loop);
    }
    if (is_due(loop.last_yield_check, yield_check_interval)) {
      make_room_if_wanted(loop);
    }
    const TimestampTz next_check =
        TimestampTzPlusMilliseconds(loop.last_yield_check, yield_check_interval);
    const TimestampTz next_beat = settings.worker_enabled ? loop.pulse.next() : next_check;
    if (!loop.has_more_to_merge || !settings.worker_enabled) {
      sleep_until(Min(Min(next_tick, next_check), next_beat), loop);
    }
    check_for_interrupts();
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
      loop.pulse.on_new_time();
      loop.trouble.failures = 0;
      next_tick = GetCurrentTimestamp();
    }
  }
}

}  // namespace

}  // namespace eav::worker

extern "C" {
PGDLLEXPORT void eav_worker_main(Datum argument);

void eav_worker_main(Datum argument) {
  using namespace eav::worker;
  const Oid database = DatumGetObjectId(argument);
  FullTransactionId after;
  memcpy(&after, MyBgworkerEntry->bgw_extra, sizeof(after));

  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  BackgroundWorkerUnblockSignals();
  if (!eav::pg::database_exists(database)) {
    proc_exit(0);
  }
  BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
  pgstat_report_appname("eav_ext flush worker");
  pin_settings();
  pgstat_report_activity(STATE_IDLE, nullptr);
  wait_for_end_of(after);
  if (!become_the_worker()) {
    proc_exit(0);
  }
  eav::pg::guarded([] {
    wait_for_our_sql();
    Loop loop;
    run_standby(loop);
    run(loop);
  });
}
}
