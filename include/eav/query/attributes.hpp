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
  // By the name under which documents keep it, when readers do not see it under that: renamed, or
  // with projection none and on its way out of them; null otherwise.
  const Attribute* unusual(std::string_view member);
  // That had this name, and has another by now; null otherwise.
  const Attribute* renamed(std::string_view name);
  // By its name, or the one that it was registered with.
  const Attribute* named_ever(std::string_view name);

 private:
  const Attribute* make(TupleTableSlot* row) const;
  const Attribute* load(int32 attribute_id);
  void load_unusual();

  MemoryContext context_;
  int64 tenant_id_;
  std::optional<pg::IndexScan> by_name_;
  std::optional<pg::IndexScan> by_id_;
  std::optional<int32> at_;                    // by_id_ has come by here
  const Attribute* at_attribute_ = nullptr;    // and stands here, or at the end
  core::ArenaVector<const Attribute*> known_;  // by id
  std::size_t next_ = 0;                       // in known_, after the last that was asked for
  bool has_loaded_unusual_ = false;
  core::ArenaVector<const Attribute*> unusual_;
};

// Tells the client that there is no such attribute; now: the one that had the name, if any.
void notice_unknown(std::string_view name, const Attribute* now = nullptr);

}  // namespace eav::query
