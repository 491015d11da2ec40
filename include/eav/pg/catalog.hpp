// Finding our own objects.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

// The relation of schema eav with this name; InvalidOid when there is none.
Oid find_relation(const char* name);
// The same; raises undefined_table with a hint when the extension is not there.
Oid relation_oid(const char* name);

// True when there is a database with this oid. Looks at the directories of the server: no
// transaction and no database connection is needed.
bool database_exists(Oid database);

}  // namespace eav::pg
