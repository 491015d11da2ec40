#include "eav/core/json_index.hpp"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <new>

#include "eav/core/core_only.hpp"

namespace eav::core {

struct JsonIndex::Parser {
  std::unique_ptr<simdjson::internal::dom_parser_implementation> stages;
  // What tokens() answers for a text without any, which not every stage 1 writes down.
  std::uint32_t no_tokens[2] = {0, 0};
  bool is_empty = true;
};

JsonIndex::JsonIndex() : parser_(std::make_unique<Parser>()) {}
JsonIndex::~JsonIndex() = default;

bool JsonIndex::build(std::string_view text) {
  constexpr std::size_t least = 4096;
  if (text.size() <= kept_json_bytes) {
    release_if_large();  // when an error went past the call after the text before
  }
  if (!parser_->stages || parser_->stages->capacity() < text.size()) {
    // Stage 1 needs no depth, and the stacks of stage 2 are not used.
    if (simdjson::get_active_implementation()->create_dom_parser_implementation(
            text.size() <= kept_json_bytes ? std::max(least, std::bit_ceil(text.size()))
                                           : text.size(),
            1, parser_->stages) != simdjson::SUCCESS) {
      parser_->stages.reset();
      throw std::bad_alloc();
    }
  }
  std::fill_n(parser_->no_tokens, 2, static_cast<std::uint32_t>(text.size()));
  if (text.empty()) {
    parser_->is_empty = true;
    return true;
  }
  const simdjson::error_code error =
      parser_->stages->stage1(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(),
                              simdjson::stage1_mode::regular);
  parser_->is_empty = error == simdjson::EMPTY;
  return error == simdjson::SUCCESS || error == simdjson::EMPTY;
}

const std::uint32_t* JsonIndex::tokens() const {
  return parser_->is_empty ? parser_->no_tokens : parser_->stages->structural_indexes.get();
}

std::size_t JsonIndex::capacity() const {
  return parser_->stages ? parser_->stages->capacity() : 0;
}

void JsonIndex::release_if_large() {
  if (capacity() > kept_json_bytes) {
    parser_->stages.reset();
    parser_->is_empty = true;
  }
}

}  // namespace eav::core
