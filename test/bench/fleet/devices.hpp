// The simulated devices: who they are, what they send, and the rows that carry it.
#pragma once

#include <cstdint>
#include <iterator>

#include "client.hpp"

namespace bench {

struct Options {
  long devices = 10000;
  long tenants = 16;
  long attributes = 10;  // per event
  long rate = 10000;     // values per second, all devices together; 0: as fast as it goes
  long seconds = 20;     // measured
  long warmup = 2;       // seconds before that, not measured
  long connections = 8;
  long interval = 20;  // ms between two transactions of a connection
  long probe_interval = 20;
  long names = 0;   // 1: rows name the device and the attribute and give the value as text
  long calls = 0;   // events in a call of eav.ingest(), at most; 0: COPY instead
  long window = 0;  // at rate 0: values that may be under way to the flush; 0 for no limit
  std::string summary;
};

// What a device sends. From the eleventh attribute on the types repeat.
struct Sensor {
  const char* name;
  const char* type;
  const char* projection;
};
constexpr Sensor sensors[] = {{"temperature", "float", "live"}, {"status", "text", "hot"},
                              {"speed", "float", "live"},       {"charging", "bool", "hot"},
                              {"rpm", "int", "live"},           {"gear", "int", "hot"},
                              {"voltage", "float", "live"},     {"range", "int", "live"},
                              {"locked", "bool", "hot"},        {"message", "text", "live"}};

struct Attribute {
  std::string name;
  Sensor sensor;
  std::vector<std::string> ids;  // by tenant
};

// The devices as the database knows them.
struct Registry {
  std::vector<std::string> tenants;  // ids
  std::vector<Attribute> attributes;
  std::string probe_attribute;  // id, in the first tenant
};

inline Registry register_fleet(Connection& db, const Options& options) {
  Registry registry;
  for (long t = 0; t < options.tenants; ++t) {
    const auto tenant = db.run("SELECT eav.register_tenant('fleet " + std::to_string(t) + "')");
    registry.tenants.push_back(tenant.text(0, 0));
  }
  const auto add = [&](const std::string& tenant, const std::string& name, const Sensor& sensor) {
    const auto id = db.run("SELECT eav.register_attribute(" + tenant + ", '" + name + "', '" +
                           sensor.type + "', '" + sensor.projection + "')");
    return id.text(0, 0);
  };
  constexpr long kinds = std::size(sensors);
  for (long a = 0; a < options.attributes; ++a) {
    const Sensor& sensor = sensors[a % kinds];
    Attribute attribute{sensor.name, sensor, {}};
    if (a >= kinds) {
      attribute.name += "_" + std::to_string(a / kinds + 1);
    }
    for (const std::string& tenant : registry.tenants) {
      attribute.ids.push_back(add(tenant, attribute.name, sensor));
    }
    registry.attributes.push_back(attribute);
  }
  registry.probe_attribute = add(registry.tenants[0], "probe", {"probe", "int", "live"});
  return registry;
}

// Pseudo-random, and the same in every run.
inline std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 31)) * 0x7fb5d329728ea185;
  x = (x ^ (x >> 27)) * 0x81dadef4bc2dd44d;
  return x ^ (x >> 33);
}

// States stay as they are for about ten events; readings change with every one.
inline std::string value_of(const Sensor& sensor, long device, long event) {
  const std::uint64_t kind = mix((sensor.name[0] * 256 + sensor.name[1]) << 8);
  const std::uint64_t state = mix(kind + device * 31 + event / 10);
  const std::uint64_t reading = mix(kind + device * 1000003 + event);
  const std::string_view type = sensor.type;
  const bool hot = std::string_view(sensor.projection) == "hot";
  if (type == "float") {
    char text[32];
    std::snprintf(text, sizeof(text), "%.2f", static_cast<double>(reading % 12000) / 100 - 20);
    return text;
  }
  if (type == "bool") {
    return state % 4 == 0 ? "t" : "f";
  }
  if (type == "int") {
    return std::to_string(hot ? state % 6 : reading % 8000);
  }
  constexpr const char* states[] = {"idle", "driving", "charging", "fault"};
  return hot ? states[state % 4] : "cycle " + std::to_string(reading % 100000);
}

// How values are written down.
enum class Form {
  numbers,  // lines of COPY: device and attribute by number, a column for each type
  names,    // lines of COPY: both by name, the value as text
  mixed,    // lines of COPY: the device by number, the attribute by name, a column for each type
  json,     // a line of NDJSON: device by number
  json_names
};

inline Form form_of(const Options& options) {
  if (options.calls > 0) {
    return options.names != 0 ? Form::json_names : Form::json;
  }
  return options.names != 0 ? Form::names : Form::numbers;
}

inline std::string copy_command(Form form) {
  const char* const columns = form == Form::names ? "entity, attribute, observed_at, value"
                              : form == Form::mixed
                                  ? "entity_id, attribute, observed_at, value_float, value_int, "
                                    "value_bool, value_text"
                                  : "entity_id, attribute_id, observed_at, value_float, value_int, "
                                    "value_bool, value_text";
  return std::string("COPY eav.entity_values_ingest (tenant_id, ") + columns + ") FROM STDIN";
}

inline void add_rows(const Registry& registry, Form form, long device, long event,
                     const std::string& at, std::string& out) {
  const std::size_t tenant = static_cast<std::size_t>(device) % registry.tenants.size();
  for (const Attribute& attribute : registry.attributes) {
    const std::string value = value_of(attribute.sensor, device, event);
    out += registry.tenants[tenant] + '\t';
    if (form == Form::names) {
      out += "device-" + std::to_string(device) + '\t' + attribute.name + '\t' + at + '\t' + value +
             '\n';
      continue;
    }
    out += std::to_string(device) + '\t' +
           (form == Form::mixed ? attribute.name : attribute.ids[tenant]) + '\t' + at;
    for (const std::string_view type : {"float", "int", "bool", "text"}) {
      out += '\t';
      out += type == attribute.sensor.type ? value : "\\N";
    }
    out += '\n';
  }
}

inline void add_json(const Registry& registry, Form form, long device, long event,
                     const std::string& at, std::string& out) {
  const std::size_t tenant = static_cast<std::size_t>(device) % registry.tenants.size();
  out += R"({"tenant_id":)" + registry.tenants[tenant];
  if (form == Form::json_names) {
    out += R"(,"entity":"device-)" + std::to_string(device) + '"';
  } else {
    out += R"(,"entity_id":)" + std::to_string(device);
  }
  out += R"(,"observed_at":")" + at + R"(","attributes":{)";
  bool is_first = true;
  for (const Attribute& attribute : registry.attributes) {
    const std::string value = value_of(attribute.sensor, device, event);
    const std::string_view type = attribute.sensor.type;
    out += is_first ? "\"" : ",\"";
    is_first = false;
    out += attribute.name + "\":";
    if (type == "bool") {
      out += value == "t" ? "true" : "false";
    } else if (type == "text") {
      out += '"' + value + '"';
    } else {
      out += value;
    }
  }
  out += "}}\n";
}

// One event, by its device.
inline void add_event(const Registry& registry, Form form, long device, long event,
                      const std::string& at, std::string& out) {
  if (form == Form::json || form == Form::json_names) {
    add_json(registry, form, device, event, at, out);
  } else {
    add_rows(registry, form, device, event, at, out);
  }
}

}  // namespace bench
