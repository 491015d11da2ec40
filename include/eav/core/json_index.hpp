// Where the tokens of a JSON text begin: the first stage of simdjson.
//
// Only this stage is used, through the interface that simdjson's own parsers call it by. Above it,
// On-Demand does not look at what it skips, its streams of documents drop a malformed tail without
// a word (and may start a thread), and errors carry no place. json_walk.hpp goes over the tokens
// instead, each of them once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "eav/core/core_only.hpp"

namespace eav::core {

// The buffers are kept for texts up to this size, and released after larger ones.
constexpr std::size_t kept_json_bytes = std::size_t{1} << 20;

class JsonIndex {
 public:
  JsonIndex();
  ~JsonIndex();
  JsonIndex(const JsonIndex&) = delete;
  JsonIndex& operator=(const JsonIndex&) = delete;

  // False when the text is not UTF-8, has a control character in a string, or a string that is not
  // closed. The text is below 4 GB, and json_padding bytes after it are readable.
  bool build(std::string_view text);

  // Offsets of brackets, colons, commas and of the first bytes of scalars (in a run of other bytes
  // than these and blanks only the first), in order; after the last the size of the text, twice.
  const std::uint32_t* tokens() const;

  // Bytes of text for which there are buffers now.
  std::size_t capacity() const;
  // Called after the last use of tokens().
  void release_if_large();

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace eav::core
