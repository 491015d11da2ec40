#include "eav/pg/input.hpp"

#include "eav/pg/compat.hpp"
#include "eav/pg/subtransaction.hpp"

namespace eav::pg {

const ErrorData* try_input(char* text, Oid type, Datum& result) {
  Oid function = InvalidOid;
  Oid parameter = InvalidOid;
  getTypeInputInfo(type, &function, &parameter);
#if PG_VERSION_NUM >= 160000
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
#else
  ErrorData* const error =
      attempt([&] { result = OidInputFunctionCall(function, text, parameter, -1); });
  if (error != nullptr && must_not_swallow(error)) {
    ReThrowError(error);
  }
  return error;
#endif
}

}  // namespace eav::pg
