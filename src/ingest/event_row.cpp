#include "eav/ingest/event_row.hpp"

extern "C" {
#include <utils/syscache.h>
}

namespace eav::ingest {

using core::DataType;
using core::EventReader;

namespace {

Rejection read_value(const EventReader::Value& from, StagedRow& row) {
  row.value.cleared = from.cleared;
  if (from.cleared) {
    row.value.type = DataType::text;
    return {};
  }
  row.value.type = from.type;
  switch (from.type) {
    case DataType::integer:
      row.value.integer = from.integer;
      return {};
    case DataType::floating:
      row.value.floating = from.floating;
      return {};
    case DataType::boolean:
      row.value.boolean = from.boolean;
      return {};
    default:
      return parse_value(from.text, from.type, row.value);
  }
}

}  // namespace

void read_events(ParcelReader& parcel, uint64 most, TupleDesc description,
                 core::ArenaVector<StagedRow>& rows, Rejects& rejects) {
  if (!SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(parcel.header.function))) {
    ereport(LOG, (errmsg("eav_ext: values for an extension that has been dropped are discarded")));
    parcel.values_left = 0;
    return;
  }
  EventReader::Value value;
  EventReader::Reject event;
  for (; most > 0 && parcel.values_left > 0; --most, --parcel.values_left) {
    const EventReader::Kind kind = parcel.events.next(value, event);
    if (kind == EventReader::Kind::end) {
      parcel.values_left = 0;
      return;
    }
    if (kind == EventReader::Kind::reject) {
      rejects.push_back(rejected(event));
      continue;
    }
    StagedRow row{};
    row.origin = Origin::ring;
    row.tenant_id = value.tenant_id;
    row.writer_tenant = parcel.header.writer_tenant;
    row.entity_id = value.entity_id;
    row.entity = value.entity;
    row.version.observed_at = value.observed_at;
    row.attribute = value.attribute;
    if (const Rejection rejection = read_value(value, row)) {
      row.unparsed = value.text;
      rejects.push_back(rejected(row, description, rejection));
    } else {
      rows.push_back(row);
    }
  }
}

}  // namespace eav::ingest
