// The documents of entities: their values in all tiers, as the active snapshot shows them.
#pragma once

#include <optional>
#include <span>

#include "eav/core/versions.hpp"
#include "eav/pg/index_scan.hpp"
#include "eav/pg/jsonb.hpp"
#include "eav/pg/postgres.hpp"
#include "eav/query/attributes.hpp"

namespace eav::query {

// Rows of one tenant in a table whose key begins with (tenant_id, entity_id). Entities are mostly
// asked for in ascending order: then the scan goes on where it is.
class EntityRows {
 public:
  EntityRows(const char* table, const char* index, int64 tenant_id);
  void close() { scan_.close(); }

  // The first row of an entity from here on, in a slot that the next call overwrites, or null.
  TupleTableSlot* seek(int64 at_least);
  TupleTableSlot* find(int64 entity_id);
  // The last row of an entity up to here; scans down.
  TupleTableSlot* seek_down(int64 at_most);

 private:
  void start(StrategyNumber strategy, RegProcedure procedure, int64 entity_id);
  void step(ScanDirection direction);

  pg::IndexScan scan_;
  int64 tenant_id_;
  bool is_positioned_ = false;
  int64 from_ = 0;                 // where it was asked to be
  TupleTableSlot* row_ = nullptr;  // where it is; null: at the end
  int64 at_ = 0;                   // its entity
};

// One entity at a time. What it returns lives in the memory context of the caller, or until the
// next entity.
class Documents {
 public:
  explicit Documents(Attributes& attributes);
  void close();

  // The first entity that is not deleted, from here on, up or down.
  std::optional<int64> next(int64 at_least);
  std::optional<int64> previous(int64 at_most);
  // Goes to an entity; false when it is not registered or deleted.
  bool open(int64 entity_id);

  int64 entity_id() const { return entity_id_; }
  // Null when it has none.
  Datum external_id() const { return external_id_; }
  bool has_external_id() const { return has_external_id_; }

  // The value of an attribute, if there is one.
  bool value(const Attribute& attribute, JsonbValue& result);
  Jsonb* whole();
  // Of these attributes, those with a value.
  Jsonb* of(std::span<const Attribute* const> attributes);
  // With the times of each, too.
  void versions(core::ArenaVector<core::AttributeVersion>& result);

 private:
  using Members = core::ArenaVector<pg::Member>;

  bool take(TupleTableSlot* row);
  void load_projection();
  void add_members(Jsonb* object, Members& members);
  void add_current(Members& members);
  bool current_value(int32 attribute_id, JsonbValue& result);

  Attributes& attributes_;
  EntityRows entities_;
  EntityRows projections_;
  pg::IndexScan current_;
  MemoryContext scratch_;  // of the entity
  int64 entity_id_ = 0;
  Datum external_id_ = 0;
  bool has_external_id_ = false;
  bool has_loaded_ = false;
  Jsonb* hot_ = nullptr;  // null: no row
  Jsonb* live_ = nullptr;
  Datum versions_ = 0;
};

}  // namespace eav::query
