// Loading the library.
#include "eav/pg/postgres.hpp"
#include "eav/settings.hpp"
#include "eav/worker/worker.hpp"

extern "C" {
PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init();

void _PG_init() {
  eav::define_settings();
  if (process_shared_preload_libraries_in_progress) {
    eav::worker::register_launcher();
  }
}
}
