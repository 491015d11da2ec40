// Payloads through EventParser and EventReader, beside a validator of its own; and any bytes
// through EventReader alone. The first byte chooses the rules.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "../unit/json_validator.hpp"

#include "eav/core/error.hpp"
#include "eav/core/event.hpp"

#include "eav/core/core_only.hpp"

namespace {

using namespace eav::core;
using eav::test::JsonValidator;
using eav::test::JsonVerdict;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

EventRules rules_of(unsigned choice) {
  EventRules rules = {std::nullopt, 0, std::numeric_limits<std::int64_t>::max(), 1'000'000};
  if ((choice & 1) != 0) {
    rules.tenant_id = 1;
  }
  if ((choice & 2) != 0) {
    rules.latest = 1'000'000;
  }
  if ((choice & 4) != 0) {
    rules.max_value_bytes = choice >> 3;
  }
  return rules;
}

// Of UTF-8 without NUL, as the validator sees it in quotes once what it would not take is replaced.
bool is_text(std::string_view text) {
  std::string json = "[\"";
  for (const char c : text) {
    if (c == '\0') {
      return false;
    }
    json += static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\' ? ' ' : c;
  }
  return JsonValidator(json += "\"]", 1).verdict() == JsonVerdict::valid;
}

struct Bytes {
  const char* begin;
  const char* end;
  bool hold(std::string_view text) const {
    return text.data() >= begin && text.data() + text.size() <= end;
  }
};

void check_value(const EventReader::Value& value, const EventRules& rules, const Bytes& bytes) {
  require(!rules.tenant_id || value.tenant_id == *rules.tenant_id);
  require(bytes.hold(value.entity) && bytes.hold(value.attribute));
  require(value.entity.empty() || (value.entity_id == 0 && is_text(value.entity) &&
                                   check_name(value.entity) == NameStatus::ok));
  require(is_text(value.attribute) && check_name(value.attribute) == NameStatus::ok);
  require(value.observed_at >= -211'813'488'000'000'000 &&
          value.observed_at < 9'223'371'331'200'000'000 && value.observed_at <= rules.latest);
  if (value.cleared) {
    return;
  }
  switch (value.type) {
    case DataType::integer:
    case DataType::boolean:
      return;
    case DataType::floating:
      require(std::isfinite(value.floating));
      return;
    case DataType::numeric:
      require(check_numeric(value.text) == ParseStatus::ok);
      require(JsonValidator("[" + std::string(value.text) + "]", 1).verdict() ==
              JsonVerdict::valid);
      break;
    case DataType::json:
      require(JsonValidator(value.text, max_json_depth - 2).verdict() == JsonVerdict::valid);
      break;
    case DataType::text:
      break;
    case DataType::timestamp:
      std::abort();  // JSON has none
  }
  require(value.text.size() <= rules.max_value_bytes);
  require(bytes.hold(value.text) && is_text(value.text));
}

void check_reject(const EventReader::Reject& reject, const EventRules& rules, const Bytes& bytes) {
  require(bytes.hold(reject.reason) && bytes.hold(reject.event));
  require(!reject.reason.empty() && reject.reason.size() <= 300 && is_text(reject.reason));
  require(JsonValidator("[" + std::string(reject.event) + "]", max_json_depth + 1).verdict() ==
          JsonVerdict::valid);
  require(!rules.tenant_id || reject.tenant_id == rules.tenant_id);
  require(reject.fault != EventFault::wrong_tenant || rules.tenant_id);
}

void read_back(const ArenaVector<std::uint8_t>& out, const EventCounts& counts,
               const EventRules& rules) {
  const auto* const begin = reinterpret_cast<const char*>(out.data());
  const Bytes bytes = {begin, begin + out.size()};
  EventReader reader(out.span());
  EventReader::Value value{};
  EventReader::Reject reject{};
  EventCounts seen;
  std::uint32_t position = 0;
  while (true) {
    const EventReader::Kind kind = reader.next(value, reject);
    if (kind == EventReader::Kind::end) {
      break;
    }
    if (kind == EventReader::Kind::value) {
      check_value(value, rules, bytes);
      seen.values += 1;
    } else {
      check_reject(reject, rules, bytes);
      seen.rejected += 1;
      seen.faults[static_cast<std::size_t>(reject.fault)] += 1;
      require(reject.position > position);
      position = reject.position;
    }
  }
  require(position <= counts.accepted + counts.rejected);
  require(seen.values == counts.values && counts.values >= counts.accepted);
  require(seen.rejected == counts.rejected && seen.faults == counts.faults);
}

void parse(EventParser& parser, std::string_view text, const EventRules& rules) {
  const auto payload = std::make_unique<char[]>(text.size() + json_padding);
  if (!text.empty()) {
    std::memcpy(payload.get(), text.data(), text.size());
  }
  ArenaVector<std::uint8_t> out(
      Arena{[](void* /*context*/, std::size_t bytes) { return std::malloc(bytes); },
            [](void* /*context*/, void* memory) { std::free(memory); }, nullptr});
  JsonValidator validator(text, max_json_depth);
  const JsonVerdict verdict = validator.verdict();
  try {
    const EventCounts counts = parser.parse({payload.get(), text.size()}, rules, out);
    require(verdict == JsonVerdict::valid);
    read_back(out, counts, rules);
  } catch (const Error& error) {
    const std::string_view state = error.sqlstate;
    require(verdict == JsonVerdict::too_deep ? state == "54001"
                                             : verdict != JsonVerdict::valid && state == "22P02");
  }
  std::free(out.data());
}

void read(std::span<const std::uint8_t> bytes) {
  EventReader reader(bytes);
  EventReader::Value value{};
  EventReader::Reject reject{};
  const auto touch = [](std::string_view text) {
    for (const volatile char& c : text) {
      static_cast<void>(c);  // reads it, under the eyes of the sanitizer
    }
  };
  try {
    while (true) {
      const EventReader::Kind kind = reader.next(value, reject);
      if (kind == EventReader::Kind::end) {
        return;
      }
      if (kind == EventReader::Kind::reject) {
        touch(reject.reason);
        touch(reject.event);
        continue;
      }
      touch(value.entity);
      touch(value.attribute);
      if (!value.cleared && value.type != DataType::integer && value.type != DataType::floating &&
          value.type != DataType::boolean) {
        touch(value.text);
      }
    }
  } catch (const Error& error) {
    require(std::strcmp(error.sqlstate, "XX001") == 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static EventParser parser;
  if (size == 0) {
    return 0;
  }
  parse(parser, {reinterpret_cast<const char*>(data) + 1, size - 1}, rules_of(data[0]));
  read({data + 1, size - 1});
  return 0;
}
