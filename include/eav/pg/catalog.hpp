// Finding our own objects.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

// The relation of schema eav with this name; InvalidOid when there is none.
Oid find_relation(const char* name);
// The same; raises undefined_table with a hint when the extension is not there.
Oid relation_oid(const char* name);
// The index of a table of ours with this name, which stays until the end of the transaction: the
// table is locked before the name is looked up. Who replaces or drops an index (REINDEX
// CONCURRENTLY) waits for those who hold a lock on the table before, and for no others; on a
// standby for nobody, as with any query. The first one returns InvalidOid when there is none.
Oid find_index(const char* table, const char* name);
Oid index_oid(const char* table, const char* name);

// True when there is a database with this oid. Looks at the directories of the server: no
// transaction and no database connection is needed.
bool database_exists(Oid database);

}  // namespace eav::pg
