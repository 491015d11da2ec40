// How full the file systems are that the server writes to, for eav.health_check().
#include "eav/pg/guard.hpp"
#include "eav/pg/row.hpp"

extern "C" {
#include <storage/fd.h>
#include <sys/statvfs.h>
}

namespace eav::health {

namespace {

// Nulls when the file system does not tell. The server's processes work in the data directory.
void put_place(ReturnSetInfo* result, const char* path) {
  struct statvfs found = {};
  if (statvfs(path, &found) != 0) {
    pg::put_row(result, {pg::text(path), pg::Column::null(), pg::Column::null()});
    return;
  }
  const auto unit = static_cast<int64>(found.f_frsize);
  pg::put_row(result,
              {pg::text(path), pg::Column(Int64GetDatum(static_cast<int64>(found.f_blocks) * unit)),
               pg::Column(Int64GetDatum(static_cast<int64>(found.f_bavail) * unit))});
}

}  // namespace

}  // namespace eav::health

EAV_FUNCTION(eav_disk_space) {
  InitMaterializedSRF(fcinfo, 0);
  auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  eav::health::put_place(result, ".");
  eav::health::put_place(result, "pg_wal");
  DIR* const links = AllocateDir("pg_tblspc");
  while (const dirent* const entry = ReadDir(links, "pg_tblspc")) {
    if (entry->d_name[0] != '.') {
      eav::health::put_place(result, psprintf("pg_tblspc/%s", entry->d_name));
    }
  }
  FreeDir(links);
  return Datum(0);
}
