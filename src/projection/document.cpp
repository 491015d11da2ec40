#include "eav/projection/document.hpp"

#include "eav/core/versions.hpp"
#include "eav/flush/registry.hpp"
#include "eav/pg/jsonb.hpp"
#include "eav/pg/memory.hpp"

namespace eav::projection {

namespace {

using core::AttributeVersion;
using Versions = core::ArenaVector<AttributeVersion>;

Datum empty_object() {
  JsonbParseState* state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

Datum bytea_of(const core::ArenaVector<std::uint8_t>& bytes) {
  auto* const result = static_cast<bytea*>(palloc(VARHDRSZ + bytes.size()));
  SET_VARSIZE(result, VARHDRSZ + bytes.size());
  memcpy(VARDATA(result), bytes.data(), bytes.size());
  return PointerGetDatum(result);
}

// Applies the changes that change anything; false when none does.
bool apply(Datum& object, core::ArenaVector<pg::MemberChange>& changes) {
  if (changes.empty()) {
    return false;
  }
  Jsonb* const jsonb = DatumGetJsonbP(object);
  std::size_t kept = 0;
  for (const pg::MemberChange& change : changes) {
    if (!pg::has_already(jsonb, change)) {
      changes[kept++] = change;
    }
  }
  if (kept == 0) {
    return false;
  }
  changes.truncate(kept);
  object = JsonbPGetDatum(pg::apply_changes(jsonb, changes.span()));
  return true;
}

}  // namespace

Document empty_document() {
  const Datum object = empty_object();
  return {object, object, bytea_of(core::ArenaVector<std::uint8_t>())};
}

Merge merge(const Document& document, std::span<const RowPointer> rows) {
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  Versions stored(arena);
  bytea* const packed = DatumGetByteaPP(document.versions);
  core::decode_versions(
      {reinterpret_cast<const std::uint8_t*>(VARDATA_ANY(packed)), VARSIZE_ANY_EXHDR(packed)},
      stored);

  Merge result{document, 0, false, false};
  Versions merged(arena);
  core::ArenaVector<pg::MemberChange> hot(arena);
  core::ArenaVector<pg::MemberChange> live(arena);
  std::size_t next_stored = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ingest::StagedRow& row = *rows[i];
    if (i + 1 < rows.size() && rows[i + 1]->attribute_id == row.attribute_id) {
      continue;  // the last of an attribute is its newest
    }
    while (next_stored < stored.size() && stored[next_stored].attribute_id < row.attribute_id) {
      merged.push_back(stored[next_stored++]);
    }
    if (next_stored < stored.size() && stored[next_stored].attribute_id == row.attribute_id) {
      const AttributeVersion& known = stored[next_stored++];
      if (known.version >= row.version) {
        merged.push_back(known);
        continue;
      }
    }
    merged.push_back({row.attribute_id, row.version});
    ++result.projected;
    auto& changes = row.projection == core::Projection::hot ? hot : live;
    changes.push_back({row.resolved->name, row.value.cleared,
                       row.value.cleared ? JsonbValue{} : pg::jsonb_of(row.value)});
  }
  if (result.projected == 0) {
    return result;
  }
  while (next_stored < stored.size()) {
    merged.push_back(stored[next_stored++]);
  }
  core::ArenaVector<std::uint8_t> bytes(arena);
  core::encode_versions(merged.span(), bytes);
  result.document.versions = bytea_of(bytes);
  result.hot_changed = apply(result.document.hot, hot);
  result.live_changed = apply(result.document.live, live);
  return result;
}

}  // namespace eav::projection
