// Waiting for durability.
//
// Values are durable when a flush that holds them has committed and its commit is on disk. Flushes
// commit asynchronously; whoever waits writes the WAL out up to the end of the flush, and the
// server makes one write serve all who want one at the same time.
//
// A parcel in the ring is flushed when its slab holds it no more: a flush releases it after its
// commit. Values in staging are flushed when the snapshot in flush_state sees their transaction.
// That cannot be read in a commit callback, where no transaction is under way any more; there, the
// wait is for a flush that begins later than the commit and leaves nothing behind.
#include "eav/ingest/acknowledge.hpp"

#include "eav/core/ticket.hpp"
#include "eav/ingest/spill.hpp"
#include "eav/ingest/transaction.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/snapshot.hpp"
#include "eav/pg/spi.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <access/xlog.h>
#include <utils/wait_event.h>
}

namespace eav::ingest {

namespace {

// How long a wait sleeps before it looks again by itself, ms: for cancels, which do not end a
// sleep in the commit callback, and for flushes of processes that know no door.
constexpr int64 look_interval = 50;

// Sleeps until a flush has ended, or for a moment. False when the time is over.
bool sleep_until_flush(Door* door, TimestampTz deadline) {
  const int64 remaining = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
  if (remaining <= 0) {
    return false;
  }
  request_flush(*door, request_durable);
  ConditionVariableTimedSleep(&door->flushed, static_cast<long>(Min(remaining, look_interval)),
                              PG_WAIT_EXTENSION);
  return true;
}

void write_out_flushes(const Door& door) { XLogFlush(door.flush_end); }

void warn_not_durable(const char* why) {
  ereport(WARNING, (errcode(ERRCODE_WARNING), errmsg("values are accepted and not yet durable"),
                    errdetail("The transaction has already committed. %s", why),
                    errhint("eav.wait_flushed() tells when the values of a ticket are durable.")));
}

// Why a wait after commit has to end before its time, or null.
const char* interruption() {
  if (ProcDiePending) {
    return "The wait was ended by an administrator's command.";
  }
  if (QueryCancelPending) {
    QueryCancelPending = false;
    return "The wait was ended by a request of the user.";
  }
  return nullptr;
}

bool is_durable(const Door& door, const Commit& commit, uint64 begun) {
  const bool is_in_ring = commit.last.head != core::Ring::none &&
                          ring()->is_stored(commit.last.head, commit.last.sequence);
  return !is_in_ring && (!commit.has_spilled || door.flush_completed > begun);
}

// Whether flush_state has what was staged by the transaction.
bool has_been_flushed(uint64 xid) {
  static pg::Statement select("SELECT snapshot FROM eav.flush_state", {});
  SPI_connect();
  select.run({});
  const bool seen = pg::view_of_datum(pg::cell(0, 1).value).sees(xid);
  SPI_finish();
  return seen;
}

bool has_been_flushed(const core::Ticket& ticket) {
  return ticket.is_spilled
             ? has_been_flushed(ticket.xid())
             : ring() == nullptr || !ring()->is_stored(ticket.slab(), ticket.sequence());
}

int64 present_epoch() {
  SPI_connect();
  const int64 epoch = staging_epoch();
  SPI_finish();
  return epoch;
}

void check_ticket(int64 number) {
  const core::Ticket ticket = core::Ticket::unpack(number);
  if (number <= 0) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("ticket " INT64_FORMAT " is not valid", number),
                    errhint("Pass the ticket that eav.ingest() has returned.")));
  }
  if (ticket.epoch != core::Ticket::short_epoch(present_epoch())) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the values of this ticket may have been lost"),
                    errdetail("The server has lost accepted values since the ticket was given out; "
                              "table eav.ingest_gaps says when."),
                    errhint("Send the values again: what is there twice is stored once.")));
  }
  if (is_own_ticket(number)) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("cannot wait for values of the present transaction"),
                    errdetail("They are flushed after it has committed."),
                    errhint("Call eav.ingest() with ack => 'durable', or wait after the commit.")));
  }
}

}  // namespace

bool wait_flushed(int64 number, int64 timeout) {
  check_ticket(number);
  const core::Ticket ticket = core::Ticket::unpack(number);
  Door* const door = own_door();
  if (door == nullptr) {
    return has_been_flushed(ticket);
  }
  const TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout);
  door->counters.waits.fetch_add(1);
  ConditionVariablePrepareToSleep(&door->flushed);
  bool is_flushed = has_been_flushed(ticket);
  while (!is_flushed && sleep_until_flush(door, deadline)) {
    is_flushed = has_been_flushed(ticket);
  }
  ConditionVariableCancelSleep();
  if (is_flushed) {
    write_out_flushes(*door);
  } else {
    door->counters.timeouts.fetch_add(1);
  }
  return is_flushed;
}

void wait_after_commit(Door* door, const Commit& commit) {
  if (door == nullptr) {
    warn_not_durable("This database has no place in shared memory to wait for a flush.");
    return;
  }
  const uint64 begun = door->flushes_begun;
  const TimestampTz deadline =
      TimestampTzPlusMilliseconds(GetCurrentTimestamp(), settings.durable_timeout);
  door->counters.waits.fetch_add(1);
  ConditionVariablePrepareToSleep(&door->flushed);
  const char* interrupted = nullptr;
  bool is_in_time = true;
  while (!is_durable(*door, commit, begun) && (interrupted = interruption()) == nullptr &&
         (is_in_time = sleep_until_flush(door, deadline))) {
  }
  ConditionVariableCancelSleep();
  if (interrupted == nullptr && is_in_time) {
    write_out_flushes(*door);
    return;
  }
  door->counters.timeouts.fetch_add(1);
  warn_not_durable(interrupted != nullptr ? interrupted : "eav.durable_timeout is over.");
}

}  // namespace eav::ingest

EAV_FUNCTION(eav_wait_flushed) {
  const Interval* const timeout = PG_GETARG_INTERVAL_P(1);
  const int64 days = timeout->day + static_cast<int64>(timeout->month) * DAYS_PER_MONTH;
  const int64 milliseconds = days * (USECS_PER_DAY / 1000) + timeout->time / 1000;
  if (RecoveryInProgress()) {
    ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                    errmsg("cannot wait for a flush during recovery"),
                    errhint("Ask the primary, which has given out the ticket.")));
  }
  if (milliseconds < 0) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("timeout must not be negative"),
             errhint("Use 0 to look without waiting.")));
  }
  PG_RETURN_BOOL(eav::ingest::wait_flushed(PG_GETARG_INT64(0), milliseconds));
}
