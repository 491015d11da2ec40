// Why an event is rejected, put together while it is walked over.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "eav/core/event.hpp"
#include "eav/core/json_text.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

// What the producer wrote, with its escapes: so there is no NUL in it.
struct Quoted {
  std::string_view text;
};

// Text without memory that an error could leak.
class Reason {
 public:
  void clear() { size_ = 0; }
  std::string_view text() const { return {bytes_.data(), size_}; }

  Reason& operator<<(std::string_view text) {
    const std::string_view cut = cut_utf8(text, bytes_.size() - size_);
    std::memcpy(bytes_.data() + size_, cut.data(), cut.size());
    size_ += cut.size();
    return *this;
  }
  Reason& operator<<(std::int64_t number) {
    std::array<char, 24> digits;
    const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    return *this << std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data()));
  }
  Reason& operator<<(char c) { return *this << std::string_view(&c, 1); }
  Reason& operator<<(const Quoted& quoted) {
    constexpr std::size_t most = 64;
    return *this << '"' << cut_utf8(quoted.text, most)
                 << (quoted.text.size() > most ? "...\"" : "\"");
  }

 private:
  std::array<char, 300> bytes_;
  std::size_t size_ = 0;
};

// The first fault of an event counts.
class Rejection {
 public:
  explicit operator bool() const { return is_rejected_; }
  EventFault fault() const { return fault_; }
  std::string_view reason() const { return reason_.text(); }

  void clear() { is_rejected_ = false; }
  // Takes the reason. After the first fault it is lost.
  Reason& add(EventFault fault) {
    Reason& reason = is_rejected_ ? ignored_ : reason_;
    fault_ = is_rejected_ ? fault_ : fault;
    is_rejected_ = true;
    reason.clear();
    return reason;
  }

 private:
  bool is_rejected_ = false;
  EventFault fault_{};
  Reason reason_;
  Reason ignored_;
};

}  // namespace eav::core
