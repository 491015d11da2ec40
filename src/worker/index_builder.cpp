// The process that builds and drops the indexes of attributes, one at a time.
//
// CREATE INDEX CONCURRENTLY consists of several transactions and so cannot run in a function; and
// it waits for every transaction that is older than itself, which the flush worker must not. So
// there is a process for it. It does what eav._index_work() says until nothing is left to do, then
// leaves. It is started by the function that changes a wish (and begins when the transaction of
// that has ended), and by the flush worker, which looks every few seconds whether something is to
// be done: after a crash, after a failure, after a restore from a dump.
//
// At most one works in a database: it holds a lock like that of the flush worker (start.cpp), and
// by the same rule no wish is overlooked. Who finds the lock taken leaves, for who gives it up
// looks once more.
//
// A build that fails, is cancelled, or loses its process leaves an invalid index behind. As nobody
// else builds, every invalid index is such a one: it is dropped and built again. How often it
// failed, and why, is kept with the wish, and how long to wait before the next try.
//
// Others come first: the flush worker cancels a build while somebody waits for an exclusive lock on
// the table (DROP EXTENSION, ALTER TABLE, ...), which would otherwise wait for the build, and the
// build, perhaps, for that one's transaction. It ends the process when somebody wants to drop the
// database. Races accepted: what takes such a lock while the flush worker does not run waits for
// the build.
#include "eav/worker/index_builder.hpp"

#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/library.hpp"
#include "eav/pg/owner.hpp"
#include "eav/pg/spi.hpp"
#include "eav/worker/job.hpp"

extern "C" {
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <storage/ipc.h>
#include <storage/lock.h>
#include <tcop/dest.h>
#include <tcop/tcopprot.h>
#include <tcop/utility.h>
}

namespace eav::worker {

namespace {

constexpr uint16 builder_lock = 25975;  // one above that of the flush worker
// Shorter than any deadlock_timeout: who drops the extension must not be the one that gives up.
constexpr const char* bookkeeping_lock_timeout = "50ms";

LOCKTAG builder_tag() {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, builder_lock);
  return tag;
}

bool become_the_builder() {
  const LOCKTAG tag = builder_tag();
  return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

void stop_being_the_builder() {
  const LOCKTAG tag = builder_tag();
  LockRelease(&tag, ExclusiveLock, true);
}

// Somebody who becomes the builder at this very moment gives up for it; then the next look of the
// flush worker starts another.
bool is_builder_running() {
  const LOCKTAG tag = builder_tag();
  if (LockAcquire(&tag, ShareLock, true, true) == LOCKACQUIRE_NOT_AVAIL) {
    return true;
  }
  LockRelease(&tag, ShareLock, true);
  return false;
}

bool start_builder(FullTransactionId after) {
  BackgroundWorker worker = {};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  // The flush worker starts another when it is needed.
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), "%s", "eav_ext");
  snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "%s",
           "eav_index_builder_main");
  snprintf(worker.bgw_name, sizeof(worker.bgw_name), "eav_ext index builder for database %u",
           MyDatabaseId);
  snprintf(worker.bgw_type, sizeof(worker.bgw_type), "%s", "eav_ext index builder");
  worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
  memcpy(worker.bgw_extra, &after, sizeof(after));
  return RegisterDynamicBackgroundWorker(&worker, nullptr);
}

// With the rights of the extension's owner; ends the process when the extension is gone or of
// another version. Without a restricted context, which must not outlast a transaction: a build has
// several of them.
void become_owner_or_leave() {
  const Oid table = pg::find_relation("attribute_indexes");
  if (!OidIsValid(table) || !pg::is_sql_ours()) {
    proc_exit(0);
  }
  SetUserIdAndSecContext(pg::owner_of(table), 0);
}

// Leaves when somebody is about to change or drop the table, who may hold locks on others of ours
// already. Should that one come a moment later, the lock timeout ends the process.
void begin_bookkeeping() {
  begin("looking for indexes to build");
  become_owner_or_leave();
  if (!ConditionalLockRelationOid(pg::relation_oid("entity_jsonb"), AccessShareLock)) {
    proc_exit(0);
  }
}

struct Task {
  bool is_there = false;
  bool is_drop = false;
  bool has_wish = false;
  int64 tenant_id = 0;
  int32 attribute_id = 0;
  char* statement = nullptr;  // in the context of the task
};

MemoryContext task_context = nullptr;

