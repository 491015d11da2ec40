// The compact form of events: what EventParser writes and EventReader reads.
//
// A sequence of records without anything between them. Numbers are in the byte order of the
// machine, and nothing is aligned.
//
//   event:  EventHeader, values, external id (entity_bytes)
//   value:  length of the name (1 byte), name, ValueTag (1 byte), then
//             cleared                nothing
//             integer, floating      8 bytes
//             boolean                1 byte, 0 or 1
//             text, numeric, json    length (4 bytes), bytes
//   reject: RejectHeader, reason, event as it was written
//
// The external id comes last because the values may be written before it is known.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "eav/core/arena.hpp"
#include "eav/core/value.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

enum class RecordKind : std::uint8_t { event = 1, reject = 2 };

enum class ValueTag : std::uint8_t { cleared, integer, floating, boolean, text, numeric, json };

struct EventHeader {
  RecordKind kind;
  std::uint8_t entity_bytes;  // 0: entity_id names the entity
  std::uint16_t values;
  std::uint32_t value_bytes;
  std::int64_t tenant_id;
  std::int64_t entity_id;
  std::int64_t observed_at;
};
static_assert(sizeof(EventHeader) == 32);

struct RejectHeader {
  RecordKind kind;
  std::uint8_t fault;
  std::uint8_t has_tenant;
  std::uint8_t unused;
  std::uint32_t position;
  std::int64_t tenant_id;
  std::uint32_t reason_bytes;
  std::uint32_t event_bytes;
};
static_assert(sizeof(RejectHeader) == 24);

// Appends records. Room is asked for once for several writes; these do not look.
class EventWriter {
 public:
  // put_bytes() may write this much beyond what it is given, and needs as much room.
  static constexpr std::size_t slack = 32;

  // Expects about so much to come.
  EventWriter(ArenaVector<std::uint8_t>& out, std::size_t expected)
      : out_(out), size_(out.size()), room_(out.size()) {
    make_room(expected);
  }

  std::size_t size() const { return size_; }
  char* here() { return base_ + size_; }

  void make_room(std::size_t bytes) {
    if (room_ - size_ < bytes) {
      grow(bytes);
    }
  }
  void put(const void* bytes, std::size_t count) {
    std::memcpy(here(), bytes, count);
    size_ += count;
  }
  template <typename T>
  void put(const T& value) {
    put(&value, sizeof(value));
  }
  // Reads up to `slack` bytes beyond the text: most are short, and copied without a call.
  void put_bytes(std::string_view text) {
    if (text.size() <= slack) {
      std::memcpy(here(), text.data(), slack);
    } else {
      std::memcpy(here(), text.data(), text.size());
    }
    size_ += text.size();
  }
  void skip(std::size_t bytes) { size_ += bytes; }
  void rewind(std::size_t size) { size_ = size; }
  template <typename T>
  void put_at(std::size_t place, const T& value) {
    std::memcpy(base_ + place, &value, sizeof(value));
  }
  void finish() { out_.truncate(size_); }

 private:
  // To powers of two: many small payloads may go to one vector, whose capacity is not known here.
  void grow(std::size_t bytes) {
    out_.truncate(size_);
    room_ = std::bit_ceil(size_ + bytes);
    out_.reserve(room_);
    base_ = reinterpret_cast<char*>(out_.data());
  }

  ArenaVector<std::uint8_t>& out_;
  char* base_ = nullptr;
  std::size_t size_;
  std::size_t room_;
};

}  // namespace eav::core
