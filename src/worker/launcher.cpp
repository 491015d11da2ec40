// The launcher starts a flush worker for every database, once: at the start of the server, and
// for databases that appear later (copied from a template that has the extension; CREATE
// EXTENSION starts a worker by itself). A worker that finds nothing to do leaves for good.
//
// On a standby nothing tells that an extension has come with the replayed changes. There, and once
// more after a promotion, it starts them anew from time to time; those that are one too many leave.
#include "eav/pg/guard.hpp"
#include "eav/settings.hpp"
#include "eav/worker/worker.hpp"

extern "C" {
#include <access/xlog.h>
#include <catalog/pg_database.h>
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <postmaster/interrupt.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <utils/wait_event.h>
}

namespace eav::worker {

namespace {

constexpr long look_interval = 60L * 1000;  // ms between looks for new databases
constexpr long retry_interval = 1000;       // ms, when no process slot was free

// Starts what has not been started; false when slots ran out.
bool start_missing(List** started) {
  bool complete = true;
  StartTransactionCommand();
  Relation const databases = table_open(DatabaseRelationId, AccessShareLock);
  TableScanDesc const scan = table_beginscan_catalog(databases, 0, nullptr);
  while (HeapTuple const tuple = heap_getnext(scan, ForwardScanDirection)) {
    const auto* const database = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
    if (!database->datallowconn || database->datistemplate ||
        list_member_oid(*started, database->oid)) {
      continue;
    }
    if (is_worker_running(database->oid) || start_worker(database->oid, InvalidFullTransactionId)) {
      MemoryContext const caller = MemoryContextSwitchTo(TopMemoryContext);
      *started = lappend_oid(*started, database->oid);
      MemoryContextSwitchTo(caller);
    } else {
      complete = false;
    }
  }
  table_endscan(scan);
  table_close(databases, AccessShareLock);
  CommitTransactionCommand();
  return complete;
}

[[noreturn]] void run() {
  List* started = NIL;
  bool has_reported = false;
  for (;;) {
    const bool is_standby = RecoveryInProgress();
    const bool complete = !settings.worker_enabled || start_missing(&started);
    if (complete && is_standby) {
      list_free(started);
      started = NIL;
    }
    if (!complete && !has_reported) {
      ereport(LOG, (errmsg("eav_ext launcher: no background worker slot is free, trying again"),
                    errhint("Raise max_worker_processes.")));
    }
    has_reported = !complete;
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
              complete ? look_interval : retry_interval, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
    if (ShutdownRequestPending) {
      proc_exit(1);
    }
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
    }
  }
}

}  // namespace

void register_launcher() {
  if (IsBinaryUpgrade) {
    return;
  }
  BackgroundWorker launcher = {};
  launcher.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  launcher.bgw_start_time = BgWorkerStart_ConsistentState;
  launcher.bgw_restart_time = 5;
  snprintf(launcher.bgw_library_name, sizeof(launcher.bgw_library_name), "%s", "eav_ext");
  snprintf(launcher.bgw_function_name, sizeof(launcher.bgw_function_name), "%s",
           "eav_launcher_main");
  snprintf(launcher.bgw_name, sizeof(launcher.bgw_name), "%s", "eav_ext launcher");
  snprintf(launcher.bgw_type, sizeof(launcher.bgw_type), "%s", "eav_ext launcher");
  RegisterBackgroundWorker(&launcher);
}

}  // namespace eav::worker

extern "C" {
PGDLLEXPORT void eav_launcher_main(Datum argument);

void eav_launcher_main(Datum /*argument*/) {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  BackgroundWorkerUnblockSignals();
  BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
  pgstat_report_appname("eav_ext launcher");
  eav::pg::guarded([] { eav::worker::run(); });
}
}
