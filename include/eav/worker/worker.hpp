// Background processes: one launcher per server, one flush worker per database. See worker.cpp.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::worker {

// Called while the server loads shared_preload_libraries.
void register_launcher();

// Asks the postmaster for a flush worker of the database; it begins its work when `after`, if
// valid, has ended. False when no process slot is free.
bool start_worker(Oid database, FullTransactionId after);

// Takes the lock that marks the one worker of this database, for the life of the process;
// false when another process has it.
bool become_the_worker();
void stop_being_the_worker();
// Within a transaction: true when a worker has that lock.
bool is_worker_running(Oid database);

}  // namespace eav::worker
