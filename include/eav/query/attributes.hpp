// The attributes of a tenant as the active snapshot shows them, and so with the tiers in which that
// snapshot shows their values. (What a backend remembers of them may be younger.)
#pragma once

#include <optional>
#include <string_view>

#include "eav/core/arena.hpp"
#include "eav/core/value.hpp"
#include "eav/pg/index_scan.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::query {

// Where values of an attribute can be: several tiers while they are being moved.
struct Tiers {
  bool hot;
  bool live;
  bool current;
  bool any() const { return hot || live || current; }
  bool only_hot() const { return hot && !live && !current; }
  bool only_current() const { return current && !live && !hot; }
};

struct Attribute {
  int32 attribute_id;
  std::string_view name;
  std::string_view member;  // the name under which documents keep it
  core::Projection projection;
  Tiers tiers;
};

// What it returns is valid as long as the memory context it was made in.
class Attributes {
 public:
  explicit Attributes(int64 tenant_id);
  void close();

  int64 tenant_id() const { return tenant_id_; }
  // Null when there is none.
  const Attribute* named(std::string_view name);
  const Attribute* with_id(int32 attribute_id);
  // That documents keep under this name, although it has another by now; also null otherwise.
  const Attribute* renamed(std::string_view member);
  // Tells the client when there is none.
  const Attribute* named_or_notice(std::string_view name);

 private:
  const Attribute* make(TupleTableSlot* row) const;
  const Attribute* load(int32 attribute_id);
  void load_renamed();

  MemoryContext context_;
  int64 tenant_id_;
  std::optional<pg::IndexScan> by_name_;
  std::optional<pg::IndexScan> by_id_;
  std::optional<int32> at_;                    // by_id_ has come by here
  const Attribute* at_attribute_ = nullptr;    // and stands here, or at the end
  core::ArenaVector<const Attribute*> known_;  // by id
  std::size_t next_ = 0;                       // in known_, after the last that was asked for
  bool has_loaded_renamed_ = false;
  core::ArenaVector<const Attribute*> renamed_;
};

}  // namespace eav::query
