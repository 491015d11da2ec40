#include "eav/core/id_streams.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <vector>

#include "memory.hpp"
#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

constexpr Id least_id = std::numeric_limits<Id>::min();

using Ids = std::set<Id>;

std::optional<Id> seek_in(const Ids& ids, Id at_least) {
  const auto found = ids.lower_bound(at_least);
  return found == ids.end() ? std::nullopt : std::optional(*found);
}

Ids random_ids(test::Random& random, std::int64_t most) {
  Ids ids;
  for (std::int64_t i = random.between(0, most); i > 0; --i) {
    ids.insert(random.between(-40, 40));
  }
  return ids;
}

template <typename Next>
Ids read(Next&& next) {
  Ids ids;
  Id at = least_id;
  while (const std::optional<Id> found = next(at)) {
    EXPECT_GE(*found, at);
    ids.insert(*found);
    at = *found + 1;
  }
  return ids;
}

TEST(IdStreams, AreIntersectedAndUnited) {
  EAV_RANDOM(random);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Ids> streams(static_cast<std::size_t>(random.between(1, 4)));
    Ids all;
    Ids any;
    for (Ids& stream : streams) {
      stream = random_ids(random, 60);
      any.insert(stream.begin(), stream.end());
    }
    for (const Id id : any) {
      bool is_in_all = true;
      for (const Ids& stream : streams) {
        is_in_all = is_in_all && stream.contains(id);
      }
      if (is_in_all) {
        all.insert(id);
      }
    }
    const std::span<Ids> span(streams);
    EXPECT_EQ(read([&](Id at) { return seek_in_all(span, at, seek_in); }), all);
    EXPECT_EQ(read([&](Id at) { return seek_in_any(span, at, seek_in); }), any);
  }
}

TEST(IdStreams, AskEachStreamAsRarelyAsPossible) {
  std::vector<Ids> streams = {{5, 1000}, {}};
  for (Id id = 0; id < 1000; ++id) {
    streams[1].insert(id);
  }
  int asked = 0;
  const auto seek = [&](const Ids& ids, Id at_least) {
    ++asked;
    return seek_in(ids, at_least);
  };
  EXPECT_EQ(read([&](Id at) { return seek_in_all(std::span(streams), at, seek); }), Ids{5});
  EXPECT_LE(asked, 5);
}

TEST(SmallestIds, KeepsTheSmallest) {
  EAV_RANDOM(random);
  for (int round = 0; round < 2000; ++round) {
    test::CountingArena memory;
    const std::int64_t most = random.between(1, 20);
    SmallestIds kept(memory.arena(), static_cast<std::size_t>(most));
    for (int again = 0; again < 2; ++again) {
      kept.clear();
      Ids all;
      for (std::int64_t i = random.between(0, 200); i > 0; --i) {
        const Id id = random.between(-60, 60);
        all.insert(id);
        kept.add(id);
      }
      kept.finish();
      Ids expected;
      for (const Id id : all) {
        if (!kept.limit() || id < *kept.limit()) {
          expected.insert(id);
        }
      }
      EXPECT_EQ(read([&](Id at) { return kept.seek(at); }), expected);
      EXPECT_LT(kept.size(), static_cast<std::size_t>(most) * 2 + 1);
      if (static_cast<std::int64_t>(all.size()) <= most) {
        EXPECT_FALSE(kept.limit()) << "what fits is kept";
      } else if (kept.limit()) {
        EXPECT_GE(expected.size(), static_cast<std::size_t>(most));
      }
    }
  }
}

TEST(SmallestIds, SeeksFarAndNear) {
  EAV_RANDOM(random);
  test::CountingArena memory;
  SmallestIds kept(memory.arena(), 1000);
  Ids ids;
  for (int i = 0; i < 900; ++i) {
    ids.insert(random.between(0, 5000));
  }
  for (const Id id : ids) {
    kept.add(id);
  }
  kept.finish();
  for (Id at = 0; at < 5100; at += random.chance(0.9) ? random.between(0, 5) : 300) {
    EXPECT_EQ(kept.seek(at), seek_in(ids, at));
    EXPECT_EQ(kept.seek(at), seek_in(ids, at)) << "again";
  }
}

}  // namespace

}  // namespace eav::core
