// Text as readers bring it: no token, or one that is written the same again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "eav/core/token.hpp"

#include "eav/core/core_only.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  const auto token = eav::core::parse_token(text);
  if (token.has_value()) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](char c) { return c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c; });
    if (text != eav::core::to_text(*token).data() || token->timeline == 0 || token->position == 0) {
      std::abort();
    }
  }
  return 0;
}
