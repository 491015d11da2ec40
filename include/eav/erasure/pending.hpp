// Whether there is something left to erase: for the worker, which does it in batches.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::erasure {

// One batch, by eav.run_erasures(). Within an SPI connection.
void run_batch(int32 max_values);

// False when nothing was left when this backend last looked, and nothing has been asked for since.
// For a backend between transactions.
bool may_have_work();
// When the transaction of a batch did not commit.
void expect_work();

}  // namespace eav::erasure
