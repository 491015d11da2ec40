// Counting how often attributes are asked for, for eav.recommend_attributes().
#pragma once

#include "eav/pg/postgres.hpp"
#include "eav/pg/shared_memory.hpp"

namespace eav::stats {

extern pg::SharedArea reads_area;

// Within a transaction. Cheap, lock-free, and never an error: what finds no room is dropped.
// An attribute was filtered by.
void count_filter(int32 attribute_id);
// Its values were returned.
void count_read(int32 attribute_id);

// Within a transaction: whether there are counts of this database for the worker to write down.
bool has_counts();

}  // namespace eav::stats
