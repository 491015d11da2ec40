// A filter: a jsonpath predicate over the names of attributes.
#pragma once

#include <string_view>

#include "eav/core/filter.hpp"
#include "eav/pg/postgres.hpp"
#include "eav/query/attributes.hpp"
#include "eav/query/documents.hpp"

extern "C" {
#include <utils/jsonpath.h>
}

namespace eav::query {

struct Mention {
  std::string_view name;
  const Attribute* attribute;  // null: there is none with values
};

struct Filter {
  JsonPath* path;  // null: every entity meets it
  const core::FilterNode* tree;
  core::ArenaVector<Mention> mentions;         // of its attributes, each once
  core::ArenaVector<const Attribute*> needed;  // those with values
  bool needs_whole;                            // it looks at more than those
  core::ArenaVector<JsonbValue> literals;      // what members must contain, for equalities
  Jsonb* no_variables;

  const Attribute* attribute(std::string_view name) const;
};

// path: null for none. Raises what is said of filters at eav.find_entities(); tells the client
// about attributes that are not there.
Filter make_filter(JsonPath* path, Attributes& attributes);

// Whether the open entity meets it.
bool is_met(const Filter& filter, Documents& documents);

}  // namespace eav::query
