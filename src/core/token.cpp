#include "eav/core/token.hpp"

#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

// Takes a number that is not zero off the front of the text.
template <typename Number>
bool take_number(std::string_view& text, Number& number) {
  if (text.empty() || text.front() == '0') {
    return false;
  }
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, 16);
  text = {stop, static_cast<std::size_t>(end - stop)};
  return error == std::errc();
}

}  // namespace

TokenText to_text(const Token& token) {
  TokenText text;
  std::snprintf(text.data(), text.size(), "%" PRIX32 "-%" PRIX64, token.timeline, token.position);
  return text;
}

std::optional<Token> parse_token(std::string_view text) {
  Token token;
  if (!take_number(text, token.timeline) || !text.starts_with('-')) {
    return std::nullopt;
  }
  text.remove_prefix(1);
  if (!take_number(text, token.position) || !text.empty()) {
    return std::nullopt;
  }
  return token;
}

}  // namespace eav::core
