// What one call of eav.ingest() hands over: a header, then events in their compact form
// (core/event.hpp).
#pragma once

#include <cstring>
#include <optional>
#include <span>

#include "eav/core/event.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::ingest {

struct ParcelHeader {
  uint64 values;  // and rejected events: what a flush will have to do
  // Commands of its transaction before it, when that had an id by then; else 0.
  CommandId command;
  // The function that was called. It is gone when the extension has been dropped since, and the
  // parcel is not meant for another one that may be there now.
  Oid function;
  // That the caller was bound to: no event may be of another.
  std::optional<int64> writer_tenant;
  // The first of its transaction; those of one transaction follow each other in the ring.
  bool starts_transaction;
};

inline ParcelHeader header_of(std::span<const uint8> parcel) {
  ParcelHeader header;
  memcpy(&header, parcel.data(), sizeof(header));
  return header;
}
inline void set_header(std::span<uint8> parcel, const ParcelHeader& header) {
  memcpy(parcel.data(), &header, sizeof(header));
}
// What a flush has read of a parcel, and what not yet.
struct ParcelReader {
  explicit ParcelReader(std::span<const uint8> parcel)
      : header(header_of(parcel)),
        events(parcel.subspan(sizeof(ParcelHeader))),
        values_left(header.values) {}

  ParcelHeader header;
  core::EventReader events;
  uint64 values_left;  // and rejected events
};

}  // namespace eav::ingest
