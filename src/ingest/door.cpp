// A door stands between the producers of a database and its flushes.
//
// Producers hold parcels in the ring from the call of eav.ingest() to the end of their
// transaction, and publish them when it commits (transaction.cpp). Before a transaction stores
// its first parcel it enters: it adds itself to `inside`, then looks whether the door is open, and
// if not takes itself off again and goes to staging. The worker that wants to leave closes the
// door first and then looks at `inside`. Both orders are sequentially consistent, so either the
// producer finds the door closed or the worker finds the producer inside: no parcel can be
// published behind the back of a worker that has seen zero.
//
// Only an open door takes parcels, and only a worker opens it: the ring dies with the server, and
// somebody has to be there to empty it before. Should the worker die, its exit closes the door;
// what is in the ring then waits for the next worker.
//
// A flush moves published parcels to the door's list of taken ones, under the flush lock, and
// reads that list. When its transaction has committed, it releases what it has written from the
// head of the list. When it rolls back, or its process ends, there is nothing to be undone: the
// next flush finds the list as it was. So parcels are flushed exactly once, in the order in which
// they were published, and the order survives failures.
//
// A flush that is asked for is one that begins after the request: the worker takes the requests off
// before it begins. Who waits asks again each time it wakes up and is not served.
//
// Doors are given to databases as they come and belong to them until the server ends. When all are
// given away, those of databases that have been dropped are given anew, together with what
// is still in them.
//
// Races accepted: counters are not of one moment. A request that arrives while the worker begins
// a flush costs one flush more.
#include "eav/ingest/door.hpp"

#include <new>

#include "eav/core/ticket.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"
#include "eav/settings.hpp"

extern "C" {
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/lwlock.h>
#include <storage/proc.h>
}

