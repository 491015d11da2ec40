#include "eav/core/snapshot.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "memory.hpp"
#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr std::uint64_t all_fit = UINT64_MAX;

// A snapshot that owns its list.
struct Snapshot {
  std::uint64_t xmin = 0;
  std::uint64_t xmax = 0;
  std::vector<std::uint64_t> in_progress;

  SnapshotView view() const { return {xmin, xmax, in_progress}; }
  static Snapshot copy_of(const SnapshotView& view) {
    return {view.xmin, view.xmax, {view.in_progress.begin(), view.in_progress.end()}};
  }
};

Snapshot random_snapshot(test::Random& random) {
  Snapshot snapshot;
  const auto first = static_cast<std::uint64_t>(random.between(1, 20));
  snapshot.xmax = first + static_cast<std::uint64_t>(random.between(0, 20));
  for (std::uint64_t xid = first; xid < snapshot.xmax; ++xid) {
    if (random.chance(0.4)) {
      snapshot.in_progress.push_back(xid);
    }
  }
  snapshot.xmin = snapshot.in_progress.empty() ? snapshot.xmax : snapshot.in_progress.front();
  return snapshot;
}

TEST(SnapshotView, SeesWhatHadEnded) {
  const std::vector<std::uint64_t> in_progress = {10, 13};
  const SnapshotView view = {10, 15, in_progress};
  for (const std::uint64_t xid : {0, 3, 9, 11, 12, 14}) {
    EXPECT_TRUE(view.sees(xid)) << xid;
  }
  for (const std::uint64_t xid : {10, 13, 15, 16}) {
    EXPECT_FALSE(view.sees(xid)) << xid;
  }
  EXPECT_FALSE(SnapshotView{}.sees(0)) << "the empty snapshot is blind";
}

// A later snapshot: some of what was in progress has ended, some has begun.
Snapshot later_snapshot(test::Random& random, const Snapshot& earlier) {
  Snapshot snapshot;
  snapshot.xmax = earlier.xmax + static_cast<std::uint64_t>(random.between(0, 10));
  for (std::uint64_t xid = earlier.xmin; xid < snapshot.xmax; ++xid) {
    if (!earlier.view().sees(xid) && random.chance(0.5)) {
      snapshot.in_progress.push_back(xid);
    }
  }
  snapshot.xmin = snapshot.in_progress.empty() ? snapshot.xmax : snapshot.in_progress.front();
  return snapshot;
}

TEST(Advance, SeesWhatWasTaken) {
  EAV_RANDOM(random);
  test::CountingArena memory;
  ArenaVector<std::uint64_t> storage(memory.arena());
  for (int round = 0; round < 20000; ++round) {
    const Snapshot previous = random_snapshot(random);
    const Snapshot current = later_snapshot(random, previous);
    const auto limit =
        random.chance(0.2) ? all_fit : static_cast<std::uint64_t>(random.between(0, 60));
    const SnapshotView taken = advance(previous.view(), current.view(), limit, storage);
    for (std::uint64_t xid = 0; xid < 70; ++xid) {
      const bool expected = previous.view().sees(xid) || (xid < limit && current.view().sees(xid));
      ASSERT_EQ(taken.sees(xid), expected) << xid << " with limit " << limit;
    }
    // What pg_snapshot demands.
    ASSERT_LE(taken.xmin, taken.xmax);
    std::uint64_t before = 0;
    for (const std::uint64_t xid : taken.in_progress) {
      ASSERT_TRUE(xid > before && xid >= taken.xmin && xid < taken.xmax);
      before = xid;
    }
  }
}

TEST(Advance, WithoutALimitIsTheCurrentSnapshot) {
  EAV_RANDOM(random);
  test::CountingArena memory;
  ArenaVector<std::uint64_t> storage(memory.arena());
  for (int round = 0; round < 1000; ++round) {
    const Snapshot previous = random_snapshot(random);
    const Snapshot current = later_snapshot(random, previous);
    const SnapshotView taken = advance(previous.view(), current.view(), all_fit, storage);
    ASSERT_EQ(taken.xmin, current.xmin);
    ASSERT_EQ(taken.xmax, current.xmax);
    ASSERT_TRUE(std::equal(taken.in_progress.begin(), taken.in_progress.end(),
                           current.in_progress.begin(), current.in_progress.end()));
  }
}

