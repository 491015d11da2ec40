// Standbys are measured twice. The primary knows from the walsender how far each has replayed, and
// from its own heartbeats when it was there itself: one clock, nothing to be skewed. A standby
// knows from the heartbeats that it replays; its clock is corrected by the times that the
// messages of the replication protocol carry. Each of the two can be asked, also when the other is
// gone.
//
// What is read here lives in shared memory of the server under spinlocks, a few instructions each.
#include "eav/freshness/measure.hpp"

#include <algorithm>

extern "C" {
#include <access/xlog.h>
#include <access/xlogrecovery.h>
#include <replication/walreceiver.h>
#include <replication/walsender.h>
#include <replication/walsender_private.h>
#include <storage/spin.h>
}

namespace eav::freshness {

using core::Micros;
using core::NodeRole;

namespace {

struct Sender {
  bool is_there;
  XLogRecPtr applied;  // invalid: the standby has not told
  std::optional<Micros> apply_lag;
};

Sender find_sender(int process) {
  for (int i = 0; process != 0 && i < max_wal_senders; ++i) {
    WalSnd* const sender = &WalSndCtl->walsnds[i];
    SpinLockAcquire(&sender->mutex);
    const pid_t pid = sender->pid;
    const WalSndState state = sender->state;
    const XLogRecPtr applied = sender->apply;
    const TimeOffset lag = sender->applyLag;
    SpinLockRelease(&sender->mutex);
    if (pid == process) {
      return {state == WALSNDSTATE_CATCHUP || state == WALSNDSTATE_STREAMING, applied,
              lag >= 0 ? std::optional<Micros>(lag) : std::nullopt};
    }
  }
  return {};
}

struct Receiver {
  bool is_streaming;
  XLogRecPtr end;  // of WAL at the sender, as it has said last
};

// A receiver counts as streaming before it has tried to connect; what it is connected to can be
// displayed once it is.
Receiver look_at_receiver() {
  SpinLockAcquire(&WalRcv->mutex);
  const Receiver receiver = {WalRcv->walRcvState == WALRCV_STREAMING && WalRcv->ready_to_display,
                             WalRcv->latestWalEnd};
  SpinLockRelease(&WalRcv->mutex);
  return receiver;
}

int64 distance(XLogRecPtr end, XLogRecPtr position) {
  return position < end ? static_cast<int64>(end - position) : 0;
}

void say(Measurement& result, const char* text) {
  strlcpy(result.detail, text, sizeof(result.detail));
}

// `position` has been reached, on the primary.
void measure_progress(const Board& board, XLogRecPtr position, std::optional<Micros> measured,
                      TimestampTz now, Measurement& result) {
  const XLogRecPtr end = GetFlushRecPtr(nullptr);
  result.bytes = distance(end, position);
  result.lag = core::lag_of(board.history, {position, end, measured}, now, heartbeat_period());
  if (result.lag) {
    result.as_of = now - *result.lag;
  } else {
    say(result, "behind all heartbeats that are remembered");
  }
}

void measure_sender(const Board& board, const Node& node, TimestampTz now, Measurement& result) {
  const Sender sender = find_sender(node.process);
  result.measured_by = "walsender";
  if (node.is_ambiguous) {
    say(result, "several standbys have this name");
    return;
  }
  if (!sender.is_there || XLogRecPtrIsInvalid(sender.applied)) {
    say(result, node.process == 0 ? "not connected" : "replication is not running");
    return;
  }
  result.seen_at = now;
  measure_progress(board, sender.applied, sender.apply_lag, now, result);
}

void measure_slot(const Board& board, const Node& node, TimestampTz now, Measurement& result) {
  result.measured_by = "slot";
  result.seen_at = node.seen_at;
  measure_progress(board, node.position, std::nullopt, now, result);
  if (node.process == 0 && result.lag) {
    say(result, "not connected");
  }
}

void measure_report(const Board& board, const Node& node, TimestampTz now, Measurement& result) {
  // On a standby by the clock of the primary, as far as it is known.
  const Micros offset = RecoveryInProgress() ? board.offset.estimate(now).value_or(0) : 0;
  result.measured_by = "report";
  result.as_of = node.as_of;
  result.seen_at = node.seen_at;
  result.lag = std::max<Micros>(0, now - offset - node.as_of);
}

void measure_primary(TimestampTz now, Measurement& result) {
  result.measured_by = "self";
  result.lag = 0;
  result.bytes = 0;
  result.as_of = now;
  result.seen_at = now;
}

void measure_standby(const Board& board, TimestampTz now, Measurement& result) {
  const Receiver receiver = look_at_receiver();
  const std::optional<Micros> offset = board.offset.estimate(now);
  result.measured_by = "heartbeat";
  if (board.refreshed_at == 0) {
    say(result, "the worker has not looked yet");  // nor read what lag is allowed
    return;
  }
  if (board.heartbeat.has_heard()) {
    result.as_of = board.heartbeat.as_of();
    result.seen_at = board.heartbeat.seen_at();
  }
  if (!receiver.is_streaming) {
    say(result, "the WAL receiver is not running");
    return;
  }
  result.bytes = distance(receiver.end, GetXLogReplayRecPtr(nullptr));
  if (!board.heartbeat.has_heard()) {
    say(result, "no heartbeat has arrived");
    return;
  }
  result.lag = board.heartbeat.lag(now, heartbeat_period());
  if (!result.lag) {
    say(result, "the clock has been set back since the last heartbeat");
  } else if (offset) {
    const double seconds = static_cast<double>(*offset) / core::one_second;
    snprintf(result.detail, sizeof(result.detail), "clock is %.3f s %s the sender's",
             std::abs(seconds), seconds < 0 ? "behind" : "ahead of");
  }
}

}  // namespace

NodeRole own_role() { return RecoveryInProgress() ? NodeRole::replica : NodeRole::primary; }

NodeRole role_of(const Node& node, bool is_self) { return is_self ? own_role() : node.role; }

Measurement measure_self(const Board& board, TimestampTz now) {
  Measurement result = {};
  if (own_role() == NodeRole::primary) {
    measure_primary(now, result);
  } else {
    measure_standby(board, now, result);
  }
  return result;
}

namespace {

Measurement measure_other(const Board& board, const Node& node, TimestampTz now) {
  Measurement result = {};
  if (board.in_recovery != RecoveryInProgress()) {
    say(result, "this server has been promoted, and the worker has not looked yet");
  } else if (node.role == NodeRole::primary) {
    if (look_at_receiver().is_streaming) {
      result.lag = 0;
      result.bytes = 0;
    } else {
      say(result, "the WAL receiver is not running");
    }
  } else if (node.measure == Measure::report) {
    measure_report(board, node, now, result);
  } else if (board.in_recovery) {
    say(result, "measured on the primary only");
  } else if (node.measure == Measure::walsender) {
    measure_sender(board, node, now, result);
  } else if (node.measure == Measure::slot) {
    measure_slot(board, node, now, result);
  } else {
    say(result, node.role == NodeRole::replica  ? "not connected"
                : node.role == NodeRole::stream ? "there is no such slot, and it has not reported"
                                                : "has not reported");
  }
  return result;
}

}  // namespace

Measurement measure(const Board& board, const Node& node, bool is_self, TimestampTz now) {
  Measurement result = is_self ? measure_self(board, now) : measure_other(board, node, now);
  if (node.lacks_path && result.detail[0] == '\0') {
    say(result, "its read_path is not in eav.freshness_budget");
  }
  return result;
}

bool has_reached(const Board& board, const Node& node, XLogRecPtr position) {
  if (node.role == NodeRole::primary) {
    return true;
  }
  if (board.in_recovery != RecoveryInProgress()) {
    return false;
  }
  if (node.measure == Measure::walsender) {
    const Sender sender = find_sender(node.process);
    return !node.is_ambiguous && sender.is_there && sender.applied >= position;
  }
  return node.measure == Measure::slot && node.position >= position;
}

}  // namespace eav::freshness
