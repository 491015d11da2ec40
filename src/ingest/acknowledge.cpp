// Waiting for durability.
//
// Values are durable when a flush that holds them has committed and its commit is on disk. Flushes
// commit asynchronously; whoever waits writes the WAL out up to the end of the flush, and the
// server makes one write serve all who want one at the same time. Where standbys are synchronous he
// then waits until they have it, too, in the degree that his synchronous_commit asks of his own
// commits: otherwise a promotion could cost values that were called durable. The flush itself does
// not wait for them, so this cannot be left to its commit.
//
// A parcel in the ring is flushed when its slab holds it no more: a flush releases it after its
// commit. (A worker that leaves may have moved it to staging; then it takes one more flush.) Values
// in staging are flushed when the snapshot in flush_state sees their transaction. It does not move
// on for transactions that staged nothing in the end, and cannot be read in a commit callback,
// where no transaction is under way any more; so it is as good when a flush has left nothing behind
// that began after the transaction had ended (by its number, or since all transactions up to it had
// ended then).
#include "eav/ingest/acknowledge.hpp"

#include "eav/core/ticket.hpp"
#include "eav/ingest/spill.hpp"
#include "eav/ingest/ticket_number.hpp"
#include "eav/ingest/transaction.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/interval.hpp"
#include "eav/pg/owner.hpp"
#include "eav/pg/snapshot.hpp"
#include "eav/pg/spi.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <access/xact.h>
#include <access/xlog.h>
#include <replication/syncrep.h>
#include <replication/walsender.h>
#include <replication/walsender_private.h>
#include <storage/latch.h>
#include <storage/lwlock.h>
#include <tcop/dest.h>
#include <tcop/tcopprot.h>
#include <utils/wait_event.h>
}

namespace eav::ingest {

namespace {

// How long a wait sleeps before it looks again by itself, ms: a worker that has just come knows
// nothing of requests that were made before.
constexpr int64 look_interval = 50;
constexpr long pause_after_wake_up = 1000;  // microseconds
// Synchronous standbys answer within a round trip, and wake only who is in the server's own queue.
// That queue knows no timeout.
constexpr int64 replication_interval = 5;

// Time left for a sleep, ms; 0 when the time is over.
long next_sleep(TimestampTz deadline, int64 longest = look_interval) {
  const int64 remaining = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
  return static_cast<long>(Min(remaining, longest));
}

// Sleeps until a flush has ended, or for a moment. False when the time is over.
bool sleep_until_flush(Door* door, TimestampTz deadline) {
  const long sleep = next_sleep(deadline);
  if (sleep > 0) {
    request_flush(*door, request_durable);
    ConditionVariableTimedSleep(&door->flushed, sleep, PG_WAIT_EXTENSION);
  }
  return sleep > 0;
}

// The same in the commit callback, where nothing may end the process: the transaction has
// committed, and its exit would abort it. What the sleep of a condition variable would do when the
// postmaster is gone is left to the next look for interrupts, as synchronous replication does it.
bool sleep_after_commit(long sleep) {
  if (sleep > 0) {
    const int events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, sleep,
                                 PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    if ((events & WL_POSTMASTER_DEATH) != 0) {
      ProcDiePending = true;
      whereToSendOutput = DestNone;
    }
  }
  return sleep > 0;
}

// Whether all flushes up to this end of WAL are where a commit of this session would have to be.
bool is_replicated(XLogRecPtr end) {
  if (!SyncRepRequested() || SyncRepStandbyNames == nullptr || *SyncRepStandbyNames == '\0') {
    return true;
  }
  int mode = SYNC_REP_WAIT_FLUSH;
  if (synchronous_commit == SYNCHRONOUS_COMMIT_REMOTE_WRITE) {
    mode = SYNC_REP_WAIT_WRITE;
  } else if (synchronous_commit == SYNCHRONOUS_COMMIT_REMOTE_APPLY) {
    mode = SYNC_REP_WAIT_APPLY;
  }
  LWLockAcquire(SyncRepLock, LW_SHARED);
  const XLogRecPtr reached = WalSndCtl->lsn[mode];
  LWLockRelease(SyncRepLock);
  return reached >= end;
}

// On disk here, and on the standbys that count. False when the time is over.
bool secure_flushes(const Door& door, TimestampTz deadline) {
  const XLogRecPtr end = door.flush_end;
  XLogFlush(end);
  while (!is_replicated(end)) {
    const long sleep = next_sleep(deadline, replication_interval);
    if (sleep <= 0) {
      return false;
    }
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, sleep,
                    PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  }
  return true;
}

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

// The same in the commit callback. Null, or why the values are not durable everywhere.
const char* secure_after_commit(const Door& door, TimestampTz deadline) {
  const XLogRecPtr end = door.flush_end;
  XLogFlush(end);
  while (!is_replicated(end)) {
    const char* const why = interruption();
    if (why != nullptr) {
      return why;
    }
    if (!sleep_after_commit(next_sleep(deadline, replication_interval))) {
      return "They are flushed; eav.durable_timeout is over before a synchronous standby has them.";
    }
  }
  return nullptr;
}

bool is_durable(const Door& door, const Commit& commit, uint64 begun) {
  const bool is_ring_done = commit.last.head == core::Ring::none ||
                            (!ring()->is_stored(commit.last.head, commit.last.sequence) &&
                             is_flushed_when_released(door, commit.last.sequence));
  return is_ring_done && (!commit.has_spilled || door.flush_completed > begun);
}

// Whether the snapshot in flush_state sees the transaction.
bool is_seen(uint64 xid) {
  static pg::Statement select("SELECT snapshot FROM eav.flush_state", {});
  bool seen = false;
  pg::as_owner(pg::relation_oid("flush_state"), [&] {
    SPI_connect();
    select.run({});
    seen = pg::view_of_datum(pg::cell(0, 1).value).sees(xid);
    SPI_finish();
  });
  return seen;
}

// Looks again and again at what a ticket names.
struct Watch {
  core::Ticket ticket;
  const Door* door;             // may be null
  std::optional<uint64> begun;  // flushes when the transaction was first found ended

