// The settings of the extension (GUCs), all named eav.*.
#pragma once

namespace eav {

enum AutoProjection : int { by_type, always_hot, always_live, always_none };

struct Settings {
  bool worker_enabled;
  int flush_interval;        // milliseconds
  int flush_batch_values;    // values
  int rotation_interval;     // seconds
  int maintenance_interval;  // seconds
  bool auto_register;
  int auto_register_projection;  // AutoProjection
  int max_future_skew;           // seconds
  int max_value_bytes;           // bytes
};
extern Settings settings;

// Defines them; when the library is loaded.
void define_settings();

}  // namespace eav