// A long transaction that ends late has an id far below the others that were taken meanwhile.
TEST(Advance, KeepsWhatWasTakenAboveTheLimit) {
  test::CountingArena memory;
  ArenaVector<std::uint64_t> storage(memory.arena());
  const std::vector<std::uint64_t> in_progress = {10, 20};
  const SnapshotView taken = advance({10, 50, in_progress}, {60, 60, {}}, 20, storage);
  EXPECT_TRUE(taken.sees(10));
  EXPECT_FALSE(taken.sees(20));
  EXPECT_TRUE(taken.sees(49)) << "taken before";
  EXPECT_FALSE(taken.sees(50));
}

TEST(BatchEnd, TakesWholeTransactionsAndAtLeastOne) {
  using Counts = std::vector<TransactionCount>;
  const auto limit = [](Counts counts, std::uint64_t most) {
    return end_batch(counts, {}, most).limit;
  };
  EXPECT_EQ(limit({}, 1), all_fit);
  EXPECT_EQ(limit({{5, 100}}, 1), all_fit) << "at least one";
  EXPECT_EQ(limit({{5, 3}, {6, 5}, {7, 2}}, 10), all_fit);
  EXPECT_EQ(limit({{5, 3}, {6, 5}, {7, 2}}, 9), 7U);
  EXPECT_EQ(limit({{5, 3}, {6, 5}, {7, 2}}, 7), 6U);
  EXPECT_EQ(limit({{5, 3}, {6, 5}, {7, 2}}, 1), 6U);
  EXPECT_EQ(limit({{7, 2}, {5, 3}, {6, 5}}, 8), 7U) << "in the order of ids";
  EXPECT_EQ(limit({{6, 2}, {5, 1}, {6, 3}, {5, 2}}, 7), 6U) << "ids repeat";
  EXPECT_EQ(limit({{5, 2}, {5, 2}, {5, 2}}, 3), all_fit) << "one transaction is never split";
  EXPECT_EQ(limit({{5, 1}, {6, 100}, {7, 1}}, 50), 6U) << "a small one does not overtake";
}

TEST(BatchEnd, AgreesWithAddingUp) {
  EAV_RANDOM(random);
  for (int round = 0; round < 5000; ++round) {
    std::vector<TransactionCount> counts;
    std::map<std::uint64_t, std::uint64_t> rows;
    const std::int64_t pieces = random.between(0, 12);
    for (std::int64_t i = 0; i < pieces; ++i) {
      counts.push_back({static_cast<std::uint64_t>(random.between(1, 8)),
                        static_cast<std::uint64_t>(random.between(1, 10))});
      rows[counts.back().xid] += counts.back().rows;
    }
    const auto most = static_cast<std::uint64_t>(random.between(1, 60));
    std::uint64_t expected = all_fit;
    std::uint64_t taken = 0;
    for (const auto& [xid, count] : rows) {
      if (taken > 0 && taken + count > most) {
        expected = xid;
        break;
      }
      taken += count;
    }
    ASSERT_EQ(end_batch(counts, {}, most).limit, expected);
  }
}

TEST(BatchEnd, TakesTheRingInItsPlaceAmongStagedTransactions) {
  using Counts = std::vector<TransactionCount>;
  struct Case {
    Counts staged;
    Counts ring;
    std::uint64_t most;
    std::uint64_t limit;
    std::size_t from_ring;
    const char* what;
  };
  const std::vector<Case> cases = {
      {{}, {}, 1, all_fit, 0, "nothing"},
      {{}, {{5, 9}}, 1, all_fit, 1, "at least one"},
      {{{5, 9}}, {{6, 1}}, 1, all_fit, 0, "the staged one came first"},
      {{{5, 9}}, {{5, 1}}, 1, 5, 1, "before the staged one of its number"},
      {{{5, 1}, {6, 1}}, {{6, 1}, {6, 1}}, 2, 6, 1, "in the middle"},
      {{{5, 1}, {6, 1}}, {{6, 1}, {6, 1}}, 4, all_fit, 2, "all of both"},
      {{{5, 1}, {9, 1}}, {{6, 1}, {7, 50}, {8, 1}}, 10, 9, 1, "a small one does not overtake"},
      {{{7, 1}}, {{9, 1}, {6, 1}}, 2, all_fit, 1, "the ring keeps its order"},
  };
  for (const Case& c : cases) {
    Counts staged = c.staged;
    const BatchEnd end = end_batch(staged, c.ring, c.most);
    EXPECT_EQ(end.limit, c.limit) << c.what;
    EXPECT_EQ(end.ring, c.from_ring) << c.what;
  }
}

