#include "eav/core/versions.hpp"

#include "eav/core/error.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

constexpr std::uint8_t format = 0x01;

Error corrupted() { return {"XX001", "the version list of a projected document is corrupted"}; }

void put_number(std::uint64_t number, ArenaVector<std::uint8_t>& bytes) {
  while (number >= 0x80) {
    bytes.push_back(static_cast<std::uint8_t>(number | 0x80));
    number >>= 7;
  }
  bytes.push_back(static_cast<std::uint8_t>(number));
}

bool take_number(std::span<const std::uint8_t>& bytes, std::uint64_t& number) {
  number = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (bytes.empty()) {
      return false;
    }
    const std::uint8_t byte = bytes.front();
    bytes = bytes.subspan(1);
    if (shift == 63 && byte > 1) {
      return false;
    }
    number |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      return true;
    }
  }
  return false;
}

// Differences wrap around in 64 bits, which the decoder undoes: any two times have one.
std::uint64_t difference(std::int64_t to, std::int64_t from) {
  const auto delta =
      static_cast<std::int64_t>(static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from));
  return (static_cast<std::uint64_t>(delta) << 1) ^ static_cast<std::uint64_t>(delta >> 63);
}

std::int64_t add_difference(std::int64_t from, std::uint64_t zigzag) {
  const std::uint64_t delta = (zigzag >> 1) ^ (0 - (zigzag & 1));
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(from) + delta);
}

}  // namespace

void encode_versions(std::span<const AttributeVersion> versions, ArenaVector<std::uint8_t>& bytes) {
  if (versions.empty()) {
    return;
  }
  bytes.push_back(format);
  AttributeVersion before{0, {0, 0}};
  for (const AttributeVersion& entry : versions) {
    put_number(static_cast<std::uint64_t>(entry.attribute_id - before.attribute_id), bytes);
    put_number(difference(entry.version.observed_at, before.version.observed_at), bytes);
    put_number(difference(entry.version.ingested_at, before.version.ingested_at), bytes);
    before = entry;
  }
}

void decode_versions(std::span<const std::uint8_t> bytes, ArenaVector<AttributeVersion>& versions) {
  if (bytes.empty()) {
    return;
  }
  if (bytes.front() != format) {
    throw corrupted();
  }
  bytes = bytes.subspan(1);
  AttributeVersion entry{0, {0, 0}};
  while (!bytes.empty()) {
    std::uint64_t id = 0;
    std::uint64_t observed = 0;
    std::uint64_t ingested = 0;
    if (!take_number(bytes, id) || !take_number(bytes, observed) || !take_number(bytes, ingested) ||
        id == 0 || id > static_cast<std::uint64_t>(INT32_MAX - entry.attribute_id)) {
      throw corrupted();
    }
    entry.attribute_id += static_cast<std::int32_t>(id);
    entry.version.observed_at = add_difference(entry.version.observed_at, observed);
    entry.version.ingested_at = add_difference(entry.version.ingested_at, ingested);
    versions.push_back(entry);
  }
}

}  // namespace eav::core
