// What is to be erased stands in eav.erasures; the protocol, in sql/68_erasure.sql. A request tells
// all others by an invalidation, so that an idle worker need not look.
#include "eav/erasure/pending.hpp"

#include "eav/pg/catalog.hpp"
#include "eav/pg/spi.hpp"

extern "C" {
#include <utils/inval.h>
}

namespace eav::erasure {

namespace {

Oid erasures_oid = InvalidOid;
// Counts what may be a new request; and how far nothing was left to do.
uint64 changes = 1;
uint64 changes_done = 0;

void on_relcache_change(Datum /*argument*/, Oid relation) {
  changes += relation == erasures_oid || relation == InvalidOid;
}

}  // namespace

bool may_have_work() { return changes != changes_done; }

void expect_work() { ++changes; }

void run_batch(int32 max_values) {
  static pg::Statement run("SELECT eav.run_erasures($1)", {INT4OID});
  if (!OidIsValid(erasures_oid)) {
    CacheRegisterRelcacheCallback(on_relcache_change, 0);
  }
  erasures_oid = pg::relation_oid("erasures");
  const uint64 changes_before = changes;
  run.run({Int32GetDatum(max_values)});
  const bool is_any_left = DatumGetInt64(pg::cell(0, 1).value) > 0;
  changes_done = is_any_left ? changes_before - 1 : changes_before;
}

}  // namespace eav::erasure
