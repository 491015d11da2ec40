// Goes over a JSON text token by token, and finds whatever is malformed in it.
//
// Every token is taken once, and what is not wanted is skipped with the same care. The place of the
// next token is known from the index, which is what makes this fast: strings are not searched for
// their ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "eav/core/json_index.hpp"
#include "eav/core/json_number.hpp"
#include "eav/core/json_text.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

// A string without its quotes, as it is written.
struct JsonString {
  std::string_view raw;
  bool is_escaped;
  bool has_nul;
};

// Throws JsonFault. Holds nothing that needs a destructor.
class JsonWalk {
 public:
  // The index has been built from the text, and json_padding zero bytes follow the text: where a
  // token is missing at its end, there is the first of them.
  JsonWalk(std::string_view text, const JsonIndex& index)
      : text_(text.data()), size_(text.size()), at_(index.tokens()) {}

  bool at_end() const { return *at_ == size_; }
  // The first byte of the next token, and its place.
  char peek() const { return text_[*at_]; }
  std::size_t offset() const { return *at_; }
  // Goes past a token of one byte that peek() has shown.
  void take() { ++at_; }
  // The text from here up to what was taken last.
  std::string_view text_from(std::size_t begin) const {
    std::size_t end = *at_;
    while (is_json_blank(text_[end - 1])) {
      --end;
    }
    return {text_ + begin, end - begin};
  }

  [[noreturn]] void fail(const char* expected) const { throw JsonFault{*at_, expected}; }

  // A key of an object, and its colon.
  JsonString key() {
    if (peek() != '"') {
      fail("a key is expected");
    }
    const JsonString key = string();
    if (peek() != ':') {
      fail("a colon is expected");
    }
    take();
    return key;
  }

  // After an element: true when a comma leads to the next, false when the bracket is closed.
  bool next_element(char closing) {
    const char c = peek();
    if (c != ',' && c != closing) {
      fail("a comma or a closing bracket is expected");
    }
    take();
    return c == ',';
  }

  // peek() has shown its quote.
  JsonString string() {
    const std::size_t begin = *at_ + 1;
    std::size_t end = at_[1] - 1;
    while (is_json_blank(text_[end])) {
      --end;
    }
    if (end < begin || text_[end] != '"') {
      fail("a string begins that has no end");
    }
    JsonString result = {{text_ + begin, end - begin}, false, false};
    if (contains_byte(result.raw, '\\')) {
      check(result);
    }
    take();
    return result;
  }

  // peek() has shown anything but a string, an object or an array.
  bool at_number() const { return peek() == '-' || (peek() >= '0' && peek() <= '9'); }
  JsonNumber number() {
    const JsonNumber number = read_number(text_ + *at_);
    end_scalar(number.end, "a number is malformed");
    return number;
  }
  void literal(std::string_view name) {
    const bool is_there = std::memcmp(text_ + *at_, name.data(), name.size()) == 0;
    end_scalar(is_there ? text_ + *at_ + name.size() : nullptr, "a value is expected");
  }

  // Any value. `depth`: of the arrays and objects around it. Returns whether a string in it holds a
  // NUL character.
  bool skip(std::size_t depth);

 private:
  // Nothing but blanks may stand between a scalar and the next token.
  void end_scalar(const char* end, const char* expected) {
    if (end == nullptr) {
      fail(expected);
    }
    for (; end != text_ + at_[1]; ++end) {
      if (!is_json_blank(*end)) {
        fail(expected);
      }
    }
    take();
  }
  void check(JsonString& string) const;
  bool skip_scalar();

  const char* text_;
  std::size_t size_;
  const std::uint32_t* at_;
};

}  // namespace eav::core
