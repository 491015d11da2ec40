#include "eav/pg/shared_memory.hpp"

extern "C" {
#include <storage/ipc.h>
#include <storage/lwlock.h>
#include <storage/shmem.h>
}

namespace eav::pg {

namespace {

std::span<SharedArea* const> requested;
shmem_request_hook_type previous_request = nullptr;
shmem_startup_hook_type previous_startup = nullptr;

void open(SharedArea& area) {
  bool found = false;
  area.memory = ShmemInitStruct(area.name, area.size(), &found);
  if (!found) {
    area.initialize(area.memory);
  }
}

void on_request() {
  if (previous_request != nullptr) {
    previous_request();
  }
  for (const SharedArea* const area : requested) {
    RequestAddinShmemSpace(area->size());
  }
}

// Again after a crash, when the server makes its shared memory anew.
void on_startup() {
  if (previous_startup != nullptr) {
    previous_startup();
  }
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  for (SharedArea* const area : requested) {
    open(*area);
  }
  LWLockRelease(AddinShmemInitLock);
}

}  // namespace

void request_shared_memory(std::span<SharedArea* const> areas) {
  requested = areas;
  previous_request = shmem_request_hook;
  shmem_request_hook = on_request;
  previous_startup = shmem_startup_hook;
  shmem_startup_hook = on_startup;
}

void* shared_memory(SharedArea& area) {
  if (area.memory == nullptr && !area.needs_preload) {
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    open(area);
    LWLockRelease(AddinShmemInitLock);
  }
  return area.memory;
}

}  // namespace eav::pg
