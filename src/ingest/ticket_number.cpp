// A permutation of the 62 bits of a ticket, by a key that flush_state holds: a Feistel network over
// two halves of 31 bits with the hash function of the server. It hides how many calls lie between
// two tickets from who holds both; it is no encryption, and a ticket is no secret.
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

constexpr int half_bits = 31;
constexpr uint32 half_mask = (1U << half_bits) - 1;
constexpr uint32 rounds = 6;

struct Key {
  uint64 parts[2];
};
static_assert(sizeof(Key) == UUID_LEN);

Key own_key;
Oid key_of_function = InvalidOid;

uint32 mixed(const Key& key, uint32 half, uint32 round) {
  return static_cast<uint32>(hash_bytes_uint32_extended(half, key.parts[round % 2] + round)) &
         half_mask;
}

uint64 hidden(const Key& key, uint64 bits) {
  auto left = static_cast<uint32>(bits >> half_bits);
  auto right = static_cast<uint32>(bits) & half_mask;
  for (uint32 round = 0; round < rounds; ++round) {
    left ^= mixed(key, right, round);
    std::swap(left, right);
  }
  return uint64{left} << half_bits | right;
}

uint64 shown(const Key& key, uint64 bits) {
  auto left = static_cast<uint32>(bits >> half_bits);
  auto right = static_cast<uint32>(bits) & half_mask;
  for (uint32 round = rounds; round-- > 0;) {
    std::swap(left, right);
    left ^= mixed(key, right, round);
  }
  return uint64{left} << half_bits | right;
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
