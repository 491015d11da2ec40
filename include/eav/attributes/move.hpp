// Values that move because their attribute has another projection or type. See move.cpp.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::attributes {

// One batch, under the flush lock: at most so many entities, or values of history. Returns the
// number of moves that are still under way.
int move_batch(int64 max_entities);

// False when no move was under way when this backend last looked, and none has begun since. For a
// backend between transactions.
bool may_have_moves();
// When the transaction of a batch did not commit.
void expect_moves();

}  // namespace eav::attributes
