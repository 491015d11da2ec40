#include "eav/pg/lone_call.hpp"

extern "C" {
#include <executor/execdesc.h>
#include <nodes/plannodes.h>
#include <storage/proc.h>
#include <tcop/pquery.h>
#include <utils/portal.h>
}

namespace eav::pg {

namespace {

// A plan that reads nothing and calls nothing else, unless as an argument of this call.
bool is_only(const PlannedStmt* statement, const FmgrInfo& function) {
  const Plan* const plan = statement->planTree;
  if (!IsA(plan, Result) || plan->lefttree != nullptr || plan->qual != NIL ||
      statement->subplans != NIL || list_length(plan->targetlist) != 1) {
    return false;
  }
  const auto* const entry = linitial_node(TargetEntry, plan->targetlist);
  return IsA(entry->expr, FuncExpr) && reinterpret_cast<Expr*>(function.fn_expr) == entry->expr;
}

// Called by a statement of the client itself: one below, such as that of a function, would have a
// snapshot of its own, or the same one once more.
bool is_lone_call(const FmgrInfo& function) {
  const QueryDesc* const query =
      ActivePortal != nullptr && ActivePortal->strategy == PORTAL_ONE_SELECT
          ? ActivePortal->queryDesc
          : nullptr;
  return query != nullptr && !IsTransactionBlock() && ThereAreNoReadyPortals() &&
         GetActiveSnapshot() == query->snapshot && query->snapshot->active_count == 1 &&
         is_only(query->plannedstmt, function);
}

}  // namespace

void release_snapshot_of_lone_call(FunctionCallInfo fcinfo) {
  if (is_lone_call(*fcinfo->flinfo)) {
    InvalidateCatalogSnapshot();
    MyProc->xmin = InvalidTransactionId;
  }
}

}  // namespace eav::pg
