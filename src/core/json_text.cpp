#include "eav/core/json_text.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

constexpr std::string_view escapable = "\"\\/bfnrt";
constexpr std::string_view escaped = "\"\\/\b\f\n\r\t";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The code unit of an escape sequence \uXXXX at the front; nullopt when there is none.
std::optional<std::uint32_t> code_unit(std::string_view raw) {
  if (raw.size() < 6 || raw[0] != '\\' || raw[1] != 'u') {
    return std::nullopt;
  }
  std::uint32_t unit = 0;
  for (const char c : raw.substr(2, 4)) {
    const int digit = hex_digit(c);
    if (digit < 0) {
      return std::nullopt;
    }
    unit = unit << 4 | static_cast<std::uint32_t>(digit);
  }
  return unit;
}

constexpr bool is_high_surrogate(std::uint32_t unit) { return (unit & 0xfc00U) == 0xd800; }
constexpr bool is_low_surrogate(std::uint32_t unit) { return (unit & 0xfc00U) == 0xdc00; }

struct Escape {
  std::size_t length;  // 0 when it is malformed
  std::uint32_t code_point;
};

// The escape sequence at the front, which is a backslash.
Escape read_escape(std::string_view raw) {
  constexpr Escape malformed = {0, 0};
  if (raw.size() < 2) {
    return malformed;
  }
  if (raw[1] != 'u') {
    const std::size_t which = escapable.find(raw[1]);
    return which == std::string_view::npos ? malformed
                                           : Escape{2, static_cast<unsigned char>(escaped[which])};
  }
  const auto first = code_unit(raw);
  if (!first || is_low_surrogate(*first)) {
    return malformed;
  }
  if (!is_high_surrogate(*first)) {
    return {6, *first};
  }
  const auto second = code_unit(raw.substr(6));
  if (!second || !is_low_surrogate(*second)) {
    return malformed;
  }
  return {12, 0x10000 + ((*first & 0x3ffU) << 10 | (*second & 0x3ffU))};
}

char* put_utf8(std::uint32_t code_point, char* to) {
  if (code_point < 0x80) {
    *to++ = static_cast<char>(code_point);
    return to;
  }
  const auto put_tail = [&](int shift) {
    *to++ = static_cast<char>(0x80U | (code_point >> shift & 0x3fU));
  };
  if (code_point < 0x800) {
    *to++ = static_cast<char>(0xc0U | code_point >> 6);
  } else if (code_point < 0x10000) {
    *to++ = static_cast<char>(0xe0U | code_point >> 12);
    put_tail(6);
  } else {
    *to++ = static_cast<char>(0xf0U | code_point >> 18);
    put_tail(12);
    put_tail(6);
  }
  put_tail(0);
  return to;
}

// Bytes of the UTF-8 character at the front; 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) {
    return 1;
  }
  // The second byte tells overlong forms, surrogates and what is beyond U+10FFFF.
  struct Form {
    unsigned least, most, second_least, second_most;
    std::size_t length;
  };
  constexpr std::array<Form, 8> forms = {{{0xc2, 0xdf, 0x80, 0xbf, 2},
                                          {0xe0, 0xe0, 0xa0, 0xbf, 3},
                                          {0xe1, 0xec, 0x80, 0xbf, 3},
                                          {0xed, 0xed, 0x80, 0x9f, 3},
                                          {0xee, 0xef, 0x80, 0xbf, 3},
                                          {0xf0, 0xf0, 0x90, 0xbf, 4},
                                          {0xf1, 0xf3, 0x80, 0xbf, 4},
                                          {0xf4, 0xf4, 0x80, 0x8f, 4}}};
  const auto* const form = std::find_if(forms.begin(), forms.end(), [lead](const Form& candidate) {
    return lead >= candidate.least && lead <= candidate.most;
  });
  if (form == forms.end() || byte(1) < form->second_least || byte(1) > form->second_most) {
    return 0;
  }
  for (std::size_t i = 2; i < form->length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) {
      return 0;
    }
  }
  return form->length;
}

}  // namespace

EscapeCheck check_escapes(std::string_view raw) {
  bool has_nul = false;
  std::size_t at = raw.find('\\');
  while (at != std::string_view::npos) {
    const Escape escape = read_escape(raw.substr(at));
    if (escape.length == 0) {
      return {at, has_nul};
    }
    has_nul = has_nul || escape.code_point == 0;
    at = raw.find('\\', at + escape.length);
  }
  return {std::string_view::npos, has_nul};
}

char* unescape(std::string_view raw, char* to) {
  while (!raw.empty()) {
    const std::size_t plain = std::min(raw.find('\\'), raw.size());
    to = std::copy_n(raw.data(), plain, to);
    raw.remove_prefix(plain);
    if (!raw.empty()) {
      const Escape escape = read_escape(raw);
      to = put_utf8(escape.code_point, to);
      raw.remove_prefix(escape.length);
    }
  }
  return to;
}

LexicalFault find_lexical_fault(std::string_view text) {
  bool in_string = false;
  bool in_scalar = false;  // of another kind, a number for example
  std::size_t begin = 0;   // of the present string
  std::size_t at = 0;
  const auto fault = [&](const char* expected) {
    return LexicalFault{{at, expected}, in_string ? begin : at};
  };
  while (at < text.size()) {
    const std::size_t length = utf8_length(text.substr(at));
    if (length == 0) {
      return fault("the text is not UTF-8");
    }
    const char c = text[at];
    if (in_string) {
      if (static_cast<unsigned char>(c) < 0x20) {
        return fault("a control character stands in a string");
      }
      in_string = c != '"';
      const char next = c == '\\' && at + 1 < text.size() ? text[at + 1] : ' ';
      if (static_cast<unsigned char>(next) >= 0x80) {
        return fault("an escape sequence is malformed");
      }
      at += next == '"' || next == '\\' ? 1 : 0;  // other escapes hide nothing
    } else if (c == '\\' || (c == '"' && in_scalar)) {
      return fault("a value is expected");
    } else {
      in_string = c == '"';
      begin = at;
      in_scalar = !in_string && !is_json_blank(c) && !is_json_operator(c);
    }
    at += length;
  }
  at = in_string ? begin : at;
  return fault("a string begins that has no end");
}

std::string_view cut_utf8(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) {
    return text;
  }
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0U) == 0x80) {
    --bytes;
  }
  return text.substr(0, bytes);
}

}  // namespace eav::core
