// Loading the library.
#include "eav/freshness/board.hpp"
#include "eav/ingest/door.hpp"
#include "eav/pg/postgres.hpp"
#include "eav/pg/shared_memory.hpp"
#include "eav/settings.hpp"
#include "eav/stats/reads.hpp"
#include "eav/worker/worker.hpp"

namespace {

// All shared memory of ours.
eav::pg::SharedArea* const shared_areas[] = {&eav::ingest::doors_area, &eav::ingest::ring_area,
                                             &eav::freshness::board_area, &eav::stats::reads_area};

}  // namespace

extern "C" {
PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init();

void _PG_init() {
  eav::define_settings();
  if (process_shared_preload_libraries_in_progress) {
    eav::pg::request_shared_memory(shared_areas);
    eav::worker::register_launcher();
  }
}
}
