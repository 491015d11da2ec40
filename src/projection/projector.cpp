// How values reach the projection without waiting for a client and without deadlocks.
//
// Entities are worked on in the order of their keys. An existing row is locked with SKIP LOCKED
// semantics, merged and updated (table.cpp); a locked one goes to `blocked`. Rows that do not exist
// yet are inserted together, with ON CONFLICT DO NOTHING: keys that an open transaction has
// inserted are left out, and their values are blocked too. What another transaction inserted and
// committed in between is found on a second look.
#include "eav/projection/projector.hpp"

#include <algorithm>

#include "eav/pg/lock_wait.hpp"
#include "eav/pg/memory.hpp"
#include "eav/pg/spi.hpp"
#include "eav/pg/unique_index.hpp"
#include "eav/projection/table.hpp"
#include "eav/rollup/pending.hpp"

namespace eav::projection {

using pg::OnLock;

namespace {

// New rows are inserted in pieces of at most this many: each is there in three forms meanwhile.
constexpr std::size_t insert_piece = 2000;

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
using CurrentChanges = core::ArenaVector<CurrentChange>;

// Updates the rows that exist, of groups that are still missing.
void update_existing(Groups& groups, OnLock on_lock, Written& written) {
  CommandCounterIncrement();
  PushActiveSnapshot(GetLatestSnapshot());
  Table table(on_lock);
  for (Group& group : groups) {
    if (group.is_projected && group.state == State::missing) {
      CHECK_FOR_INTERRUPTS();
      group.state = table.update({group.tenant_id, group.entity_id}, group.rows(), written);
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

// For the groups whose keys an INSERT has returned: their rows in eav.entity_values_current, and
// then the mark that they are written, which a failure before it must not leave behind. The groups
// are sorted.
void finish_inserted(std::span<Group* const> groups, CurrentChanges* current) {
  core::ArenaVector<std::size_t> inserted(pg::arena_of(CurrentMemoryContext));
  bool has_current = false;
  for (uint64 row = 0; row < SPI_processed; ++row) {
    Group key{};
    key.tenant_id = DatumGetInt64(pg::cell(row, 1).value);
    key.entity_id = DatumGetInt64(pg::cell(row, 2).value);
    inserted.push_back(static_cast<std::size_t>(
        std::lower_bound(groups.begin(), groups.end(), &key, precedes) - groups.begin()));
    has_current = has_current || !current[inserted.back()].empty();
  }
  if (has_current) {
    PushActiveSnapshot(GetLatestSnapshot());
    CurrentTable table;
    for (const std::size_t at : inserted) {
      table.write({groups[at]->tenant_id, groups[at]->entity_id}, current[at], LockWaitBlock);
    }
    table.close();
    PopActiveSnapshot();
  }
  for (const std::size_t at : inserted) {
    groups[at]->state = State::written;
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

void insert_rows(std::span<Group* const> groups, OnLock on_lock, Written& written) {
  static pg::Statement insert(
      "INSERT INTO eav.entity_jsonb (tenant_id, entity_id, hot_attrs, live_attrs, versions) "
      "SELECT * FROM unnest($1, $2, $3, $4, $5) "
      "ON CONFLICT DO NOTHING RETURNING tenant_id, entity_id",
      {INT8ARRAYOID, INT8ARRAYOID, JSONBARRAYOID, JSONBARRAYOID, BYTEAARRAYOID});
  pg::UniqueIndex index("entity_jsonb", "entity_jsonb_pkey", F_INT8EQ, pg::UniqueIndex::See::dirty);
  const auto is_held = [&index](const Group* group) { return holds(index, *group); };
  pg::insert_rows(groups, on_lock, is_held, [](std::span<Group* const> some) {
    const Document empty = empty_document();
    auto* const current =
        static_cast<CurrentChanges*>(palloc(sizeof(CurrentChanges) * some.size()));
    auto* const hot = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    auto* const live = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    auto* const versions = static_cast<Datum*>(palloc(sizeof(Datum) * some.size()));
    for (std::size_t i = 0; i < some.size(); ++i) {
      const Merge merged = merge(empty, some[i]->rows());
      hot[i] = merged.document.hot;
      live[i] = merged.document.live;
      versions[i] = merged.document.versions;
      current[i] = merged.current;
    }
    const auto [tenants, entities] = keys_of(some);
    insert.run({tenants, entities, pg::make_array(hot, nullptr, some.size(), JSONBOID),
                pg::make_array(live, nullptr, some.size(), JSONBOID),
                pg::make_array(versions, nullptr, some.size(), BYTEAOID)});
    finish_inserted(some, current);
  });
  index.close();
  for (const Group* group : groups) {
    if (group->state == State::written) {
      const RowPointer* const rows = group->begin;
      for (std::size_t i = 0; i < group->count; ++i) {
        if (i + 1 == group->count || rows[i + 1]->attribute_id != rows[i]->attribute_id) {
          ++written.projected;
          written.first.push_back({group->tenant_id, rows[i]->attribute_id});
        }
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
  Written written{0, core::ArenaVector<flush::AttributeId>(pg::arena_of(CurrentMemoryContext))};
  update_existing(groups, on_lock, written);

  core::ArenaVector<Group*> missing = missing_of(groups);
  if (!missing.empty()) {
    pg::in_pieces<Group*>(missing.span(), insert_piece, [on_lock](std::span<Group* const> piece) {
      register_entities(piece, on_lock);
    });
    missing = missing_of(groups);
  }
  pg::in_pieces<Group*>(missing.span(), insert_piece, [&](std::span<Group* const> groups_of_piece) {
    insert_rows(groups_of_piece, on_lock, written);
  });
  if (!missing_of(groups).empty()) {
    update_existing(groups, on_lock, written);
  }
  for (const Group& group : groups) {
    if (group.state != State::written) {
      for (const RowPointer row : group.rows()) {
        blocked.push_back(row);
      }
    }
  }
  rollup::note_entities(written.first.span());
  return written.projected;
}

}  // namespace eav::projection
