#include "eav/settings.hpp"

#include "eav/core/ring.hpp"
#include "eav/core/value.hpp"
#include "eav/pg/compat.hpp"
#include "eav/pg/postgres.hpp"
#include "eav/stop_point.hpp"

namespace eav {

Settings settings;

namespace {

const config_enum_entry auto_projections[] = {
    {"auto", by_type, false},           {"hot", always_hot, false},   {"live", always_live, false},
    {"current", always_current, false}, {"none", always_none, false}, {nullptr, 0, false}};

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

const config_enum_entry tenant_scopes[] = {{"session", scope_session, false},
                                           {"transaction", scope_transaction, false},
                                           {nullptr, 0, false}};

// What a value of eav.tenant_id means. The server keeps it with the value, and gives it back when
// an older value comes into force again.
struct TenantChoice {
  std::int64_t tenant_id;
  // That made the choice by a statement; invalid for one made when the session began.
  LocalTransactionId transaction;
  // By a statement, before the library was loaded: nobody knows in which transaction, and in a
  // shared connection whose that was.
  bool is_of_unknown_transaction;
};
const TenantChoice* tenant_choice = nullptr;
// The server checks the values that the setting had before there was one.
bool is_defining_tenant_id = false;

// Empty, or a number.
bool check_tenant_id(char** text, void** extra, GucSource source) {
  if (**text == '\0') {
    return true;
  }
  std::int64_t parsed = 0;
  if (core::parse_integer(*text, parsed) != core::ParseStatus::ok) {
    GUC_check_errdetail("A tenant_id is a number of 64 bits.");
    return false;
  }
  auto* const kept = static_cast<TenantChoice*>(pg::allocate_for_setting(sizeof(TenantChoice)));
  if (kept == nullptr) {
    return false;
  }
  const bool is_by_statement = source >= PGC_S_SESSION;
  *kept = {parsed, is_by_statement ? pg::own_transaction() : InvalidLocalTransactionId,
           is_by_statement && is_defining_tenant_id};
  *extra = kept;
  return true;
}

void assign_tenant_id(const char* /*text*/, void* extra) {
  tenant_choice = static_cast<const TenantChoice*>(extra);
}

// Goes into a column and into shared memory.
bool check_node_id(char** text, void** /*extra*/, GucSource /*source*/) {
  if (strlen(*text) > 63) {
    GUC_check_errdetail("The name of a node has 63 bytes at most.");
    return false;
  }
  return true;
}

void define_freshness_settings() {
  DefineCustomStringVariable(
      "eav.node_id", "Name of this server among the nodes; empty for cluster_name.", nullptr,
      &settings.node_id, "", PGC_SIGHUP, 0, check_node_id, nullptr, nullptr);
  define_int("eav.heartbeat_interval", "Time between two heartbeats; 0 for none.",
             &settings.heartbeat_interval, 1000, 0, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS);
  define_int("eav.breaker_failures", "Failed reads in a row that open the breaker of a node.",
             &settings.breaker_failures, 5, 1, 1000 * 1000, PGC_SIGHUP, 0);
  define_int("eav.breaker_open_time", "How long a breaker stays open at least.",
             &settings.breaker_open_time, 30, 0, 24 * 3600, PGC_SIGHUP, GUC_UNIT_S);
  define_int("eav.breaker_close_time", "How long a node must be well before its breaker closes.",
             &settings.breaker_close_time, 120, 0, 24 * 3600, PGC_SIGHUP, GUC_UNIT_S);
  define_int("eav.fallback_limit",
             "Reads per second that eav.route_read() sends to the primary for want of a replica.",
             &settings.fallback_limit, 1000, 0, 1000 * 1000, PGC_SIGHUP, 0);
}

// Of whoever asks: where eav.health_check() begins to warn.
void define_health_settings() {
  define_int("eav.health_staging_rows", "Staged values above which eav.health_check() warns.",
             &settings.health_staging_rows, 1000 * 1000, 1, 100 * 1000 * 1000, PGC_USERSET, 0);
  define_int("eav.health_flush_delay",
             "How late values may be flushed, beyond eav.flush_interval, before "
             "eav.health_check() warns.",
             &settings.health_flush_delay, 10 * 1000, 1, 24 * 3600 * 1000, PGC_USERSET,
             GUC_UNIT_MS);
  define_int("eav.health_transaction_age",
             "Age of transactions, and of moves that stand still, above which "
             "eav.health_check() warns.",
             &settings.health_transaction_age, 300, 1, 30 * 24 * 3600, PGC_USERSET, GUC_UNIT_S);
  define_int("eav.health_slot_size",
             "WAL kept for a replication slot above which eav.health_check() warns.",
             &settings.health_slot_size, 1024, 1, INT_MAX / 16, PGC_USERSET, GUC_UNIT_MB);
  define_int("eav.health_rejects",
             "Values and events rejected within ten minutes above which eav.health_check() warns.",
             &settings.health_rejects, 100, 0, 10 * 1000, PGC_USERSET, 0);
  define_int("eav.health_disk_free",
             "Part of a file system that must be free, in percent, or eav.health_check() warns.",
             &settings.health_disk_free, 10, 0, 100, PGC_USERSET, 0);
}

void define_ring_settings() {
  const GucContext context =
      process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP;
  define_int("eav.ring_size", "Shared memory for values on their way to the flush; 0 for none.",
             &settings.ring_size, 64 * 1024, 0,
             static_cast<int>(core::Ring::max_slabs * (core::Ring::slab_bytes / 1024)), context,
             GUC_UNIT_KB);
  define_int("eav.ring_databases", "Databases that can use the ring.", &settings.ring_databases, 4,
             1, 32, context, 0);
}

void define_tenant_settings() {
  is_defining_tenant_id = true;
  DefineCustomStringVariable("eav.tenant_id",
                             "Tenant that the session acts for: the default for events, and the "
                             "only one whose data it may read and write; empty for none.",
                             nullptr, &settings.tenant_id_text, "", PGC_USERSET, 0, check_tenant_id,
                             assign_tenant_id, nullptr);
  is_defining_tenant_id = false;
  DefineCustomEnumVariable("eav.tenant_scope",
                           "How long a tenant that a statement has chosen counts; transaction: "
                           "only in the transaction of the statement, for clients that share "
                           "connections.",
                           nullptr, &settings.tenant_scope, scope_session, tenant_scopes, PGC_SUSET,
                           0, nullptr, nullptr, nullptr);
}

}  // namespace

std::optional<std::int64_t> chosen_tenant() {
  if (tenant_choice == nullptr || (settings.tenant_scope == scope_transaction &&
                                   (tenant_choice->is_of_unknown_transaction ||
                                    (tenant_choice->transaction != InvalidLocalTransactionId &&
                                     tenant_choice->transaction != pg::own_transaction())))) {
    return std::nullopt;
  }
  return tenant_choice->tenant_id;
}

void define_settings() {
  define_bool("eav.worker_enabled", "Lets the flush workers work.", &settings.worker_enabled, true,
              PGC_SIGHUP);
  define_int("eav.flush_interval", "Time between two flushes of the worker.",
             &settings.flush_interval, 100, 10, 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS);
  define_int("eav.flush_batch_values",
             "Most values that the worker takes in one flush, and size of the pieces in which a "
             "larger transaction is worked through.",
             &settings.flush_batch_values, 250000, 100, 10 * 1000 * 1000, PGC_SUSET, 0);
  define_int(
      "eav.flush_memory",
      "Memory that a flush takes for the values it works on, before it writes them; caches of "
      "the backend take at most half as much.",
      &settings.flush_memory, 128 * 1024, 4 * 1024, INT_MAX, PGC_SUSET, GUC_UNIT_KB);
  define_int("eav.rotation_interval", "Least time between two rotations of the staging leaves.",
             &settings.rotation_interval, 10, 0, 3600, PGC_SUSET, GUC_UNIT_S);
  define_int("eav.maintenance_interval",
             "Time between two runs of partition maintenance by the worker.",
             &settings.maintenance_interval, 3600, 1, 24 * 3600, PGC_SIGHUP, GUC_UNIT_S);
  define_int("eav.rollup_interval",
             "Time between two merges of new values into the rollups by the worker.",
             &settings.rollup_interval, 10 * 1000, 10, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS);
  define_int("eav.rollup_retention", "How long rollups are kept by the hour; 0 for ever.",
             &settings.rollup_retention, 0, 0, 100 * 366 * 24 * 60, PGC_SIGHUP, GUC_UNIT_MIN);
  define_bool("eav.auto_register", "Registers attributes when the first value for them arrives.",
              &settings.auto_register, true, PGC_SUSET);
  DefineCustomEnumVariable("eav.auto_register_projection",
                           "Projection of attributes that register themselves; auto: hot for text "
                           "and bool, live for all others, current above eav.max_hot_attributes.",
                           nullptr, &settings.auto_register_projection, by_type, auto_projections,
                           PGC_SUSET, 0, nullptr, nullptr, nullptr);
  define_int("eav.max_hot_attributes",
             "Attributes of a tenant in its documents, hot and live together, above which further "
             "ones get projection current unless somebody chooses.",
             &settings.max_hot_attributes, 64, 0, 1000 * 1000, PGC_SUSET, 0);
  define_int(
      "eav.max_attribute_indexes",
      "Indexes of attributes, of all tenants together, that eav.create_attribute_index() makes.",
      &settings.max_attribute_indexes, 32, 0, 1000, PGC_SUSET, 0);
  define_int("eav.max_scan_entities",
             "Most entities that eav.find_entities() looks at one by one for a filter that no "
             "index answers; -1 for any number.",
             &settings.max_scan_entities, 10000, -1, INT_MAX, PGC_USERSET, 0);
  define_int("eav.max_future_skew", "How far observed_at may lie ahead of the server.",
             &settings.max_future_skew, 300, 0, 10 * 365 * 24 * 3600, PGC_SUSET, GUC_UNIT_S);
  define_int("eav.max_value_bytes", "Largest value that is accepted.", &settings.max_value_bytes,
             1024 * 1024, 1024, 64 * 1024 * 1024, PGC_SUSET, GUC_UNIT_BYTE);
  define_int("eav.max_payload_bytes", "Largest payload of eav.ingest().",
             &settings.max_payload_bytes, 16 * 1024 * 1024, 1024, 256 * 1024 * 1024, PGC_SUSET,
             GUC_UNIT_BYTE);
  define_int(
      "eav.durable_timeout",
      "How long a commit waits for the flush of what eav.ingest() was asked to make durable.",
      &settings.durable_timeout, 10 * 1000, 1, 3600 * 1000, PGC_USERSET, GUC_UNIT_MS);
  define_tenant_settings();
  define_freshness_settings();
  define_health_settings();
  define_ring_settings();
#ifdef EAV_STOP_POINTS
  stop_points::define_setting();
#endif
  MarkGUCPrefixReserved("eav");
}

}  // namespace eav
