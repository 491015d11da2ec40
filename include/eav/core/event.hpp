// Events as producers send them, in JSON, and the compact form in which the ring carries them.
//
//   {"tenant_id": 123, "entity_id": 456, "observed_at": "2026-11-21T10:00:00Z",
//    "attributes": {"temp": 72.5, "status": "online", "tags": ["a"], "gone": null}}
//
// "entity": "device-456", an external id, may stand for entity_id. observed_at is RFC 3339 or
// milliseconds since 1970, and now when it is left out; tenant_id may be left out in a session that
// is bound to one. Keys come in any order.
//
// A payload is one event, an array of events, or several of either one after the other (NDJSON),
// with or without blanks between them. Keys and strings may be escaped; the text is UTF-8 without
// a byte order mark.
//
// Types of values: true and false are boolean, strings text, objects and arrays json as they are
// written, null clears the attribute. A number without point and exponent is an integer, any other
// is floating if the double stands for the very number that is written. A number that neither can
// keep is numeric.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "eav/core/arena.hpp"
#include "eav/core/value.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

// Deepest nesting of a payload, arrays and objects together.
constexpr std::size_t max_json_depth = 64;
// Most attributes of one event.
constexpr std::size_t max_event_attributes = 10'000;
// Largest payload.
constexpr std::size_t max_payload_bytes = std::size_t{1} << 30;
// Zero bytes that must be readable after a payload.
constexpr std::size_t json_padding = 64;

// Why an event is rejected.
enum class EventFault : std::uint8_t {
  unknown_key,
  missing_key,    // a key that an event must have, or no attributes in it
  duplicate_key,  // twice in the event itself; of equal attributes the last one wins
  wrong_type,
  out_of_range,  // a time or a number that cannot be kept; a text with a NUL character
  invalid_name,  // of an entity or an attribute
  too_large,     // a value, or the number of attributes
  wrong_tenant   // not the one that the session is bound to
};
constexpr std::size_t event_fault_count = 8;
std::string_view name_of(EventFault fault);  // "unknown_key", ...
const char* sqlstate_of(EventFault fault);   // five characters, static

struct EventRules {
  std::optional<std::int64_t> tenant_id;  // that the session is bound to; the default for events
  std::int64_t now;                       // default of observed_at; microseconds since 2000 UTC
  std::int64_t latest;                    // the greatest observed_at that is accepted
  std::size_t max_value_bytes;            // of a text, JSON or numeric value
};

struct EventCounts {
  std::uint32_t accepted = 0;  // events
  std::uint32_t rejected = 0;  // events
  std::uint64_t values = 0;    // of accepted events
  std::array<std::uint32_t, event_fault_count> faults{};
};

// Parses payloads. Keeps its buffers from one payload to the next, but for very large ones.
class EventParser {
 public:
  EventParser();
  ~EventParser();
  EventParser(const EventParser&) = delete;
  EventParser& operator=(const EventParser&) = delete;

  // Appends the accepted and the rejected events of the payload to `out`. After the payload follow
  // json_padding zero bytes. An event that is not right is rejected alone.
  // Throws Error 22P02 with the byte offset when the payload is no JSON, holds something else than
  // objects and arrays at the top, or is empty; 54001 when it is nested too deeply, 54000 when it
  // is larger than max_payload_bytes. Then `out` may hold some events, the last of them in part,
  // and is to be thrown away. What `out` throws passes through; it may also leave by longjmp.
  EventCounts parse(std::string_view payload, const EventRules& rules,
                    ArenaVector<std::uint8_t>& out);

  // The size of payloads for which there are buffers now.
  std::size_t buffered_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads the compact form: value by value, and the rejected events between them.
class EventReader {
 public:
  explicit EventReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  // Views point into the bytes.
  struct Value {
    std::int64_t tenant_id;
    std::int64_t entity_id;      // when entity is empty
    std::string_view entity;     // external id, or empty
    std::int64_t observed_at;    // microseconds since 2000 UTC
    std::string_view attribute;  // its name
    bool cleared;                // then the rest is unset
    DataType type;               // integer, floating, boolean; text, numeric and json in `text`
    std::int64_t integer;
    double floating;
    bool boolean;
    std::string_view text;  // numeric: as the producer wrote it
  };
  struct Reject {
    std::optional<std::int64_t> tenant_id;  // the session's when it is bound, else the event's
    EventFault fault;
    std::uint32_t position;   // of the event in its payload, from 1
    std::string_view reason;  // such as: unknown key "colour"
    std::string_view event;   // as the producer wrote it
  };
  enum class Kind : std::uint8_t { end, value, reject };

  // What comes next; the other of the two is left alone. Throws Error XX001 on bytes that parse()
  // cannot have written.
  Kind next(Value& value, Reject& reject);

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
  std::uint32_t values_left_ = 0;  // of the present event
  std::size_t values_end_ = 0;     // where they end; its external id follows
  Value event_{};
};

}  // namespace eav::core
