// Documents: one jsonb object per entity and kind of projection.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>

#include "eav/ingest/value.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::pg {

// A member to set or, when removed, to take out.
struct MemberChange {
  std::string_view name;
  bool removed;
  JsonbValue value;
};

// A value as jsonb shows it: NaN and infinities, which JSON has no numbers for, become the
// strings "NaN", "Infinity" and "-Infinity"; timestamps become ISO 8601 strings in UTC.
JsonbValue jsonb_of(const ingest::Value& value);

JsonbValue integer_value(int64 number);
JsonbValue boolean_value(bool boolean);
// Refers to the text.
JsonbValue string_value(std::string_view text);
JsonbValue json_value(Jsonb* json);

// Whether arrays and objects are nested more deeply than that. Needs no stack, as making jsonb
// does.
bool is_deeper(Jsonb* json, std::size_t most);

// An object of members with distinct names.
Jsonb* object_of(std::initializer_list<std::pair<const char*, JsonbValue>> members);

// True when the object has the member with just this value (numbers by value, 1.0 = 1.00);
// for a removal, when it has no such member.
bool has_already(Jsonb* object, const MemberChange& change);

// A new object with the changes applied. Names must be distinct; sorts the changes.
Jsonb* apply_changes(Jsonb* object, std::span<MemberChange> changes);

struct Member {
  std::string_view name;
  JsonbValue value;  // a scalar, or jbvBinary
};
// An object of members with distinct names, in any order. Writes the format of jsonb itself, as
// putting together large documents is what reading them spends its time on.
Jsonb* make_object(std::span<const Member> members);

// The members of both; those of `right` win.
Jsonb* merge_objects(Jsonb* left, Jsonb* right);

}  // namespace eav::pg
