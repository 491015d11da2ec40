#include "eav/projection/document.hpp"

#include <algorithm>

#include "eav/core/versions.hpp"
#include "eav/flush/registry.hpp"
#include "eav/pg/jsonb.hpp"
#include "eav/pg/memory.hpp"
#include "eav/projection/convert.hpp"

namespace eav::projection {

namespace {

using core::AttributeVersion;
using core::Projection;
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

namespace {

Versions versions_of(const Document& document) {
  Versions versions(pg::arena_of(CurrentMemoryContext));
  bytea* const packed = DatumGetByteaPP(document.versions);
  core::decode_versions(
      {reinterpret_cast<const std::uint8_t*>(VARDATA_ANY(packed)), VARSIZE_ANY_EXHDR(packed)},
      versions);
  return versions;
}

Datum packed(const Versions& versions) {
  core::ArenaVector<std::uint8_t> bytes(pg::arena_of(CurrentMemoryContext));
  core::encode_versions(versions.span(), bytes);
  return bytea_of(bytes);
}

// What happens to one document and to the rows of its entity in eav.entity_values_current.
class Changes {
 public:
  Changes() : arena_(pg::arena_of(CurrentMemoryContext)) {}

  void put(Projection where, const flush::Attribute& attribute, JsonbValue value) {
    if (where == Projection::current) {
      current.push_back({attribute.attribute_id, false, JsonbPGetDatum(JsonbValueToJsonb(&value))});
    } else {
      members(where).push_back({attribute.document_name, false, value});
    }
  }
  void remove(Projection where, const flush::Attribute& attribute) {
    if (where == Projection::current) {
      current.push_back({attribute.attribute_id, true, Datum(0)});
    } else {
      members(where).push_back({attribute.document_name, true, JsonbValue{}});
    }
  }
  // True when the document changes.
  bool apply_to(Document& document) {
    const bool hot_changes = apply(document.hot, hot_);
    return apply(document.live, live_) || hot_changes;
  }

 private:
  core::Arena arena_;
  core::ArenaVector<pg::MemberChange> hot_{arena_};
  core::ArenaVector<pg::MemberChange> live_{arena_};
  core::ArenaVector<pg::MemberChange>& members(Projection where) {
    return where == Projection::hot ? hot_ : live_;
  }

 public:
  core::ArenaVector<CurrentChange> current{arena_};
};

constexpr Projection stored_projections[] = {Projection::hot, Projection::live,
                                             Projection::current};

// The newest value of an attribute goes where it belongs.
void place(const ingest::StagedRow& row, Changes& changes) {
  const flush::Attribute& attribute = *row.resolved;
  if (row.value.cleared) {
    changes.remove(row.projection, attribute);
  } else {
    changes.put(row.projection, attribute, pg::jsonb_of(row.value));
  }
  for (const Projection where : stored_projections) {
    if (where != row.projection && attribute.may_be_in(where)) {
      changes.remove(where, attribute);
    }
  }
}

}  // namespace

Merge merge(const Document& document, std::span<const RowPointer> rows) {
  const Versions stored = versions_of(document);
  Merge result{document, 0, {}, core::ArenaVector<int32>(pg::arena_of(CurrentMemoryContext))};
  Versions merged(pg::arena_of(CurrentMemoryContext));
  Changes changes;
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
    } else {
      result.first.push_back(row.attribute_id);
    }
    merged.push_back({row.attribute_id, row.version});
    ++result.projected;
    place(row, changes);
  }
  if (result.projected == 0) {
    return result;
  }
  while (next_stored < stored.size()) {
    merged.push_back(stored[next_stored++]);
  }
  result.document.versions = packed(merged);
  changes.apply_to(result.document);
  result.current = changes.current;
  return result;
}

bool has_version(const Document& document, int32 attribute_id) {
  const Versions versions = versions_of(document);
  return std::any_of(versions.begin(), versions.end(), [attribute_id](const auto& entry) {
    return entry.attribute_id == attribute_id;
  });
}

namespace {

// Where a value of the attribute is now.
struct Place {
  std::optional<Projection> where;
  JsonbValue value;
};

Place find_value(const Document& document, std::optional<Datum> current_value,
                 std::string_view name) {
  Place place{};
  const auto is_in = [&place, name](Datum object) {
    return getKeyJsonValueFromContainer(&DatumGetJsonbP(object)->root, name.data(),
                                        static_cast<int>(name.size()), &place.value) != nullptr;
  };
  if (is_in(document.hot)) {
    place.where = Projection::hot;
  } else if (is_in(document.live)) {
    place.where = Projection::live;
  } else if (current_value) {
    place.where = Projection::current;
    place.value = pg::json_value(DatumGetJsonbP(*current_value));
  }
  return place;
}

// False when the document had no version of it.
bool forget_version(Document& document, int32 attribute_id) {
  Versions versions = versions_of(document);
  const auto entry = std::find_if(
      versions.begin(), versions.end(),
      [attribute_id](const auto& known) { return known.attribute_id == attribute_id; });
  if (entry == versions.end()) {
    return false;
  }
  std::copy(entry + 1, versions.end(), entry);
  versions.truncate(versions.size() - 1);
  document.versions = packed(versions);
  return true;
}

}  // namespace

Move relocate(const Document& document, std::optional<Datum> current_value,
              const Relocation& relocation) {
  const flush::Attribute& attribute = *relocation.attribute;
  Move move{document, false, {}, false, false};
  Changes changes;
  const Place place = find_value(document, current_value, attribute.document_name);
  bool is_kept = attribute.projection != Projection::none;
  if (place.where) {
    std::optional<JsonbValue> value = place.value;
    if (relocation.converts && attribute.type) {
      value = convert(place.value, *attribute.type);
      move.failed = !value;
      if (!value && !relocation.clears_failed) {
        value = place.value;
      }
    }
    is_kept = is_kept && value;
    if (!is_kept || *place.where != attribute.projection) {
      changes.remove(*place.where, attribute);
    }
    if (is_kept) {
      changes.put(attribute.projection, attribute, *value);
    }
  }
  move.document_changed = changes.apply_to(move.document);
  if (attribute.projection == Projection::none) {
    move.forgotten = forget_version(move.document, attribute.attribute_id);
    move.document_changed |= move.forgotten;
  }
  move.current = changes.current;
  return move;
}

}  // namespace eav::projection