TEST(BatchEnd, IsTheSameWhenLateOnesAreForgotten) {
  EAV_RANDOM(random);
  for (int round = 0; round < 5000; ++round) {
    test::CountingArena memory;
    ArenaVector<TransactionCount> kept(memory.arena());
    std::vector<TransactionCount> all;
    std::vector<TransactionCount> ring;
    const auto most = static_cast<std::uint64_t>(random.between(1, 40));
    for (std::int64_t pieces = random.between(0, 40); pieces > 0; --pieces) {
      const TransactionCount count{static_cast<std::uint64_t>(random.between(1, 30)),
                                   static_cast<std::uint64_t>(random.between(1, 10))};
      all.push_back(count);
      kept.push_back(count);
      if (random.chance(0.3)) {
        forget_late(kept, most);
        ASSERT_LE(kept.size(), most + 2);
      }
    }
    for (std::uint64_t xid = 1; random.chance(0.7); xid += random.between(0, 9)) {
      ring.push_back({xid, static_cast<std::uint64_t>(random.between(1, 10))});
    }
    const BatchEnd expected = end_batch(all, ring, most);
    const BatchEnd end = end_batch(kept.span(), ring, most);
    ASSERT_EQ(end.limit, expected.limit);
    ASSERT_EQ(end.ring, expected.ring);
  }
}

TEST(BatchEnd, IsThatOfOneListInOrderOfArrival) {
  EAV_RANDOM(random);
  for (int round = 0; round < 5000; ++round) {
    // One list of all transactions as they arrived; then what end_batch() is told of them.
    struct Transaction {
      bool is_staged;
      TransactionCount count;
    };
    std::vector<Transaction> arrived;
    std::vector<TransactionCount> staged;
    std::vector<TransactionCount> ring;
    std::uint64_t xid = 3;
    for (std::int64_t left = random.between(0, 12); left > 0; --left) {
      const bool is_staged = random.chance(0.5);
      const TransactionCount count{xid, static_cast<std::uint64_t>(random.between(1, 10))};
      arrived.push_back({is_staged, count});
      (is_staged ? staged : ring).push_back(count);
      xid += is_staged ? static_cast<std::uint64_t>(random.between(1, 3)) : 0;
    }
    std::shuffle(staged.begin(), staged.end(), std::minstd_rand(random.bits() % 1000 + 1));
    const auto most = static_cast<std::uint64_t>(random.between(1, 60));
    const BatchEnd end = end_batch(staged, ring, most);
    std::uint64_t rows = 0;
    std::size_t from_ring = 0;
    bool is_over = false;
    std::uint64_t limit = all_fit;
    for (std::size_t i = 0; i < arrived.size(); ++i) {
      is_over = is_over || (i > 0 && rows + arrived[i].count.rows > most);
      rows += arrived[i].count.rows;
      from_ring += !is_over && !arrived[i].is_staged ? 1 : 0;
      limit = is_over && arrived[i].is_staged ? std::min(limit, arrived[i].count.xid) : limit;
    }
    ASSERT_EQ(end.limit, limit);
    ASSERT_EQ(end.ring, from_ring);
  }
}

// A database reduced to what matters here: transactions with rows, and the flushes between.
class Simulation {
 public:
  explicit Simulation(test::Random& random) : random_(random) {}

