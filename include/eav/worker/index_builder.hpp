// The process that builds and drops the indexes of attributes; see index_builder.cpp.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::worker {

// For the flush worker, outside of a transaction.
// Starts the builder when there is work for it and none is running.
void start_index_builder_if_needed();
// Interrupts the builder when somebody waits for the table that it works on, to change or drop it.
void make_index_builder_yield();
// Ends the builder, so that the database can be dropped.
void end_index_builder();

}  // namespace eav::worker
