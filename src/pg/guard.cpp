#include "eav/pg/guard.hpp"

namespace eav::pg {

namespace {

int encode_sqlstate(const char* code) {
  return MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4]);
}

}  // namespace

void describe(const core::Error& error, ErrorReport& report) {
  report.sqlstate = encode_sqlstate(error.sqlstate);
  snprintf(report.message, sizeof(report.message), "%s", error.message.c_str());
  snprintf(report.detail, sizeof(report.detail), "%s", error.detail.c_str());
  snprintf(report.hint, sizeof(report.hint), "%s", error.hint.c_str());
}

void describe(int sqlstate, const char* message, ErrorReport& report) {
  report.sqlstate = sqlstate;
  snprintf(report.message, sizeof(report.message), "%s", message);
  report.detail[0] = '\0';
  report.hint[0] = '\0';
}

void raise(const ErrorReport& report) {
  ereport(ERROR, (errcode(report.sqlstate), errmsg("%s", report.message),
                  report.detail[0] != '\0' ? errdetail("%s", report.detail) : 0,
                  report.hint[0] != '\0' ? errhint("%s", report.hint) : 0));
  pg_unreachable();
}

}  // namespace eav::pg