Task next_task() {
  static pg::Statement select(
      "SELECT tenant_id, attribute_id, is_drop, statement FROM eav._index_work() LIMIT 1", {});
  Task task;
  MemoryContextReset(task_context);
  begin_bookkeeping();
  select.run({});
  if (SPI_processed > 0) {
    const pg::Cell tenant = pg::cell(0, 1);
    task.is_there = true;
    task.has_wish = !tenant.is_null;
    task.tenant_id = tenant.is_null ? 0 : DatumGetInt64(tenant.value);
    task.attribute_id = DatumGetInt32(pg::cell(0, 2).value);
    task.is_drop = DatumGetBool(pg::cell(0, 3).value);
    task.statement = MemoryContextStrdup(task_context, TextDatumGetCString(pg::cell(0, 4).value));
  }
  end();
  return task;
}

// As a client's statement outside of a transaction block. What is parsed outlasts the transactions
// of which it consists.
void run_statement(const char* sql) {
  SetCurrentStatementStartTimestamp();
  StartTransactionCommand();
  become_owner_or_leave();
  PushActiveSnapshot(GetTransactionSnapshot());
  pgstat_report_activity(STATE_RUNNING, sql);
  MemoryContextSwitchTo(task_context);
  auto* const parsed = linitial_node(RawStmt, pg_parse_query(sql));
  auto* const statement = makeNode(PlannedStmt);
  statement->commandType = CMD_UTILITY;
  statement->canSetTag = true;
  statement->utilityStmt = parsed->stmt;
  ProcessUtility(statement, sql, false, PROCESS_UTILITY_TOPLEVEL, nullptr, nullptr, None_Receiver,
                 nullptr);
  if (ActiveSnapshotSet()) {
    PopActiveSnapshot();
  }
  CommitTransactionCommand();
  SetUserIdAndSecContext(GetSessionUserId(), 0);
  pgstat_report_activity(STATE_IDLE, nullptr);
  pgstat_report_stat(false);
}

// Only the bookkeeping gives up on a lock.
void set_lock_timeout(const char* timeout) {
  SetConfigOption("lock_timeout", timeout, PGC_SUSET, PGC_S_OVERRIDE);
}

// Null when the statement has done its work. The error is in the context of the task.
const ErrorData* try_statement(const char* sql) {
  ErrorData* volatile error = nullptr;
  set_lock_timeout("0");
  PG_TRY();
  {
    pg::guarded([sql] { run_statement(sql); });
  }
  PG_CATCH();
  {
    HOLD_INTERRUPTS();
    EmitErrorReport();
    MemoryContextSwitchTo(task_context);
    error = CopyErrorData();
    AbortCurrentTransaction();
    FlushErrorState();
    SetUserIdAndSecContext(GetSessionUserId(), 0);
    pgstat_report_activity(STATE_IDLE, nullptr);
    RESUME_INTERRUPTS();
  }
  PG_END_TRY();
  set_lock_timeout(bookkeeping_lock_timeout);
  return error;
}

// A cancelled build has not failed; it is tried again like after its first failure.
void note_result(const Task& task, const ErrorData* error) {
  static pg::Statement failed(
      "UPDATE eav.attribute_indexes "
      "SET failures = failures + CASE WHEN $4 THEN 0 ELSE 1 END, last_error = $3, "
      "next_attempt_at = clock_timestamp() + least(interval '10 seconds' "
      "* power(2, CASE WHEN $4 THEN 0 ELSE least(failures, 20) END), interval '1 hour') "
      "WHERE tenant_id = $1 AND attribute_id = $2",
      {INT8OID, INT4OID, TEXTOID, BOOLOID});
  static pg::Statement succeeded(
      "UPDATE eav.attribute_indexes SET failures = 0, last_error = NULL "
      "WHERE tenant_id = $1 AND attribute_id = $2 AND (failures > 0 OR last_error IS NOT NULL)",
      {INT8OID, INT4OID});
  const Datum tenant_id = Int64GetDatum(task.tenant_id);
  const Datum attribute_id = Int32GetDatum(task.attribute_id);
  begin_bookkeeping();
  if (error != nullptr) {
    failed.run({tenant_id, attribute_id, CStringGetTextDatum(error->message),
                BoolGetDatum(error->sqlerrcode == ERRCODE_QUERY_CANCELED)});
  } else {
    succeeded.run({tenant_id, attribute_id});
  }
  end();
}

