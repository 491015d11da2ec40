#include "eav/core/json_walk.hpp"

#include "eav/core/event.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

void JsonWalk::check(JsonString& string) const {
  const EscapeCheck escapes = check_escapes(string.raw);
  if (escapes.malformed_at != std::string_view::npos) {
    throw JsonFault{static_cast<std::size_t>(string.raw.data() - text_) + escapes.malformed_at,
                    "an escape sequence is malformed"};
  }
  string.is_escaped = true;
  string.has_nul = escapes.has_nul;
}

bool JsonWalk::skip_scalar() {
  switch (peek()) {
    case '"':
      return string().has_nul;
    case 't':
      literal("true");
      return false;
    case 'f':
      literal("false");
      return false;
    case 'n':
      literal("null");
      return false;
    default:
      if (!at_number()) {
        fail("a value is expected");
      }
      end_scalar(skip_number(text_ + *at_), "a number is malformed");
      return false;
  }
}

bool JsonWalk::skip(std::size_t depth) {
  // Which of the open brackets are of objects, the innermost in the lowest bit.
  static_assert(max_json_depth <= 64);
  std::uint64_t objects = 0;
  std::size_t open = 0;
  bool has_nul = false;
  const auto key_if_object = [&] {
    if ((objects & 1) != 0) {
      has_nul |= key().has_nul;
    }
  };
  while (true) {
    const char c = peek();
    if (c == '{' || c == '[') {
      if (depth + open == max_json_depth) {
        throw JsonFault{offset(), "nested too deeply", true};
      }
      take();
      if (peek() != (c == '{' ? '}' : ']')) {
        ++open;
        objects = objects << 1 | (c == '{' ? 1 : 0);
        key_if_object();
        continue;
      }
      take();
    } else {
      has_nul |= skip_scalar();
    }
    while (open > 0 && !next_element((objects & 1) != 0 ? '}' : ']')) {
      --open;
      objects >>= 1;
    }
    if (open == 0) {
      return has_nul;
    }
    key_if_object();
  }
}

}  // namespace eav::core
