// Payloads for tests, and what the parser makes of them in a form that compares and prints.
#pragma once

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "memory.hpp"

#include "eav/core/error.hpp"
#include "eav/core/event.hpp"

#include "eav/core/core_only.hpp"

namespace eav::test {

// A text followed by exactly the zero bytes that the parser may read, so that the sanitizer sees
// it read more.
class Payload {
 public:
  explicit Payload(std::string_view text)
      : size_(text.size()), bytes_(std::make_unique<char[]>(text.size() + core::json_padding)) {
    std::memcpy(bytes_.get(), text.data(), text.size());
  }
  std::string_view text() const { return {bytes_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<char[]> bytes_;
};

constexpr core::EventRules any_rules = {std::nullopt, 0, std::numeric_limits<std::int64_t>::max(),
                                        1'000'000};

// tenant/entity@time attribute=value, the value as 1, 1.5f, true, null, "text", 1n, json:[1].
inline std::string show(const core::EventReader::Value& value) {
  using core::DataType;
  std::string text = std::to_string(value.tenant_id) + "/" +
                     (value.entity.empty() ? std::to_string(value.entity_id)
                                           : "'" + std::string(value.entity) + "'") +
                     "@" + std::to_string(value.observed_at) + " " + std::string(value.attribute) +
                     "=";
  if (value.cleared) {
    return text + "null";
  }
  switch (value.type) {
    case DataType::integer:
      return text + std::to_string(value.integer);
    case DataType::floating: {
      char digits[40];
      std::snprintf(digits, sizeof(digits), "%.17gf", value.floating);
      return text + digits;
    }
    case DataType::boolean:
      return text + (value.boolean ? "true" : "false");
    case DataType::text:
      return text + '"' + std::string(value.text) + '"';
    case DataType::numeric:
      return text + std::string(value.text) + "n";
    case DataType::json:
      return text + "json:" + std::string(value.text);
    default:
      return text + "?";
  }
}

// #position tenant fault: reason | event
inline std::string show(const core::EventReader::Reject& reject) {
  return "#" + std::to_string(reject.position) + " " +
         (reject.tenant_id ? std::to_string(*reject.tenant_id) : "-") + " " +
         std::string(name_of(reject.fault)) + ": " + std::string(reject.reason) + " | " +
         std::string(reject.event);
}

struct Parsed {
  core::EventCounts counts;
  std::vector<std::string> values;
  std::vector<std::string> rejects;
  std::string error;  // SQLSTATE: detail
  std::string sqlstate;
  std::size_t offset = 0;  // that the error names
};

inline Parsed parse(core::EventParser& parser, std::string_view text,
                    const core::EventRules& rules = any_rules) {
  Parsed parsed;
  CountingArena memory;
  core::ArenaVector<std::uint8_t> out(memory.arena());
  const Payload payload(text);
  try {
    parsed.counts = parser.parse(payload.text(), rules, out);
  } catch (const core::Error& error) {
    parsed.error = std::string(error.sqlstate) + ": " + error.detail;
    parsed.sqlstate = error.sqlstate;
    std::sscanf(error.detail.c_str(), "At byte offset %zu", &parsed.offset);
    return parsed;
  }
  // A copy without room to spare, so that the sanitizer sees the reader go beyond it.
  const std::vector<std::uint8_t> bytes(out.begin(), out.end());
  core::EventReader reader(bytes);
  core::EventReader::Value value{};
  core::EventReader::Reject reject{};
  while (true) {
    switch (reader.next(value, reject)) {
      case core::EventReader::Kind::end:
        return parsed;
      case core::EventReader::Kind::value:
        parsed.values.push_back(show(value));
        break;
      case core::EventReader::Kind::reject:
        parsed.rejects.push_back(show(reject));
        break;
    }
  }
}

inline Parsed parse(std::string_view text, const core::EventRules& rules = any_rules) {
  core::EventParser parser;
  return parse(parser, text, rules);
}

// An event of tenant 1 and entity 2 with these attributes, such as: "a":1
inline std::string event_of(const std::string& attributes) {
  return R"({"tenant_id":1,"entity_id":2,"attributes":{)" + attributes + "}}";
}

// What becomes of one value, without what stands before it; or of the event.
inline std::string value_of(const std::string& json, const core::EventRules& rules = any_rules) {
  const Parsed parsed = parse(event_of("\"a\":" + json), rules);
  if (!parsed.error.empty()) {
    return parsed.error;
  }
  if (parsed.values.size() == 1 && parsed.values[0].starts_with("1/2@0 a=")) {
    return parsed.values[0].substr(8);
  }
  return parsed.rejects.size() == 1 ? parsed.rejects[0].substr(0, parsed.rejects[0].find(" |"))
                                    : "neither";
}

}  // namespace eav::test
