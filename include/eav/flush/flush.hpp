// One flush: see flush.cpp.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::flush {

struct FlushResult {
  int64 flushed = 0;      // values written to history
  int64 projected = 0;    // values that became the newest of their attribute
  int64 rejected = 0;     // rows written to eav.ingest_rejects
  bool has_more = false;  // committed rows were left for the next flush
};

// How far it has come is noted when there was something to flush, or always: also when all that was
// staged has been rolled back.
enum class Note : uint8 { changes, always };

// max_values 0: all. In the transaction of the caller.
FlushResult flush(int64 max_values, Note note = Note::changes);

// What the last flush() of this backend found: for the worker, which calls it through SQL.
bool last_flush_left_more();

// Creates the partitions of history when there are none yet. Within an SPI connection.
void ensure_partitions();

}  // namespace eav::flush
