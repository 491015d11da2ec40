// The attributes of one event: from JSON to the compact form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "eav/core/event.hpp"
#include "eav/core/event_codec.hpp"
#include "eav/core/event_fault.hpp"
#include "eav/core/json_walk.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

class ValueWriter {
 public:
  ValueWriter(JsonWalk& json, const EventRules& rules, EventWriter& out, Rejection& rejection)
      : json_(json), rules_(rules), out_(out), rejection_(rejection) {}

  void begin_event() { count_ = 0; }
  // Values of the event so far.
  std::uint32_t count() const { return count_; }

  // Takes the object that holds them, and writes them unless the event is rejected. `depth`: of the
  // arrays and objects around it.
  void attributes(std::size_t depth);
  // `what` it names. There is room for max_name_bytes and the slack. False when the event is
  // rejected.
  bool write_name(const JsonString& name, std::string_view what);
  // At the end of the output, where the next write overwrites it unless it is skipped.
  std::string_view unescaped(const JsonString& text);

 private:
  // Writes the name; room for a short value is there then. False when the event is rejected.
  bool begin_value(const JsonString& name);
  void value(const JsonString& name, std::size_t depth);
  void number_value(const JsonString& name);
  void text_value(const JsonString& name, const JsonString& text);
  void sized_value(ValueTag tag, const JsonString& name, std::string_view text);
  bool is_small_enough(const JsonString& name, std::size_t bytes);
  void reject_nul(const JsonString& name);

  JsonWalk& json_;
  const EventRules& rules_;
  EventWriter& out_;
  Rejection& rejection_;
  std::uint32_t count_ = 0;
};

}  // namespace eav::core