  void step() {
    switch (random_.between(0, 8)) {
      case 0:
      case 1:
        open_[next_xid_++] = {};
        return;
      case 2:
      case 3:
      case 4:
        stage();
        return;
      case 5:
      case 6:
        end(random_.chance(0.8));
        return;
      default:
        flush(random_.chance(0.5) ? static_cast<std::uint64_t>(random_.between(1, 20)) : all_fit);
    }
  }

  void finish() {
    while (!open_.empty()) {
      end(random_.chance(0.8));
    }
    flush(all_fit);
  }

  void check() const { EXPECT_EQ(taken_, committed_); }

 private:
  using Row = std::uint64_t;

  void stage() {
    if (!open_.empty()) {
      some_open()->second.push_back(next_row_++);
    }
  }

  void end(bool commits) {
    if (open_.empty()) {
      return;
    }
    const auto transaction = some_open();
    for (const Row row : transaction->second) {
      staged_.push_back({row, transaction->first, commits});
      if (commits) {
        committed_.insert(row);
      }
    }
    open_.erase(transaction);
  }

  // By a transaction of its own, or by one that has staged rows itself; it may be rolled back.
  void flush(std::uint64_t max_rows) {
    const Snapshot current = take_snapshot();
    std::map<std::uint64_t, std::uint64_t> rows;
    const auto is_in_batch = [&](const Staged& staged) {
      return staged.is_committed && !flushed_.view().sees(staged.xid) &&
             current.view().sees(staged.xid);
    };
    std::vector<TransactionCount> counts;
    for (const Staged& staged : staged_) {
      if (is_in_batch(staged)) {
        counts.push_back({staged.xid, 1});
      }
    }
    const std::uint64_t limit =
        max_rows == all_fit ? all_fit : end_batch(counts, {}, max_rows).limit;
    if (random_.chance(0.2) && max_rows != all_fit) {
      return;  // rolled back
    }
    std::size_t batch = 0;
    std::set<std::uint64_t> transactions;
    for (const Staged& staged : staged_) {
      if (is_in_batch(staged) && staged.xid < limit) {
        ASSERT_TRUE(taken_.insert(staged.row).second) << "taken twice";
        transactions.insert(staged.xid);
        ++batch;
      }
    }
    ASSERT_TRUE(batch <= max_rows || transactions.size() == 1);
    ASSERT_TRUE(batch > 0 || counts.empty()) << "a flush with work makes progress";
    const Snapshot previous = flushed_;
    test::CountingArena memory;
    ArenaVector<std::uint64_t> storage(memory.arena());
    flushed_ = Snapshot::copy_of(advance(previous.view(), current.view(), limit, storage));
  }

  Snapshot take_snapshot() const {
    Snapshot snapshot;
    snapshot.xmax = next_xid_;
    for (const auto& [xid, rows] : open_) {
      snapshot.in_progress.push_back(xid);
    }
    snapshot.xmin = open_.empty() ? next_xid_ : open_.begin()->first;
    return snapshot;
  }

  std::map<std::uint64_t, std::vector<Row>>::iterator some_open() {
    return std::next(open_.begin(),
                     random_.between(0, static_cast<std::int64_t>(open_.size()) - 1));
  }

  struct Staged {
    Row row;
    std::uint64_t xid;
    bool is_committed;
  };

  test::Random& random_;
  std::uint64_t next_xid_ = 3;
  Row next_row_ = 0;
  std::map<std::uint64_t, std::vector<Row>> open_;
  std::vector<Staged> staged_;  // by transactions that have ended
  std::set<Row> committed_;
  std::set<Row> taken_;
  Snapshot flushed_{3, 3, {}};
};

// Every committed row is taken exactly once, and no other, whatever the order of commits.
TEST(BatchRule, TakesEachCommittedRowOnce) {
  EAV_RANDOM(random);
  for (int round = 0; round < 500; ++round) {
    Simulation simulation(random);
    const std::int64_t steps = random.between(1, 300);
    for (std::int64_t i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) {
      simulation.step();
    }
    simulation.finish();
    simulation.check();
    ASSERT_FALSE(testing::Test::HasFailure()) << "round " << round;
  }
}

}  // namespace
}  // namespace eav::core
