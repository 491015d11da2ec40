// A permutation of the bits of a ticket above the lowest, by a key that flush_state holds: a
// Feistel network over parts of 31 and 30 bits with the hash function of the server. It hides how
// many calls lie between two tickets from who holds both; it is no encryption, and a ticket is no
// secret.
#include "eav/ingest/ticket_number.hpp"

#include "eav/pg/catalog.hpp"
#include "eav/pg/owner.hpp"
#include "eav/pg/spi.hpp"

extern "C" {
#include <common/hashfn.h>
#include <utils/uuid.h>
}

namespace eav::ingest {

namespace {

constexpr int low_bits = 30;
constexpr uint32 low_mask = (1U << low_bits) - 1;
constexpr uint32 high_mask = (1U << 31) - 1;
constexpr uint32 rounds = 6;

struct Key {
  uint64 parts[2];
};
static_assert(sizeof(Key) == UUID_LEN);

Key own_key;
Oid key_of_function = InvalidOid;

struct Parts {
  uint32 high;
  uint32 low;
};

// Each round changes one part by the other, and so undoes itself.
void mix(const Key& key, uint32 round, Parts& parts) {
  const uint64 seed = key.parts[round / 2 % 2] + round;
  if (round % 2 == 0) {
    parts.high ^= static_cast<uint32>(hash_bytes_uint32_extended(parts.low, seed)) & high_mask;
  } else {
    parts.low ^= static_cast<uint32>(hash_bytes_uint32_extended(parts.high, seed)) & low_mask;
  }
}

Parts parts_of(uint64 bits) {
  return {static_cast<uint32>(bits >> (low_bits + 1)), static_cast<uint32>(bits >> 1) & low_mask};
}

uint64 bits_of(const Parts& parts, uint64 lowest_bit) {
  return (uint64{parts.high} << low_bits | parts.low) << 1 | lowest_bit;
}

uint64 hidden(const Key& key, uint64 bits) {
  Parts parts = parts_of(bits);
  for (uint32 round = 0; round < rounds; ++round) {
    mix(key, round, parts);
  }
  return bits_of(parts, bits & 1);
}

uint64 shown(const Key& key, uint64 bits) {
  Parts parts = parts_of(bits);
  for (uint32 round = rounds; round-- > 0;) {
    mix(key, round, parts);
  }
  return bits_of(parts, bits & 1);
}

Key read_key() {
  static pg::Statement select("SELECT ticket_key FROM eav.flush_state", {});
  Key key{};
  pg::as_owner(pg::relation_oid("flush_state"), [&] {
    SPI_connect();
    select.run({});
    if (SPI_processed == 1) {
      memcpy(&key, DatumGetUUIDP(pg::cell(0, 1).value)->data, sizeof(key));
    }
    SPI_finish();
  });
  return key;
}

}  // namespace

void learn_ticket_key(Oid function) {
  if (key_of_function != function) {
    own_key = read_key();
    key_of_function = function;
  }
}

int64 ticket_number(const core::Ticket& ticket) {
  return static_cast<int64>(hidden(own_key, static_cast<uint64>(ticket.pack())));
}

core::Ticket ticket_of(int64 number) {
  return core::Ticket::unpack(static_cast<int64>(shown(read_key(), static_cast<uint64>(number))));
}

}  // namespace eav::ingest
