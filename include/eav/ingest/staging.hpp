// The staging leaves: finding the rows of a batch, and rotating. Protocol in staging.cpp.
#pragma once

#include <array>

#include "eav/core/snapshot.hpp"
#include "eav/pg/postgres.hpp"

namespace eav::ingest {

constexpr int leaf_count = 3;
constexpr std::array<const char*, leaf_count> leaf_names = {
    "entity_values_ingest_0", "entity_values_ingest_1", "entity_values_ingest_2"};

struct Leaves {
  std::array<Relation, leaf_count> relations;
  uint64 blocks() const;
};

// Opened for reading; locks stay until the end of the transaction.
Leaves open_leaves();
void close_leaves(const Leaves& leaves);
// One of them; the lock, which keeps it from being emptied, stays until the end of the transaction.
Relation open_leaf_for_writing(int slot);

// What a batch is made of: rows that `current` sees and `previous` does not, up to `limit`.
struct BatchRule {
  core::SnapshotView previous;
  core::SnapshotView current;
  Snapshot snapshot;  // the server's form of `current`
  uint64 limit;       // transactions from here on wait for the next batch
};

// Calls visit(HeapTuple, xact) for each row of the batch, oldest leaf first, each leaf in
// physical order. The tuple lies in a locked page: copy what is needed, do no more.
// between_pages() runs after each page, with no lock held.
template <typename Visit, typename BetweenPages>
void scan_batch(const Leaves& leaves, const BatchRule& rule, Visit&& visit,
                BetweenPages&& between_pages);

enum class When : uint8 { due, now };

// Lets new rows go to an empty leaf when the current one is due, or at once, and empties leaves
// whose rows have all been flushed by a committed flush. Waits for nobody.
void rotate(const Leaves& leaves, const core::SnapshotView& flushed, When when = When::due);

int current_slot();

// --- implementation of the template ------------------------------------------------------

// The first column, read in place: it is not null, eight bytes wide and aligned.
inline uint64 xact_of(HeapTupleHeader tuple) {
  uint64 xact = 0;
  memcpy(&xact, reinterpret_cast<char*>(tuple) + tuple->t_hoff, sizeof(xact));
  return xact;
}

template <typename Visit>
void scan_page(Relation leaf, Buffer buffer, const BatchRule& rule, Visit&& visit) {
  Page const page = BufferGetPage(buffer);
  const OffsetNumber last = PageGetMaxOffsetNumber(page);
  const BlockNumber block = BufferGetBlockNumber(buffer);
  for (OffsetNumber at = FirstOffsetNumber; at <= last; ++at) {
    ItemId const item = PageGetItemId(page, at);
    if (!ItemIdIsNormal(item)) {
      continue;
    }
    HeapTupleData tuple;
    tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
    const uint64 xact = xact_of(tuple.t_data);
    if (xact >= rule.limit || rule.previous.sees(xact) || !rule.current.sees(xact)) {
      continue;
    }
    tuple.t_len = ItemIdGetLength(item);
    tuple.t_tableOid = RelationGetRelid(leaf);
    ItemPointerSet(&tuple.t_self, block, at);
    if (HeapTupleSatisfiesVisibility(&tuple, rule.snapshot, buffer)) {
      visit(&tuple, xact);
    }
  }
}

template <typename Visit, typename BetweenPages>
void scan_batch(const Leaves& leaves, const BatchRule& rule, Visit&& visit,
                BetweenPages&& between_pages) {
  const int newest = current_slot();
  for (int i = 1; i <= leaf_count; ++i) {
    Relation const leaf = leaves.relations[(newest + i) % leaf_count];
    const BlockNumber blocks = RelationGetNumberOfBlocks(leaf);
    for (BlockNumber block = 0; block < blocks; ++block) {
      CHECK_FOR_INTERRUPTS();
      const Buffer buffer = ReadBuffer(leaf, block);
      LockBuffer(buffer, BUFFER_LOCK_SHARE);
      scan_page(leaf, buffer, rule, visit);
      UnlockReleaseBuffer(buffer);
      between_pages();
    }
  }
}

}  // namespace eav::ingest
