// The settings of the extension (GUCs), all named eav.*.
#pragma once

#include <cstdint>
#include <optional>

namespace eav {

enum TenantScope : int { scope_session, scope_transaction };

enum AutoProjection : int { by_type, always_hot, always_live, always_current, always_none };

struct Settings {
  bool worker_enabled;
  int flush_interval;        // milliseconds
  int flush_batch_values;    // values
  int flush_memory;          // kilobytes
  int rotation_interval;     // seconds
  int maintenance_interval;  // seconds
  int rollup_interval;       // milliseconds
  int rollup_retention;      // minutes; 0: for ever
  bool auto_register;
  int auto_register_projection;  // AutoProjection
  int max_hot_attributes;        // hot and live together, of a tenant
  int max_attribute_indexes;     // of all tenants
  int max_scan_entities;         // -1: any number
  int max_future_skew;           // seconds
  int max_value_bytes;           // bytes
  int max_payload_bytes;         // bytes
  int ring_size;                 // kilobytes
  int ring_databases;
  int durable_timeout;     // milliseconds
  char* node_id;           // empty: see freshness::own_node_id()
  int heartbeat_interval;  // milliseconds; 0: none
  int breaker_failures;
  int breaker_open_time;   // seconds
  int breaker_close_time;  // seconds
  int fallback_limit;      // reads per second
  int health_staging_rows;
  int health_flush_delay;      // milliseconds
  int health_transaction_age;  // seconds
  int health_slot_size;        // megabytes
  int health_rejects;
  int health_disk_free;  // percent
  char* tenant_id_text;  // see chosen_tenant()
  int tenant_scope;      // TenantScope
};
extern Settings settings;

// The tenant that the session has chosen (eav.tenant_id), if that counts now.
std::optional<std::int64_t> chosen_tenant();

// Defines them; when the library is loaded. Those of shared memory can only be set at the start of
// a server that preloads it.
void define_settings();

}  // namespace eav
