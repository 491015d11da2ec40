// eav.attribute_rollups, kept up to date. See merge.cpp.
#pragma once

#include "eav/pg/lock_wait.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::rollup {

// Each takes the turn, which it holds until the end of the transaction, and returns the number of
// rows it worked on. With OnLock::skip nothing happens while another transaction has it.
int64 merge();
int64 expire(pg::OnLock on_lock);
int64 rebuild();

// A part of what is pending, for the worker; nothing happens while another transaction has the
// turn. Whether there is more.
bool merge_part();

}  // namespace eav::rollup
