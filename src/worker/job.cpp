#include "eav/worker/job.hpp"

#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"
#include "eav/pg/library.hpp"
#include "eav/pg/owner.hpp"
#include "eav/worker/worker.hpp"

extern "C" {
#include <access/xlog.h>
#include <pgstat.h>
#include <storage/ipc.h>
#include <utils/backend_status.h>
#include <utils/inval.h>
}

namespace eav::worker {

namespace {

uint64 committed_with_id = 0;

bool has_extension() { return OidIsValid(pg::find_relation("flush_state")); }

// Not by what the caches still say.
bool has_extension_now() {
  InvalidateCatalogSnapshot();
  InvalidateSystemCaches();
  return has_extension();
}

}  // namespace

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
  pin("temp_file_limit", "-1");
  if (pg::has_transaction_timeout) {
    pin("transaction_timeout", "0");
  }
  pin("row_security", "off");
  pin("eav.tenant_id", "");
  pin("session_replication_role", "origin");
}

void begin(const char* activity) {
  SetCurrentStatementStartTimestamp();
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  SPI_connect();
  pgstat_report_activity(STATE_RUNNING, activity);
}

void begin_as_owner(const char* table, const char* activity) {
  begin(activity);
  leave_if_not_needed();
  if (!pg::is_sql_ours()) {
    ereport(LOG, (errmsg("eav_ext flush worker leaves: the extension is of another version now"),
                  errdetail("It is of version %s, and the library of version %s.",
                            pg::sql_version(), pg::library_version)));
    proc_exit(1);
  }
  // A rollback gives back the rights of the worker.
  SetUserIdAndSecContext(pg::owner_of(pg::relation_oid(table)), SECURITY_LOCAL_USERID_CHANGE);
}

void end() {
  SPI_finish();
  PopActiveSnapshot();
  const bool has_id = TransactionIdIsValid(GetTopTransactionIdIfAny());
  CommitTransactionCommand();
  committed_with_id += has_id ? 1 : 0;
  SetUserIdAndSecContext(GetSessionUserId(), 0);
  pgstat_report_activity(STATE_IDLE, nullptr);
  pgstat_report_stat(false);
}

uint64 own_transactions() { return committed_with_id; }

// The door is closed first, so that what is in the ring, if there still is no extension then, was
// meant for one that is gone. Why the lock is given up before the last look: see start.cpp.
void leave_if_not_needed() {
  if (has_extension()) {
    return;
  }
  if (ingest::Door* const door = ingest::find_own_door()) {
    ingest::close_to_parcels(*door);
    if (door->inside > 0) {
      proc_exit(1);  // to come back for what they may publish
    }
    if (has_extension_now()) {
      return;
    }
    ingest::discard_parcels(*door);
  }
  stop_being_the_worker();
  if (!has_extension_now()) {
    // On a standby the launcher tries again and again.
    ereport(RecoveryInProgress() ? DEBUG1 : LOG,
            (errmsg("eav_ext flush worker leaves: database has no extension eav_ext")));
    proc_exit(0);
  }
  if (!become_the_worker()) {
    proc_exit(0);
  }
}

bool is_sql_ours() {
  begin("looking at the version of the extension");
  leave_if_not_needed();
  const bool is_ours = pg::is_sql_ours();
  if (!is_ours) {
    static bool has_reported = false;
    if (!has_reported) {
      ereport(
          LOG,
          (errmsg("eav_ext flush worker waits: the extension is of version %s, and its library of "
                  "version %s",
                  pg::sql_version(), pg::library_version),
           errhint("Run ALTER EXTENSION eav_ext UPDATE, or restart the server if that has been "
                   "done already.")));
    }
    has_reported = true;
  }
  end();
  return is_ours;
}

ingest::Door* attach_door() {
  static ingest::Door* door = nullptr;
  if (door == nullptr) {
    door = ingest::own_door();
    if (door != nullptr) {
      ingest::attach_worker(*door);
    }
  }
  return door;
}

void recover(Trouble& trouble) {
  HOLD_INTERRUPTS();
  const int code = geterrcode();
  const bool is_conflict = code == ERRCODE_T_R_SERIALIZATION_FAILURE && RecoveryInProgress();
  trouble.was_locked_out = code == ERRCODE_LOCK_NOT_AVAILABLE || is_conflict;
  if (!trouble.was_locked_out) {
    EmitErrorReport();
    ++trouble.failures;
  }
  AbortCurrentTransaction();
  FlushErrorState();
  pgstat_report_activity(STATE_IDLE, nullptr);
  RESUME_INTERRUPTS();
}

}  // namespace eav::worker
