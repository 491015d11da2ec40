// The flush worker of a database.
//
// Life: started by the launcher, by CREATE EXTENSION or by eav.start_worker(). It leaves with
// code 0, which tells the postmaster to forget it, only when it is not needed: its database is
// gone, has no extension (any more), or has another worker. In all other cases it leaves with
// code 1 and is started again: after SIGTERM (a shutdown, or an administrator's
// pg_terminate_backend()), and to make room for a DROP DATABASE or CREATE DATABASE ... TEMPLATE,
// which both want the database without users and hold a lock that the worker looks for.
//
// Work: every eav.flush_interval a tick. A tick looks at one number in shared memory; only when
// a transaction has ended since the last flush, or something remains to be done, does it call
// eav.stage_flush(), in a transaction of its own and as the owner of that function. While more
// than one batch is waiting it does not sleep. An error rolls the tick back, is logged, and the
// next tick comes later and later (up to 30 s) until one succeeds. On SIGTERM the tick in
// progress is finished and one more flushes what has come in; a lock timeout of a second keeps
// that from taking long.
#include "eav/worker/worker.hpp"

#include "eav/flush/flush.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/spi.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <catalog/pg_database.h>
#include <common/relpath.h>
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <postmaster/interrupt.h>
#include <storage/fd.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/lock.h>
#include <storage/procarray.h>
#include <sys/stat.h>
#include <utils/backend_status.h>
#include <utils/wait_event.h>
}

namespace eav::worker {

namespace {

constexpr int longest_delay = 30 * 1000;    // ms between ticks that fail
constexpr int yield_check_interval = 1000;  // ms between looks for a DROP DATABASE

struct Loop {
  uint64 seen = 0;  // completed_transactions() before the last flush
  bool has_more = true;
  int failures = 0;
  TimestampTz last_yield_check = 0;
  TimestampTz last_maintenance = 0;
};

// A database has its directory in the default tablespace or in one of the others.
bool has_directory(const char* parent, Oid database) {
  struct stat status;
  return stat(psprintf("%s/%u", parent, database), &status) == 0;
}

bool database_exists(Oid database) {
  if (has_directory("base", database)) {
    return true;
  }
  DIR* const tablespaces = AllocateDir("pg_tblspc");
  bool found = false;
  while (const dirent* const entry = ReadDirExtended(tablespaces, "pg_tblspc", LOG)) {
    found = found ||
            has_directory(psprintf("pg_tblspc/%s/%s", entry->d_name, TABLESPACE_VERSION_DIRECTORY),
                          database);
  }
  FreeDir(tablespaces);
  return found;
}

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

// Settings of the database or the role must not change how the worker works.
void pin_settings() {
  const auto pin = [](const char* name, const char* value) {
    SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
  };
  pin("search_path", "pg_catalog, pg_temp");
  pin("default_transaction_isolation", "read committed");
  pin("default_transaction_read_only", "off");
  pin("default_transaction_deferrable", "off");
  // Staged values do not survive a crash either; see ingest_gaps.
  pin("synchronous_commit", "off");
  pin("lock_timeout", "1s");
  pin("statement_timeout", "0");
  pin("row_security", "off");
  pin("session_replication_role", "origin");
}

void begin(const char* activity) {
  SetCurrentStatementStartTimestamp();
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  SPI_connect();
  pgstat_report_activity(STATE_RUNNING, activity);
}

void end() {
  SPI_finish();
  PopActiveSnapshot();
  CommitTransactionCommand();
  pgstat_report_activity(STATE_IDLE, nullptr);
  pgstat_report_stat(false);
}

void leave_if_not_needed() {
  if (!OidIsValid(pg::find_relation("flush_state"))) {
    ereport(LOG, (errmsg("eav_ext flush worker leaves: database has no extension eav_ext")));
    proc_exit(0);
  }
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
  begin("SELECT eav.stage_flush()");
  leave_if_not_needed();
  check_at_once.run({});
  flush.run({Int64GetDatum(settings.flush_batch_values)});
  end();
  loop.has_more = flush::last_flush_left_more();
}

void run_maintenance(Loop& loop) {
  static pg::Statement maintain("SELECT eav.run_maintenance()", {});
  loop.last_maintenance = GetCurrentTimestamp();
  begin("SELECT eav.run_maintenance()");
  leave_if_not_needed();
  maintain.run({});
  end();
}

bool is_due(TimestampTz last, int interval_ms) {
  return TimestampDifferenceExceeds(last, GetCurrentTimestamp(), interval_ms);
}

void tick(Loop& loop) {
  if (!settings.worker_enabled) {
    return;
  }
  if (loop.has_more || loop.seen != pg::completed_transactions()) {
    run_flush(loop);
  }
  if (is_due(loop.last_maintenance, settings.maintenance_interval * 1000)) {
    run_maintenance(loop);
  }
}

// True when the tick ended without an error.
bool try_tick(Loop& loop) {
  volatile bool succeeded = false;
  PG_TRY();
  {
    pg::guarded([&] { tick(loop); });
    succeeded = true;
  }
  PG_CATCH();
  {
    HOLD_INTERRUPTS();
    // Waiting for a client's lock is nothing to report every second.
    if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE) {
      EmitErrorReport();
    }
    AbortCurrentTransaction();
    FlushErrorState();
    pgstat_report_activity(STATE_IDLE, nullptr);
    loop.has_more = true;
    RESUME_INTERRUPTS();
  }
  PG_END_TRY();
  return succeeded;
}

int delay_after(const Loop& loop) {
  if (loop.failures > 0) {
    const int doublings = Min(loop.failures, 12);
    return static_cast<int>(
        Min(static_cast<int64>(settings.flush_interval) << doublings, longest_delay));
  }
  return loop.has_more && settings.worker_enabled ? 0 : settings.flush_interval;
}

// Between ticks there is nothing to cancel; any other backend ignores it when idle, too.
void check_for_interrupts() {
  QueryCancelPending = false;
  CHECK_FOR_INTERRUPTS();
}

void sleep_until(TimestampTz wake_up) {
  for (;;) {
    const long remaining = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wake_up);
    if (remaining <= 0 || ShutdownRequestPending || ConfigReloadPending) {
      return;
    }
    const int events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                                 remaining, PG_WAIT_EXTENSION);
    if ((events & WL_LATCH_SET) != 0) {
      ResetLatch(MyLatch);
      check_for_interrupts();
    }
  }
}