  bool is_flushed() {
    if (!ticket.is_spilled) {
      const bool is_stored =
          ring() != nullptr && ring()->is_stored(ticket.slab(), ticket.sequence());
      return !is_stored && (door == nullptr || is_flushed_when_released(*door, ticket.sequence()));
    }
    if (door != nullptr && !begun && pg::has_ended(ticket.xid())) {
      begun = door->flushes_begun;
    }
    return is_seen(ticket.xid()) || (door != nullptr && ticket.xid() < door->flushed_below) ||
           (begun && door->flush_completed > *begun);
  }
};

int64 present_epoch() {
  int64 epoch = 0;
  pg::as_owner(pg::relation_oid("flush_state"), [&] {
    SPI_connect();
    epoch = staging_epoch();
    SPI_finish();
  });
  return epoch;
}

core::Ticket checked_ticket(int64 number) {
  constexpr int64 end_of_numbers = int64{1} << 62;
  const bool is_number = number > 0 && number < end_of_numbers;
  const core::Ticket ticket = is_number ? ticket_of(number) : core::Ticket{};
  const bool is_from_the_future =
      ticket.is_spilled && ticket.xid() >= U64FromFullTransactionId(ReadNextFullTransactionId());
  if (!is_number || is_from_the_future) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("ticket " INT64_FORMAT " is not valid", number),
                    errhint("Pass the ticket that eav.ingest() has returned.")));
  }
  if (ticket.epoch != core::Ticket::short_epoch(present_epoch())) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("the values of this ticket may have been lost"),
             errdetail("The server has lost accepted values since the ticket was given out; "
                       "table eav.ingest_gaps says when."),
             errhint("Send the values again: the documents will be right, but history may have "
                     "some of them twice.")));
  }
  if (is_own_ticket(ticket)) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("cannot wait for values of the present transaction"),
                    errdetail("They are flushed after it has committed."),
                    errhint("Call eav.ingest() with ack => 'durable', or wait after the commit.")));
  }
  return ticket;
}

}  // namespace

bool wait_flushed(int64 number, int64 timeout) {
  const core::Ticket ticket = checked_ticket(number);
  Door* const door = own_door();
  Watch watch{ticket, door, std::nullopt};
  if (door == nullptr) {
    return watch.is_flushed();
  }
  const TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout);
  door->counters.waits.fetch_add(1);
  ConditionVariablePrepareToSleep(&door->flushed);
  bool is_flushed = watch.is_flushed();
  while (!is_flushed && sleep_until_flush(door, deadline)) {
    is_flushed = watch.is_flushed();
  }
  ConditionVariableCancelSleep();
  const bool is_secure = is_flushed && secure_flushes(*door, deadline);
  if (!is_secure) {
    door->counters.timeouts.fetch_add(1);
  }
  return is_secure;
}

void wait_after_commit(Door* door, const Commit& commit) {
  if (door == nullptr) {
    warn_not_durable("This database has no place in shared memory to wait for a flush.");
    return;
  }
  if (commit.holds_flush_lock) {
    warn_not_durable("Its own eav.stage_flush() kept other flushes waiting.");
    return;
  }
  const uint64 begun = door->flushes_begun;
  const TimestampTz deadline =
      TimestampTzPlusMilliseconds(GetCurrentTimestamp(), settings.durable_timeout);
  door->counters.waits.fetch_add(1);
  const char* why_not = nullptr;
  for (;;) {
    // Again for each sleep: who has been woken is no longer on the list.
    ConditionVariablePrepareToSleep(&door->flushed);
    if (is_durable(*door, commit, begun) || (why_not = interruption()) != nullptr) {
      break;
    }
    const long sleep = next_sleep(deadline);
    if (sleep > 0) {
      request_flush(*door, request_durable);
    }
    if (!sleep_after_commit(sleep)) {
      why_not = "eav.durable_timeout is over.";
      break;
    }
    ConditionVariableCancelSleep();
    // Up to PostgreSQL 15 a wake-up that one does not need goes to the next in the list; two who
    // are not served would pass it to and fro. For a moment nobody is there to take it.
    pg_usleep(pause_after_wake_up);
  }
  ConditionVariableCancelSleep();
  if (why_not == nullptr) {
    why_not = secure_after_commit(*door, deadline);
  }
  if (why_not != nullptr) {
    door->counters.timeouts.fetch_add(1);
    warn_not_durable(why_not);
  }
}

}  // namespace eav::ingest

EAV_FUNCTION(eav_wait_flushed) {
  const int64 milliseconds = eav::pg::milliseconds_of(*PG_GETARG_INTERVAL_P(1));
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
