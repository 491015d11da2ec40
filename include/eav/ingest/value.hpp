// A typed value on its way into history and projection.
#pragma once

#include "eav/core/value.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::ingest {

// Why something was not accepted. The reason lives as long as the batch.
struct Rejection {
  int sqlstate = 0;
  const char* reason = nullptr;
  explicit operator bool() const { return reason != nullptr; }
};

struct Value {
  core::DataType type;
  bool cleared;  // the attribute has no value any more; the rest is unset
  union {
    int64 integer;
    double floating;
    bool boolean;
    TimestampTz timestamp;
    Datum datum;  // text, numeric, jsonb: varlena, maybe toasted
  };
};

// The value as the server's datum of its type.
Datum datum_of(const Value& value);

// The shortest digits that read back the same number.
Datum numeric_of(double floating);

// Text as a value of the type, by the rules of core/value.hpp, then by the type's own input
// function for what those leave open (timestamps in other forms, JSON).
Rejection parse_value(std::string_view text, core::DataType type, Value& value);

// Fits a typed value to the type of its attribute: integers become floats or numerics, floats
// and numerics each other, text a timestamp when it is one (JSON has no other way to write
// it), and anything JSON; nothing else changes its type.
Rejection convert_value(core::DataType type, Value& value);

}  // namespace eav::ingest
