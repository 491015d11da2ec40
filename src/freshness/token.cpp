// Tokens: eav.write_token() and eav.wait_for_token().
//
// A token is a position in WAL behind everything that has been committed when it is given out. A
// standby that has replayed WAL up to there shows it to the next snapshot: what a commit record
// does is visible before the position behind it counts as replayed.
//
// Positions mean something on one timeline only. After a promotion the old timeline goes on
// nowhere; whether the write has made it to the new one, its position does not tell. So a token of
// an older timeline is an error, and not waited for. One of a newer timeline is waited for: this
// standby has yet to follow.
//
// While a statement waits on a standby its snapshot can hold up replay
// (max_standby_streaming_delay) and so what it waits for. The wait ends by its timeout then, with
// false.
#include "eav/freshness/token.hpp"

#include "eav/pg/guard.hpp"
#include "eav/pg/interval.hpp"
#include "eav/pg/lone_call.hpp"

extern "C" {
#include <access/xlog.h>
#include <access/xlog_internal.h>
#include <access/xlogrecovery.h>
#include <storage/latch.h>
#include <utils/wait_event.h>
}

namespace eav::freshness {

namespace {

constexpr long shortest_sleep = 1;  // ms
constexpr long longest_sleep = 10;

// Where the last record ends. At the end of a page the server already counts the header of the next
// one, which no standby will have replayed before there is another record.
XLogRecPtr end_of_last_record() {
  const XLogRecPtr end = GetXLogInsertRecPtr();
  const uint64 in_page = end % XLOG_BLCKSZ;
  const Size header = XLogSegmentOffset(end, wal_segment_size) < XLOG_BLCKSZ ? SizeOfXLogLongPHD
                                                                             : SizeOfXLogShortPHD;
  return in_page <= header ? end - in_page : end;
}

[[noreturn]] void raise_older_timeline(const core::Token& token, TimeLineID present) {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("the token is of timeline %u, and this server is on timeline %u",
                         token.timeline, present),
                  errdetail("A standby has been promoted since the token was given out; the write "
                            "may have been lost."),
                  errhint("Read from the primary, and write again what is missing.")));
}

bool is_reached_by_primary(const core::Token& token) {
  const TimeLineID timeline = GetWALInsertionTimeLine();
  if (token.timeline < timeline) {
    raise_older_timeline(token, timeline);
  }
  if (token.timeline > timeline || token.position > GetXLogInsertRecPtr()) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the token lies ahead of this primary"),
                    errdetail("It is from another server, or the write was lost in a crash."),
                    errhint("Write again what is missing.")));
  }
  return true;
}

bool is_reached_by_standby(const core::Token& token) {
  TimeLineID timeline = 0;
  const XLogRecPtr replayed = GetXLogReplayRecPtr(&timeline);
  if (token.timeline < timeline) {
    raise_older_timeline(token, timeline);
  }
  return token.timeline == timeline && token.position <= replayed;
}

bool wait_until_reached(const core::Token& token, int64 timeout) {
  const TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout);
  long sleep = shortest_sleep;
  while (!is_reached(token)) {
    const long remaining = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
    if (remaining <= 0) {
      return false;
    }
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(sleep, remaining),
              PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
    sleep = Min(sleep * 2, longest_sleep);
  }
  return true;
}

}  // namespace

core::Token token_from(const text* input) {
  const std::optional<core::Token> token =
      core::parse_token({VARDATA_ANY(input), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(input))});
  if (!token) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("token is not valid"),
                    errhint("Pass what eav.write_token() has returned.")));
  }
  return *token;
}

bool is_reached(const core::Token& token) {
  return RecoveryInProgress() ? is_reached_by_standby(token) : is_reached_by_primary(token);
}

}  // namespace eav::freshness

EAV_FUNCTION(eav_write_token) {
  using namespace eav;
  PreventCommandDuringRecovery("eav.write_token()");
  if (TransactionIdIsValid(GetTopTransactionIdIfAny())) {
    ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
                    errmsg("the token would not cover what this transaction has written"),
                    errhint("Ask for the token after the commit.")));
  }
  const core::TokenText text =
      core::to_text({GetWALInsertionTimeLine(), freshness::end_of_last_record()});
  PG_RETURN_TEXT_P(cstring_to_text(text.data()));
}

EAV_FUNCTION(eav_wait_for_token) {
  using namespace eav;
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("%s must not be null", PG_ARGISNULL(0) ? "token" : "timeout")));
  }
  const core::Token token = freshness::token_from(PG_GETARG_TEXT_PP(0));
  const int64 timeout = pg::milliseconds_of(*PG_GETARG_INTERVAL_P(1));
  if (timeout < 0) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("timeout must not be negative"),
             errhint("Use 0 to look without waiting.")));
  }
  if (IsolationUsesXactSnapshot()) {
    ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
                    errmsg("cannot wait for a token in a transaction with one snapshot"),
                    errdetail("Its next statement would see no more than this one."),
                    errhint("Wait before the transaction, or use READ COMMITTED.")));
  }
  pg::release_snapshot_of_lone_call(fcinfo);
  PG_RETURN_BOOL(freshness::wait_until_reached(token, timeout));
}
