// What the jobs of the worker have in common: transactions, and errors that do not end it.
#pragma once

#include "eav/ingest/door.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::worker {

// Settings of the database or the role must not change how the worker works.
void pin_settings();

// A transaction with a snapshot and an SPI connection, shown in pg_stat_activity. With the rights
// of the worker, which may do everything: not for work on tables.
void begin(const char* activity);
// The same, with the rights of the owner of a table of ours, up to and including the commit:
// deferred triggers run then. Ends the process when the database has no extension, or one of
// another version.
void begin_as_owner(const char* table, const char* activity);
void end();
// How many of them have committed with an id, as pg::completed_transactions() counts.
uint64 own_transactions();

// Within a transaction: ends the process when the database has no extension.
void leave_if_not_needed();
// Outside of a transaction: whether the extension is of the version of this library; says once in
// the log that it is not.
bool is_sql_ours();
// Within a transaction: the door of the database, attached to this worker; null when there is none
// to be had.
ingest::Door* attach_door();

// How the last tries of a job went.
struct Trouble {
  int failures = 0;             // one after the other
  bool was_locked_out = false;  // the last try met a lock that a client holds
};
// Within PG_CATCH: reports the error and ends the transaction.
void recover(Trouble& trouble);

// True when the work ended without an error. A lock that a client holds is no failure of ours, and
// no reason to come later and later; nor is a conflict with recovery.
template <typename Work>
bool attempt(Trouble& trouble, Work&& work) {
  volatile bool succeeded = false;
  PG_TRY();
  {
    pg::guarded([&] { work(); });
    succeeded = true;
    trouble = Trouble();
  }
  PG_CATCH();
  { recover(trouble); }
  PG_END_TRY();
  return succeeded;
}

}  // namespace eav::worker
