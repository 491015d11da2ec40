// eav.upsert_hot_attributes(): values of one entity into history and projection in the
// transaction of the caller, by the same rules as a flush; what a flush would reject is an
// error here, and where a flush would pass on, this waits.
#include <algorithm>

#include "eav/access/tenant.hpp"
#include "eav/flush/alone.hpp"
#include "eav/flush/apply.hpp"
#include "eav/flush/flush.hpp"
#include "eav/flush/registry.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/guard.hpp"
#include "eav/pg/jsonb.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/owner.hpp"
#include "eav/pg/spi.hpp"
#include "eav/pg/unique_index.hpp"
#include "eav/settings.hpp"
#include "eav/stop_point.hpp"

namespace eav::projection {

namespace {

using core::DataType;
using ingest::StagedRow;

[[noreturn]] void raise_rejection(const ingest::Rejection& rejection, std::string_view name) {
  ereport(ERROR, (errcode(rejection.sqlstate), errmsg("%s", rejection.reason),
                  errdetail("Attribute: \"%.*s\".", static_cast<int>(name.size()), name.data())));
  pg_unreachable();
}

template <typename JsonString>
std::string_view view_of(const JsonString& string) {
  return {string.val, static_cast<std::size_t>(string.len)};
}

// The member as a staged value: numbers and strings as text, to be read by the attribute's
// type. Returns the type that a new attribute would get from it, none from a null.
std::optional<DataType> read_member(JsonbValue& member, StagedRow& row) {
  row.value.cleared = false;
  switch (member.type) {
    case jbvNull:
      row.value.cleared = true;
      row.value.type = DataType::text;
      return std::nullopt;
    case jbvString:
      row.unparsed = view_of(member.val.string);
      return DataType::text;
    case jbvNumeric: {
      const char* const digits =
          DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(member.val.numeric)));
      row.unparsed = digits;
      const DataType type = core::infer_type(digits);
      return type == DataType::text ? DataType::numeric : type;
    }
    case jbvBool:
      row.value.type = DataType::boolean;
      row.value.boolean = member.val.boolean;
      return DataType::boolean;
    default:
      row.value.type = DataType::json;
      row.value.datum = JsonbPGetDatum(JsonbValueToJsonb(&member));
      return DataType::json;
  }
}

Size size_of(const StagedRow& row) {
  if (row.is_unparsed()) {
    return row.unparsed.size();
  }
  return !row.value.cleared && row.value.type == DataType::json
             ? VARSIZE_ANY_EXHDR(DatumGetPointer(row.value.datum))
             : 0;
}

void check_member(std::string_view name, const StagedRow& row) {
  if (core::check_name(name) != core::NameStatus::ok) {
    raise_rejection({ERRCODE_INVALID_NAME, "invalid attribute name"}, name);
  }
  if (size_of(row) > static_cast<Size>(settings.max_value_bytes)) {
    raise_rejection(
        {ERRCODE_PROGRAM_LIMIT_EXCEEDED,
         psprintf("value has %zu bytes, the limit is %d", size_of(row), settings.max_value_bytes)},
        name);
  }
}

// JSON text fits a json attribute as it is; other types read it by their own rules.
void fit_to_json_attribute(StagedRow& row, const JsonbValue& member) {
  const auto* const attribute =
      flush::registry::find(flush::AttributeName{row.tenant_id, row.attribute});
  if (attribute != nullptr && attribute->type == DataType::json && !row.value.cleared) {
    JsonbValue copy = member;
    row.unparsed = {};
    row.value.type = DataType::json;
    row.value.datum = JsonbPGetDatum(JsonbValueToJsonb(&copy));
  }
}

struct Members {
  flush::Rows rows;
  core::ArenaVector<JsonbValue> values;
  core::ArenaVector<flush::registry::NewAttribute> attributes;  // as they would be registered
};

Members read_members(Jsonb* attributes, const StagedRow& pattern) {
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  Members members{flush::Rows(arena), core::ArenaVector<JsonbValue>(arena),
                  core::ArenaVector<flush::registry::NewAttribute>(arena)};
  JsonbIterator* iterator = JsonbIteratorInit(&attributes->root);
  JsonbValue key;
  JsonbValue member;
  JsonbIteratorNext(&iterator, &key, true);
  while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY) {
    JsonbIteratorNext(&iterator, &member, true);
    StagedRow row = pattern;
    row.attribute = view_of(key.val.string);
    const std::optional<DataType> type = read_member(member, row);
    check_member(row.attribute, row);
    members.rows.push_back(row);
    members.values.push_back(member);
    members.attributes.push_back({{row.tenant_id, row.attribute}, type});
  }
  return members;
}

// Makes the attributes known, with types taken from the JSON, which knows more than the text.
void register_members(const Members& members) {
  core::ArenaVector<flush::AttributeName> names(pg::arena_of(CurrentMemoryContext));
  for (const auto& attribute : members.attributes) {
    names.push_back(attribute.key);
  }
  flush::registry::load(std::span<const flush::AttributeName>(names.data(), names.size()));
  core::ArenaVector<flush::registry::NewAttribute> fresh(pg::arena_of(CurrentMemoryContext));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& wanted = members.attributes[i];
    const flush::Attribute* const known = flush::registry::find(names[i]);
    if (known == nullptr) {
      fresh.push_back(wanted);
    } else if (!known->type && wanted.type) {
      flush::registry::retype({wanted.key.tenant_id, known->attribute_id}, *wanted.type,
                              pg::OnLock::wait);
    }
  }
  if (!fresh.empty() && settings.auto_register) {
    flush::registry::register_attributes({fresh.data(), fresh.size()}, pg::OnLock::wait);
  }
}

