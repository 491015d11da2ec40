#include "eav/stop_point.hpp"

#ifdef EAV_STOP_POINTS

#include <string_view>

#include "eav/pg/postgres.hpp"

extern "C" {
#include <common/hashfn.h>
#include <pgstat.h>
#include <storage/lock.h>
#include <storage/proc.h>
#include <utils/fmgrprotos.h>
#include <utils/guc.h>
}

namespace eav::stop_points {

namespace {

char* stop_at = nullptr;

bool is_wanted(std::string_view name) {
  std::string_view rest = stop_at == nullptr ? "" : stop_at;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    if (rest.substr(0, comma) == name) {
      return true;
    }
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  }
  return false;
}

// hashtext(name), as pg_advisory_lock() gets it.
int64 key_of(std::string_view name) {
  return static_cast<int32>(DatumGetUInt32(hash_any(
      reinterpret_cast<const unsigned char*>(name.data()), static_cast<int>(name.size()))));
}

// Also by a session that is in no transaction.
bool is_held(std::string_view name) {
  const auto key = static_cast<uint64>(key_of(name));
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, static_cast<uint32>(key >> 32U), static_cast<uint32>(key),
                       1);
  LockData* const all = GetLockStatusData();
  bool found = false;
  for (int i = 0; i < all->nelements; ++i) {
    found = found ||
            (memcmp(&all->locks[i].locktag, &tag, sizeof(tag)) == 0 && all->locks[i].holdMask != 0);
  }
  pfree(all->locks);
  pfree(all);
  return found;
}

}  // namespace

void define_setting() {
  DefineCustomStringVariable("eav.stop_at", "Stop points of the session, separated by commas.",
                             nullptr, &stop_at, "", PGC_USERSET, 0, nullptr, nullptr, nullptr);
}

void stop(const char* name) {
  if (!is_wanted(name)) {
    return;
  }
  const Datum key = Int64GetDatum(key_of(name));
  const int lock_timeout = LockTimeout;
  LockTimeout = 0;
  PG_TRY();
  { DirectFunctionCall1(pg_advisory_lock_shared_int8, key); }
  PG_FINALLY();
  { LockTimeout = lock_timeout; }
  PG_END_TRY();
  DirectFunctionCall1(pg_advisory_unlock_shared_int8, key);
}

void stop_in_commit(const char* name) {
  if (!is_wanted(name)) {
    return;
  }
  while (is_held(name)) {
    // Each time, for a wait inside is_held() ends it.
    pgstat_report_wait_start(PG_WAIT_EXTENSION);
    pg_usleep(1000);
  }
  pgstat_report_wait_end();
}

}  // namespace eav::stop_points

#endif
