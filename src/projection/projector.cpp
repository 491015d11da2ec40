// How values reach the projection without waiting for a client and without deadlocks.
//
// Entities are worked on in the order of their keys. An existing row is locked with SKIP LOCKED
// semantics, merged and updated through the executor (so triggers and indexes are served); a
// locked one goes to `blocked`. Rows that do not exist yet are inserted together, with ON
// CONFLICT DO NOTHING: keys that an open transaction has inserted are left out, and their
// values are blocked too. What another transaction
// inserted and committed in between is found on a second look.
#include "eav/projection/projector.hpp"

#include <algorithm>

#include "eav/pg/catalog.hpp"
#include "eav/pg/compat.hpp"
#include "eav/pg/lock_wait.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/spi.hpp"
#include "eav/pg/unique_index.hpp"

extern "C" {
#include <commands/trigger.h>
}

namespace eav::projection {

using pg::OnLock;

namespace {

enum Column : int {
  column_tenant_id = 1,
  column_entity_id,
  column_hot,
  column_live,
  column_versions,
  column_updated_at,
  column_count = column_updated_at
};

// New rows are inserted in pieces of at most this many.
constexpr std::size_t insert_piece = 10000;

enum class State : uint8 { missing, written, blocked };

struct Group {
  int64 tenant_id;
  int64 entity_id;
  const RowPointer* begin;
  std::size_t count;
  bool is_projected;
  State state;
  std::span<const RowPointer> rows() const { return {begin, count}; }
};
using Groups = core::ArenaVector<Group>;

// The table opened for updates, with what the executor needs for them.
class Table {
 public:
  Table()
      : relation_(table_open(pg::relation_oid("entity_jsonb"), RowExclusiveLock)),
        index_(index_open(pg::relation_oid("entity_jsonb_pkey"), AccessShareLock)),
        estate_(CreateExecutorState()),
        result_(makeNode(ResultRelInfo)),
        found_(table_slot_create(relation_, &estate_->es_tupleTable)),
        updated_(table_slot_create(relation_, &estate_->es_tupleTable)),
        scratch_(AllocSetContextCreate(CurrentMemoryContext, "eav projection merge",
                                       ALLOCSET_DEFAULT_SIZES)) {
    pg::init_range_table(estate_, relation_);
    InitResultRelInfo(result_, relation_, 1, nullptr, 0);
    estate_->es_output_cid = GetCurrentCommandId(true);
    pg::init_eval_plan_qual(&epq_, estate_);
    AfterTriggerBeginQuery();
    ExecOpenIndices(result_, false);
    scan_ = pg::begin_index_scan(relation_, index_, GetActiveSnapshot(), 2);
  }

  void close() {
    index_endscan(scan_);
    AfterTriggerEndQuery(estate_);
    EvalPlanQualEnd(&epq_);
    ExecCloseIndices(result_);
    ExecResetTupleTable(estate_->es_tupleTable, false);
    FreeExecutorState(estate_);
    MemoryContextDelete(scratch_);
    index_close(index_, NoLock);
    table_close(relation_, NoLock);
  }

  // Finds, locks, merges and updates the row of the group; adds to projected.
  State update(const Group& group, OnLock on_lock, int64& projected) {
    if (!find(group)) {
      return State::missing;
    }
    switch (lock(on_lock)) {
      case TM_Ok:
        break;
      case TM_WouldBlock:
        return State::blocked;
      case TM_Deleted:
        return State::missing;
      default:
        ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                        errmsg("could not lock the projection of entity " INT64_FORMAT
                               " of tenant " INT64_FORMAT,
                               group.entity_id, group.tenant_id)));
    }
    // Only from here on in scratch memory: the index scan keeps things of its own that it
    // allocates when it first needs them.
    MemoryContext const caller = MemoryContextSwitchTo(scratch_);
    const Merge merged = merge(document(), group.rows());
    if (merged.projected > 0) {
      write(merged);
      projected += merged.projected;
    }
    MemoryContextSwitchTo(caller);
    MemoryContextReset(scratch_);
    return State::written;
  }

