// Bytes as they may lie in entity_jsonb.versions: an error, or a list that comes back the same.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "eav/core/error.hpp"
#include "eav/core/versions.hpp"

#include "eav/core/core_only.hpp"

namespace {

using namespace eav::core;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

const Arena heap = {[](void* /*context*/, std::size_t bytes) {
                      void* const memory = std::malloc(bytes);
                      return memory != nullptr ? memory : throw std::bad_alloc();
                    },
                    [](void* /*context*/, void* memory) { std::free(memory); }, nullptr};

// An arena frees its memory as a whole; here the vectors do it one by one.
template <typename T>
struct Owned : ArenaVector<T> {
  Owned() : ArenaVector<T>(heap) {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { std::free(this->data()); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Owned<AttributeVersion> versions;
  try {
    decode_versions({data, size}, versions);
  } catch (const Error& error) {
    require(std::strcmp(error.sqlstate, "XX001") == 0);
    return 0;
  }
  for (std::size_t i = 0; i < versions.size(); ++i) {
    require(versions[i].attribute_id > (i == 0 ? 0 : versions[i - 1].attribute_id));
  }
  Owned<std::uint8_t> bytes;
  encode_versions(versions.span(), bytes);
  require(bytes.size() <= size);  // ours is the shortest form
  Owned<AttributeVersion> again;
  decode_versions(bytes.span(), again);
  require(again.size() == versions.size());
  for (std::size_t i = 0; i < versions.size(); ++i) {
    require(again[i].attribute_id == versions[i].attribute_id &&
            again[i].version == versions[i].version);
  }
  return 0;
}
