// The version of this library, and whether it is that of the SQL in the database; see library.cpp.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

// That of the control file it was built with.
extern const char* const library_version;

// Within a transaction: whether the extension in this database is of our version. Looks into the
// catalog only after it may have changed.
bool is_sql_ours();

// Raises object_not_in_prerequisite_state when it is not, undefined_object without the extension.
void raise_foreign_sql();
inline void check_sql() {
  if (!is_sql_ours()) [[unlikely]] {
    raise_foreign_sql();
  }
}

// The version of the extension in this database, for messages; null without the extension.
const char* sql_version();

}  // namespace eav::pg
