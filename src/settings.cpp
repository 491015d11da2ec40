#include "eav/settings.hpp"

#include "eav/pg/postgres.hpp"

namespace eav {

Settings settings;

namespace {

const config_enum_entry auto_projections[] = {{"auto", by_type, false},
                                              {"hot", always_hot, false},
                                              {"live", always_live, false},
                                              {"none", always_none, false},
                                              {nullptr, 0, false}};

void define_bool(const char* name, const char* description, bool* variable, bool boot,
                 GucContext context) {
  DefineCustomBoolVariable(name, description, nullptr, variable, boot, context, 0, nullptr, nullptr,
                           nullptr);
}

void define_int(const char* name, const char* description, int* variable, int boot, int least,
                int most, GucContext context, int unit) {
  DefineCustomIntVariable(name, description, nullptr, variable, boot, least, most, context, unit,
                          nullptr, nullptr, nullptr);
}

}  // namespace

void define_settings() {
  define_bool("eav.worker_enabled", "Lets the flush workers work.", &settings.worker_enabled, true,
              PGC_SIGHUP);
  define_int("eav.flush_interval", "Time between two flushes of the worker.",
             &settings.flush_interval, 100, 10, 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS);
  define_int("eav.flush_batch_values",
             "Most values that the worker takes in one flush, and size of the pieces in which a "
             "larger transaction is worked through.",
             &settings.flush_batch_values, 250000, 100, 10 * 1000 * 1000, PGC_SUSET, 0);
  define_int("eav.rotation_interval", "Least time between two rotations of the staging leaves.",
             &settings.rotation_interval, 10, 0, 3600, PGC_SUSET, GUC_UNIT_S);
  define_int("eav.maintenance_interval",
             "Time between two runs of partition maintenance by the worker.",
             &settings.maintenance_interval, 3600, 1, 24 * 3600, PGC_SIGHUP, GUC_UNIT_S);
  define_bool("eav.auto_register", "Registers attributes when the first value for them arrives.",
              &settings.auto_register, true, PGC_SUSET);
  DefineCustomEnumVariable("eav.auto_register_projection",
                           "Projection of attributes that register themselves; auto: hot for text "
                           "and bool, live for all others.",
                           nullptr, &settings.auto_register_projection, by_type, auto_projections,
                           PGC_SUSET, 0, nullptr, nullptr, nullptr);
  define_int("eav.max_future_skew", "How far observed_at may lie ahead of the server.",
             &settings.max_future_skew, 300, 0, 10 * 365 * 24 * 3600, PGC_SUSET, GUC_UNIT_S);
  define_int("eav.max_value_bytes", "Largest value that is accepted.", &settings.max_value_bytes,
             1024 * 1024, 1024, 64 * 1024 * 1024, PGC_SUSET, GUC_UNIT_BYTE);
  MarkGUCPrefixReserved("eav");
}

}  // namespace eav
