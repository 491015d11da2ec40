#include "eav/pg/input.hpp"

#include "eav/pg/compat.hpp"
#include "eav/pg/subtransaction.hpp"

namespace eav::pg {

const ErrorData* try_input(char* text, Oid type, Datum& result) {
  Oid function = InvalidOid;
  Oid parameter = InvalidOid;
  getTypeInputInfo(type, &function, &parameter);
#if PG_VERSION_NUM >= 160000
  // That of jsonb raises some errors all the same: of JSON that is nested too deeply or too large.
  if (type != JSONBOID) {
    FmgrInfo input;
    fmgr_info(function, &input);
    ErrorSaveContext context = {};
    context.type = T_ErrorSaveContext;
    context.details_wanted = true;
    if (InputFunctionCallSafe(&input, text, parameter, -1, reinterpret_cast<Node*>(&context),
                              &result)) {
      return nullptr;
    }
    return context.error_data;
  }
#endif
  ErrorData* const error =
      attempt([&] { result = OidInputFunctionCall(function, text, parameter, -1); });
  // Of more elements than there may be memory for at a time it says that something is wrong inside
  // of the server. It works on nothing but the text.
  if (error != nullptr && type == JSONBOID && error->sqlerrcode == ERRCODE_INTERNAL_ERROR) {
    error->sqlerrcode = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
  }
  if (error != nullptr && must_not_swallow(error)) {
    ReThrowError(error);
  }
  return error;
}

}  // namespace eav::pg
