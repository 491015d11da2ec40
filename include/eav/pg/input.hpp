// Type input functions on text that may be wrong.
#pragma once

#include "eav/pg/postgres.hpp"

namespace eav::pg {

// Null when text is a value of the type, which goes to result; otherwise the error, with the
// transaction unharmed. From PostgreSQL 16 on without a subtransaction, but for jsonb.
const ErrorData* try_input(char* text, Oid type, Datum& result);

}  // namespace eav::pg