namespace eav::ingest {

namespace {

constexpr uint32 door_count = 32;

struct Doors {
  int64 generation;
  Door doors[door_count];
};
static_assert(std::atomic<uint64>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);
static_assert(std::is_standard_layout_v<Doors>);

uint32 slab_count() {
  return static_cast<uint32>(static_cast<Size>(settings.ring_size) * 1024 / core::Ring::slab_bytes);
}
uint32 queue_count() { return Min(static_cast<uint32>(settings.ring_databases), door_count); }

Size size_of_doors() { return sizeof(Doors); }

void initialize_doors(void* memory) {
  auto* const doors = new (memory) Doors();
  if (!pg_strong_random(&doors->generation, sizeof(doors->generation))) {
    doors->generation = GetCurrentTimestamp();
  }
  for (Door& door : doors->doors) {
    door.worker = -1;
    door.taken_first = core::Ring::none;
    door.taken_last = core::Ring::none;
    ConditionVariableInit(&door.flushed);
  }
}

Size size_of_ring() {
  return slab_count() == 0 ? 0 : core::Ring::size_for(slab_count(), queue_count());
}

// Sequence numbers go on above those of an earlier run of the server: with milliseconds, for no
// server stores that many parcels.
uint64 present_sequence() { return static_cast<uint64>(GetCurrentTimestamp() / 1000); }

void initialize_ring(void* memory) {
  if (slab_count() > 0) {
    core::Ring::create(memory, slab_count(), queue_count(), present_sequence());
  }
}

Doors* doors() { return static_cast<Doors*>(pg::shared_memory(doors_area)); }

Door* find(Oid database) {
  for (Door& door : doors()->doors) {
    if (door.database == database) {
      return &door;
    }
  }
  return nullptr;
}

// A door that nobody has, or whose database has been dropped, among those from `first` to `last`.
Door* find_free(uint32 first, uint32 last) {
  for (uint32 number = first; number < last; ++number) {
    if (doors()->doors[number].database == InvalidOid) {
      return &doors()->doors[number];
    }
  }
  for (uint32 number = first; number < last; ++number) {
    Door& door = doors()->doors[number];
    if (door.worker < 0 && door.inside == 0 && !pg::database_exists(door.database)) {
      discard_parcels(door);
      return &door;
    }
  }
  return nullptr;
}

// One that leads to the ring if possible.
Door* find_free() {
  const uint32 queues = ring() == nullptr ? 0 : ring()->queues();
  Door* const door = find_free(0, queues);
  return door != nullptr ? door : find_free(queues, door_count);
}

void take_over(Door& door) {
  new (&door.counters) Counters();
  door.epoch = 0;
  door.requests = 0;
  door.caught_up_at = 0;
  door.spilled_at = 0;
  door.moved_below = present_sequence();
  door.moved_by = 0;
  door.database = MyDatabaseId;
}

Door* worker_door = nullptr;

void on_worker_exit(int /*code*/, Datum /*argument*/) {
  worker_door->is_open = false;
  worker_door->worker = -1;
  // The extension may be another one when the next worker comes.
  worker_door->epoch = 0;
}

}  // namespace

pg::SharedArea doors_area = {"eav_ext doors", false, size_of_doors, initialize_doors, nullptr};
pg::SharedArea ring_area = {"eav_ext ring", true, size_of_ring, initialize_ring, nullptr};

core::Ring* ring() {
  static core::Ring* const attached = ring_area.memory == nullptr || slab_count() == 0
                                          ? nullptr
                                          : core::Ring::attach(ring_area.memory);
  return attached;
}

int64 ring_generation() { return doors()->generation; }

Door* own_door() {
  static Door* own = nullptr;
  static bool was_refused = false;
  if (own == nullptr) {
    own = find(MyDatabaseId);
  }
  if (own == nullptr && !was_refused) {
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    own = find(MyDatabaseId);
    if (own == nullptr && (own = find_free()) != nullptr) {
      take_over(*own);
    }
    LWLockRelease(AddinShmemInitLock);
    was_refused = own == nullptr;
  }
  return own;
}

uint32 number_of(const Door& door) { return static_cast<uint32>(&door - doors()->doors); }

uint32 queue_of(const Door& door) {
  const uint32 number = number_of(door);
  return ring() != nullptr && number < ring()->queues() ? number : core::Ring::none;
}

bool enter(Door& door) {
  door.inside.fetch_add(1);
  if (door.is_open) {
    return true;
  }
  door.inside.fetch_sub(1);
  return false;
}

void leave(Door& door) { door.inside.fetch_sub(1); }

void request_flush(Door& door, Request reason) {
  const uint32 before = door.requests.fetch_or(reason);
  const int worker = door.worker;
  if (before == 0 && worker >= 0) {
    SetLatch(&ProcGlobal->allProcs[worker].procLatch);
  }
}

bool has_requests(const Door& door) { return door.requests != 0; }

bool is_flushed_when_released(const Door& door, uint64 sequence) {
  // Numbers that keep their low bits only are compared as far as half their range goes.
  const uint64 behind = core::Ticket::short_sequence(door.moved_below - sequence - 1);
  const bool may_have_moved = behind < (uint64{1} << (core::Ticket::sequence_bits - 1));
  return !may_have_moved || door.flush_completed > door.moved_by;
}

bool has_parcels(const Door& door) {
  const uint32 queue = queue_of(door);
  return queue != core::Ring::none &&
         (door.taken_first != core::Ring::none || ring()->has_published(queue));
}

Door* find_own_door() { return find(MyDatabaseId); }

void discard_parcels(Door& door) {
  const uint32 queue = queue_of(door);
  if (queue == core::Ring::none) {
    return;
  }
  uint32 head = door.taken_first;
  door.taken_first = core::Ring::none;
  door.taken_last = core::Ring::none;
  do {
    while (head != core::Ring::none) {
      const uint32 next = ring()->next_of(head);
      ring()->release(head);
      head = next;
    }
    head = ring()->take(queue);
  } while (head != core::Ring::none);
}

void attach_worker(Door& door) {
  worker_door = &door;
  door.worker = pg::own_process_number();
  before_shmem_exit(on_worker_exit, Datum(0));
}

void open_for_parcels(Door& door, int64 epoch) {
  door.epoch = epoch;
  door.is_open = queue_of(door) != core::Ring::none;
}

void close_to_parcels(Door& door) { door.is_open = false; }

}  // namespace eav::ingest