// False when an index that nobody wants could not be dropped: the next builder tries again.
bool work_on(const Task& task) {
  const ErrorData* const error = try_statement(task.statement);
  if (task.has_wish && (error != nullptr || !task.is_drop)) {
    note_result(task, error);
  }
  return task.has_wish || error == nullptr;
}

// Until nothing is left to do.
void run_builder() {
  task_context = AllocSetContextCreate(TopMemoryContext, "eav index", ALLOCSET_DEFAULT_SIZES);
  set_lock_timeout(bookkeeping_lock_timeout);
  while (become_the_builder()) {
    for (Task task = next_task(); task.is_there; task = next_task()) {
      if (!work_on(task)) {
        return;
      }
    }
    stop_being_the_builder();
    if (!next_task().is_there) {
      return;
    }
  }
}

void wait_for_end_of(FullTransactionId after) {
  if (FullTransactionIdIsValid(after)) {
    StartTransactionCommand();
    XactLockTableWait(XidFromFullTransactionId(after), nullptr, nullptr, XLTW_None);
    CommitTransactionCommand();
  }
}

void signal_builder(const char* activity, pg::Statement& statement) {
  if (is_builder_running()) {
    begin(activity);
    statement.run({ObjectIdGetDatum(MyDatabaseId)});
    end();
  }
}

}  // namespace

void start_index_builder_if_needed() {
  static pg::Statement is_needed("SELECT FROM eav._index_work() LIMIT 1", {});
  static bool was_refused = false;
  if (is_builder_running()) {
    return;
  }
  begin_as_owner("attribute_indexes", "looking for indexes to build");
  pg::set_local("lock_timeout", "100ms");
  is_needed.run({});
  const bool has_work = SPI_processed > 0;
  end();
  if (!has_work) {
    return;
  }
  const bool is_refused = !start_builder(InvalidFullTransactionId);
  if (is_refused && !was_refused) {
    ereport(LOG, (errmsg("eav_ext index builder: no background worker slot is free, trying again"),
                  errhint("Raise max_worker_processes.")));
  }
  was_refused = is_refused;
}

void make_index_builder_yield() {
  static pg::Statement cancel(
      "SELECT pg_cancel_backend(b.pid) FROM pg_locks b "
      "WHERE b.locktype = 'advisory' AND b.objsubid = 25975 AND b.database = $1 AND b.granted "
      "AND EXISTS (SELECT FROM pg_locks w WHERE w.locktype = 'relation' AND NOT w.granted "
      "AND w.database = $1 AND w.relation = to_regclass('eav.entity_jsonb') "
      "AND w.mode = 'AccessExclusiveLock' AND b.pid = ANY (pg_blocking_pids(w.pid)))",
      {OIDOID});
  signal_builder("making room for a change of eav.entity_jsonb", cancel);
}

void end_index_builder() {
  static pg::Statement terminate(
      "SELECT pg_terminate_backend(b.pid) FROM pg_locks b "
      "WHERE b.locktype = 'advisory' AND b.objsubid = 25975 AND b.database = $1 AND b.granted",
      {OIDOID});
  signal_builder("making room for a change of the database", terminate);
}

}  // namespace eav::worker

// One for each transaction is enough.
EAV_FUNCTION(eav_start_index_builder) {
  static FullTransactionId last = InvalidFullTransactionId;
  const FullTransactionId after = GetTopFullTransactionId();
  if (FullTransactionIdEquals(after, last)) {
    PG_RETURN_BOOL(true);
  }
  const bool is_started = eav::worker::start_builder(after);
  if (is_started) {
    last = after;
  }
  PG_RETURN_BOOL(is_started);
}

extern "C" {
PGDLLEXPORT void eav_index_builder_main(Datum argument);

void eav_index_builder_main(Datum argument) {
  using namespace eav::worker;
  const Oid database = DatumGetObjectId(argument);
  FullTransactionId after;
  memcpy(&after, MyBgworkerEntry->bgw_extra, sizeof(after));

  pqsignal(SIGTERM, die);
  BackgroundWorkerUnblockSignals();
  if (!eav::pg::database_exists(database)) {
    proc_exit(0);
  }
  BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
  pgstat_report_appname("eav_ext index builder");
  pin_settings();
  pgstat_report_activity(STATE_IDLE, nullptr);
  eav::pg::guarded([after] {
    wait_for_end_of(after);
    run_builder();
  });
}
}
