#include "eav/core/ticket.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr std::uint64_t max_sequence = (std::uint64_t{1} << Ticket::sequence_bits) - 1;
constexpr std::uint32_t max_slab = (1U << Ticket::slab_bits) - 1;
constexpr std::uint64_t max_place = (std::uint64_t{1} << Ticket::place_bits) - 1;
constexpr std::uint32_t max_epoch = (1U << Ticket::epoch_bits) - 1;

void expect_same(const Ticket& left, const Ticket& right) {
  EXPECT_EQ(left.is_spilled, right.is_spilled);
  EXPECT_EQ(left.epoch, right.epoch);
  EXPECT_EQ(left.place, right.place);
}

TEST(Ticket, BitsAreWhereTheHeaderSays) {
  EXPECT_EQ(Ticket::in_ring(0, 0, 0).pack(), 0);
  EXPECT_EQ(Ticket::in_ring(0, 0, 1).pack(), 2);
  EXPECT_EQ(Ticket::in_ring(0, 1, 0).pack(), std::int64_t{1} << 16);
  EXPECT_EQ(Ticket::in_ring(1, 0, 0).pack(), std::int64_t{1} << 52);
  EXPECT_EQ(Ticket::in_staging(0, 0).pack(), 1);
  EXPECT_EQ(Ticket::in_staging(0, 5).pack(), 11);
  EXPECT_EQ(Ticket::in_ring(max_epoch, max_sequence, max_slab).pack(), (std::int64_t{1} << 62) - 2);
  EXPECT_EQ(Ticket::in_staging(max_epoch, max_place).pack(), (std::int64_t{1} << 62) - 1);
}

TEST(Ticket, GoesThroughANumberAndBack) {
  EAV_RANDOM(random);
  for (int i = 0; i < 100'000; ++i) {
    const std::int64_t epoch = random.any_int64();
    const std::uint64_t sequence = random.bits() >> random.between(0, 63);
    const auto slab = static_cast<std::uint32_t>(random.between(0, max_slab));
    const Ticket in_ring = Ticket::in_ring(epoch, sequence, slab);
    ASSERT_GE(in_ring.pack(), 0);
    expect_same(Ticket::unpack(in_ring.pack()), in_ring);
    ASSERT_FALSE(in_ring.is_spilled);
    ASSERT_EQ(in_ring.slab(), slab);
    ASSERT_EQ(in_ring.sequence(), Ticket::short_sequence(sequence));
    ASSERT_EQ(in_ring.epoch, Ticket::short_epoch(epoch));

    const std::uint64_t xid = random.bits() >> random.between(64 - Ticket::place_bits, 63);
    const Ticket in_staging = Ticket::in_staging(epoch, xid);
    ASSERT_GE(in_staging.pack(), 0);
    expect_same(Ticket::unpack(in_staging.pack()), in_staging);
    ASSERT_TRUE(in_staging.is_spilled);
    ASSERT_EQ(in_staging.xid(), xid);
    ASSERT_NE(in_staging.pack(), in_ring.pack());
  }
}

TEST(Ticket, EveryNumberIsOne) {
  EAV_RANDOM(random);
  for (int i = 0; i < 100'000; ++i) {
    const std::int64_t number = random.any_int64() & std::numeric_limits<std::int64_t>::max();
    ASSERT_EQ(Ticket::unpack(number).pack(), number);
  }
}

TEST(Ticket, EpochsAndSequencesWrap) {
  EXPECT_EQ(Ticket::short_epoch(0), 0U);
  EXPECT_EQ(Ticket::short_epoch(1023), 1023U);
  EXPECT_EQ(Ticket::short_epoch(1024), 0U);
  EXPECT_EQ(Ticket::short_epoch(1025), 1U);
  EXPECT_EQ(Ticket::short_epoch(-1), 1023U);
  EXPECT_EQ(Ticket::short_sequence(max_sequence), max_sequence);
  EXPECT_EQ(Ticket::short_sequence(max_sequence + 1), 0U);
  EXPECT_EQ(Ticket::in_ring(1025, max_sequence + 8, 3).pack(), Ticket::in_ring(1, 7, 3).pack());
}

}  // namespace
}  // namespace eav::core
