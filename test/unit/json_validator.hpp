// Says whether a text is a sequence of JSON objects and arrays, byte by byte and without any of
// the code under test. Grammar of RFC 8259, UTF-8 of RFC 3629.
#pragma once

#include <cstddef>
#include <string_view>

#include "eav/core/core_only.hpp"

namespace eav::test {

enum class JsonVerdict { valid, empty, malformed, too_deep };

class JsonValidator {
 public:
  JsonValidator(std::string_view text, std::size_t max_depth) : text_(text), left_(max_depth) {}

  JsonVerdict verdict() {
    skip_blanks();
    if (at_ == text_.size()) {
      return JsonVerdict::empty;
    }
    while (at_ < text_.size()) {
      if ((peek() != '{' && peek() != '[') || !value()) {
        return is_too_deep_ ? JsonVerdict::too_deep : JsonVerdict::malformed;
      }
      skip_blanks();
    }
    return JsonVerdict::valid;
  }
  // Where it went wrong, and where the token began in which it did.
  std::size_t offset() const { return at_; }
  std::size_t token() const { return token_ < at_ ? token_ : at_; }
  bool in_string() const { return in_string_; }

 private:
  static bool is_digit(int c) { return c >= '0' && c <= '9'; }
  int peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? static_cast<unsigned char>(text_[at_ + ahead]) : -1;
  }
  bool take(int c) {
    if (peek() != c) {
      return false;
    }
    ++at_;
    return true;
  }
  void skip_blanks() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') {
      ++at_;
    }
    token_ = at_;
  }

  bool value() {
    token_ = at_;
    switch (peek()) {
      case '{':
        return nested('}', true);
      case '[':
        return nested(']', false);
      case '"':
        return string();
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number() && ends_scalar();
    }
  }

  bool nested(char closing, bool has_keys) {
    if (left_ == 0) {
      is_too_deep_ = true;
      return false;
    }
    --left_;
    ++at_;
    skip_blanks();
    if (!take(closing)) {
      do {
        skip_blanks();
        if (has_keys) {
          if (peek() != '"' || !string()) {
            return false;
          }
          skip_blanks();
          if (!take(':')) {
            return false;
          }
          skip_blanks();
        }
        if (!value()) {
          return false;
        }
        skip_blanks();
      } while (take(','));
      if (!take(closing)) {
        return false;
      }
    }
    ++left_;
    return true;
  }

  bool word(std::string_view name) {
    if (text_.substr(at_, name.size()) != name) {
      return false;
    }
    at_ += name.size();
    return ends_scalar();
  }

  // Not `12x`: that is one malformed token.
  bool ends_scalar() const {
    return peek() == -1 || std::string_view(" \t\n\r,:[]{}").find(static_cast<char>(peek())) !=
                               std::string_view::npos;
  }

  bool digits() {
    const std::size_t begin = at_;
    while (is_digit(peek())) {
      ++at_;
    }
    return at_ > begin;
  }
  bool number() {
    take('-');
    if (!take('0') && !digits()) {
      return false;
    }
    if (take('.') && !digits()) {
      return false;
    }
    if (take('e') || take('E')) {
      if (!take('+')) {
        take('-');
      }
      return digits();
    }
    return true;
  }

  int hex(std::size_t ahead) const {
    int unit = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const int c = peek(ahead + i);
      const int digit = is_digit(c)              ? c - '0'
                        : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                        : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                                 : -1;
      if (digit < 0) {
        return -1;
      }
      unit = unit * 16 + digit;
    }
    return unit;
  }
  // At a backslash.
  bool escape() {
    const int c = peek(1);
    if (c == 'u') {
      const int unit = hex(2);
      if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        return false;
      }
      if (unit >= 0xd800 && unit <= 0xdbff) {
        const int low = hex(8);
        if (peek(6) != '\\' || peek(7) != 'u' || low < 0xdc00 || low > 0xdfff) {
          return false;
        }
        at_ += 6;
      }
      at_ += 6;
      return true;
    }
    at_ += 2;
    return c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' ||
           c == 't';
  }
  // Decodes one character, and looks at the result.
  bool utf8() {
    const int lead = peek();
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    int code = length == 1 ? lead : lead & (0x7f >> length);
    for (std::size_t i = 1; i < length; ++i) {
      if (peek(i) < 0x80 || peek(i) > 0xbf) {
        return false;
      }
      code = code << 6 | (peek(i) & 0x3f);
    }
    const bool is_shortest = length == 1 || (length == 2 && code >= 0x80 && lead >= 0xc0) ||
                             (length == 3 && code >= 0x800) || (length == 4 && code >= 0x10000);
    if (!is_shortest || lead > 0xf7 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
      return false;
    }
    at_ += length;
    return true;
  }
  bool string() {
    token_ = at_;
    in_string_ = true;
    ++at_;
    while (!take('"')) {
      if (peek() < 0x20 || !(peek() == '\\' ? escape() : utf8())) {
        return false;
      }
    }
    in_string_ = false;
    return true;
  }

  std::string_view text_;
  std::size_t left_;  // depth
  std::size_t at_ = 0;
  std::size_t token_ = 0;
  bool in_string_ = false;
  bool is_too_deep_ = false;
};

}  // namespace eav::test
