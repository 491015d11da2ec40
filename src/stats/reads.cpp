// How often attributes are asked for: counted in shared memory (core/read_counts.hpp), from where
// the worker moves it to eav.attribute_reads every minute.
//
// Without preload the table takes 24 kB of what the server keeps for latecomers, and holds 1024
// attributes of all databases together; with preload there is room for 16384. What is asked for
// more than that, between two looks of the worker, is dropped. Counts that were taken are lost when
// their transaction fails; those in memory are lost when the server stops. On a standby nobody
// takes them: they show in eav.recommend_attributes() there, and are written down after a
// promotion.
#include "eav/stats/reads.hpp"

#include "eav/core/read_counts.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/row.hpp"
#include "eav/pg/subtransaction.hpp"

namespace eav::stats {

namespace {

using core::ReadCounts;

// The postmaster makes the area when the library is preloaded, a backend when it is not.
uint32 capacity() { return IsUnderPostmaster ? 1024 : 16384; }
Size size_of_table() { return ReadCounts::bytes(capacity()); }
void initialize_table(void* memory) { ReadCounts::create(memory, capacity()); }

// Null when there is no room for it. In a parallel worker it is only used if it has been found
// before, as a subtransaction is not allowed there.
ReadCounts* table() {
  static bool was_refused = false;
  if (reads_area.memory == nullptr && !was_refused && !IsInParallelMode()) {
    was_refused = pg::attempt([] { pg::shared_memory(reads_area); }) != nullptr;
  }
  return static_cast<ReadCounts*>(reads_area.memory);
}

core::ReadKey key_of(int32 attribute_id) { return {MyDatabaseId, attribute_id}; }

}  // namespace

pg::SharedArea reads_area = {"eav_ext reads", false, size_of_table, initialize_table, nullptr};

void count_filter(int32 attribute_id) {
  if (ReadCounts* const counts = table()) {
    counts->count_filter(key_of(attribute_id));
  }
}

void count_read(int32 attribute_id) {
  if (ReadCounts* const counts = table()) {
    counts->count_read(key_of(attribute_id));
  }
}

bool has_counts() {
  const ReadCounts* const counts = table();
  return counts != nullptr && counts->has_counts(MyDatabaseId);
}

}  // namespace eav::stats

EAV_FUNCTION(eav_read_counts) {
  using eav::core::ReadCount;
  const bool take = PG_GETARG_BOOL(0);
  InitMaterializedSRF(fcinfo, 0);
  auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  eav::core::ReadCounts* const counts = eav::stats::table();
  if (counts == nullptr) {
    return Datum(0);
  }
  // Nothing can fail between the first that is taken and the last.
  eav::core::ArenaVector<ReadCount> found(eav::pg::arena_of(CurrentMemoryContext));
  found.reserve(counts->capacity());
  const auto keep = [&found](const ReadCount& count) { found.push_back(count); };
  if (take) {
    counts->take(MyDatabaseId, keep,
                 [](Oid database) { return !eav::pg::database_exists(database); });
  } else {
    counts->look(MyDatabaseId, keep);
  }
  for (const ReadCount& count : found) {
    using eav::pg::Column;
    eav::pg::put_row(result, {Column(Int32GetDatum(count.attribute_id)),
                              Column(Int64GetDatum(static_cast<int64>(count.filters))),
                              Column(Int64GetDatum(static_cast<int64>(count.reads)))});
  }
  return Datum(0);
}

EAV_FUNCTION(eav_dropped_read_counts) {
  const eav::core::ReadCounts* const counts = eav::stats::table();
  PG_RETURN_INT64(counts == nullptr ? 0 : static_cast<int64>(counts->dropped()));
}

EAV_FUNCTION(eav_count_reads) {
  const int32 attribute_id = PG_GETARG_INT32(0);
  const int64 filters = PG_GETARG_INT64(1);
  const int64 reads = PG_GETARG_INT64(2);
  for (int64 i = 0; i < filters; ++i) {
    eav::stats::count_filter(attribute_id);
  }
  for (int64 i = 0; i < reads; ++i) {
    eav::stats::count_read(attribute_id);
  }
  PG_RETURN_VOID();
}
