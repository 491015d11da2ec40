// From a call of eav.ingest() to the end of its transaction.
//
// A call stores its parcel in the ring at once, where it belongs to this backend. Commit publishes
// all parcels of the transaction together, by one push; abort gives them back, as does the rollback
// of a savepoint with those that came after it. So an aborted transaction publishes nothing,
// and the commit cannot fail: the slabs are there already. None of this needs a transaction id.
//
// A parcel that the ring cannot take goes to staging, by the same transaction: when there is no
// ring, its door is closed, it is full, or the parcel would take more than a quarter of it. From
// then on all parcels of the transaction go there, so that those of one transaction keep their
// order.
//
// The order that values had when they arrived decides between equal observed_at. To compare it
// across both ways, a parcel carries the transaction id that would have been given out at its time:
// it came before every staged row of this id or a later one, and after those of earlier ids. When
// its transaction has an id already it carries that, and the number of the command: it came after
// what earlier commands have staged.
//
// Races accepted: a transaction that has used both ways may be flushed in two parts, staging
// first, when a flush takes its snapshot between the end of the transaction and the push. Its
// values are all flushed; which of two different values for the same attribute and observed_at
// wins is then decided the other way round. So it may be between values that a worker has moved
// from the ring to staging, under its own transaction id, and rows that were staged after them.
#include "eav/ingest/transaction.hpp"

#include <bit>

#include "eav/flush/state.hpp"
#include "eav/ingest/acknowledge.hpp"
#include "eav/ingest/door.hpp"
#include "eav/ingest/spill.hpp"
#include "eav/ingest/ticket_number.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/owner.hpp"
#include "eav/pg/spi.hpp"
#include "eav/stop_point.hpp"

namespace eav::ingest {

namespace {

struct Call {
  SubTransactionId level;
  bool is_spilled;
  core::Ring::Parcel parcel;  // head is none when spilled
  Accepted accepted;
};

// Of the present transaction, in the order of the calls. Lives as long as the backend.
struct Calls {
  core::ArenaVector<Call> items;
  Door* door;    // may be null
  Door* inside;  // the same once it has been entered
  int64 epoch;   // of the door then: when its worker leaves it has none until the next one comes
  uint32 queue;  // of the door
};
Calls calls;

void release_parcels(std::size_t from) {
  for (std::size_t i = from; i < calls.items.size(); ++i) {
    if (!calls.items[i].is_spilled) {
      ring()->release(calls.items[i].parcel.head);
    }
  }
  calls.items.truncate(from);
}

void forget_calls() {
  if (calls.inside != nullptr) {
    leave(*calls.inside);
    calls.inside = nullptr;
  }
  calls.items.clear();
}

void count(Door& door, const Call& call) {
  Counters& counters = door.counters;
  const core::EventCounts& counts = call.accepted.counts;
  constexpr auto relaxed = std::memory_order_relaxed;
  counters.calls.fetch_add(1, relaxed);
  counters.events.fetch_add(counts.accepted, relaxed);
  counters.values.fetch_add(counts.values, relaxed);
  counters.bytes.fetch_add(call.accepted.bytes, relaxed);
  if (call.is_spilled) {
    counters.spilled_calls.fetch_add(1, relaxed);
    counters.spilled_values.fetch_add(counts.values, relaxed);
    door.spilled_at = GetCurrentTransactionStopTimestamp();
  }
  if (counts.rejected > 0) {
    for (std::size_t i = 0; i < core::event_fault_count; ++i) {
      counters.rejected_events[i].fetch_add(counts.faults[i], relaxed);
    }
  }
}

// The worker need not hurry while the ring has room for another interval like the last one.
bool is_filling() { return ring()->in_use() > ring()->slabs() / 2; }

Commit publish() {
  Commit commit{{core::Ring::none, 0}, false, false};
  uint32 first = core::Ring::none;
  for (const Call& call : calls.items) {
    if (call.is_spilled) {
      commit.has_spilled = true;
      continue;
    }
    if (first == core::Ring::none) {
      first = call.parcel.head;
    } else {
      ring()->append(commit.last.head, call.parcel.head);
    }
    commit.last = call.parcel;
  }
  if (first != core::Ring::none) {
    EAV_STOP_POINT_IN_COMMIT("publish_before_push");
    ring()->publish(calls.queue, first);
    EAV_STOP_POINT_IN_COMMIT("publish_before_leave");
  }
  return commit;
}

void on_commit() {
  Commit commit = publish();
  Door* const door = calls.door;
  bool is_durable = false;
  for (const Call& call : calls.items) {
    is_durable = is_durable || call.accepted.is_durable;
    if (door != nullptr) {
      count(*door, call);
    }
  }
  forget_calls();
  if (is_durable) {
    commit.holds_flush_lock = flush::holds_flush_lock();
    wait_after_commit(door, commit);
  } else if (door != nullptr && commit.last.head != core::Ring::none && is_filling()) {
    request_flush(*door, request_space);
  }
}

void on_transaction_end(XactEvent event, void* /*argument*/) {
  if (calls.items.empty() && calls.inside == nullptr) {
    return;
  }
  switch (event) {
    case XACT_EVENT_COMMIT:
      on_commit();
      break;
    case XACT_EVENT_ABORT:
      release_parcels(0);
      forget_calls();
      break;
    case XACT_EVENT_PRE_PREPARE:
      if (!calls.items.empty()) {
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("cannot PREPARE a transaction that has called eav.ingest()"),
                 errdetail("Its values may be in shared memory, which a prepared transaction must "
                           "survive."),
                 errhint("Use COPY or INSERT into eav.entity_values_ingest.")));
      }
      forget_calls();
      break;
    default:
      break;
  }
}

