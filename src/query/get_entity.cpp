// eav.get_entity() and eav.get_entities().
#include <algorithm>

#include "eav/access/tenant.hpp"
#include "eav/freshness/status.hpp"
#include "eav/ingest/staged_row.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/jsonb.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/row.hpp"
#include "eav/pg/unique_index.hpp"
#include "eav/query/find.hpp"
#include "eav/stats/reads.hpp"

extern "C" {
#include <utils/datetime.h>
#include <utils/json.h>
}

namespace eav::query {

int64 tenant_of(FunctionCallInfo fcinfo) {
  if (PG_ARGISNULL(0)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("tenant_id must not be null")));
  }
  const int64 tenant_id = PG_GETARG_INT64(0);
  access::check_tenant(tenant_id);
  return tenant_id;
}

std::span<const Attribute* const> find_attributes(ArrayType* names, Attributes& attributes) {
  Datum* elements = nullptr;
  bool* nulls = nullptr;
  int count = 0;
  deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
  core::ArenaVector<const Attribute*> found(pg::arena_of(CurrentMemoryContext));
  StringInfoData unknown;
  initStringInfo(&unknown);
  for (int i = 0; i < count; ++i) {
    if (nulls[i]) {
      continue;
    }
    const text* const name = DatumGetTextPP(elements[i]);
    const std::string_view view = ingest::view_of(name);
    if (const Attribute* const attribute = attributes.named_ever(view)) {
      found.push_back(attribute);
      stats::count_read(attribute->attribute_id);
    } else {
      appendStringInfo(&unknown, "%s\"%.*s\"", unknown.len > 0 ? ", " : "",
                       static_cast<int>(view.size()), view.data());
    }
  }
  if (unknown.len > 0) {
    ereport(NOTICE, (errmsg("there are no attributes %s", unknown.data)));
  }
  // Each once: a document has a member once.
  std::sort(found.begin(), found.end(), [](const Attribute* left, const Attribute* right) {
    return left->attribute_id < right->attribute_id;
  });
  const auto* const end =
      std::unique(found.begin(), found.end(), [](const Attribute* left, const Attribute* right) {
        return left->attribute_id == right->attribute_id;
      });
  return {found.begin(), static_cast<std::size_t>(end - found.begin())};
}

namespace {

struct Options {
  ArrayType* attributes;
  bool with_metadata;
};

// Reads documents as they are asked for.
class Getter {
 public:
  Getter(int64 tenant_id, const Options& options)
      : attributes_(tenant_id), documents_(attributes_), with_metadata_(options.with_metadata) {
    if (options.attributes != nullptr) {
      shown_ = find_attributes(options.attributes, attributes_);
    }
    if (with_metadata_) {
      answer_ = freshness::answer_of_self();
    }
  }
  void close() {
    documents_.close();
    attributes_.close();
  }

  Documents& documents() { return documents_; }

  Jsonb* document() {
    Jsonb* const document = shown_ ? documents_.of(*shown_) : documents_.whole();
    return with_metadata_ ? with_metadata(document) : document;
  }

 private:
  Jsonb* with_metadata(Jsonb* document);
  Jsonb* observed_at(Jsonb* document);

  Attributes attributes_;
  Documents documents_;
  bool with_metadata_;
  std::optional<std::span<const Attribute* const>> shown_;
  freshness::Answer answer_{};
};

JsonbValue null_value() {
  JsonbValue value;
  value.type = jbvNull;
  return value;
}

JsonbValue time_value(TimestampTz at) {
  const int utc = 0;
  char* const buffer = static_cast<char*>(palloc(MAXDATELEN + 1));
  return pg::string_value(
      JsonEncodeDateTime(buffer, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc));
}

JsonbValue text_value(Datum datum) {
  const text* const value = DatumGetTextPP(datum);
  return pg::string_value(ingest::view_of(value));
}

JsonbValue seconds_value(const std::optional<core::Micros>& lag) {
  if (!lag) {
    return null_value();
  }
  const Datum seconds = Float8GetDatum(static_cast<double>(*lag) / core::one_second);
  JsonbValue value;
  value.type = jbvNumeric;
  value.val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric, seconds));
  return value;
}

// Of what is in the document.
Jsonb* Getter::observed_at(Jsonb* document) {
  core::ArenaVector<core::AttributeVersion> versions(pg::arena_of(CurrentMemoryContext));
  documents_.versions(versions);
  JsonbParseState* state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  for (const core::AttributeVersion& entry : versions) {
    const Attribute* const attribute = attributes_.with_id(entry.attribute_id);
    JsonbValue value;
    if (attribute != nullptr &&
        getKeyJsonValueFromContainer(&document->root, attribute->name.data(),
                                     static_cast<int>(attribute->name.size()), &value) != nullptr) {
      JsonbValue key = pg::string_value(attribute->name);
      pushJsonbValue(&state, WJB_KEY, &key);
      value = time_value(entry.version.observed_at);
      pushJsonbValue(&state, WJB_VALUE, &value);
    }
  }
  return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
}

Jsonb* Getter::with_metadata(Jsonb* document) {
  return pg::object_of(
      {{"entity_id", pg::integer_value(documents_.entity_id())},
       {"external_id",
        documents_.has_external_id() ? text_value(documents_.external_id()) : null_value()},
       {"document", pg::json_value(document)},
       {"observed_at", pg::json_value(observed_at(document))},
       {"source", pg::string_value(answer_.source)},
       {"lag_seconds", seconds_value(answer_.lag)},
       {"consistency", pg::string_value(answer_.consistency)}});
}

// The ids of entities with these external ids, in their order; null where there is none.
struct EntityIds {
  Datum* ids;
  bool* nulls;
  int count;
};

