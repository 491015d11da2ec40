// The version list of a projected document: for each attribute the two times of its newest
// value, packed into bytes that PostgreSQL stores in entity_jsonb.versions.
//
// Format: one byte 0x01 (the format), then per attribute, ascending by attribute_id, three
// LEB128 numbers: attribute_id minus the one before, observed_at and ingested_at each as the
// zigzag difference to the entry before (0 before the first). An event sets many attributes at
// one time, so most entries take three bytes. An empty list is no bytes at all.
#pragma once

#include <compare>
#include <cstdint>
#include <span>

#include "eav/core/arena.hpp"
#include "eav/core/core_only.hpp"

namespace eav::core {

// Microseconds since 2000-01-01 UTC. The greater version wins: newer by the device's clock,
// then by arrival.
struct Version {
  std::int64_t observed_at;
  std::int64_t ingested_at;
  // The check sees the 0 that a defaulted comparison uses inside.
  // NOLINTNEXTLINE(modernize-use-nullptr)
  auto operator<=>(const Version&) const = default;
};

struct AttributeVersion {
  std::int32_t attribute_id;
  Version version;
};

// Appends to `bytes`. The entries must be sorted by attribute_id, each once.
void encode_versions(std::span<const AttributeVersion> versions, ArenaVector<std::uint8_t>& bytes);

// Appends to `versions`. Throws Error XX001 when the bytes are no version list.
void decode_versions(std::span<const std::uint8_t> bytes, ArenaVector<AttributeVersion>& versions);

}  // namespace eav::core