void wait_for_end_of(FullTransactionId after) {
  while (FullTransactionIdIsValid(after) && !ShutdownRequestPending &&
         TransactionIdIsInProgress(XidFromFullTransactionId(after))) {
    sleep_until(TimestampTzPlusMilliseconds(GetCurrentTimestamp(), settings.flush_interval));
  }
}

[[noreturn]] void run(Loop& loop) {
  for (;;) {
    const TimestampTz started_at = GetCurrentTimestamp();
    loop.failures = try_tick(loop) ? 0 : loop.failures + 1;
    if (ShutdownRequestPending) {
      // What has come in while the last tick ran.
      loop.has_more = true;
      try_tick(loop);
      proc_exit(1);
    }
    if (is_due(loop.last_yield_check, yield_check_interval)) {
      loop.last_yield_check = GetCurrentTimestamp();
      if (somebody_wants_the_database()) {
        ereport(LOG, (errmsg("eav_ext flush worker makes room for a change of its database")));
        proc_exit(1);
      }
      if (!settings.worker_enabled) {
        look_for_extension();
      }
    }
    sleep_until(TimestampTzPlusMilliseconds(started_at, delay_after(loop)));
    check_for_interrupts();
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
      loop.failures = 0;
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
  if (!database_exists(database)) {
    proc_exit(0);
  }
  BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
  pgstat_report_appname("eav_ext flush worker");
  pin_settings();
  if (!become_the_worker()) {
    proc_exit(0);
  }
  pgstat_report_activity(STATE_IDLE, nullptr);
  wait_for_end_of(after);
  Loop loop;
  run(loop);
}
}
