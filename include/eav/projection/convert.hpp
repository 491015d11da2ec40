// Values of documents as values of another type.
#pragma once

#include <optional>

#include "eav/ingest/value.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::projection {

// The value that would be in the document had its text arrived for an attribute of that type; none
// when it cannot be read so. A value that has the type already stays as it is.
std::optional<JsonbValue> convert(const JsonbValue& value, core::DataType type);

// A value of a document, read as one of an attribute of that type; false when it is none.
bool read_as(const JsonbValue& value, core::DataType type, ingest::Value& result);

// Fits a value that is in history to the type that its attribute has by now. False when it cannot
// be read as that: it is the newest of its attribute all the same, which then has no value.
bool fit(ingest::Value& value, core::DataType type);

}  // namespace eav::projection
