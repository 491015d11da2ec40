// Finding our own objects.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

// The relation of schema eav with this name; InvalidOid when there is none.
Oid find_relation(const char* name);
// The same; raises undefined_table with a hint when the extension is not there.
Oid relation_oid(const char* name);

// True when the database has the extension, by what the current transaction sees.
bool extension_exists();

}  // namespace eav::pg