// Subtransactions that begin after this one and before its end are part of it, and have higher ids.
void on_subtransaction_end(SubXactEvent event, SubTransactionId own, SubTransactionId /*parent*/,
                           void* /*argument*/) {
  if (event != SUBXACT_EVENT_ABORT_SUB) {
    return;
  }
  std::size_t kept = calls.items.size();
  while (kept > 0 && calls.items[kept - 1].level >= own) {
    --kept;
  }
  release_parcels(kept);
}

void make_room_for_a_call() {
  if (calls.items.data() == nullptr) {
    RegisterXactCallback(on_transaction_end, nullptr);
    RegisterSubXactCallback(on_subtransaction_end, nullptr);
    calls.items = core::ArenaVector<Call>(pg::arena_of(TopMemoryContext));
  }
  calls.items.reserve(std::bit_ceil(calls.items.size() + 1));
}

bool has_spilled() { return !calls.items.empty() && calls.items.back().is_spilled; }

bool fits_ring(std::size_t bytes) {
  return core::Ring::slabs_for(bytes) <= Max(ring()->slabs() / 4, 1U);
}

uint64 arrival_order() {
  const FullTransactionId own = GetTopFullTransactionIdIfAny();
  return U64FromFullTransactionId(FullTransactionIdIsValid(own) ? own
                                                                : ReadNextFullTransactionId());
}

// Of the transaction, as rows that it stages carry it.
CommandId present_command() {
  return FullTransactionIdIsValid(GetTopFullTransactionIdIfAny()) ? GetCurrentCommandId(false) : 0;
}

bool get_inside() {
  if (calls.inside == nullptr && calls.queue != core::Ring::none && enter(*calls.door)) {
    calls.epoch = calls.door->epoch;
    if (calls.epoch == 0) {
      leave(*calls.door);
    } else {
      calls.inside = calls.door;
    }
  }
  return calls.inside != nullptr;
}

std::optional<core::Ring::Parcel> store(std::span<const uint8> parcel) {
  if (has_spilled() || !get_inside() || !fits_ring(parcel.size())) {
    return std::nullopt;
  }
  const auto stored =
      ring()->store({static_cast<uint32>(MyProcPid), calls.queue}, parcel, arrival_order());
  if (!stored) {
    request_flush(*calls.inside, request_space);
  }
  return stored;
}

int64 spill_parcel(std::span<const uint8> parcel) {
  int64 epoch = 0;
  pg::as_owner(pg::relation_oid("entity_values_ingest"), [&] {
    SPI_connect();
    spill(parcel);
    epoch = staging_epoch();
    SPI_finish();
  });
  return ticket_number(
      core::Ticket::in_staging(epoch, U64FromFullTransactionId(GetTopFullTransactionId())));
}

}  // namespace

int64 hand_over(std::span<uint8> parcel, const Accepted& accepted) {
  make_room_for_a_call();
  if (calls.items.empty()) {
    calls.door = own_door();
    calls.queue = calls.door == nullptr ? core::Ring::none : queue_of(*calls.door);
  }
  Call call{GetCurrentSubTransactionId(), false, {core::Ring::none, 0}, accepted};
  set_header(parcel, {accepted.counts.values + accepted.counts.rejected, present_command(),
                      accepted.function, accepted.writer_tenant, calls.items.empty()});
  learn_ticket_key(accepted.function);
  const auto stored = store(parcel);
  // From here to the end of the call nothing may raise.
  if (stored) {
    call.parcel = *stored;
    calls.items.push_back(call);
    EAV_STOP_POINT("ingest_after_store");
    return ticket_number(core::Ticket::in_ring(calls.epoch, stored->sequence, stored->head));
  }
  const int64 ticket = spill_parcel(parcel);
  call.is_spilled = true;
  calls.items.push_back(call);
  return ticket;
}

bool is_own_ticket(const core::Ticket& ticket) {
  if (ticket.is_spilled) {
    return ticket.xid() == U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
  }
  for (const Call& call : calls.items) {
    if (!call.is_spilled && ticket.slab() == call.parcel.head &&
        ticket.sequence() == core::Ticket::short_sequence(call.parcel.sequence)) {
      return true;
    }
  }
  return false;
}

}  // namespace eav::ingest
