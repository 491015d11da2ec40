// Rows into one partition with nothing but heap and index inserts: for partitions that need no
// more. COPY (copy.hpp) does the same for all others, and more slowly: it parses what we have
// parsed, routes every row, and asks a BRIN index about every row. docs/decisions/0003 has the
// figures.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

// Fills values and nulls of row number `row`, in the order of the table's columns. What it
// allocates lives until the row is written.
using FillRow = void (*)(void* state, std::size_t row, Datum* values, bool* nulls);

// Writes rows 0 to count - 1, of which rows `first` and `last` bound the partition key, and
// returns true; or does nothing and returns false, when the rows do not all go to one partition
// or when it has triggers, check constraints, generated or additional columns, a NOT NULL on other
// than the first filled_columns, or an index that is unique, partial or on an expression.
bool insert_into_one_partition(Relation parent, int columns, int filled_columns, FillRow fill,
                               void* state, std::size_t count, std::size_t first, std::size_t last);

// Writes rows 0 to count - 1 into a table that has no indexes, each behind the one before: where
// they lie is the order in which they came. COPY and INSERT fill gaps in pages further ahead. Looks
// at no trigger and no constraint.
void append_rows(Relation table, FillRow fill, void* state, std::size_t count);

}  // namespace eav::pg
