// The door of this database, for eav.health_check().
#include "eav/ingest/door.hpp"

#include "eav/pg/guard.hpp"
#include "eav/pg/row.hpp"

namespace {

eav::pg::Column time_or_null(const std::atomic<TimestampTz>& time) {
  const TimestampTz at = time;
  return at == 0 ? eav::pg::Column::null() : eav::pg::Column(TimestampTzGetDatum(at));
}

}  // namespace

EAV_FUNCTION(eav_door_state) {
  using namespace eav;
  const ingest::Door* const door = ingest::own_door();
  if (door == nullptr) {
    return pg::row(fcinfo,
                   {pg::Column(BoolGetDatum(false)), pg::Column::null(), pg::Column::null()});
  }
  return pg::row(fcinfo, {pg::Column(BoolGetDatum(ingest::has_parcels(*door))),
                          time_or_null(door->caught_up_at), time_or_null(door->spilled_at)});
}
