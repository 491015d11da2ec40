#include "eav/flush/alone.hpp"

namespace eav::flush {

namespace {
bool is_running = false;
}

void begin_alone(const char* what) {
  if (is_running) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("%s cannot begin while this session is writing values", what),
                    errdetail("It was called by a trigger, or by what a trigger has called."),
                    errhint("A trigger on the tables of eav_ext can insert values into "
                            "eav.entity_values_ingest, for a later flush.")));
  }
  is_running = true;
}

void end_alone() { is_running = false; }

}  // namespace eav::flush
