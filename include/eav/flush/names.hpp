// Which attribute has a name; see names.cpp.
#pragma once

#include "eav/pg/lock_wait.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::flush {

// Until the end of the transaction no attribute of the tenant is renamed. False, with OnLock::skip,
// when an open transaction has renamed one, or waits to do so.
bool keep_names(int64 tenant_id, pg::OnLock on_lock);

}  // namespace eav::flush
