// A statement that is nothing but one call of a function of ours.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

// When the whole statement is SELECT function(...), in no transaction block, its snapshot is of no
// use to anybody once the arguments have been evaluated: then it is advertised no longer, so that
// cleaning up (on a standby: replaying it) need not wait for this statement. Otherwise nothing
// happens.
void release_snapshot_of_lone_call(FunctionCallInfo fcinfo);

}  // namespace eav::pg
