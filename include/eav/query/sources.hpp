// Where candidates for a filter come from: indexes, as streams of entities in ascending order.
//
// A candidate need not meet the filter, nor even exist: indexes are read without a look at their
// tables, and the filter is checked on the documents afterwards. What does meet the filter is among
// the candidates.
//
//   point      a B-tree at one key: its entries are in the order of entities, so that it can be
//   read
//              piece by piece, and from anywhere
//   collected  a B-tree over a range of keys, or the GIN index: read as a whole at first use, and
//              the smallest ids kept, which is repeated when they have all been taken
//   all_of, any_of   of other streams
#pragma once

#include <optional>
#include <span>

#include "eav/core/filter.hpp"
#include "eav/core/id_streams.hpp"
#include "eav/pg/index_scan.hpp"
#include "eav/pg/postgres.hpp"
#include "eav/query/filter.hpp"

namespace eav::query {

// A part of a B-tree on (..., key, entity_id).
struct KeyIndex {
  const char* table;
  Oid index;
  int64 tenant_id;
  int32 attribute_id;  // 0: the index is of one attribute
};

// The index of values of an attribute in tier current, and the one in tier hot, if it has one.
KeyIndex current_index(int64 tenant_id, const Attribute& attribute);
std::optional<KeyIndex> hot_index(int64 tenant_id, const Attribute& attribute);

// Its entries, in their order.
class KeyScan {
 public:
  explicit KeyScan(const KeyIndex& index);
  void close() { scan_.close(); }
  Oid index() const { return index_.index; }

  void start(const core::KeyRange& range);
  // Entities from at_least on, at a key.
  void start_at(const core::ValueKey& key, int64 at_least);
  // Either of both ends may be left out.
  struct End {
    std::span<const uint8> key;
    bool is_part_of_it;
  };
  void start_between(const std::optional<End>& low, const std::optional<End>& high);
  // Entities above or below one, at a key.
  void start_beside(std::span<const uint8> key, int64 entity_id, bool above);

  bool next(ScanDirection direction = ForwardScanDirection);
  int64 entity_id() const { return entity_id_; }
  std::span<const uint8> key() const;

 private:
  struct alignas(int32) KeyBytes {
    char bytes[VARHDRSZ + core::ValueKey::max_bytes];
  };
  int prefix(std::span<ScanKeyData> keys) const;
  void add_key(ScanKeyData& key, StrategyNumber strategy, std::span<const uint8> bytes,
               KeyBytes& kept);
  void add_entity(ScanKeyData& key, StrategyNumber strategy, int64 entity_id) const;

  KeyIndex index_;
  pg::IndexScan scan_;
  int columns_before_;
  KeyBytes low_{};
  KeyBytes high_{};
  IndexTuple entry_ = nullptr;
  int64 entity_id_ = 0;
};

struct Stream {
  enum class Kind : uint8 { point, range, gin, all_of, any_of };
  Kind kind;
  const Attribute* attribute;  // of point and range
  core::KeyRange range;
  KeyScan* scan;
  Jsonb* contained;  // of gin: what hot_attrs contains
  int64 tenant_id;
  core::SmallestIds* ids;  // of range and gin, once they have been collected
  core::ArenaVector<Stream*> children;
  // How many candidates there are, as far as was looked; more, when is_more.
  int64 estimate;
  bool is_more;
  // The last answer, which stays one for what is asked for up to it.
  bool has_head;
  bool is_at_end;
  int64 head;
};

// The candidates of a tree, or null when no index knows them.
Stream* open_stream(const core::FilterNode& tree, const Filter& filter, int64 tenant_id);
void close_stream(Stream* stream);

// The first candidate from here on.
std::optional<int64> seek(Stream& stream, int64 at_least);

// What of a conjunction is not costly: all of its candidates are among those of that, too. Null
// when there is nothing. It shares the streams, and asks for ever higher ids as they want it.
Stream* cheap_part(const Stream& stream);

// Whether the first candidate cannot be had without collecting more of them than a page needs.
bool is_costly(const Stream& stream);

}  // namespace eav::query