void write(flush::Rows& rows) {
  const core::Arena arena = pg::arena_of(CurrentMemoryContext);
  ingest::Rejects rejects(arena);
  flush::Rows held_up(arena);
  flush::resolve(rows, {pg::OnLock::wait, &rejects, &held_up, nullptr});
  if (!rejects.empty()) {
    raise_rejection(rejects[0].rejection, rejects[0].attribute);
  }
  flush::ensure_partitions();
  // Two calls of one backend may fall into one microsecond.
  static TimestampTz next_arrival = 0;
  TimestampTz ingested_at = std::max(GetCurrentTimestamp(), next_arrival);
  const auto order = flush::set_arrival(rows, ingested_at);
  next_arrival = ingested_at;
  core::ArenaVector<RowPointer> blocked(arena);
  EAV_STOP_POINT("upsert_before_history");
  flush::write_history(rows.span(), order.span());
  EAV_STOP_POINT("upsert_before_projection");
  flush::write_projection(rows.span(), order.span(), pg::OnLock::wait, blocked);
  if (!blocked.empty() || !held_up.empty()) {
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("the entity or an attribute was deleted by a concurrent transaction"),
                    errhint("Run the transaction again.")));
  }
}

Datum document_of(int64 tenant_id, int64 entity_id, MemoryContext result_context) {
  constexpr int column_hot = 3;
  constexpr int column_live = 4;
  pg::UniqueIndex index("entity_jsonb", "entity_jsonb_pkey", F_INT8EQ,
                        pg::UniqueIndex::See::latest);
  TupleTableSlot* const row = index.find(tenant_id, Int64GetDatum(entity_id));
  MemoryContext const caller = MemoryContextSwitchTo(result_context);
  // Without a row all attributes have projection none.
  const Datum document =
      row == nullptr
          ? DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))
          : JsonbPGetDatum(pg::merge_objects(DatumGetJsonbP(pg::column_of(row, column_hot)),
                                             DatumGetJsonbP(pg::column_of(row, column_live))));
  MemoryContextSwitchTo(caller);
  index.close();
  return document;
}

}  // namespace

Datum upsert(int64 tenant_id, int64 entity_id, Jsonb* attributes, TimestampTz observed_at) {
  MemoryContext const caller = CurrentMemoryContext;
  SPI_connect();
  // Who changes where the values of an attribute go waits for those who hold this lock, and may
  // have read the registry before; see attributes/move.cpp.
  LockRelationOid(pg::relation_oid("entity_values_ts"), RowExclusiveLock);
  flush::registry::refresh();
  StagedRow pattern{};
  pattern.tenant_id = tenant_id;
  pattern.entity_id = entity_id;
  pattern.version.observed_at = observed_at;
  flush::registry::load_tenants({&tenant_id, 1});
  if (!flush::registry::has_tenant(tenant_id)) {
    ereport(ERROR, (errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
                    errmsg("tenant " INT64_FORMAT " does not exist", tenant_id),
                    errdetail("Table eav.tenants has no row for it."),
                    errhint("Register it with eav.register_tenant().")));
  }
  Members members = read_members(attributes, pattern);
  if (!members.rows.empty()) {
    register_members(members);
    for (std::size_t i = 0; i < members.rows.size(); ++i) {
      fit_to_json_attribute(members.rows[i], members.values[i]);
    }
    write(members.rows);
  }
  const Datum document = document_of(tenant_id, entity_id, caller);
  SPI_finish();
  return document;
}

}  // namespace eav::projection

EAV_FUNCTION(eav_upsert_hot_attributes) {
  for (int argument = 0; argument < 3; ++argument) {
    if (PG_ARGISNULL(argument)) {
      ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                      errmsg("tenant_id, entity_id and attributes must not be null"),
                      errdetail("Argument %d is null.", argument + 1),
                      errhint("Only observed_at may be null: it then is the present.")));
    }
  }
  const int64 tenant_id = PG_GETARG_INT64(0);
  eav::access::check_tenant(tenant_id);
  Jsonb* const attributes = PG_GETARG_JSONB_P(2);
  if (!JB_ROOT_IS_OBJECT(attributes)) {
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("attributes must be a JSON object"),
         errdetail("They are an array or a single value."),
         errhint("Pass an object of attribute names and values, such as {\"status\": \"on\"}.")));
  }
  const TimestampTz now = GetCurrentTimestamp();
  const TimestampTz observed_at = PG_ARGISNULL(3) ? now : PG_GETARG_TIMESTAMPTZ(3);
  if (TIMESTAMP_NOT_FINITE(observed_at) ||
      observed_at > TimestampTzPlusMilliseconds(
                        now, static_cast<int64>(eav::settings.max_future_skew) * 1000)) {
    ereport(ERROR,
            (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
             errmsg("observed_at is infinite or too far ahead of the server"),
             errdetail("The limit is %d s (eav.max_future_skew).", eav::settings.max_future_skew),
             errhint("Check the clock of the sender.")));
  }
  Datum document = 0;
  eav::pg::as_owner(eav::pg::relation_oid("entity_jsonb"), [&] {
    eav::flush::run_alone("eav.upsert_hot_attributes()", [&] {
      document = eav::projection::upsert(tenant_id, PG_GETARG_INT64(1), attributes, observed_at);
    });
  });
  PG_RETURN_DATUM(document);
}
