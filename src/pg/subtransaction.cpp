#include "eav/pg/subtransaction.hpp"

namespace eav::pg {

bool must_not_swallow(const ErrorData* error) {
  switch (ERRCODE_TO_CATEGORY(error->sqlerrcode)) {
    case MAKE_SQLSTATE('2', '5', '0', '0', '0'):
    case MAKE_SQLSTATE('4', '0', '0', '0', '0'):
    case MAKE_SQLSTATE('4', '2', '0', '0', '0'):
    case MAKE_SQLSTATE('5', '3', '0', '0', '0'):
    case MAKE_SQLSTATE('5', '5', '0', '0', '0'):
    case MAKE_SQLSTATE('5', '7', '0', '0', '0'):
    case MAKE_SQLSTATE('5', '8', '0', '0', '0'):
    case MAKE_SQLSTATE('X', 'X', '0', '0', '0'):
      return true;
    default:
      return false;
  }
}

const char* sqlstate_text(int sqlstate) { return unpack_sql_state(sqlstate); }

}  // namespace eav::pg