 private:
  bool find(const Group& group) {
    ScanKeyData keys[2];
    ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(group.tenant_id));
    ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(group.entity_id));
    index_rescan(scan_, keys, 2, nullptr, 0);
    return index_getnext_slot(scan_, ForwardScanDirection, found_);
  }

  TM_Result lock(OnLock on_lock) {
    TM_FailureData failure;
    ItemPointerData tid = found_->tts_tid;
    return table_tuple_lock(relation_, &tid, GetActiveSnapshot(), found_, estate_->es_output_cid,
                            LockTupleNoKeyExclusive,
                            on_lock == OnLock::skip ? LockWaitSkip : LockWaitBlock,
                            TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
  }

  Document document() {
    slot_getallattrs(found_);
    return {found_->tts_values[column_hot - 1], found_->tts_values[column_live - 1],
            found_->tts_values[column_versions - 1]};
  }

  void write(const Merge& merged) {
    ExecClearTuple(updated_);
    memcpy(updated_->tts_values, found_->tts_values, sizeof(Datum) * column_count);
    memset(updated_->tts_isnull, 0, sizeof(bool) * column_count);
    updated_->tts_values[column_hot - 1] = merged.document.hot;
    updated_->tts_values[column_live - 1] = merged.document.live;
    updated_->tts_values[column_versions - 1] = merged.document.versions;
    updated_->tts_values[column_updated_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
    ExecStoreVirtualTuple(updated_);
    ResetPerTupleExprContext(estate_);
    ExecSimpleRelationUpdate(result_, estate_, &epq_, found_, updated_);
  }

  Relation relation_;
  Relation index_;
  EState* estate_;
  ResultRelInfo* result_;
  TupleTableSlot* found_;
  TupleTableSlot* updated_;
  MemoryContext scratch_;
  EPQState epq_{};
  IndexScanDesc scan_ = nullptr;
};

// Updates the rows that exist, of groups that are still missing.
void update_existing(Groups& groups, OnLock on_lock, int64& projected) {
  CommandCounterIncrement();
  PushActiveSnapshot(GetLatestSnapshot());
  Table table;
  for (Group& group : groups) {
    if (group.is_projected && group.state == State::missing) {
      CHECK_FOR_INTERRUPTS();
      group.state = table.update(group, on_lock, projected);
    }
  }
  table.close();
  PopActiveSnapshot();
  CommandCounterIncrement();
}

std::pair<Datum, Datum> keys_of(std::span<Group* const> groups) {
  auto* const tenants = static_cast<Datum*>(palloc(sizeof(Datum) * groups.size()));
  auto* const entities = static_cast<Datum*>(palloc(sizeof(Datum) * groups.size()));
  for (std::size_t i = 0; i < groups.size(); ++i) {
    tenants[i] = Int64GetDatum(groups[i]->tenant_id);
    entities[i] = Int64GetDatum(groups[i]->entity_id);
  }
  return {pg::make_array(tenants, nullptr, groups.size(), INT8OID),
          pg::make_array(entities, nullptr, groups.size(), INT8OID)};
}

bool precedes(const Group* left, const Group* right) {
  return left->tenant_id != right->tenant_id ? left->tenant_id < right->tenant_id
                                             : left->entity_id < right->entity_id;
}

// Marks the groups whose keys an INSERT has returned. The groups are sorted.
void mark_written(std::span<Group* const> groups) {
  for (uint64 row = 0; row < SPI_processed; ++row) {
    Group key{};
    key.tenant_id = DatumGetInt64(pg::cell(row, 1).value);
    key.entity_id = DatumGetInt64(pg::cell(row, 2).value);
    (*std::lower_bound(groups.begin(), groups.end(), &key, precedes))->state = State::written;
  }
}

bool holds(pg::UniqueIndex& index, const Group& group) {
  return index.is_held(group.tenant_id, Int64GetDatum(group.entity_id));
}

core::ArenaVector<Group*> unregistered(std::span<Group* const> groups) {
  core::ArenaVector<Group*> result(pg::arena_of(CurrentMemoryContext));
  pg::UniqueIndex index("entities", "entities_pkey", F_INT8EQ, pg::UniqueIndex::See::latest);
  for (Group* const group : groups) {
    if (index.find(group->tenant_id, Int64GetDatum(group->entity_id)) == nullptr) {
      result.push_back(group);
    }
  }
  index.close();
  return result;
}

// Registers the entities that are not. One that another open transaction registers counts as
// blocked: should that transaction roll back, the entity would have no registration.
void register_entities(std::span<Group* const> groups, OnLock on_lock) {
  static pg::Statement insert(
      "INSERT INTO eav.entities (tenant_id, entity_id) SELECT * FROM unnest($1, $2) "
      "ON CONFLICT DO NOTHING",
      {INT8ARRAYOID, INT8ARRAYOID});
  const core::ArenaVector<Group*> fresh = unregistered(groups);
  pg::UniqueIndex index("entities", "entities_pkey", F_INT8EQ, pg::UniqueIndex::See::dirty);
  const auto is_held = [&index](const Group* group) { return holds(index, *group); };
  const std::span<Group* const> wanted(fresh.data(), fresh.size());
  const bool complete =
      wanted.empty() || pg::insert_rows(wanted, on_lock, is_held, [](std::span<Group* const> some) {
        const auto [tenants, entities] = keys_of(some);
        insert.run({tenants, entities});
      });
  index.close();
  if (!complete) {
    for (Group* const group : unregistered(wanted)) {
      group->state = State::blocked;
    }
  }
  for (Group* const group : groups) {
    if (!group->is_projected && group->state == State::missing) {
      group->state = State::written;  // all that there was to do
    }
  }
}

void insert_rows(std::span<Group* const> groups, OnLock on_lock, int64& projected) {
  static pg::Statement insert(
      "INSERT INTO eav.entity_jsonb (tenant_id, entity_id, hot_attrs, live_attrs, versions) "
      "SELECT * FROM unnest($1, $2, $3, $4, $5) "
      "ON CONFLICT DO NOTHING RETURNING tenant_id, entity_id",
      {INT8ARRAYOID, INT8ARRAYOID, JSONBARRAYOID, JSONBARRAYOID, BYTEAARRAYOID});
  pg::UniqueIndex index("entity_jsonb", "entity_jsonb_pkey", F_INT8EQ, pg::UniqueIndex::See::dirty);
  const auto is_held = [&index](const Group* group) { return holds(index, *group); };
  pg::insert_rows(groups, on_lock, is_held, [](std::span<Group* const> some) {
    const Document empty = empty_document();
    auto* const hot = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    auto* const live = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    auto* const versions = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    for (std::size_t i = 0; i < some.size(); ++i) {
      const Merge merged = merge(empty, some[i]->rows());
      hot[i] = merged.document.hot;
      live[i] = merged.document.live;
      versions[i] = merged.document.versions;
    }
    const auto [tenants, entities] = keys_of(some);
    insert.run({tenants, entities, pg::make_array(hot, nullptr, some.size(), JSONBOID),
                pg::make_array(live, nullptr, some.size(), JSONBOID),
                pg::make_array(versions, nullptr, some.size(), BYTEAOID)});
    mark_written(some);
  });
  index.close();
  for (const Group* group : groups) {
    if (group->state == State::written) {
      const RowPointer* const rows = group->begin;
      for (std::size_t i = 0; i < group->count; ++i) {
        projected += i + 1 == group->count || rows[i + 1]->attribute_id != rows[i]->attribute_id;
      }
    }
  }
}

// Cuts the rows into entities. An entity without projected values is represented by one row.
Groups group_rows(std::span<const RowPointer> rows, core::ArenaVector<RowPointer>& chosen) {
  Groups groups(pg::arena_of(CurrentMemoryContext));
  chosen.reserve(rows.size());  // groups point into it
  for (std::size_t i = 0; i < rows.size();) {
    const RowPointer first = rows[i];
    const std::size_t start = chosen.size();
    for (; i < rows.size() && rows[i]->tenant_id == first->tenant_id &&
           rows[i]->entity_id == first->entity_id;
         ++i) {
      if (rows[i]->projection != core::Projection::none) {
        chosen.push_back(rows[i]);
      }
    }
    const bool is_projected = chosen.size() > start;
    if (!is_projected) {
      chosen.push_back(first);
    }
    groups.push_back({first->tenant_id, first->entity_id, chosen.begin() + start,
                      chosen.size() - start, is_projected, State::missing});
  }
  return groups;
}

core::ArenaVector<Group*> missing_of(Groups& groups) {
  core::ArenaVector<Group*> missing(pg::arena_of(CurrentMemoryContext));
  for (Group& group : groups) {
    if (group.state == State::missing) {
      missing.push_back(&group);
    }
  }
  return missing;
}

}  // namespace

int64 project(std::span<const RowPointer> rows, OnLock on_lock,
              core::ArenaVector<RowPointer>& blocked) {
  core::ArenaVector<RowPointer> chosen(pg::arena_of(CurrentMemoryContext));
  Groups groups = group_rows(rows, chosen);
  int64 projected = 0;
  update_existing(groups, on_lock, projected);

  core::ArenaVector<Group*> missing = missing_of(groups);
  if (!missing.empty()) {
    register_entities({missing.data(), missing.size()}, on_lock);
    missing = missing_of(groups);
  }
  for (std::size_t at = 0; at < missing.size(); at += insert_piece) {
    insert_rows({missing.data() + at, std::min(insert_piece, missing.size() - at)}, on_lock,
                projected);
  }
  if (!missing_of(groups).empty()) {
    update_existing(groups, on_lock, projected);
  }
  for (const Group& group : groups) {
    if (group.state != State::written) {
      for (const RowPointer row : group.rows()) {
        blocked.push_back(row);
      }
    }
  }
  return projected;
}

}  // namespace eav::projection
