#include "eav/flush/apply.hpp"

#include <algorithm>
#include <array>

#include "eav/core/batch_order.hpp"
#include "eav/pg/catalog.hpp"
#include "eav/pg/copy.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/subtransaction.hpp"

extern "C" {
#include <nodes/value.h>
}

namespace eav::flush {

using core::DataType;
using ingest::StagedRow;
using projection::RowPointer;

namespace {

constexpr std::array<const char*, 7> value_columns = {"value_text",    "value_int",  "value_float",
                                                      "value_numeric", "value_bool", "value_time",
                                                      "value_json"};  // by DataType

core::Arena current_arena() { return pg::arena_of(CurrentMemoryContext); }

// Feeds COPY. Only the value columns that occur are part of it: a null costs as much as a value.
struct HistorySource {
  std::span<const StagedRow> rows;
  std::span<const core::HistoryKey> order;
  std::size_t next;
  std::array<bool, value_columns.size()> used;
  int16 fields;
};

void put_value(pg::CopyRow& out, const ingest::Value& value) {
  switch (value.type) {
    case DataType::integer:
      out.int8(value.integer);
      break;
    case DataType::floating:
      out.float8(value.floating);
      break;
    case DataType::boolean:
      out.boolean(value.boolean);
      break;
    case DataType::timestamp:
      out.int8(value.timestamp);
      break;
    case DataType::text: {
      const std::string_view view = ingest::view_of(DatumGetTextPP(value.datum));
      out.bytes(view.data(), view.size());
      break;
    }
    case DataType::numeric:
    case DataType::json: {
      PGFunction const send = value.type == DataType::numeric ? numeric_send : jsonb_send;
      const bytea* const sent = DatumGetByteaPP(DirectFunctionCall1(send, value.datum));
      out.bytes(VARDATA_ANY(sent), VARSIZE_ANY_EXHDR(sent));
      break;
    }
  }
}

bool next_history_row(void* state, pg::CopyRow& out) {
  auto& source = *static_cast<HistorySource*>(state);
  if (source.next == source.order.size()) {
    return false;
  }
  const StagedRow& row = source.rows[source.order[source.next++].row];
  out.begin(source.fields);
  out.int8(row.tenant_id);
  out.int8(row.entity_id);
  out.int8(row.version.observed_at);
  out.int8(row.version.ingested_at);
  out.int4(row.attribute_id);
  for (std::size_t type = 0; type < source.used.size(); ++type) {
    if (!source.used[type]) {
      continue;
    }
    if (row.value.cleared || static_cast<std::size_t>(row.value.type) != type) {
      out.null();
    } else {
      put_value(out, row.value);
    }
  }
  return true;
}

List* columns_of(HistorySource& source) {
  List* columns = NIL;
  const auto add = [&columns](const char* name) {
    columns = lappend(columns, makeString(pstrdup(name)));
  };
  for (const char* const name :
       {"tenant_id", "entity_id", "observed_at", "ingested_at", "attribute_id"}) {
    add(name);
  }
  for (std::size_t type = 0; type < value_columns.size(); ++type) {
    if (source.used[type]) {
      add(value_columns[type]);
    }
  }
  source.fields = static_cast<int16>(list_length(columns));
  return columns;
}

struct Attempt {
  std::span<const StagedRow> rows;
  Order order;
  TupleDesc description;
  ingest::Rejects* rejects;
  core::ArenaVector<RowPointer>* blocked;
  Applied* applied;
};

// Null when the rows have been applied.
const ErrorData* try_once(const Attempt& work) {
  const std::size_t blocked_before = work.blocked->size();
  MemoryContext const caller = CurrentMemoryContext;
  MemoryContext const scratch = AllocSetContextCreate(caller, "eav apply", ALLOCSET_DEFAULT_SIZES);
  Applied applied;
  const ErrorData* const error = pg::attempt([&] {
    MemoryContextSwitchTo(scratch);
    applied.flushed = write_history(work.rows, work.order);
    applied.projected = write_projection(work.rows, work.order, pg::OnLock::skip, *work.blocked);
    MemoryContextSwitchTo(caller);
  });
  MemoryContextDelete(scratch);
  if (error == nullptr) {
    work.applied->flushed += applied.flushed;
    work.applied->projected += applied.projected;
    return nullptr;
  }
  work.blocked->truncate(blocked_before);
  if (pg::must_not_swallow(error)) {
    ReThrowError(const_cast<ErrorData*>(error));
  }
  return error;
}

void apply_or_split(const Attempt& work) {
  if (try_once(work) == nullptr) {
    return;
  }
  if (work.order.size() > 1) {
    const std::size_t half = work.order.size() / 2;
    Attempt part = work;
    part.order = work.order.first(half);
    apply_or_split(part);
    part.order = work.order.subspan(half);
    apply_or_split(part);
    return;
  }
  if (const ErrorData* const error = try_once(work)) {
    const StagedRow& row = work.rows[work.order.front().row];
    work.rejects->push_back({row.tuple, work.description, {error->sqlerrcode, error->message}});
  }
}

}  // namespace

int64 write_history(std::span<const StagedRow> rows, Order by_entity) {
  core::ArenaVector<core::HistoryKey> order(current_arena());
  order.reserve(by_entity.size());
  HistorySource source = {rows, {}, 0, {}, 0};
  for (const core::EntityKey& key : by_entity) {
    const StagedRow& row = rows[key.row];
    if (row.in_history) {
      continue;
    }
    order.push_back({row.tenant_id, row.version.ingested_at, row.attribute_id, key.row});
    if (!row.value.cleared) {
      source.used[static_cast<std::size_t>(row.value.type)] = true;
    }
  }
  if (order.empty()) {
    return 0;
  }
  std::sort(order.begin(), order.end());
  source.order = {order.data(), order.size()};
  List* const columns = columns_of(source);
  Relation const history = table_open(pg::relation_oid("entity_values_ts"), RowExclusiveLock);
  const uint64 written = pg::copy_into(history, columns, next_history_row, &source);
  table_close(history, NoLock);
  return static_cast<int64>(written);
}

int64 write_projection(std::span<const StagedRow> rows, Order order, pg::OnLock on_lock,
                       core::ArenaVector<RowPointer>& blocked) {
  core::ArenaVector<RowPointer> pointers(current_arena());
  pointers.reserve(order.size());
  for (const core::EntityKey& key : order) {
    pointers.push_back(&rows[key.row]);
  }
  return projection::project({pointers.data(), pointers.size()}, on_lock, blocked);
}

Applied apply(std::span<const StagedRow> rows, Order order, TupleDesc description,
              ingest::Rejects& rejects, core::ArenaVector<RowPointer>& blocked) {
  Applied applied;
  if (!order.empty()) {
    apply_or_split({rows, order, description, &rejects, &blocked, &applied});
  }
  return applied;
}

}  // namespace eav::flush
