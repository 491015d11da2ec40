// What a producer holds to ask whether its values are durable yet: eight bytes that name one call
// of eav.ingest().
//
// Bits of a ticket, from the highest: 00 | epoch (10) | place (51) | spilled (1 bit, the lowest).
// The place of values in the ring is their sequence number (36 bits) and first slab (15); that of
// values in staging is their transaction id. The epoch is that of eav.flush_state, which
// grows whenever accepted values may have been lost.
#pragma once

#include <cstdint>

#include "eav/core/core_only.hpp"

namespace eav::core {

struct Ticket {
  static constexpr int epoch_bits = 10;
  static constexpr int slab_bits = 15;
  static constexpr int sequence_bits = 36;
  static constexpr int place_bits = slab_bits + sequence_bits;

  // The part of an epoch that a ticket keeps.
  static constexpr std::uint32_t short_epoch(std::int64_t epoch) {
    return static_cast<std::uint32_t>(epoch) & ((1U << epoch_bits) - 1);
  }
  static constexpr std::uint64_t short_sequence(std::uint64_t sequence) {
    return sequence & ((std::uint64_t{1} << sequence_bits) - 1);
  }

  static constexpr Ticket in_ring(std::int64_t epoch, std::uint64_t sequence, std::uint32_t slab) {
    return {false, short_epoch(epoch), short_sequence(sequence) << slab_bits | slab};
  }
  static constexpr Ticket in_staging(std::int64_t epoch, std::uint64_t xid) {
    return {true, short_epoch(epoch), xid};
  }

  static constexpr Ticket unpack(std::int64_t number) {
    const auto bits = static_cast<std::uint64_t>(number);
    return {(bits & 1) != 0, static_cast<std::uint32_t>(bits >> (place_bits + 1)),
            bits >> 1 & ((std::uint64_t{1} << place_bits) - 1)};
  }
  constexpr std::int64_t pack() const {
    return static_cast<std::int64_t>(std::uint64_t{epoch} << (place_bits + 1) | place << 1 |
                                     (is_spilled ? 1 : 0));
  }

  constexpr std::uint32_t slab() const {
    return static_cast<std::uint32_t>(place & ((1U << slab_bits) - 1));
  }
  constexpr std::uint64_t sequence() const { return place >> slab_bits; }
  constexpr std::uint64_t xid() const { return place; }

  bool is_spilled;
  std::uint32_t epoch;
  std::uint64_t place;
};

}  // namespace eav::core
