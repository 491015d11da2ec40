// Starting flush workers, and making sure that a database has one, and one at most.
//
// The worker of a database holds a lock of our own making until its process ends: an advisory lock
// of a kind that no SQL function gives out (standbys allow no other). Whoever finds it taken
// leaves; pg_locks tells who has it (eav._worker_pid()).
//
// A worker may be on its way out because it sees no extension, while a transaction that creates it
// is under way. So a transaction that has written something always asks for a worker. That one
// waits until the transaction has ended and only then tries for the lock; and who leaves for want
// of the extension gives up the lock first and then looks again. Either the newcomer finds the lock
// free, or the look finds the extension.
#include "eav/pg/guard.hpp"
#include "eav/pg/postgres.hpp"
#include "eav/worker/worker.hpp"

extern "C" {
#include <postmaster/bgworker.h>
#include <storage/lock.h>
}

namespace eav::worker {

namespace {

constexpr uint16 worker_lock = 25974;  // "ev"; those of SQL are 1 and 2

LOCKTAG worker_tag(Oid database) {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, database, 0, 0, worker_lock);
  return tag;
}

}  // namespace

bool start_worker(Oid database, FullTransactionId after) {
  // pg_upgrade wants to be alone.
  if (IsBinaryUpgrade) {
    return true;
  }
  BackgroundWorker worker = {};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_ConsistentState;
  // After a crash of the server or an error that ended the process. What can be survived is
  // handled in the worker, so this is no loop.
  worker.bgw_restart_time = 2;
  snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), "%s", "eav_ext");
  snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "%s", "eav_worker_main");
  snprintf(worker.bgw_name, sizeof(worker.bgw_name), "eav_ext flush worker for database %u",
           database);
  snprintf(worker.bgw_type, sizeof(worker.bgw_type), "%s", "eav_ext flush worker");
  worker.bgw_main_arg = ObjectIdGetDatum(database);
  memcpy(worker.bgw_extra, &after, sizeof(after));
  return RegisterDynamicBackgroundWorker(&worker, nullptr);
}

bool become_the_worker() {
  const LOCKTAG tag = worker_tag(MyDatabaseId);
  return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

void stop_being_the_worker() {
  const LOCKTAG tag = worker_tag(MyDatabaseId);
  LockRelease(&tag, ExclusiveLock, true);
}

bool is_worker_running(Oid database) {
  const LOCKTAG tag = worker_tag(database);
  if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL) {
    return true;
  }
  LockRelease(&tag, ExclusiveLock, false);
  return false;
}

}  // namespace eav::worker

// Of any version: the worker itself waits for SQL of its version.
EAV_UNCHECKED_FUNCTION(eav_start_worker) {
  const FullTransactionId after = GetTopFullTransactionIdIfAny();
  const bool is_running = eav::worker::is_worker_running(MyDatabaseId);
  if (is_running && !FullTransactionIdIsValid(after)) {
    PG_RETURN_BOOL(false);
  }
  if (!eav::worker::start_worker(MyDatabaseId, after) && !is_running) {
    ereport(ERROR,
            (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
             errmsg("could not start the flush worker: no background worker slot is free"),
             errhint("Raise max_worker_processes, or call eav.stage_flush() from a scheduler.")));
  }
  PG_RETURN_BOOL(!is_running);
}
