// Each area begins with a stamp. Without preload sessions that have loaded different versions of
// the library can meet in one server; they must not take each other's structures for their own.
#include "eav/pg/shared_memory.hpp"

#include "eav/pg/guard.hpp"

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

struct Stamp {
  uint64 magic;
  uint64 size;  // of the area with this
  char version[48];
};
constexpr uint64 stamp_magic = 0x65617678746d656d;
// What follows is aligned as the area is.
constexpr Size stamp_size = Size{2} * PG_CACHE_LINE_SIZE;
static_assert(sizeof(Stamp) <= stamp_size);

Size full_size(const SharedArea& area) { return add_size(area.size(), stamp_size); }

[[noreturn]] void refuse(const SharedArea& area) {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("another version of the library of eav_ext is in use on this server"),
                  errdetail("It has made the shared memory \"%s\", which version %s cannot use.",
                            area.name, library_version),
                  errhint("Restart the server.")));
}

void stamp(const SharedArea& area, Stamp& made) {
  made.size = full_size(area);
  strlcpy(made.version, library_version, sizeof(made.version));
  made.magic = stamp_magic;
}

void check_stamp(const SharedArea& area, const Stamp& found) {
  if (found.magic != stamp_magic || found.size != full_size(area) ||
      strncmp(found.version, library_version, sizeof(found.version)) != 0) {
    refuse(area);
  }
}

// The server refuses when the sizes differ, with an internal error that helps nobody.
void* find_or_make(const SharedArea& area, bool& found) {
  void* volatile memory = nullptr;
  volatile bool was_found = false;
  PG_TRY();
  {
    bool is_there = false;
    memory = ShmemInitStruct(area.name, full_size(area), &is_there);
    was_found = is_there;
  }
  PG_CATCH();
  {
    if (geterrcode() != ERRCODE_INTERNAL_ERROR) {
      PG_RE_THROW();
    }
    FlushErrorState();
    refuse(area);
  }
  PG_END_TRY();
  found = was_found;
  return memory;
}

void open(SharedArea& area) {
  bool found = false;
  void* const memory = find_or_make(area, found);
  void* const content = static_cast<char*>(memory) + stamp_size;
  auto& head = *static_cast<Stamp*>(memory);
  if (found) {
    check_stamp(area, head);
  } else {
    area.initialize(content);
    stamp(area, head);
  }
  area.memory = content;
}

void on_request() {
  if (previous_request != nullptr) {
    previous_request();
  }
  for (const SharedArea* const area : requested) {
    RequestAddinShmemSpace(full_size(*area));
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