EntityIds ids_of(Datum* names, const bool* nulls, int count, int64 tenant_id) {
  pg::IndexScan scan("entities", "entities_tenant_id_external_id_key", 2,
                     pg::IndexScan::Want::rows);
  EntityIds result{static_cast<Datum*>(palloc(sizeof(Datum) * Max(count, 1))),
                   static_cast<bool*>(palloc(Max(count, 1))), count};
  for (int i = 0; i < count; ++i) {
    CHECK_FOR_INTERRUPTS();
    result.nulls[i] = true;
    if (nulls[i]) {
      continue;
    }
    ScanKeyData keys[2];
    ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(tenant_id));
    ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ, names[i]);
    scan.start(keys);
    if (TupleTableSlot* const row = scan.next_row()) {
      constexpr int column_entity_id = 2;
      result.nulls[i] = false;
      result.ids[i] = pg::column_of(row, column_entity_id);
    }
  }
  scan.close();
  return result;
}

Options options_of(FunctionCallInfo fcinfo) {
  if (PG_ARGISNULL(3)) {
    ereport(ERROR,
            (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("with_metadata must not be null")));
  }
  return {PG_ARGISNULL(2) ? nullptr : PG_GETARG_ARRAYTYPE_P(2), PG_GETARG_BOOL(3)};
}

// Null when there is no such entity.
Jsonb* get_one(int64 tenant_id, int64 entity_id, const Options& options) {
  Getter getter(tenant_id, options);
  Jsonb* const document = getter.documents().open(entity_id) ? getter.document() : nullptr;
  getter.close();
  return document;
}

// Ids that have come before become null.
void keep_first(const EntityIds& ids) {
  core::ArenaVector<int> places(pg::arena_of(CurrentMemoryContext));
  for (int i = 0; i < ids.count; ++i) {
    if (!ids.nulls[i]) {
      places.push_back(i);
    }
  }
  const auto id_at = [&](int place) { return DatumGetInt64(ids.ids[place]); };
  std::sort(places.begin(), places.end(), [&](int left, int right) {
    return id_at(left) != id_at(right) ? id_at(left) < id_at(right) : left < right;
  });
  for (std::size_t i = 1; i < places.size(); ++i) {
    ids.nulls[places[i]] = id_at(places[i]) == id_at(places[i - 1]);
  }
}

// Each entity once, in the order of the ids.
void put_many(ReturnSetInfo* result, int64 tenant_id, const EntityIds& ids,
              const Options& options) {
  Getter getter(tenant_id, options);
  MemoryContext const scratch =
      AllocSetContextCreate(CurrentMemoryContext, "eav entity", ALLOCSET_DEFAULT_SIZES);
  keep_first(ids);
  for (int i = 0; i < ids.count; ++i) {
    CHECK_FOR_INTERRUPTS();
    if (ids.nulls[i] || !getter.documents().open(DatumGetInt64(ids.ids[i]))) {
      continue;
    }
    MemoryContext const caller = MemoryContextSwitchTo(scratch);
    const Documents& documents = getter.documents();
    pg::put_row(result, {pg::Column(ids.ids[i]),
                         documents.has_external_id() ? pg::Column(documents.external_id())
                                                     : pg::Column::null(),
                         pg::Column(JsonbPGetDatum(getter.document()))});
    MemoryContextSwitchTo(caller);
    MemoryContextReset(scratch);
  }
  getter.close();
}

void get_many(FunctionCallInfo fcinfo, bool by_name) {
  const int64 tenant_id = tenant_of(fcinfo);
  const Options options = options_of(fcinfo);
  InitMaterializedSRF(fcinfo, 0);
  if (PG_ARGISNULL(1)) {
    return;
  }
  EntityIds ids{nullptr, nullptr, 0};
  ArrayType* const wanted = PG_GETARG_ARRAYTYPE_P(1);
  if (by_name) {
    deconstruct_array(wanted, TEXTOID, -1, false, TYPALIGN_INT, &ids.ids, &ids.nulls, &ids.count);
    ids = ids_of(ids.ids, ids.nulls, ids.count, tenant_id);
  } else {
    deconstruct_array(wanted, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE, &ids.ids, &ids.nulls,
                      &ids.count);
  }
  put_many(reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo), tenant_id, ids, options);
}

}  // namespace

}  // namespace eav::query

EAV_FUNCTION(eav_get_entity) {
  const int64 tenant_id = eav::query::tenant_of(fcinfo);
  const eav::query::Options options = eav::query::options_of(fcinfo);
  Jsonb* const document =
      PG_ARGISNULL(1) ? nullptr : eav::query::get_one(tenant_id, PG_GETARG_INT64(1), options);
  if (document == nullptr) {
    PG_RETURN_NULL();
  }
  PG_RETURN_JSONB_P(document);
}

EAV_FUNCTION(eav_get_entity_by_name) {
  using namespace eav::query;
  const int64 tenant_id = tenant_of(fcinfo);
  const Options options = options_of(fcinfo);
  Datum name = PG_GETARG_DATUM(1);
  const bool is_null = PG_ARGISNULL(1);
  const EntityIds ids = ids_of(&name, &is_null, 1, tenant_id);
  Jsonb* const document =
      ids.nulls[0] ? nullptr : get_one(tenant_id, DatumGetInt64(ids.ids[0]), options);
  if (document == nullptr) {
    PG_RETURN_NULL();
  }
  PG_RETURN_JSONB_P(document);
}

EAV_FUNCTION(eav_get_entities) {
  eav::query::get_many(fcinfo, false);
  return Datum(0);
}

EAV_FUNCTION(eav_get_entities_by_name) {
  eav::query::get_many(fcinfo, true);
  return Datum(0);
}
