// What the worker does for freshness, and eav.heartbeat(): see sample.cpp.
#pragma once

#include "eav/freshness/board.hpp"

namespace eav::freshness {

struct Beat {
  bool is_written;  // false: somebody else holds the row or the table
  TimestampTz sent_at;
  int64 sequence;
  XLogRecPtr position;
};

// Within an SPI connection, on the primary, in a transaction that commits soon.
Beat write_heartbeat();
// After the commit of write_heartbeat().
void remember_heartbeat(const Beat& beat);
// True when dead versions of heartbeats take more than they should.
bool are_heartbeats_large();
// Within an SPI connection: gives the space back, if nobody uses the table.
void shrink_heartbeats();

// Within an SPI connection, as owner of the tables: nodes and budgets.
void read_tables();
// The same, after it, as a role that may see pg_stat_replication: standbys and slots. Then all is
// known to the others.
void read_server();

// On a standby, without a transaction: listens to the receiver. True when WAL has been replayed
// since the last time, so that there may be a heartbeat.
bool listen();
// Within an SPI connection: looks for a heartbeat.
void observe();

// The server has changed its role, or the worker is a new one: what was measured before is void.
void forget_measurements();

}  // namespace eav::freshness
